//! A real listener on a free port, a real journal, the real loop; the links are looked at by hand.

mod api;
mod doors;
mod events;
mod metrics;
mod webhook;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent_core::{
    Approver, ApproverId, DatabaseReading, DatabaseState, Estate, FailureDomain, Input, InstanceId,
    LinkId, LinkSpec, Observation, PartnerReading, Planned, Policy, Role, Roster, Seen,
    SideReading, Silence, SilenceKind, StormBrake, SyncHealth, SyncState, Vantage,
};
use ed25519_dalek::SigningKey;
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Bound, Parts, Settings, Tls, Tokens, router};
use crate::{
    clock::Clock,
    journal::Journal,
    metrics::Metrics,
    turn::{self, Inbox, Turn},
};

const TOKEN: &str = "a-token-of-the-tests";
/// Opens the webhook for alerts alone.
const ALERT_TOKEN: &str = "an-alert-token-of-the-tests";
/// For anything that ought to happen at once.
const SOON: Duration = Duration::from_secs(20);

/// One agent without executor, bus and probes.
struct Agent {
    url: String,
    client: Client,
    inbox: Inbox,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<Result<(), super::ServeError>>,
    folder: TempDir,
}

impl Agent {
    async fn start() -> Self {
        Self::with(Client::new(), None).await
    }

    async fn with(client: Client, tls: Option<Tls>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let journal_path = folder.path().join("data/journal.db");
        let journal = Journal::open(&journal_path).expect("a journal");
        let mut estate = Estate::new(vec![spec()], roster(), StormBrake::default());
        let (head, term) = journal.fold(&mut estate).expect("an empty journal");
        let clock = Clock::start(None);
        let turn = Turn::new(estate, journal, head, term);
        let (inbox, told, _thread) = turn::spawn(turn, clock.clone()).expect("a thread");
        let start = Input::Start { version: "1.2.3".into(), config_digest: "sha256:0".into() };
        inbox.input(start).await.expect("the loop runs").expect("taken");
        let tokens = folder.path().join("tokens");
        write_secret(&tokens, &format!("# of the tests\n\n{TOKEN}\n"));
        let alert_tokens = folder.path().join("alert-tokens");
        write_secret(&alert_tokens, ALERT_TOKEN);
        let stop = CancellationToken::new();
        let settings = Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            tls,
            address_file: Some(folder.path().join("address")),
        };
        let bound = Bound::open(settings).await.expect("a free port");
        let url = bound.url();
        let metrics = Metrics::new("1.2.3", 0).expect("metrics");
        let metrics = metrics.on_machine(clock.clone(), journal_path.clone());
        let parts = Parts {
            places: Arc::default(),
            inbox: inbox.clone(),
            head: told.head,
            journal: journal_path,
            bus: None,
            alerts: Arc::new(Vec::new),
            metrics: Arc::new(metrics),
            tokens: Arc::new(Tokens::read(&[tokens]).expect("tokens")),
            webhook_tokens: Arc::new(Tokens::read(&[alert_tokens]).expect("tokens")),
            alert_rules: webhook::rules().into(),
            metrics_open: true,
            version: "1.2.3",
            started_at: clock.now(),
            stop: stop.clone(),
        };
        let serving = tokio::spawn(bound.serve(router(parts), stop.clone(), SOON));
        Self { url, client, inbox, stop, serving, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A request without a token.
    fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).timeout(SOON)
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(TOKEN)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        read(self.ask(Method::GET, path).send().await.expect("an answer")).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.ask(Method::POST, path).json(body);
        read(request.send().await.expect("an answer")).await
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.bare(Method::GET, path).send().await.expect("an answer");
        answer.text().await.expect("a text")
    }

    /// Looks at both sides: all is well. The secondary first, for it alone is no verdict, so that
    /// there is one whether the two looks share a turn or not.
    async fn look(&self) {
        let now = self.inbox.ask(|_, now| now).await.expect("the loop runs");
        for vantage in [Vantage::ManagedInstance, Vantage::SqlServer] {
            self.inbox.see(healthy(vantage, now));
        }
        // Whatever is asked next is answered after the turn that took these.
        self.inbox.ask(|_, _| ()).await.expect("the loop runs");
    }

    /// SQL Server is missed again and again, and the managed instance does not hear it either.
    async fn lose(&self) {
        let now = self.inbox.ask(|_, now| now).await.expect("the loop runs");
        let mut hears_nobody = healthy(Vantage::ManagedInstance, now);
        if let Seen::Side(reading) = &mut hears_nobody.seen {
            reading.connected = Some(false);
        }
        self.inbox.see(hears_nobody);
        for ago in (0..6).rev() {
            let at = now - SignedDuration::from_secs(ago * 2);
            let silence = Silence { kind: SilenceKind::Refused, detail: "refused".into() };
            let missed = healthy(Vantage::SqlServer, at);
            self.inbox.see(Observation { seen: Seen::Silence(silence), ..missed });
        }
        self.inbox.ask(|_, _| ()).await.expect("the loop runs");
    }

    /// Gives back the folder, for what is left in it.
    async fn stop(self) -> TempDir {
        self.stop.cancel();
        let ended = tokio::time::timeout(SOON, self.serving).await.expect("it ends");
        ended.expect("no panic").expect("no error");
        self.folder
    }
}

async fn read(answer: Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: no JSON: {text}")))
}

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("mode set");
}

fn link() -> LinkId {
    LinkId::new("orders").expect("a name")
}

fn spec() -> LinkSpec {
    let domain = |name| FailureDomain::new(name).expect("a name");
    LinkSpec {
        id: link(),
        sql_server: InstanceId::new("sql").expect("a name"),
        managed_instance: InstanceId::new("mi").expect("a name"),
        group: "orders".into(),
        database: "Orders".into(),
        arm_path: None,
        agent_domain: domain("site"),
        managed_instance_domain: domain("azure"),
        agent_azure_domain: domain("internet"),
        policy: Policy::default(),
        planned: Planned::default(),
        repair: agent_core::Repair::default(),
        guard: agent_core::StandingOrder::default(),
        cutover: agent_core::Cutover::default(),
    }
}

fn key(name: &str) -> SigningKey {
    let mut seed = [7; 32];
    seed[0] = name.as_bytes()[0];
    SigningKey::from_bytes(&seed)
}

fn roster() -> Roster {
    let approver = |name: &str| Approver {
        id: ApproverId::new(name).expect("a name"),
        key: key(name).verifying_key(),
    };
    Roster {
        approvers: vec![approver("ann"), approver("bob")],
        planned_quorum: 1,
        forced_quorum: 2,
        break_glass: None,
    }
}

/// A look that shows SQL Server serving and the managed instance following.
fn healthy(vantage: Vantage, now: Timestamp) -> Observation {
    let primary = vantage == Vantage::SqlServer;
    let partner = PartnerReading {
        connected: Some(true),
        sync_health: Some(SyncHealth::Healthy),
        last_hardened_lsn: None,
        last_commit_at: Some(now),
        log_send_queue_kb: Some(12),
        redo_queue_kb: Some(3),
        lag_s: Some(2),
        suspended: Some(false),
    };
    let database = DatabaseReading {
        state: DatabaseState::Online,
        read_write: primary,
        suspended: false,
        suspend_reason: None,
        synchronization: Some(SyncState::Synchronizing),
        last_hardened_lsn: None,
        last_commit_lsn: None,
        last_commit_at: Some(now),
        redo_queue_kb: (!primary).then_some(5),
        redo_rate_kb_per_s: (!primary).then_some(100),
        end_of_log_lsn: None,
    };
    let reading = SideReading {
        product_version: "16.0.4125.3".into(),
        edition: "Enterprise Edition (64-bit)".into(),
        engine_edition: if primary { 3 } else { 8 },
        server_time: now,
        role: if primary { Role::Primary } else { Role::Secondary },
        connected: Some(true),
        sync_health: Some(SyncHealth::Healthy),
        database: Some(database),
        partner: primary.then_some(partner),
        replicas: Vec::new(),
        members: None,
    };
    let seen = Seen::Side(reading);
    Observation { link: link(), vantage, begun_at: now, at: now, late: false, seen }
}
