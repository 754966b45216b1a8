//! What has to be prepared before the night when it is needed: who stops the applications, who is
//! kept out, where data is saved, who is woken.

use agent_core::{LinkSpec, Side, sight::Status};
use futures_util::future::join_all;
use probes::readiness::{Check, Finding, How, Stage};

use crate::{actions::hook, config::Config};

/// Who stops the applications?
const APPLICATIONS: Check = Check {
    id: "planned.applications",
    stage: Stage::Link,
    question: "Can the agent stop the applications, and ask whether they run?",
    source: "the program of links.planned.applications, asked for `status`",
};
/// Does the way back end with a chain of backups?
const BACKUP: Check = Check {
    id: "planned.backup",
    question: "Does a full backup, not COPY_ONLY, follow each move to SQL Server?",
    source: "the configuration; the log that a managed instance has backed up is missing from SQL Server's own chain",
    ..APPLICATIONS
};
/// Is an old primary that comes back held?
const GUARD: Check = Check {
    id: "guard.logins",
    question: "Are applications kept out of an old primary that comes back?",
    source: "links.guard",
    ..APPLICATIONS
};
/// Can two primaries become one?
const SAVE: Check = Check {
    id: "repair.save",
    question: "Is there a place for what only the side has that loses?",
    source: "links.repair",
    ..APPLICATIONS
};
/// Is anybody woken?
const RECEIVERS: Check = Check {
    id: "alerts.receivers",
    stage: Stage::Server,
    question: "Is somebody told when a human has to act?",
    source: "the section [alerts]",
};
/// Do machines hear of it?
const BUS: Check = Check {
    id: "bus.configured",
    question: "Do events go to a message bus?",
    source: "the section [bus]",
    ..RECEIVERS
};

/// What the configuration prepares, link by link, and for the agent as a whole.
pub(super) fn prepared(config: &Config) -> Vec<Finding> {
    let mut found = vec![receivers(config)];
    if config.bus.is_none() {
        found.push(
            BUS.unasked("the agent", "there is no [bus]: events go to the API's stream alone"),
        );
    }
    for (place, link) in config.links.iter().enumerate() {
        found.push(backup(place, link));
        found.push(guard(place, link));
        found.push(save(place, link));
    }
    found
}

/// Runs the `status` of each link's hook once: it changes nothing, by its contract.
pub(super) async fn applications(config: &Config) -> Vec<Finding> {
    join_all(config.links.iter().enumerate().map(async |(place, link)| {
        let subject = link.id.as_str();
        let key = format!("links[{place}].planned.applications");
        let Some(hook) = &link.planned.applications else {
            let what = format!(
                "people have to stop them: a planned failover waits for that for {:?} at the most, and is taken back",
                link.planned.quiesce_within
            );
            let right = "{ command = [\"<a program that knows stop, start and status>\"] }";
            return APPLICATIONS.warning(subject, what).mend(How::Config, key, right);
        };
        match hook::answer(hook, link).await {
            Ok(Status::Running) => APPLICATIONS.ok(subject, "they run, it says"),
            Ok(Status::Stopped) => APPLICATIONS.ok(subject, "they are stopped, it says"),
            Err(why) => {
                let right = "`status` has to end within 10 s: with 0 while they run, with 3 while they are stopped";
                APPLICATIONS.wrong(subject, why).mend(How::Words, hook.command.join(" "), right)
            }
        }
    }))
    .await
}

fn receivers(config: &Config) -> Finding {
    let alerts = &config.alerts;
    let (people, machines) = (alerts.alertmanagers.len(), alerts.webhooks.len());
    if people + machines > 0 {
        let evidence = format!("{people} Alertmanagers and {machines} webhooks");
        return RECEIVERS.ok("the agent", evidence);
    }
    let what = "no receiver of alerts is configured: a proposal waits, and nobody is woken";
    let right = "[[alerts.alertmanagers]] or [[alerts.webhooks]]";
    RECEIVERS.warning("the agent", what).mend(How::Config, "alerts", right)
}

fn backup(place: usize, link: &LinkSpec) -> Finding {
    let subject = link.id.as_str();
    if let Some(backup) = &link.planned.backup {
        return BACKUP.ok(subject, format!("to {}", backup.to));
    }
    let what = "people have to take it: no place for it is configured";
    let key = format!("links[{place}].planned.backup");
    BACKUP.warning(subject, what).mend(How::Config, key, FOLDER)
}

fn guard(place: usize, link: &LinkSpec) -> Finding {
    let (subject, guard) = (link.id.as_str(), &link.guard);
    let key = format!("links[{place}].guard");
    if !guard.on {
        let what =
            "the guard is off: an old primary that comes back takes writes until people stop it";
        return GUARD.warning(subject, what).mend(How::Config, format!("{key}.on"), "true");
    }
    if guard.logins.is_empty() {
        let what = "no logins are named: sessions are ended as they come back, and not kept out";
        let right = "the logins of the applications, such as [\"shop\"]";
        return GUARD.warning(subject, what).mend(How::Config, format!("{key}.logins"), right);
    }
    GUARD.ok(subject, format!("{} are disabled there", guard.logins.join(", ")))
}

fn save(place: usize, link: &LinkSpec) -> Finding {
    let subject = link.id.as_str();
    if let Some(to) = link.repair.place(Side::SqlServer) {
        return SAVE.ok(subject, format!("SQL Server's goes to {}", to.to));
    }
    let what = "there is none on SQL Server: no plan makes two primaries one if that side loses";
    let key = format!("links[{place}].repair.save");
    SAVE.warning(subject, what).mend(How::Config, key, FOLDER)
}

const FOLDER: &str = "{ to = \"<a folder of the server, with its separator, or the https address of a container>\" }";
