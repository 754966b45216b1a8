//! The beginning of the page: how old it is, which part is for whom, what is where, what to ask first.

use alloc::{format, string::String, vec::Vec};

use jiff::Timestamp;

use super::{
    Writer,
    page::time,
    queries::{Question, agent, version},
};
use crate::{
    capability,
    evidence::{SideReading, Vantage},
    names::Side,
    proposal::Status,
};

impl Writer<'_> {
    pub(super) fn head(&mut self) {
        let spec = &self.sheet.spec;
        self.page.title(1, &format!("Failover by hand: {} over link {}", spec.database, spec.id));
        self.page.line(&self.staleness());
        self.page.text("For people who have to do by hand what the agent can't. All times are UTC; those that a server tells in its management views are in its own time zone.");
        self.stop_the_agent();
        self.page.title(2, "Which part");
        self.page.item("Both servers answer and you choose the time: PLANNED (part 3, or 5 if the roles are the other way round). Nothing is lost, and until the change of roles all of it can be taken back.");
        self.page.item("The primary is gone, and waiting for it costs more than what it had not sent yet: FORCED (part 4, or 6). What it had not sent is lost.");
        self.page.item("You can't tell whether the primary is gone: neither. Find out. Nothing in SQL Server or Azure keeps you from forcing over a primary that lives; then there are two, and both take writes.");
        self.page
            .item("The link or the secondary is gone, and the log of the primary fills: part 9.");
        self.page.item("Both say PRIMARY: part 7.");
        self.page.text("UNCONFIRMED marks what follows from general knowledge of SQL Server or was seen elsewhere, and is not documented for a link.");
    }

    /// The agent and a human who act at once are two who do not know of each other.
    fn stop_the_agent(&mut self) {
        self.page.title(2, "First of all: stop the agent");
        self.page.text("Always, and also if it seems dead: it goes on with what it has begun when it comes back, and it knows nothing of what you do.");
        self.page.step(&format!("On the host of the agent ({}), as root. If you can't get in: cut it off from both servers and from Azure at the network, or its power.", self.places.agent));
        self.page.code("sh", "systemctl disable --now dr-agent");
        self.page.step("Then see that nothing of it is left, on both sides, and on each replica if one is a group (a server that does not answer: as soon as it does). No row whose program_name is `dr-agent` and numbers. If there is one it still runs a command: wait until it has gone, and do not kill a failover under way.");
        for side in Side::BOTH {
            self.sql(side, agent());
        }
        self.page.step("Something that it asked of Azure goes on without it: ask ROLES (part 2) twice, a minute apart. They must be the same and not RESOLVING before you send anything.");
        self.page.text("When all is done, the roles are as they should be, and whoever looks after the agent agrees: systemctl enable --now dr-agent. It then finds that the roles were moved, and not by it.");
    }

    /// The one line that differs from page to page though nothing has happened.
    fn staleness(&self) -> String {
        let now = self.sheet.now;
        let seen = [
            (Vantage::SqlServer, self.name(Side::SqlServer)),
            (Vantage::ManagedInstance, self.name(Side::ManagedInstance)),
            (Vantage::ControlPlane, String::from("Azure")),
        ];
        let sights: Vec<String> = seen
            .iter()
            .map(|(vantage, name)| {
                let recent = self.sheet.evidence.of(*vantage);
                let side = recent.reading().map(|(at, _)| at);
                match side.max(recent.control().map(|(at, _)| at)) {
                    Some(at) => format!("{name} {} ({} old)", time(at), old(now, at)),
                    None => format!("{name} never"),
                }
            })
            .collect();
        let (agent, version) = (&self.places.agent, &self.places.version);
        format!(
            "Made {} after entry {} of the journal by dr-agent {version} ({agent}); last seen: {}.",
            time(now),
            self.sheet.last_seq,
            sights.join(", ")
        )
    }

    pub(super) fn what_is_where(&mut self) {
        let sheet = self.sheet;
        self.page.title(2, "1. What is where");
        self.page.pair("Database", &sheet.spec.database);
        self.page.pair("Link", &format!("distributed availability group {}", sheet.spec.group));
        self.page.pair("", "(the same name in Azure)");
        for (side, label) in
            [(Side::SqlServer, "SQL Server"), (Side::ManagedInstance, "Managed instance")]
        {
            let role = match sheet.record.primary {
                Some(primary) if primary == side => "PRIMARY when one was last seen",
                Some(_) => "SECONDARY when a primary was last seen",
                None => "role never seen",
            };
            self.page.pair(label, &format!("{}: {role}", self.name(side)));
            let door = self.door(side).cloned();
            let server = door.as_ref().map_or("address not configured", |door| &door.server);
            self.page.pair("", server);
            for replica in door.iter().flat_map(|door| &door.replicas) {
                self.page.pair("", &format!("replica {replica}"));
            }
            let reading = sheet.evidence.of(Vantage::from(side)).reading();
            if let Some((_, reading)) = reading {
                self.page.pair("", &said(reading));
            }
        }
        self.azure_place();
        self.page.pair("Health", &self.health());
        for reason in &sheet.record.reasons {
            self.page.pair("", &format!("{reason}"));
        }
        if let Some(at) = sheet.record.sample.as_ref().and_then(|sample| sample.last_commit_at) {
            self.page.pair("Last commit seen", &format!("{} on the lost primary", time(at)));
        }
        if let Some(moved) = sheet.record.moved {
            let by = match moved.proposal {
                Some(proposal) => format!("by proposal {proposal}"),
                None => String::from("not by the agent"),
            };
            let words = format!("{}, to {}, {by}", time(moved.at), moved.to);
            self.page.pair("Last failover", &words);
        }
        self.open_proposal();
        self.way_back();
    }

    fn health(&self) -> String {
        let record = &self.sheet.record;
        let since = record.health_since.map(|at| format!(" since {}", time(at)));
        format!("{}{}", record.health, since.unwrap_or_default())
    }

    fn azure_place(&mut self) {
        let Some(azure) = self.azure().cloned() else {
            self.page.pair("Azure", "not configured: look in the portal");
            return;
        };
        self.page.pair("Azure", &format!("subscription {}", azure.subscription));
        self.page.pair("", &format!("resource group {}", azure.resource_group));
        self.page.pair("", &format!("managed instance {}", azure.instance));
        if let Some((_, control)) = self.sheet.evidence.of(Vantage::ControlPlane).control() {
            let mode = control.link.as_ref().and_then(|link| link.failover_mode.as_deref());
            let mode = mode.map(|mode| format!(", failover mode {mode}")).unwrap_or_default();
            let words = format!("update policy {}{mode}", control.database_format);
            self.page.pair("", &words);
            let others = control.link.as_ref().map_or(&[][..], |link| &link.other_databases);
            if !others.is_empty() {
                let words = format!("WITH IT MOVE {}: ask for each of them too", others.join(", "));
                self.page.pair("Other databases", &words);
            }
        }
    }

    fn open_proposal(&mut self) {
        let Some(run) = self.sheet.record.live() else { return };
        let what = match run.status {
            Status::Open => "waits for signatures",
            Status::Approved { .. } | Status::Undoing { .. } => "IS BEING CARRIED OUT",
            Status::Closed(_) => return,
        };
        let (id, kind) = (run.proposal.terms.proposal, run.proposal.plan.kind);
        self.page.pair("Proposal", &format!("{id} ({kind}) {what}"));
        self.page.pair("", "stop the agent before you begin (above)");
    }

    fn way_back(&mut self) {
        match capability::way_back(&self.sheet.evidence, Side::ManagedInstance) {
            Some(words) => self.page.text(&format!("ONE WAY. {words}.")),
            None => self.page.text("The way back over the link needs matching formats: SQL Server 2022 with update policy SQLServer2022, or SQL Server 2025 with SQLServer2025. The policy only moves forward and may be moved by Azure: look it up before you go over."),
        }
        self.page.text("The statements take ALTER AVAILABILITY GROUP on the group (Microsoft asks for sysadmin), looking takes VIEW SERVER STATE and VIEW ANY DEFINITION. Run them in database master with any client; GO is for clients only and not needed.");
    }

    pub(super) fn look_first(&mut self) {
        self.page.title(2, "2. Look before anything else");
        let roles = self.ask(Question::Roles, &Side::BOTH);
        self.page.step(&format!("{roles}. Exactly one has to say PRIMARY, the other one SECONDARY. Both PRIMARY: part 7. If the roles are not those of part 1, use the part that fits the roles you found."));
        let database = self.ask(Question::Database, &Side::BOTH);
        self.page.step(&format!(
            "{database}. The primary is ONLINE and READ_WRITE; on the secondary is_suspended is 0."
        ));
        self.page.step(
            "Version of SQL Server. Failover by T-SQL takes 16.0.4125.3 (2022 CU13) or newer.",
        );
        self.sql(Side::SqlServer, version());
        if self.door(Side::SqlServer).is_some_and(|door| !door.replicas.is_empty()) {
            self.page.step("REPLICAS. SQL Server is an availability group of several replicas: run everything on the one that is PRIMARY in it, which the listener leads to. If the listener does not answer: ask each replica of part 1.");
        }
        self.page.text("The questions, by the names that the other parts know them by. Each can be asked on either server, in database master.");
        self.questions();
    }
}

fn said(reading: &SideReading) -> String {
    let writes = match &reading.database {
        Some(database) if database.read_write => "takes writes",
        Some(_) => "read only",
        None => "no such database",
    };
    format!("last said {}, {writes}, version {}", reading.role, reading.product_version)
}

fn old(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
