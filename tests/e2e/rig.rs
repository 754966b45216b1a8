//! One twin and one agent as real processes, two approvers with keys, and what a test asks of them.
//! Nothing is shared between rigs, so tests may run side by side.

mod follower;
mod hook;
mod many;
mod quick;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use agent_core::{ApproverId, Ballot, Decision, Proposal, Texts};
use dr_agent::{config::JOURNAL_FILE, journal::Reader, keys};
use ed25519_dalek::SigningKey;
use hook::{HANG, HOOK};
use lab::{
    agent::Agent,
    setup::Setup,
    twin::{Command, Twin},
    wire::Answer,
};
use quick::QUICK;
use serde_json::Value;
use tempfile::TempDir;
use tests::harness::{Process, ours, wait};
use toml::Value as Setting;
use twin::world::{Fault, Party, WorldSpec};

pub(crate) use self::{follower::Follower, many::side_by_side};

/// For whatever has to happen by itself; generous, for two cores do everything at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const APPROVERS: [&str; 2] = ["alice", "bob"];
/// The names of the twin's default world.
pub(crate) const SQL: &str = "sql01";
pub(crate) const MI: &str = "mi-dr";
pub(crate) const SHOP: &str = "shop";

/// What a test wants to be different.
pub(crate) struct Wish {
    pub(crate) seed: u64,
    pub(crate) world: WorldSpec,
    pub(crate) settings: Vec<(&'static str, Setting)>,
    /// A hook stops and starts the application.
    pub(crate) hook: bool,
    /// What the settings can't say, for it depends on the twin's doors.
    pub(crate) prepare: Option<fn(&mut Setup, &Twin)>,
}

pub(crate) struct Rig {
    pub(crate) twin: Twin,
    pub(crate) agent: Agent,
    setup: Setup,
    pub(crate) config: PathBuf,
    signers: BTreeMap<&'static str, SigningKey>,
    environment: Vec<(&'static str, String)>,
    running: Option<Process>,
    _twin: Process,
    // Last, for the others write into it until they end.
    folder: TempDir,
}

impl Wish {
    /// The twin's default pair, with everything that takes time made short.
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = WorldSpec::default();
        for instance in &mut world.instances {
            instance.restart_ms = 500;
        }
        let link = &mut world.links[0];
        link.session_timeout_s = 1;
        link.notice_ms = 300;
        link.log.reconnect_ms = 500;
        link.failover.accept_ms = 200;
        link.failover.arm_start_ms = 300;
        link.failover.role_ms = 500;
        link.failover.recovery_ms = 500;
        Self { seed, world, settings: Vec::new(), hook: false, prepare: None }
    }

    pub(crate) fn set(mut self, key: &'static str, value: impl Into<Setting>) -> Self {
        self.settings.push((key, value.into()));
        self
    }
}

impl Rig {
    /// A twin that runs and an agent that has been told of it and has not been started.
    pub(crate) fn cold(wish: Wish) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let world = folder.path().join("world.toml");
        let text = toml::to_string(&wish.world).expect("a world is TOML");
        std::fs::write(&world, text).expect("the world is written");
        let endpoints = folder.path().join("endpoints.json");
        let mut command = ours("twin");
        command.arg("run").arg("--endpoints").arg(&endpoints).arg("--world").arg(&world);
        command.args(["--seed", &wish.seed.to_string()]);
        let mut process = Process::start("twin", command, folder.path());
        process.wait_until("its doors", LIMIT, |_| endpoints.exists().then_some(()));
        let twin = Twin::open(&endpoints).expect("the twin says where its doors are");

        let mut setup = Setup::new(folder.path(), &twin.endpoints).expect("a configuration");
        crate::local::behind(&mut setup, &wish.world, &twin);
        let mut signers = BTreeMap::new();
        for who in APPROVERS {
            let key = keys::generate().expect("randomness");
            let public = keys::show_public(&key.verifying_key());
            setup.set(&format!("approvers.{who}.public_key"), public).expect("a key is set");
            signers.insert(who, key);
        }
        let quick = QUICK.map(|(key, value)| (key, value.into()));
        for (key, value) in quick.into_iter().chain(wish.settings) {
            setup.set(key, value).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
        if let Some(prepare) = wish.prepare {
            prepare(&mut setup, &twin);
        }
        if wish.hook {
            let path = hook::write(folder.path(), &twin);
            let command = vec![Setting::from(path.display().to_string())];
            setup.set("links.0.planned.applications.command", command).expect("a hook is set");
        } else {
            setup.unset("links.0.planned.applications").expect("a key is taken out");
        }
        let config = setup.write().expect("the configuration is written");
        let agent = Agent::new(setup.port, &setup.token).expect("an address");
        let (environment, running) = (Vec::new(), None);
        Self { twin, agent, setup, config, signers, environment, running, _twin: process, folder }
    }

    /// Twin and agent, the link healthy and the application at work.
    pub(crate) fn healthy(wish: Wish) -> Self {
        let mut rig = Self::cold(wish);
        rig.start();
        rig.wait_health("healthy");
        rig
    }

    /// Sets what the agent finds in its environment from its next start on.
    pub(crate) fn environment(&mut self, key: &'static str, value: &str) {
        self.environment.push((key, value.to_owned()));
    }

    /// Starts the agent and waits until its API answers. Returns how long that took.
    pub(crate) fn start(&mut self) -> Duration {
        let mut command = ours("dr-agent");
        command.arg("run").arg("--config").arg(&self.config);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        let begun = wait::now();
        let mut process = Process::start("agent", command, self.folder.path());
        let agent = &self.agent;
        process.wait_until("its API", LIMIT, |_| agent.status().ok());
        self.running = Some(process);
        begun.elapsed_now()
    }

    /// `kill -9`. Returns the place of the last entry in its journal, read from the file.
    pub(crate) fn kill(&mut self) -> u64 {
        self.running.take().expect("the agent runs").kill9();
        self.reader().head().expect("the journal has a head").seq
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.running.as_mut().expect("the agent runs")
    }

    /// Puts a secret beside the configuration.
    pub(crate) fn secret(&self, name: &str, secret: &str) {
        self.setup.secret(name, secret).expect("the secret is written");
    }

    /// The port of the agent's API.
    pub(crate) fn port(&self) -> u16 {
        self.setup.port
    }

    /// The token of the agent's API, as it was at first.
    pub(crate) fn token(&self) -> &str {
        &self.setup.token
    }

    /// Runs the hook as its owner would.
    pub(crate) fn hook(&self, verb: &str) -> bool {
        let mut command = std::process::Command::new(self.folder.path().join(HOOK));
        command.arg(verb).status().expect("the hook can be run").success()
    }

    /// Has the hook hang once when it has done this, so that nobody hears how it ended.
    pub(crate) fn hang_hook(&self, verb: &str) {
        std::fs::write(self.folder.path().join(HANG), verb).expect("the word is written");
    }

    /// Puts another text into the hook's file.
    pub(crate) fn alter_hook(&self, text: &str) {
        std::fs::write(self.folder.path().join(HOOK), text).expect("the hook is written");
    }

    /// What the hook was run for, in order: a verb and the key of a step.
    pub(crate) fn hooks_run(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("hook.log"));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The file that the agent is started with.
    pub(crate) fn config(&self) -> &std::path::Path {
        &self.config
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.setup.data_dir()
    }

    /// Overwrites a file of the agent's folder, as an administrator would.
    pub(crate) fn rewrite(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file is written");
    }

    /// The journal's file, whether the agent runs or not.
    pub(crate) fn reader(&self) -> Reader {
        let path = self.setup.data_dir().join(JOURNAL_FILE);
        Reader::open(&path).expect("the journal can be read")
    }

    pub(crate) fn link(&self) -> &str {
        self.twin.link()
    }

    pub(crate) fn follow(&self, after: u64) -> Follower {
        let events = wait::until("the event stream", LIMIT, || self.agent.events(after).ok());
        Follower { events, at: after, seen: Vec::new() }
    }

    pub(crate) fn fault(&self, fault: &Fault) {
        self.twin.fault(fault).expect("the twin takes the fault");
    }

    pub(crate) fn stop(&self, instance: &str) {
        self.fault(&Fault::Stop { instance: instance.to_owned() });
    }

    pub(crate) fn cut(&self, from: &str, to: &str) {
        self.fault(&Fault::Cut { from: party(from), to: party(to), one_way: false });
    }

    pub(crate) fn heal(&self, from: &str, to: &str) {
        self.fault(&Fault::Heal { from: party(from), to: party(to) });
    }

    pub(crate) fn health(&self) -> String {
        let link = self.agent.link(self.link()).expect("the agent tells of its link");
        link["health"].as_str().expect("the health is a word").to_owned()
    }

    /// Waits until the application has committed so many times more.
    pub(crate) fn commits(&self, more: u64) {
        let count = || self.twin.workload(SHOP).ok()?["acknowledged"].as_u64();
        let before = count().expect("a workload counts");
        wait::until("commits of the application", LIMIT, || {
            count().filter(|count| *count >= before + more)
        });
    }

    #[track_caller]
    pub(crate) fn wait_health(&self, health: &str) {
        let mut last = Value::Null;
        let found = wait::try_until(LIMIT, || {
            last = self.agent.link(self.link()).ok()?;
            (last["health"] == health).then_some(())
        });
        assert!(found.is_some(), "waited in vain for {health}: {last:#}");
    }

    /// What keeps the agent from proposing, in its own words.
    pub(crate) fn because(&self) -> String {
        let explanation = self.agent.explain(self.link()).expect("the agent explains itself");
        let because = explanation["because"].as_array().expect("a list").iter();
        because.filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
    }

    /// Lets the agent look again and again, until every vantage has been looked from `times` times.
    pub(crate) fn looks(&self, times: usize) {
        let vantages = ["sql_server", "managed_instance", "control_plane"];
        let mut newest = vantages.map(|_| Value::Null);
        let mut seen = vantages.map(|_| 0);
        wait::until("more looks", LIMIT, || {
            let link = self.agent.link(self.link()).ok()?;
            for (place, vantage) in vantages.iter().enumerate() {
                let look = &link["sides"][vantage]["begun_at"];
                if *look != newest[place] {
                    seen[place] += 1;
                    newest[place] = look.clone();
                }
            }
            // The first one seen may be from before.
            seen.iter().all(|seen| *seen > times).then_some(())
        });
    }

    pub(crate) fn proposal(&self, id: u64) -> Proposal {
        let detail = self.agent.proposal(id).expect("the agent shows the proposal");
        let texts: Texts = serde_json::from_value(detail["texts"].clone()).expect("two texts");
        Proposal::read(texts).expect("a proposal")
    }

    /// A ballot of `who` as a file would carry it.
    pub(crate) fn ballot(&self, id: u64, who: &'static str, decision: Decision) -> Value {
        let now = self.agent.status().expect("a status")["now"].clone();
        let now = now.as_str().and_then(|now| now.parse().ok()).expect("a time");
        let approver = ApproverId::new(who).expect("a name");
        let ballot = Ballot::sign(&self.proposal(id), approver, decision, now, &self.signers[who]);
        serde_json::to_value(ballot).expect("a ballot is JSON")
    }

    pub(crate) fn cast(&self, id: u64, who: &'static str, decision: Decision) -> Answer {
        self.agent.cast(&self.ballot(id, who, decision)).expect("the agent answers")
    }

    #[track_caller]
    pub(crate) fn approve(&self, id: u64, who: &'static str) {
        let answer = self.cast(id, who, approval());
        assert_eq!(answer.status, 201, "{who} approves: {}", answer.body);
    }

    /// The forced failovers that reached the twin.
    pub(crate) fn failovers(&self) -> Vec<Command> {
        let commands = self.twin.commands().expect("the twin tells its commands");
        commands.into_iter().filter(|command| is_failover(&command.words)).collect()
    }

    /// That there was exactly one command that took effect, and none after it.
    #[track_caller]
    pub(crate) fn assert_one_failover(&self) {
        let commands = self.failovers();
        let effective = commands.iter().filter(|command| command.effective).count();
        let last = commands.last().is_some_and(|command| command.effective);
        assert!(effective == 1 && last, "one failover, and nothing after it: {commands:#?}");
    }

    /// That the managed instance has the data now, and what was lost lies within what was signed.
    #[track_caller]
    pub(crate) fn assert_loss_within(&self, bound_ms: u64) {
        let loss = self.twin.loss().expect("the twin tells the loss");
        assert_eq!(loss.surviving, "managed_instance", "{loss:?}");
        let Some((first, last)) = loss.between else { return };
        let lost_ms = last.duration_since(first).as_millis();
        assert!(
            u64::try_from(lost_ms).is_ok_and(|lost| lost <= bound_ms),
            "{lost_ms} ms of commits are lost, and {bound_ms} ms were signed: {loss:?}"
        );
    }

    /// All that was said by the agent's process, for when something went wrong.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("agent.err")).unwrap_or_default()
    }
}

/// How long ago an instant is, by the tests' own clock.
pub(crate) trait ElapsedNow {
    fn elapsed_now(self) -> Duration;
}

impl ElapsedNow for Instant {
    fn elapsed_now(self) -> Duration {
        wait::now().saturating_duration_since(self)
    }
}

/// A plain approval.
pub(crate) fn approval() -> Decision {
    Decision::Approve { break_glass: false, forecast_unknown: false, attestation: None }
}

/// One that says all that can be asked for.
pub(crate) fn attested() -> Decision {
    let attestation = Some("the application was stopped by hand".to_owned());
    Decision::Approve { break_glass: false, forecast_unknown: true, attestation }
}

/// The words of a refusal.
#[track_caller]
pub(crate) fn refusal(answer: &Answer) -> String {
    assert_eq!(answer.status, 409, "a refusal: {}", answer.body);
    let body: Value = serde_json::from_str(&answer.body).expect("a refusal is JSON");
    assert_eq!(body["error"]["code"], "refused");
    body["error"]["message"].as_str().expect("a refusal has words").to_owned()
}

pub(crate) fn party(name: &str) -> Party {
    name.parse().expect("every word is a party")
}

fn is_failover(words: &str) -> bool {
    words.contains("FORCE_FAILOVER") || words.contains("ForcedAllowDataLoss")
}
