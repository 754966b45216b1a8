//! What comes after a failover, and what an old primary needs.

use alloc::{format, string::String};

use super::{
    Writer,
    queries::{Question, text},
};
use crate::{names::Side, plan::quoted};

impl Writer<'_> {
    /// What the new primary needs.
    pub(super) fn after(&mut self, primary: Side, forced: bool) {
        if !forced {
            let link = self.ask(Question::Link, &[primary]);
            self.page.step(&format!(
                "{link}: CONNECTED and HEALTHY within a minute, and asynchronous again by itself."
            ));
        }
        match primary {
            Side::ManagedInstance => self.first_backup(),
            Side::SqlServer => self.new_chain(),
        }
    }

    fn first_backup(&mut self) {
        self.page.step("The managed instance takes its first full backup by itself, some minutes after the failover. Until there is one neither restart nor stop it, and do not delete the link: the database could become unavailable.");
        let backups = self.ask(Question::FullBackups, &[Side::ManagedInstance]);
        self.page.step(&format!(
            "{backups}: a row with is_copy_only 0 that is newer than the failover."
        ));
        self.page.step("Stop the backup jobs of SQL Server for this database while it is SECONDARY, or make sure that they know of distributed groups: their backups can break the chain of the other side.");
        self.page.item("The licence-free passive replica (hybrid failover benefit) ends: hybridSecondaryUsage has to be Active (UNCONFIRMED, it follows from its conditions).");
    }

    fn new_chain(&mut self) {
        self.page.step("A full backup on SQL Server that is not COPY_ONLY: the log backups of the managed instance are not in its chain, so without it nothing from now on can be restored there.");
        match self.backup_file("bak") {
            Some((device, file)) => {
                let statement = format!(
                    "BACKUP DATABASE {} TO {device} = {}\n  WITH CHECKSUM, NAME = N'by hand';",
                    quoted(&self.sheet.spec.database),
                    text(&file)
                );
                self.sql(Side::SqlServer, &statement);
                self.page.text("If there is such a file already: another name.");
            }
            None => {
                let statement = format!(
                    "BACKUP DATABASE {} TO DISK = N'<FILE>'\n  WITH CHECKSUM;",
                    quoted(&self.sheet.spec.database)
                );
                self.page.text("No place for it is configured. Complete this with one of yours, on SQL Server:");
                self.page.code("text", &statement);
            }
        }
        let backups = self.ask(Question::FullBackups, &[Side::SqlServer]);
        self.page.step(&format!(
            "{backups}: a row with is_copy_only 0 that is newer than the failover."
        ));
        let logs = self.ask(Question::LogBackups, &[Side::SqlServer]);
        self.page.step(&format!("Start the log backup jobs of SQL Server again. {logs}: a time after the full backup, once the job has run; without log backups the log grows until the disk is full (9002)."));
    }

    pub(super) fn split_brain(&mut self) {
        self.page.title(2, "7. Both say PRIMARY, or an old primary comes back");
        self.page.text("So it is after every forced failover once the old primary is back: both take writes, nothing is replicated, and each has what the other lacks. Decide which one stays: the one that the applications have written to since. The other is the old primary.");
        for old in Side::BOTH {
            self.demote(old);
        }
        self.page
            .text("To go back over afterwards: a planned failover (part 3 or 5), with a new page.");
        self.page.text("If the logs have parted too far the link does not come back (UNCONFIRMED): give it up (part 9) and seed anew.");
    }

    fn demote(&mut self, old: Side) {
        let (name, stays) = (self.name(old), self.name(old.other()));
        self.page.title(3, &format!("If {name} has to give way to {stays}"));
        let roles = self.ask(Question::Roles, &[old.other(), old]);
        self.page.step(&format!("{roles}: {stays} PRIMARY, {name} PRIMARY. If {stays} says anything else, or does not answer: STOP, for there would be no primary left. If {name} has given way already: go on below, where data movement is asked for."));
        let database = self.ask(Question::Database, &[old.other()]);
        self.page.step(&format!(
            "{database}: ONLINE and READ_WRITE, and the applications use it. Else STOP."
        ));
        let sessions = self.ask(Question::Sessions, &[old]);
        self.page.step(&format!("{sessions}: no row. Keep the applications away from it first, those on timers and in Agent jobs too; KILLS gives what ends who is left. Then ask again."));
        let database = self.ask(Question::Database, &[old]);
        self.page.step(&format!("{database}. Write down end_of_log_lsn and read it again after a minute: it stands still, or moves by background records alone (some {} KB). Else somebody still writes: look who.", self.sheet.spec.planned.quiet_log_kb));
        self.page.line("end_of_log_lsn before the backup: ______________________");
        self.page.step("SAVE WHAT ONLY IT HAS. What comes after discards it, and this is the only copy. Not WITH NORECOVERY, which takes the database away.");
        self.save(old);
        let sessions = self.ask(Question::Sessions, &[old]);
        self.page.step(&format!("{sessions}: no row still, after the backup."));
        let database = self.ask(Question::Database, &[old]);
        self.page.step(&format!("{database}: end_of_log_lsn is where it was, but for background records. If it went on, the backup lacks something: find who writes and BACK UP AGAIN, to another name."));
        self.page.step("POINT OF NO RETURN. Make it the secondary.");
        if old == Side::ManagedInstance {
            self.page.text("UNCONFIRMED on a managed instance: Microsoft shows this statement for SQL Server, and says that it is for the side that was primary. The role-setting request of Azure takes Secondary too, and what it does is UNCONFIRMED.");
        }
        let demote = format!(
            "ALTER AVAILABILITY GROUP {} SET (ROLE = SECONDARY);",
            quoted(&self.sheet.spec.group)
        );
        self.sql(old, &demote);
        self.page.text("41104: it did not come online because of an earlier error. Wait half a minute and run it again, a few times; if it stays PRIMARY: part 8.");
        let roles = self.ask(Question::Roles, &[old, old.other()]);
        self.page.step(&format!("{roles}: SECONDARY on {name}, PRIMARY on {stays}. What Azure says of the partner proves nothing."));
        let database = self.ask(Question::Database, &[old]);
        self.page.step(&format!("{database}. If is_suspended is 1, have it go on. If that does nothing, again after some seconds (UNCONFIRMED for a link; seen with plain groups)."));
        let resume =
            format!("ALTER DATABASE {} SET HADR RESUME;", quoted(&self.sheet.spec.database));
        self.sql(old, &resume);
        let link = self.ask(Question::Link, &[old.other()]);
        self.page.step(&format!("{link}: CONNECTED and HEALTHY after a while."));
    }

    fn save(&mut self, old: Side) {
        let database = quoted(&self.sheet.spec.database);
        if old == Side::ManagedInstance {
            self.page.text("A managed instance takes COPY_ONLY full backups to a URL. Complete this and run it there:");
            let statement = format!(
                "BACKUP DATABASE {database} TO URL = N'<URL>'\n  WITH COPY_ONLY, CHECKSUM;"
            );
            self.page.code("text", &statement);
            return;
        }
        match self.backup_file("trn") {
            Some((device, file)) => {
                let statement = format!(
                    "BACKUP LOG {database} TO {device} = {}\n  WITH COPY_ONLY, CHECKSUM;",
                    text(&file)
                );
                self.sql(old, &statement);
            }
            None => {
                self.page
                    .text("No place for it is configured. Complete this and run it on SQL Server:");
                let statement = format!(
                    "BACKUP LOG {database} TO DISK = N'<FILE>'\n  WITH COPY_ONLY, CHECKSUM;"
                );
                self.page.code("text", &statement);
            }
        }
        self.page.text("If it is refused for want of a full backup (4214), or the chain of log backups has a gap: a full backup WITH COPY_ONLY, CHECKSUM as well. Read it back (RESTORE VERIFYONLY) before you go on. The options are UNCONFIRMED: Microsoft names none.");
    }

    /// Device and file of a backup that is taken by hand. The number of the page keeps it from being
    /// the one of another night.
    fn backup_file(&self, ending: &str) -> Option<(&'static str, String)> {
        let to = &self.sheet.spec.planned.backup.as_ref()?.to;
        let url = to.to_ascii_lowercase().starts_with("https://");
        let device = if url { "URL" } else { "DISK" };
        let (database, seq) = (&self.sheet.spec.database, self.sheet.last_seq);
        Some((device, format!("{to}{database}-by-hand-{seq}.{ending}")))
    }
}
