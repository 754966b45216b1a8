//! Where everything is that people and the agent rest on, and what of it would die together with a
//! primary: the question that `check` and the state report ask.

mod mounts;

use std::{fs, net::SocketAddr, path::absolute, time::Duration};

use agent_core::{LinkSpec, Side};
use futures_util::future::join_all;
use probes::readiness::{Domains, Needed, Paper, Placed, PlacementQuestion, Verdict, placement};
use tokio::{net::lookup_host, task, time::timeout};

use crate::{
    alerts::readiness::subject,
    config::{Config, Severity},
};

/// What is mounted, as the kernel tells it.
const MOUNTS: &str = "/proc/self/mountinfo";
/// For the resolver to answer; who is not found then is not warned of.
const RESOLVE: Duration = Duration::from_secs(5);

/// Everything that has a place, by name. Nothing in it is a secret.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    question: PlacementQuestion,
    servers: Vec<Door>,
    parts: Vec<Door>,
    needed: Vec<(Door, &'static str)>,
}

/// Something with a host.
#[derive(Clone, Debug)]
struct Door {
    /// As the warnings name it.
    name: String,
    host: String,
}

/// The question, where these addresses are known already; the others are asked for.
pub(crate) async fn question(
    config: &Config,
    servers: Vec<Placed>,
    parts: Vec<Placed>,
) -> PlacementQuestion {
    let needed = addressed(&needed(config)).await;
    PlacementQuestion { servers, parts, needed, ..unasked(config) }
}

/// What of the question needs no addresses.
fn unasked(config: &Config) -> PlacementQuestion {
    let domains = |link: &LinkSpec| Domains {
        link: link.id.to_string(),
        agent: link.agent_domain.to_string(),
        managed_instance: link.managed_instance_domain.to_string(),
        agent_azure: link.agent_azure_domain.to_string(),
    };
    PlacementQuestion {
        links: config.links.iter().map(domains).collect(),
        sites: config.placement.sites.clone(),
        servers: Vec::new(),
        parts: Vec::new(),
        needed: Vec::new(),
        unsaid: stated(config)
            .into_iter()
            .filter(|(_, hosts, _)| hosts.is_none())
            .map(|(what, _, key)| (what, key))
            .collect(),
        paper: paper(config),
        listen: Some(config.http.listen),
        approvers: config.roster.approvers.len(),
        forced_quorum: config.roster.forced_quorum,
        break_glass: config.roster.break_glass.is_some(),
    }
}

impl Places {
    /// `broker` is the host of the bus, if there is one.
    #[must_use]
    pub(crate) fn of(config: &Config, broker: Option<&str>) -> Self {
        let mut servers = Vec::new();
        for settings in &config.instances {
            let name = match settings.look.side {
                Side::SqlServer => format!("SQL Server {}", settings.look.instance),
                Side::ManagedInstance => format!("managed instance {}", settings.look.instance),
            };
            let replicas = settings.look.replicas.iter().map(|replica| &replica.endpoint);
            let own = std::iter::once(&settings.look.endpoint);
            servers.extend(
                own.chain(replicas)
                    .map(|endpoint| Door { name: name.clone(), host: endpoint.host.clone() }),
            );
        }
        let mut parts = Vec::new();
        parts.extend(
            broker.map(|host| Door { name: "the broker".to_owned(), host: host.to_owned() }),
        );
        let webhooks = config.alerts.webhooks.iter().map(|to| &to.to);
        let receivers = config.alerts.alertmanagers.iter().map(|to| &to.to).chain(webhooks);
        parts.extend(receivers.filter_map(|to| {
            let host = to.url.host_str()?.trim_matches(['[', ']']).to_owned();
            Some(Door { name: subject(&to.name), host })
        }));
        Self { question: unasked(config), servers, parts, needed: needed(config) }
    }

    /// What would die together, a line each. Takes as long as a resolver may take, and no longer.
    pub(crate) async fn warnings(&self) -> Vec<String> {
        let (servers, parts, needed) =
            tokio::join!(found(&self.servers), found(&self.parts), addressed(&self.needed));
        let question = PlacementQuestion { servers, parts, needed, ..self.question.clone() };
        // It asks the routing table, which is a call that waits for nobody.
        let judged = task::spawn_blocking(move || placement(&question)).await.unwrap_or_default();
        let warnings = judged.into_iter().filter(|finding| finding.verdict == Verdict::Warning);
        warnings.map(|finding| format!("{}: {}", finding.subject, finding.evidence)).collect()
    }
}

/// What the configuration names for this question alone, and the file servers of runbooks.
fn needed(config: &Config) -> Vec<(Door, &'static str)> {
    let named = |what: &'static str, hosts: &[String], key| {
        let door =
            move |host: &String| (Door { name: format!("{what} {host}"), host: host.clone() }, key);
        hosts.iter().map(door).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for (what, hosts, key) in stated(config) {
        all.extend(named(what, hosts.unwrap_or_default(), key));
    }
    let folders = "schedule.runbook_folders";
    all.extend(named("the file server of runbooks", &file_servers(config), folders));
    all
}

/// What only the configuration can say, each with its key.
fn stated(config: &Config) -> [(&'static str, Option<&[String]>, &'static str); 2] {
    let settings = &config.placement;
    [
        ("the mail relay", settings.mail_relays.as_deref(), "placement.mail_relays"),
        ("the approvers' access", settings.approver_access.as_deref(), "placement.approver_access"),
    ]
}

/// Those that hold copies of the runbook, each once.
fn file_servers(config: &Config) -> Vec<String> {
    // Where there is no such file, nobody can say, and every disk counts as this machine's.
    let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
    let folders = config.schedule.runbook.iter().flat_map(|runbook| &runbook.folders);
    let folders = folders.filter_map(|folder| absolute(folder).ok());
    let mut servers: Vec<_> =
        folders.filter_map(|folder| mounts::file_server(&mounts, &folder)).collect();
    servers.sort();
    servers.dedup();
    servers
}

fn paper(config: &Config) -> Paper {
    if config.schedule.runbook.is_none() {
        return Paper::Off;
    }
    let files = file_servers(config).into_iter().map(|host| format!("a folder on {host}"));
    let told = config.alerts.webhooks.iter().filter(|to| to.to.min_severity == Severity::Warning);
    let told = told.map(|to| format!("webhook {}", to.to.name));
    let away: Vec<String> = files.chain(told).collect();
    if away.is_empty() { Paper::Here } else { Paper::Away(away.join(", ")) }
}

async fn addressed(needed: &[(Door, &'static str)]) -> Vec<Needed> {
    join_all(needed.iter().map(async |(door, key)| Needed {
        placed: Placed { name: door.name.clone(), addresses: addresses(door).await },
        key,
    }))
    .await
}

/// All doors of one name are one place.
async fn found(doors: &[Door]) -> Vec<Placed> {
    let asked = join_all(doors.iter().map(async |door| (&door.name, addresses(door).await))).await;
    let mut placed: Vec<Placed> = Vec::new();
    for (name, addresses) in asked {
        match placed.iter_mut().find(|other| other.name == *name) {
            Some(other) => other.addresses.extend(addresses),
            None => placed.push(Placed { name: name.clone(), addresses }),
        }
    }
    placed
}

async fn addresses(door: &Door) -> Vec<SocketAddr> {
    match timeout(RESOLVE, lookup_host((door.host.as_str(), 0))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
