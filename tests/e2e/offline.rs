//! The whole life of an approver, offline, by the command line of the real agent: a key, a proposal
//! in a file, a signature, its check, its way back; and what becomes of a file that was altered.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::Value;
use tempfile::TempDir;
use tests::harness::ours;

use crate::rig::{APPROVERS, Follower, Rig, SQL, Wish};

/// What `dr-agent --help` says of exit codes.
const OK: i32 = 0;
const REFUSED: i32 = 1;
const CONFIG: i32 = 4;

/// The machine of an approver: a folder, and nothing that tells of an agent.
struct Machine {
    who: &'static str,
    folder: TempDir,
}

/// How a command ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Machine {
    /// A machine whose owner has just made a key.
    fn new(who: &'static str) -> Self {
        let machine = Self { who, folder: tempfile::tempdir().expect("a folder") };
        machine.run(&["key", "new", "--out", "own.pem"]).ended(OK);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The line for the configuration, as the machine shows it.
    fn public_key(&self) -> String {
        let shown = self.run(&["key", "show", "own.pem"]).ended(OK);
        let key = shown.out.trim().strip_prefix("public_key = \"").and_then(|rest| {
            let key = rest.strip_suffix('"')?;
            key.starts_with("ed25519:").then(|| key.to_owned())
        });
        key.unwrap_or_else(|| panic!("no line for the configuration: {}", shown.out))
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = ours("dr-agent");
        // Nothing of this machine's surroundings, so no address and no configuration of an agent.
        command.env_clear().current_dir(self.folder.path()).args(arguments);
        command.stdin(std::process::Stdio::null());
        Said::of(command.output())
    }

    /// Signs what lies in a file of this machine. The ballot is in the file `out`.
    fn sign(&self, proposal: &str, key: &str, out: &str) -> Said {
        let file = ["approve", "--file", proposal, "--key", key];
        let rest = ["--approver", self.who, "--yes", "--out", out];
        self.run(&[&file[..], &rest[..]].concat())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("the file is written");
        path
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("the file is there")
    }
}

impl Said {
    fn of(output: std::io::Result<Output>) -> Self {
        let output = output.expect("the agent's program can be started");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    #[track_caller]
    fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    /// That it failed with this code, and with these words behind what it showed before.
    #[track_caller]
    fn failed(self, code: i32, words: &str) {
        let said = self.ended(code);
        let error = said.err.rsplit_once("error: ").map(|(_, error)| error.trim_end());
        assert!(error.is_some_and(|error| error.contains(words)), "{words:?}: {}", said.err);
    }
}

/// What an operator beside the agent types.
fn operator(rig: &Rig, arguments: &[&str]) -> Said {
    let mut command = ours("dr-agent");
    command.env("DR_AGENT_CONFIG", rig.config()).args(arguments);
    Said::of(command.output())
}

fn submit(rig: &Rig, ballot: &Path) -> Said {
    operator(rig, &["submit", text(ballot)])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of a test is text")
}

/// An agent that knows the keys of these machines, with its primary lost and a proposal open.
fn lost(seed: u64, machines: &[Machine; 2], approve_within: &str) -> (Rig, Follower, u64) {
    let mut wish = Wish::new(seed)
        .set("policy.approve_within", approve_within)
        .set("policy.reopen_after", "1h");
    for (key, machine) in
        ["approvers.alice.public_key", "approvers.bob.public_key"].into_iter().zip(machines)
    {
        wish = wish.set(key, machine.public_key());
    }
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    let id = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    (rig, journal, id)
}

/// Exports the proposal and carries it to the machines.
fn carry(rig: &Rig, id: u64, machines: &[Machine; 2]) {
    let stick = tempfile::tempdir().expect("a folder");
    let file = stick.path().join("proposal.json");
    operator(rig, &["show", &id.to_string(), "--export", text(&file)]).ended(OK);
    for machine in machines {
        std::fs::copy(&file, machine.path("proposal.json")).expect("the file is carried");
    }
}

#[test]
fn two_keys_that_never_saw_a_network_carry_a_failover() {
    let machines = APPROVERS.map(Machine::new);
    let (mut rig, mut journal, id) = lost(171, &machines, "5m");
    carry(&rig, id, &machines);

    // Whoever asked the agent now would get no answer.
    rig.process().freeze();
    for machine in &machines {
        let signed = machine.sign("proposal.json", "own.pem", "ballot.json").ended(OK);
        assert!(signed.err.contains("ALLOW_DATA_LOSS"), "all is shown: {}", signed.err);
        assert_eq!(
            signed.out,
            "signed; the ballot is in ballot.json\nnext: dr-agent submit ballot.json\n"
        );
        let own = format!("{}={}", machine.who, machine.public_key());
        let check = ["verify", "proposal.json", "ballot.json", "--public-key", &own];
        let verdict = machine.run(&check).ended(OK);
        let words = format!("VALID: {} approves", machine.who);
        assert!(verdict.out.contains(&words), "{}", verdict.out);
    }
    rig.process().thaw();

    for machine in &machines {
        let said = submit(&rig, &machine.path("ballot.json")).ended(OK);
        let words = format!("approval of proposal {id} by {} is taken, entry ", machine.who);
        assert!(said.out.starts_with(&words), "{}", said.out);
    }
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}\n{}", rig.log());
    rig.assert_one_failover();
    // What has been used does nothing any more.
    let closed = format!("proposal {id} is not open for decisions any more");
    submit(&rig, &machines[0].path("ballot.json")).failed(REFUSED, &closed);
    rig.assert_one_failover();
}

/// What somebody could do to a file on its way: what to look for, what to put there, and what the
/// approver's machine says of it.
const EXPORTS: [(&str, &str, i32, &str); 9] = [
    // A step, and what a step is allowed.
    ("FORCE_FAILOVER_ALLOW_DATA_LOSS", "FAILOVER", REFUSED, "the plan is not the one that the"),
    (r#"\"deadline_ms\":40000"#, r#"\"deadline_ms\":90000"#, REFUSED, "the plan is not the one"),
    // The link, in the terms alone.
    (r#"\"link\":\"LinkSales\",\"kind\""#, r#"\"link\":\"LinkStock\",\"kind\""#, REFUSED, DIGEST),
    // Both clocks, the signatures that it takes, the bound.
    (r#"\"execute_within_ms\":120000"#, r#"\"execute_within_ms\":990000"#, REFUSED, DIGEST),
    (r#"\"approve_by\":\"2"#, r#"\"approve_by\":\"3"#, REFUSED, DIGEST),
    (r#"\"quorum\":2"#, r#"\"quorum\":1"#, REFUSED, DIGEST),
    (r#"\"loss_most_ms\":"#, r#"\"loss_most_ms\":9"#, REFUSED, DIGEST),
    ("  \"digest\": \"sha256:", "  \"digest\": \"sha256:0", REFUSED, DIGEST),
    ("dr-agent proposal v1", "dr-agent proposal v9", CONFIG, "and this version of dr-agent knows"),
];
const DIGEST: &str = "proposal.json has been altered: its digest is sha256:";

/// The same for a ballot; what the agent says of it, and what `verify` does.
const BALLOTS: [(&str, &str, &str, &str); 6] = [
    (r#""signature": ""#, r#""signature": "00"#, SIGNATURE, "not by this approver's key"),
    (r#""forecast_unknown": false"#, r#""forecast_unknown": true"#, SIGNATURE, "not by this"),
    (r#""signed_at": "2"#, r#""signed_at": "3"#, SIGNATURE, "not by this approver's key"),
    (r#""approver": "alice""#, r#""approver": "bob""#, "not by the key of bob", "not by this"),
    (r#""plan_digest": "sha256:"#, r#""plan_digest": "sha256:0"#, OTHER, "about another text"),
    (r#""link": "LinkSales""#, r#""link": "LinkStock""#, "there is no proposal", "it is about"),
];
const SIGNATURE: &str = "the signature is not by the key of alice over this statement";
const OTHER: &str = "the statement is about another text; the open proposal has the digest sha256:";

#[test]
fn what_was_altered_on_its_way_is_refused() {
    let machines = APPROVERS.map(Machine::new);
    let (rig, mut journal, id) = lost(172, &machines, "5m");
    carry(&rig, id, &machines);
    let alice = &machines[0];
    let export = alice.read("proposal.json");
    for (from, to, code, words) in EXPORTS {
        alice.write("proposal.json", &altered(&export, from, to));
        alice.sign("proposal.json", "own.pem", "never.json").failed(code, words);
        alice.run(&["verify", "proposal.json"]).failed(code, words);
        assert!(!alice.path("never.json").exists(), "{to} was signed");
    }
    alice.write("proposal.json", &export);

    alice.sign("proposal.json", "own.pem", "ballot.json").ended(OK);
    let ballot = alice.read("ballot.json");
    for (from, to, agent, check) in BALLOTS {
        let path = alice.write("altered.json", &altered(&ballot, from, to));
        submit(&rig, &path).failed(REFUSED, agent);
        verified(alice, &machines, "altered.json", check);
    }
    a_whole_forgery_is_refused(&rig, &machines, &export);
    a_wrong_key_is_refused(&rig, &machines);
    // Cut off on its way: no ballot at all.
    let path = alice.write("half.json", &ballot[..ballot.len() / 2]);
    submit(&rig, &path).failed(CONFIG, "is not a ballot as `dr-agent approve --out` writes it");

    // The one that was left alone is taken, once.
    submit(&rig, &alice.path("ballot.json")).ended(OK);
    submit(&rig, &alice.path("ballot.json"))
        .failed(REFUSED, "alice has decided on this proposal already");
    alice.sign("proposal.json", "own.pem", "again.json").ended(OK);
    submit(&rig, &alice.path("again.json"))
        .failed(REFUSED, "alice has decided on this proposal already");
    journal.until("ballot_received");
    rig.looks(3);
    let detail = rig.agent.proposal(id).expect("the agent shows the proposal");
    assert_eq!(detail["approvals"], 1, "{detail:#}");
    assert!(rig.failovers().is_empty());
}

/// A forger who makes all digests anew has made another proposal: whoever signs it has signed
/// nothing that the agent knows.
fn a_whole_forgery_is_refused(rig: &Rig, machines: &[Machine; 2], export: &str) {
    let mut exported: Value = serde_json::from_str(export).expect("an export is JSON");
    let terms = exported["texts"]["terms"].as_str().expect("a text");
    let forged = altered(terms, "\"quorum\":2", "\"quorum\":1");
    exported["digest"] = Value::from(digest("dr-agent proposal v1", &forged));
    exported["texts"]["terms"] = Value::from(forged);
    let alice = &machines[0];
    alice.write("forged.json", &exported.to_string());
    alice.sign("forged.json", "own.pem", "misled.json").ended(OK);
    submit(rig, &alice.path("misled.json")).failed(REFUSED, OTHER);
    verified(alice, machines, "misled.json", "it is about another text");
}

/// As the agent makes it: the label, a line break, the text.
fn digest(label: &str, text: &str) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::new().chain_update(label).chain_update("\n").chain_update(text);
    let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("sha256:{digits}")
}

fn a_wrong_key_is_refused(rig: &Rig, machines: &[Machine; 2]) {
    let [alice, bob] = machines;
    std::fs::copy(bob.path("own.pem"), alice.path("bob.pem")).expect("a key is stolen");
    alice.sign("proposal.json", "bob.pem", "other.json").ended(OK);
    submit(rig, &alice.path("other.json")).failed(REFUSED, SIGNATURE);
    verified(alice, machines, "other.json", "not by this approver's key");

    // Who is not on the proposal, and a key that others could read.
    let eve = Machine::new("eve");
    std::fs::copy(alice.path("proposal.json"), eve.path("proposal.json")).expect("carried");
    eve.sign("proposal.json", "own.pem", "ballot.json")
        .failed(REFUSED, "eve was not on the roster when this proposal was opened");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(eve.path("own.pem"), mode).expect("our own file");
    eve.sign("proposal.json", "own.pem", "ballot.json").failed(CONFIG, "is open to others");
    assert!(!eve.path("ballot.json").exists());
}

#[test]
fn a_ballot_that_comes_too_late_is_refused() {
    let machines = APPROVERS.map(Machine::new);
    let (rig, mut journal, id) = lost(173, &machines, "8s");
    carry(&rig, id, &machines);
    let [alice, bob] = &machines;
    alice.sign("proposal.json", "own.pem", "ballot.json").ended(OK);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "expired", "{closed:#}");
    let words = format!("proposal {id} is not open for decisions any more");
    submit(&rig, &alice.path("ballot.json")).failed(REFUSED, &words);
    // Whoever signs after that is told so by the own clock; it is the agent's that counts.
    let late = bob.sign("proposal.json", "own.pem", "ballot.json").ended(OK);
    assert!(late.err.contains("OVER by this machine's clock"), "{}", late.err);
    submit(&rig, &bob.path("ballot.json")).failed(REFUSED, &words);
    assert!(rig.failovers().is_empty());
}

/// What `verify` says of a ballot that is not valid, with the true proposal and the true keys.
#[track_caller]
fn verified(machine: &Machine, machines: &[Machine; 2], ballot: &str, words: &str) {
    let [alice, bob] = machines.each_ref().map(|one| format!("{}={}", one.who, one.public_key()));
    let keys = ["--public-key", &alice, "--public-key", &bob];
    let said = machine.run(&[&["verify", "proposal.json", ballot][..], &keys[..]].concat());
    let line = said.out.lines().find(|line| line.contains("NOT VALID"));
    assert!(line.is_some_and(|line| line.contains(words)), "{words:?}: {}", said.out);
    said.failed(REFUSED, "1 of 1 ballots are not valid");
}

/// Something else in one place.
#[track_caller]
fn altered(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in it: {text}");
    text.replacen(from, to, 1)
}
