//! The side on SQL Server as an availability group of three replicas: who speaks for it, by what can
//! be seen of them, and who gets what is sent to it.

use agent_core::{Seen, Silence, SilenceKind};
use probes::tds::{Told, side_seen};
use twin::world::{LocalSpec, Party, Side, WorldSpec};

use super::{LINK, SQL_SERVER, Universe, look};

/// The replicas beside the first one; the second of them is asynchronous.
pub(super) const OTHERS: [&str; 2] = ["sql01b", "sql01c"];
const LISTENER: &str = "sql01-l";

/// The twin's default world with three replicas on SQL Server, and applications that go by the
/// listener.
pub fn several() -> WorldSpec {
    let mut world = WorldSpec::default();
    for name in OTHERS {
        let mut replica = world.instances[0].clone();
        replica.name = name.to_owned();
        replica.server_name = name.to_uppercase();
        world.instances.push(replica);
    }
    let local: LocalSpec = toml::from_str(
        "listener = \"sql01-l\"\n\
         replicas = [{ instance = \"sql01b\" }, { instance = \"sql01c\", synchronous = false }]",
    )
    .expect("keys of a local group");
    world.links[0].local = Some(local);
    world.workloads.iter_mut().for_each(|workload| workload.target = LISTENER.to_owned());
    world
}

impl Universe {
    /// The servers that a side is, by the name of the side.
    pub(super) fn servers(&self, side: &str) -> Vec<String> {
        let link = self.world.link(LINK).expect("the link is the world's");
        match link.member(Side::SqlServer).local() {
            Some(local) if side == SQL_SERVER => {
                local.replicas().iter().map(|replica| replica.instance.clone()).collect()
            }
            Some(_) | None => vec![side.to_owned()],
        }
    }

    /// The server that acts for a side: of several replicas the one that is, or was last, primary.
    pub(super) fn acting(&self, side: &str) -> String {
        let link = self.world.link(LINK).expect("the link is the world's");
        let member = link.member(Side::SqlServer);
        match member.local() {
            Some(_) if side == SQL_SERVER => member.instance.clone(),
            Some(_) | None => side.to_owned(),
        }
    }

    /// Where the agent finds a party; None while it is a group of which nobody is primary.
    pub(super) fn found(&self, party: &Party) -> Option<Party> {
        let Party::Instance(side) = party else { return Some(party.clone()) };
        let link = self.world.link(LINK).expect("the link is the world's");
        let at = self.acting(side);
        let many = self.servers(side).len() > 1;
        let role = self.world.local_role(link, &at);
        (!many || role == Some(twin::world::Role::Primary)).then_some(Party::Instance(at))
    }

    /// What people point applications at that are to work on a side.
    pub(super) fn address(&self, side: &str) -> String {
        let listener = self.world.listeners().into_iter().next();
        listener.filter(|_| side == SQL_SERVER).unwrap_or_else(|| side.to_owned())
    }

    /// What the replicas say of their side, put together by the probes' own code.
    pub(super) fn group(
        &self,
        answering: &[String],
        read: impl Fn(&str) -> Seen,
    ) -> (Seen, Option<usize>) {
        let link = self.world.link(LINK).expect("the link is the world's");
        let servers = self.servers(SQL_SERVER);
        let said = servers.iter().map(|name| {
            let told = match answering.contains(name).then(|| read(name)) {
                Some(Seen::Side(reading)) => {
                    Ok(Told { reading, local: self.world.local_role(link, name).map(look::role) })
                }
                Some(Seen::Silence(silence)) => Err(silence),
                Some(Seen::Control(_)) => unreachable!("a server tells of its side"),
                None => {
                    let detail = "no answer".to_owned();
                    Err(Silence { kind: SilenceKind::TimedOut, detail })
                }
            };
            (name.as_str(), told)
        });
        side_seen(said.collect(), false)
    }
}
