//! What giving up the link means: to save a primary whose log fills, or to move without a way over.

use alloc::format;

use super::{
    Writer,
    queries::{Question, local_groups, modes, synchronous, text},
};
use crate::{
    names::Side,
    plan::{drop_group, read_only},
};

impl Writer<'_> {
    pub(super) fn give_up(&mut self) {
        self.page.title(2, "9. Give up the link");
        self.page.text("When: the link or the secondary is away and the log of the primary fills, so production is about to stop; or the versions leave no other way over. The price: seeding anew, and from then on two copies that both take writes.");
        self.page.title(3, "Is it the link at all?");
        let roles = self.ask(Question::Roles, &Side::BOTH);
        self.page.step(&format!("{roles}. What follows differs by who is PRIMARY."));
        let kept = self.ask(Question::LogReuse, &Side::BOTH);
        self.page.step(&format!(
            "{kept}; the answer of the PRIMARY counts. How full the log is: DBCC SQLPERF(LOGSPACE)."
        ));
        self.page.item("LOG_BACKUP: not the link. Take a log backup and start the backup jobs (a managed instance takes its own).");
        self.page.item("ACTIVE_TRANSACTION: not the link. DBCC OPENTRAN names the one to end.");
        self.page.item("AVAILABILITY_REPLICA: a replica keeps it. LINK on the primary: if the link is CONNECTED and HEALTHY, it is a replica of the local group. If data movement is suspended, resume it (the statement is in part 7). Otherwise, and if the link can't be mended before the log is full: go on.");
        self.save_sql_server();
        self.save_managed_instance();
        self.move_by_giving_up();
        self.go_on_without_it();
        self.page.title(3, "Afterwards");
        self.page.item("After giving up a kept link do not restart the managed instance before its first full backup.");
        self.page.item("The copy on the managed instance has to be dropped before a link for the same database can be made.");
    }

    fn save_sql_server(&mut self) {
        let (server, managed) = (self.name(Side::SqlServer), self.name(Side::ManagedInstance));
        self.page.title(3, &format!("To save the log, if {server} is PRIMARY"));
        self.page.step("POINT OF NO RETURN. Drop the distributed group on SQL Server: this lets its log go, and Azure need not answer.");
        self.drop_group();
        self.page.step("Take a log backup, then LOG REUSE: not AVAILABILITY_REPLICA any more. If it still is, the local group keeps the log: look with REPLICAS which replica is away, ask who else is in the group, then remove that replica or drop the group by the name that this gives:");
        self.sql(Side::SqlServer, local_groups());
        self.page.step(&format!("As soon as Azure answers: delete the link there. From then on the copy on {managed} takes writes too: keep the applications away from it."));
        self.delete_link();
    }

    fn save_managed_instance(&mut self) {
        let (server, managed) = (self.name(Side::SqlServer), self.name(Side::ManagedInstance));
        self.page.title(3, &format!("To save the log, if {managed} is PRIMARY"));
        let backups = self.ask(Question::FullBackups, &[Side::ManagedInstance]);
        self.page.step(&format!("{backups}: a row with is_copy_only 0 that is newer than the failover. Without one do not delete the link: the database could become unavailable at the next restart."));
        self.page.step(&format!("POINT OF NO RETURN. Delete the link in Azure: only this lets the log of {managed} go. Dropping the group on {server} does not."));
        self.delete_link();
        let kept = self.ask(Question::LogReuse, &[Side::ManagedInstance]);
        self.page.step(&format!("{kept}: not AVAILABILITY_REPLICA any more."));
        self.page.step(&format!("Keep applications away from {server} (part 8): its old copy may take writes from now on. When it can be reached, and what only it has is saved (part 7): drop the group there."));
        self.drop_group();
    }

    fn move_by_giving_up(&mut self) {
        let (server, managed) = (self.name(Side::SqlServer), self.name(Side::ManagedInstance));
        let title = format!("To move by giving up, one way: from {server} to {managed}");
        self.page.title(3, &title);
        self.page.text(&format!("Only if the planned way is not possible and both answer. There is no such way from {managed} to {server}: a COPY_ONLY backup to a URL, restored there, where the formats match."));
        let roles = self.ask(Question::Roles, &Side::BOTH);
        self.page.step(&format!("{roles}: {server} PRIMARY, {managed} SECONDARY."));
        let link = self.ask(Question::Link, &[Side::SqlServer]);
        self.page.step(&format!("{link}: CONNECTED, HEALTHY, is_suspended 0, queues near 0."));
        self.quiesce(Side::SqlServer);
        self.page.step("Synchronous commit on SQL Server; without it what is not sent yet is lost. Run this, then the statement that it gives.");
        let group = text(&self.sheet.spec.group);
        self.sql(Side::SqlServer, &synchronous(&group));
        self.page.step("And on the managed instance, by Azure:");
        self.azure_synchronous();
        self.page.step("Wait until both rows say SYNCHRONOUS_COMMIT:");
        self.sql(Side::SqlServer, &modes(&group));
        self.page.step(&format!("{link}: synchronization_state_desc SYNCHRONIZED. While it is SYNCHRONIZING: wait and ask again. DO NOT GO ON WITHOUT IT."));
        self.caught_up(Side::SqlServer);
        self.page.text("TO TAKE IT BACK up to here: the same statement with ASYNCHRONOUS_COMMIT, replication mode Async in Azure, and let the applications in again.");
        self.hook("start");
        self.page.step(&format!("Close the ports of {server}, all its replicas and the listener, for everybody but yourself and the link (5022): afterwards it still takes writes, and nothing else keeps the applications from it. Do not stop it yet, do not take it offline, and do not make it the secondary."));
        self.page.step(&format!(
            "POINT OF NO RETURN. Delete the link in Azure: {managed} becomes READ_WRITE."
        ));
        self.delete_link();
        let database = self.ask(Question::Database, &[Side::ManagedInstance]);
        self.page.step(&format!("{database}: ONLINE and READ_WRITE."));
        self.page.step("Then drop the group on SQL Server, while nobody but you gets in.");
        self.retire_sql_server();
        self.await_backup();
        self.let_in(Side::ManagedInstance);
    }

    fn go_on_without_it(&mut self) {
        let (server, managed) = (self.name(Side::SqlServer), self.name(Side::ManagedInstance));
        self.page.title(3, &format!("To go on in {managed} without {server}, if that is gone"));
        self.page.text(&format!("Only if {server} was PRIMARY and is lost, and the forced way is not possible: SQL Server 2016 to 2019, or Azure refuses it for good (41985). What {server} had not sent is lost, and no link leads back to it."));
        self.page.step(&format!("Be sure that {server} takes no writes any more and will not by itself: part 8. Write down how you know, and who decided."));
        self.page.line("Known by: ______________________  Decided by: ______________________");
        let database = self.ask(Question::Database, &[Side::ManagedInstance]);
        self.page.step(&format!("{database}: neither REVERTING nor INITIALIZING. Write down last_commit_time: what was committed after it is lost."));
        self.page.line("Last commit there: ______________  Primary stopped: ______________");
        self.page.step(&format!(
            "POINT OF NO RETURN. Delete the link in Azure: {managed} becomes READ_WRITE."
        ));
        self.delete_link();
        self.page.step(&format!("{database}: ONLINE and READ_WRITE."));
        self.let_in(Side::ManagedInstance);
        self.await_backup();
        self.page.step(&format!("When {server} comes back it takes itself for PRIMARY and takes writes. Shut everybody out (part 8), save what only it has (part 7), then drop its groups."));
        self.retire_sql_server();
    }

    /// What is left on SQL Server once the link is deleted takes no writes any more.
    fn retire_sql_server(&mut self) {
        self.drop_group();
        self.page.step("Drop its own group too, by the name that this gives (only if nothing else is in it: REPLICAS), and make what is left READ_ONLY; in a group the engine refuses that (1468).");
        self.sql(Side::SqlServer, local_groups());
        let shut = format!("{};", read_only(&self.sheet.spec.database));
        self.sql(Side::SqlServer, &shut);
        let database = self.ask(Question::Database, &[Side::SqlServer]);
        self.page.step(&format!(
            "{database}: READ_ONLY. After that the applications' logins may be let in to its other databases again."
        ));
    }

    fn await_backup(&mut self) {
        let managed = self.name(Side::ManagedInstance);
        let backups = self.ask(Question::FullBackups, &[Side::ManagedInstance]);
        self.page.step(&format!("{backups}: a row with is_copy_only 0 that is newer than the deletion. Before there is one do not restart or stop {managed}."));
    }

    /// Deletes the link, after a look.
    fn delete_link(&mut self) {
        self.page.text(
            "Look whether it is there first (deleting one that is not is answered with 202 too):",
        );
        self.azure_show();
        self.azure_delete();
    }

    fn drop_group(&mut self) {
        let drop = format!("{};", drop_group(&self.sheet.spec.group));
        self.sql(Side::SqlServer, &drop);
    }
}
