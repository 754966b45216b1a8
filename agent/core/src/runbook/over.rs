//! The two ways over, in either direction. What moves anything is taken from the plans.

use alloc::{format, string::String, vec::Vec};

use super::{Writer, azure::sh, queries::Question};
use crate::{
    capability,
    evidence::Vantage,
    forecast::seconds,
    names::Side,
    plan::{Hook, Method, Plan, PlanKind, Route, Undo, forced_failover, planned_failover},
};

impl Writer<'_> {
    pub(super) fn planned(&mut self, part: usize, from: Side) {
        let (source, target) = (self.name(from), self.name(from.other()));
        let title = format!("{part}. PLANNED, if {source} is PRIMARY: over to {target}");
        self.page.title(2, &title);
        if !self.may(PlanKind::PlannedFailover, from.other()) {
            return;
        }
        self.page.text(&format!("Nothing is lost, the link is kept, and its direction turns round. The statement runs on the PRIMARY, {source}; that is the opposite of a forced failover."));
        let roles = self.ask(Question::Roles, &Side::BOTH);
        self.page.step(&format!("{roles}: {source} PRIMARY, {target} SECONDARY."));
        let link = self.ask(Question::Link, &[from]);
        self.page.step(&format!("{link}: CONNECTED, HEALTHY, is_suspended 0, queues near 0."));
        let database = self.ask(Question::Database, &[from.other()]);
        self.page.step(&format!(
            "{database}: neither REVERTING nor INITIALIZING, in which it could not become primary."
        ));
        self.quiesce(from);
        self.caught_up(from);
        self.page.text(
            "TO TAKE IT BACK up to here: let the applications in again. Nothing else has changed.",
        );
        self.hook("start");
        self.page.step("POINT OF NO RETURN. With the next statement the roles change.");
        let (next, now) = (self.sheet.last_seq + 1, self.sheet.now);
        let plan = planned_failover(&self.sheet.spec, from.other(), next, now);
        self.changes_roles(&plan);
        self.page.text("It comes back when the roles have changed, or with an error when a condition is not met: then nothing has changed, look the number up in part 10. A broken connection or no answer: it may have landed. Ask both for their roles before you send anything again.");
        self.verify(from, false);
        let database = self.ask(Question::Database, &[from]);
        self.page.step(&format!("{database}: {source} gave way, it is not READ_WRITE any more."));
        self.let_in(from.other());
        self.after(from.other(), false);
    }

    pub(super) fn forced(&mut self, part: usize, from: Side) {
        let (source, target) = (self.name(from), self.name(from.other()));
        let title =
            format!("{part}. FORCED, if {source} was PRIMARY and is gone: over to {target}");
        self.page.title(2, &title);
        if !self.may(PlanKind::ForcedFailover, from.other()) {
            return;
        }
        self.page.text(&format!("What {source} had not sent is lost. The statement runs on the SECONDARY, {target}. Afterwards {source} still takes itself for PRIMARY: when it comes back it takes writes (part 7)."));
        if from == Side::SqlServer {
            let replicas = self.replicas();
            if !replicas.is_empty() {
                let (count, list) = (replicas.len(), replicas.join(", "));
                self.page.step(&format!("{source} is {count} replicas: {list}. If its primary is lost or stopped another one can take over by itself and take writes, behind your back. Ask EACH of them: ROLES, and REPLICAS. One that is PRIMARY and lives: the side is not gone, and a planned failover (part {}) loses nothing.", part - 1));
            }
        }
        self.page.step(&format!("Be sure that {source} takes no writes any more and will not by itself, on none of its replicas: part 8. Write down how you know, and who decided."));
        self.page.line("Known by: ______________________  Decided by: ______________________");
        let roles = self.ask(Question::Roles, &[from.other()]);
        self.page.step(&format!("{roles}: SECONDARY. PRIMARY: it is done already."));
        let database = self.ask(Question::Database, &[from.other()]);
        self.page.step(&format!("{database}: neither REVERTING nor INITIALIZING, in which it could not start as primary. Write down last_commit_time: what was committed after it is lost, up to the moment at which the old primary stopped."));
        self.page.line("Last commit there: ______________  Primary stopped: ______________");
        self.page.step("POINT OF NO RETURN. With the next statement there may be two primaries.");
        self.changes_roles(&forced_failover(&self.sheet.spec, from.other(), 0, self.sheet.now));
        self.page.text("It comes back when the target has taken it; recovery goes on behind it. An error with a number: part 10. A broken connection or no answer: it may have landed. Ask for the role before you send anything again; do not force twice.");
        self.verify(from, true);
        self.let_in(from.other());
        self.page.step(&format!("The link stays DISCONNECTED until part 7 is done with {source}. Until then the log of {target} can't be truncated and grows: watch it (part 9)."));
        self.after(from.other(), true);
    }

    /// Whether there is such a way, as far as was seen; says why not, or what stands in it.
    fn may(&mut self, kind: PlanKind, target: Side) -> bool {
        let evidence = &self.sheet.evidence;
        if let Some(because) = capability::by_hand(evidence, target) {
            self.page.text(&format!("NOT POSSIBLE: {because}."));
            self.page.text("What is left otherwise is at the end of part 9, with its own stop, gate and order: to move by giving up the link if both sides answer, or to go on in Azure without a primary that is gone. There is no way back over the link then.");
            return false;
        }
        if let Some(because) = capability::obstacle(evidence, &self.sheet.spec, kind, target) {
            self.page.text(&format!("When this was made there stood in the way: {because}."));
        }
        if let Some(words) = capability::way_back(evidence, target) {
            self.page.text(&format!("{words}."));
        }
        let unseen = evidence.of(Vantage::SqlServer).reading().is_none();
        if unseen {
            self.page.text("The version of SQL Server was not seen: ask for it first (part 2). Older than 16.0.4125.3: part 9.");
        }
        true
    }

    /// Applications stopped, and nobody left.
    pub(super) fn quiesce(&mut self, from: Side) {
        self.page.step("Stop the applications, those on timers and in Agent jobs too, and keep them stopped. A database in an availability group can't be set READ_ONLY or SINGLE_USER (1468).");
        self.hook("stop");
        let (sessions, kills) = (self.ask(Question::Sessions, &[from]), Question::Kills.name());
        self.page.step(&format!("{sessions}: no row. Whoever stays is named; {kills} gives what ends them. Then ask again."));
    }

    /// The gate: the target has everything, and nothing more comes.
    pub(super) fn caught_up(&mut self, from: Side) {
        let (source, target) = (self.name(from), self.name(from.other()));
        let database = self.ask(Question::Database, &[from]);
        self.page.step(&format!("{database}, then on {target}: {target} has everything."));
        let quiet = &self.sheet.spec.planned;
        let for_ms = u64::try_from(quiet.quiet_for.as_millis()).unwrap_or(u64::MAX);
        let words = format!(
            "The gate: last_hardened_lsn of {target} is not less than end_of_log_lsn of {source} (or its last_hardened_lsn, where it is not NULL), as whole numbers; and redo_queue_size is near 0. Read both again after {}, for connection pools come back: the primary's has not moved, or by background records alone (checkpoints; some {} KB), and the secondary has those too. Otherwise somebody still writes: look who.",
            seconds(for_ms),
            quiet.quiet_log_kb
        );
        self.page.text(&words);
    }

    fn verify(&mut self, from: Side, forced: bool) {
        let (source, target) = (self.name(from), self.name(from.other()));
        let roles = self.ask(Question::Roles, &Side::BOTH);
        let old = if forced {
            format!("{source} says PRIMARY still, if it answers at all: part 7")
        } else {
            format!("{source} says SECONDARY")
        };
        self.page.step(&format!("{roles}: {target} says PRIMARY; {old}."));
        let database = self.ask(Question::Database, &[from.other()]);
        self.page.step(&format!(
            "{database}: ONLINE and READ_WRITE. While it is RECOVERING: ask again."
        ));
        if from == Side::SqlServer {
            self.page.text("In Azure: instanceLinkRole Primary. What it says of the partner is the managed instance's belief alone.");
            self.azure_show();
        }
    }

    pub(super) fn let_in(&mut self, side: Side) {
        let server = self.door(side).map(|door| door.server.clone());
        let server = server.unwrap_or_else(|| String::from("(address not configured)"));
        self.page.step(&format!("Point the applications at {} by its own name: there is no listener across a link, and an alias breaks the check of the certificate.", self.name(side)));
        self.page.line(&format!("    {server}"));
        self.page.item("Logins and their SIDs, server roles, Agent jobs, linked servers and credentials are not replicated: look them up there (18456: no such login).");
        self.page.item(
            "Change data capture, Service Broker, DTC and replication have to be set up anew.",
        );
    }

    /// The program that stops and starts the applications, if there is one.
    pub(super) fn hook(&mut self, verb: &str) {
        let Some(Hook { command, .. }) = &self.sheet.spec.planned.applications else { return };
        let mut words: Vec<String> = command.iter().map(|word| sh(word)).collect();
        words.push(String::from(verb));
        self.page.text("On the agent's host this program does it; it can be run by hand:");
        self.page.code("sh", &words.join(" "));
    }

    /// What changes the roles, and nothing else of the plan.
    fn changes_roles(&mut self, plan: &Plan) {
        let steps = plan.lanes.iter().flat_map(|lane| &lane.steps);
        for step in steps.filter(|step| step.undo == Undo::Impossible) {
            for route in &step.routes {
                match route {
                    Route::Tsql { instance, statement } => {
                        let own = *instance == self.sheet.spec.sql_server;
                        let side = if own { Side::SqlServer } else { Side::ManagedInstance };
                        self.sql(side, &format!("{statement};"));
                    }
                    Route::Arm { method: Method::Post, path, body } => {
                        self.azure_failover(path, body);
                    }
                    // It ends a link and changes no roles: see part 9.
                    Route::Arm { method: Method::Delete, .. } => {}
                    Route::Hook(_) => {}
                }
            }
        }
    }
}
