//! How a planned failover of a link goes, and a repair, from the file to what the plan is made of.

use std::{path::Path, time::Duration};

use agent_core::{BackupPlace, Cutover, Hook, Planned, Repair, StandingOrder};

use super::{
    build::Builder,
    check::{Findings, positive},
    file,
    locate::Key,
    span::Span,
};
use crate::hook_file;

/// Of a name of a file's that SQL Server takes; what is put behind it is some 200 characters long.
const LONGEST_PLACE: usize = 1024;
/// Logins that a guard disables: one statement names them all.
const MOST_LOGINS: usize = 50;

impl file::Planned {
    /// What is given here, and the defaults.
    pub(super) fn complete(&self) -> Self {
        let base = Planned::default();
        let or = |own: Option<Span>, base| Some(own.unwrap_or(Span(base)));
        Self {
            applications: self.applications.clone(),
            quiesce_within: or(self.quiesce_within, base.quiesce_within),
            quiet_for: or(self.quiet_for, base.quiet_for),
            quiet_log_kb: Some(self.quiet_log_kb.unwrap_or(base.quiet_log_kb)),
            catch_up_within: or(self.catch_up_within, base.catch_up_within),
            hand_over_within: or(self.hand_over_within, base.hand_over_within),
            backup: self.backup.clone(),
        }
    }
}

impl file::Cutover {
    /// What is given here, and the default.
    pub(super) fn complete(&self) -> Self {
        let base = Span(Cutover::default().first_backup_within);
        Self { first_backup_within: Some(self.first_backup_within.unwrap_or(base)) }
    }
}

impl Builder<'_> {
    /// Reads the file of the hook too: what is signed later is that very file.
    pub(super) fn planned(
        &mut self,
        given: &file::Planned,
        execute_within: Duration,
        key: &Key,
    ) -> Planned {
        let base = Planned::default();
        let or = |own: Option<Span>, base| own.map_or(base, |span: Span| span.0);
        let planned = Planned {
            applications: given
                .applications
                .as_ref()
                .and_then(|hook| self.hook(hook, &key.at("applications"))),
            quiesce_within: or(given.quiesce_within, base.quiesce_within),
            quiet_for: or(given.quiet_for, base.quiet_for),
            quiet_log_kb: given.quiet_log_kb.unwrap_or(base.quiet_log_kb),
            catch_up_within: or(given.catch_up_within, base.catch_up_within),
            hand_over_within: or(given.hand_over_within, base.hand_over_within),
            backup: self.place(given.backup.as_ref(), &key.at("backup")),
        };
        times(given, &planned, execute_within, key, &mut self.found);
        planned
    }

    pub(super) fn repair(&mut self, given: &file::Repair, key: &Key) -> Repair {
        let azure = key.at("save_azure");
        let local = given.save_azure.as_ref().map(|backup| &backup.to);
        if let Some(to) = local.filter(|to| !to.to_ascii_lowercase().starts_with("https://")) {
            let what = format!("a managed instance has no folder {to:?}");
            self.found.add(&azure.at("to"), what, "the https address of a container");
        }
        Repair {
            save: self.place(given.save.as_ref(), &key.at("save")),
            save_azure: self.place(given.save_azure.as_ref(), &azure),
        }
    }

    pub(super) fn cutover(&mut self, given: &file::Cutover, key: &Key) -> Cutover {
        let base = Cutover::default();
        positive(&key.at("first_backup_within"), given.first_backup_within, &mut self.found);
        let within = given.first_backup_within.map_or(base.first_backup_within, |span| span.0);
        Cutover { first_backup_within: within }
    }

    /// `own`: the agent's logins, which a guard must not shut out.
    pub(super) fn guard(&mut self, given: &file::Guard, own: &[&str], key: &Key) -> StandingOrder {
        let base = StandingOrder::default();
        let on = given.on.unwrap_or(base.on);
        let key = key.at("logins");
        for (place, name) in given.logins.iter().enumerate() {
            let at = key.nth(place);
            let mut kept = ["sa"].iter().chain(own);
            let own = kept.any(|own| own.to_lowercase() == name.to_lowercase());
            if name.is_empty() || name.chars().count() > 128 || name.contains(char::is_control) {
                self.found.add(&at, "it is no name of a login", "1 to 128 characters on one line");
            } else if own {
                let what = format!("{name} is how the agent, or who mends the server, gets in");
                self.found.add(&at, what, "logins of applications only");
            }
        }
        if given.logins.len() > MOST_LOGINS {
            let what = format!("there are {}", given.logins.len());
            self.found.add(&key, what, format!("{MOST_LOGINS} at the most"));
        }
        if !on && !given.logins.is_empty() {
            let what = "they are never disabled while `on` is false";
            self.found.add(&key, what, "`on = true`, or no logins");
        }
        StandingOrder { on, logins: given.logins.clone() }
    }

    fn place(&mut self, given: Option<&file::Backup>, key: &Key) -> Option<BackupPlace> {
        let backup = given?;
        place(backup, key, &mut self.found);
        Some(BackupPlace { to: backup.to.clone(), within: backup.within.0 })
    }

    fn hook(&mut self, hook: &file::Hook, key: &Key) -> Option<Hook> {
        positive(&key.at("within"), Some(hook.within), &mut self.found);
        let key = key.at("command");
        let Some(program) = hook.command.first() else {
            let right = "the path of a program, and its arguments if it has any";
            self.found.add(&key, "it is empty", right);
            return None;
        };
        if hook.command.iter().any(|word| word.contains(char::is_control)) {
            let what = "there is a control character in it, which an approver could not see";
            self.found.add(&key, what, "plain words; a script can hold the rest");
            return None;
        }
        match hook_file::fingerprint(Path::new(program)) {
            Ok(sha256) => Some(Hook {
                command: hook.command.clone(),
                sha256,
                within_ms: u64::try_from(hook.within.0.as_millis()).unwrap_or(u64::MAX),
            }),
            Err(unfit) => {
                self.found.add(&key, unfit.what, unfit.right);
                None
            }
        }
    }
}

fn times(
    given: &file::Planned,
    planned: &Planned,
    execute_within: Duration,
    key: &Key,
    found: &mut Findings,
) {
    positive(&key.at("quiesce_within"), given.quiesce_within, found);
    positive(&key.at("quiet_for"), given.quiet_for, found);
    positive(&key.at("catch_up_within"), given.catch_up_within, found);
    positive(&key.at("hand_over_within"), given.hand_over_within, found);
    let hook = given.applications.as_ref().map(|hook| hook.within.0);
    let quiesce_within = Span(planned.quiesce_within);
    if let Some(within) = hook.filter(|within| *within >= planned.quiesce_within) {
        found.add(
            &key.at("applications").at("within"),
            format!(
                "the hook may take {}, and the whole step {quiesce_within} (`quiesce_within`): nobody would be left to see that it is quiet",
                Span(within)
            ),
            "less than `quiesce_within`",
        );
    }
    let shortest = planned.quiesce_within.min(planned.catch_up_within);
    if planned.quiet_for >= shortest && !shortest.is_zero() {
        found.add(
            &key.at(if given.quiet_for.is_some() { "quiet_for" } else { "quiesce_within" }),
            format!(
                "quiet for {} can't be seen within {}",
                Span(planned.quiet_for),
                Span(shortest)
            ),
            "`quiet_for` less than `quiesce_within` and `catch_up_within`",
        );
    }
    let set =
        [("catch_up_within", given.catch_up_within), ("quiesce_within", given.quiesce_within)];
    let set = set.iter().find(|(_, span)| span.is_some());
    let whole = planned.quiesce_within.saturating_add(planned.catch_up_within);
    if let Some((name, _)) = set.filter(|_| whole >= execute_within) {
        found.add(
            &key.at(name),
            format!(
                "`quiesce_within` and `catch_up_within` are {} together, and after the {} of `policy.execute_within` no step starts any more",
                Span(whole),
                Span(execute_within)
            ),
            "less together, or a longer `policy.execute_within`",
        );
    }
}

fn place(backup: &file::Backup, key: &Key, found: &mut Findings) {
    positive(&key.at("within"), Some(backup.within), found);
    let to = &backup.to;
    let drive = |to: &str| {
        let mut letters = to.chars();
        letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
            && letters.next() == Some(':')
            && letters.next() == Some('\\')
    };
    let whole = to.starts_with('/')
        || to.starts_with(r"\\")
        || to.to_ascii_lowercase().starts_with("https://")
        || drive(to);
    let right = r"a folder of the server's from its beginning on, with `/` or `\` at its end, or the https address of a container with `/` at its end";
    if !whole || to.contains(char::is_control) || to.len() > LONGEST_PLACE {
        found.add(&key.at("to"), format!("{to:?} is not a place for backups"), right);
    } else if !to.ends_with(['/', '\\']) {
        let what = format!(
            "{to:?} has no separator at its end, and the name of the file is put behind it"
        );
        found.add(&key.at("to"), what, right);
    }
}
