//! Are the receivers of alerts ready: reached, believed, and willing to let the agent in? Nothing is
//! sent to them: an Alertmanager is asked for its status, a webhook for what it takes (OPTIONS).

use std::net::SocketAddr;

use futures_util::future::join_all;
use probes::{
    Now,
    readiness::{
        Check, Finding, How, Limits, Placed, Stage, Verdict, leave_unasked,
        reach::{self, Door, Peer},
    },
};
use reqwest::StatusCode;
use tokio::time::timeout;

use super::{
    Receiver,
    post::{Asked, Post},
};
use crate::config::{AlertSettings, Destination};

/// Does it answer as it must?
pub(crate) const ANSWER: Check = Check {
    id: "alerts.answer",
    stage: Stage::Answer,
    question: "Does the receiver answer, and let the agent in?",
    source: "GET /api/v2/status of an Alertmanager, OPTIONS of a webhook",
};

const ALL: [&Check; 4] = [&reach::NAME, &reach::PORT, &reach::TLS, &ANSWER];

/// Asks every receiver, side by side and within the limits; every check of each has a finding when
/// this returns. The addresses are those of the receivers.
pub(crate) async fn readiness(
    settings: &AlertSettings,
    limits: Limits,
    now: &Now,
) -> (Vec<Finding>, Vec<Placed>) {
    let alertmanagers = settings.alertmanagers.iter().enumerate().map(|(place, to)| {
        (format!("alerts.alertmanagers[{place}]"), Receiver::Alertmanager(to.clone()))
    });
    let webhooks =
        settings.webhooks.iter().enumerate().map(|(place, to)| {
            (format!("alerts.webhooks[{place}]"), Receiver::Webhook(to.clone()))
        });
    let asked =
        alertmanagers.chain(webhooks).map(|(key, receiver)| one(key, receiver, limits, now));
    let asked = join_all(asked).await;
    let (found, placed): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    (found.into_iter().flatten().collect(), placed)
}

/// As findings name it.
pub(crate) fn subject(name: &str) -> String {
    format!("the receiver of alerts {name}")
}

async fn one(key: String, receiver: Receiver, limits: Limits, now: &Now) -> (Vec<Finding>, Placed) {
    let subject = subject(receiver.name());
    let (mut found, mut addresses) = (Vec::new(), Vec::new());
    let asked = questions(&key, &subject, &receiver, limits, now, (&mut found, &mut addresses));
    let late = timeout(limits.endpoint, asked).await.is_err();
    let wrong = found.iter().find(|finding| finding.verdict == Verdict::Wrong);
    let because = match wrong {
        Some(finding) => finding.check.to_owned(),
        None if late => format!("not asked within {:?}", limits.endpoint),
        None => "no answer".to_owned(),
    };
    leave_unasked(&mut found, &ALL, &subject, &because);
    (found, Placed { name: subject, addresses })
}

async fn questions(
    key: &str,
    subject: &str,
    receiver: &Receiver,
    limits: Limits,
    now: &Now,
    (found, addresses): (&mut Vec<Finding>, &mut Vec<SocketAddr>),
) {
    let to = receiver.to();
    let host = to.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = to.url.port_or_known_default().unwrap_or_default();
    let door = Door { subject, peer: Peer::Receiver, host, port, key };
    let (at, open) = reach::reach(&door, limits.each, now, found).await;
    let local = at.iter().all(|address| address.ip().is_loopback());
    *addresses = at;
    if !open {
        return;
    }
    let post = match receiver.post() {
        Ok(post) => post,
        Err(error) => {
            let at = format!("{key}.ca");
            let finding = reach::TLS.wrong(subject, error.to_string());
            found.push(finding.mend(How::Config, at, "a PEM file with at least one certificate"));
            return;
        }
    };
    match ask(receiver, &post).await {
        Ok(asked) => {
            found.push(secured(to, subject, key, local));
            found.push(answered(receiver, subject, key, &asked));
        }
        Err(detail) => found.push(reach::tls_failed(&door, &detail)),
    }
}

async fn ask(receiver: &Receiver, post: &Post) -> Result<Asked, String> {
    match receiver {
        Receiver::Alertmanager(_) => post.status().await,
        Receiver::Webhook(_) => post.options().await,
    }
}

fn secured(to: &Destination, subject: &str, key: &str, local: bool) -> Finding {
    if to.url.scheme() == "https" {
        return reach::TLS.ok(subject, "encrypted, and the certificate is believed");
    }
    if local {
        return reach::TLS.ok(subject, "not encrypted, and on this machine");
    }
    let evidence = "not encrypted: every alert can be read and altered on the way";
    let right = "https://, with `ca` if its authority is not one of the operating system's";
    reach::TLS.warning(subject, evidence).mend(How::Config, format!("{key}.url"), right)
}

fn answered(receiver: &Receiver, subject: &str, key: &str, asked: &Asked) -> Finding {
    let Asked { status, said } = asked;
    let evidence = format!("it answers {status}");
    if matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let right = "the token, or the user and the password, that it knows";
        let at = format!("{key}.{}", receiver.to().login.key());
        return ANSWER.wrong(subject, evidence).mend(How::Config, at, right);
    }
    match receiver {
        Receiver::Alertmanager(_) => match version(said).filter(|_| status.is_success()) {
            Some(version) => ANSWER.ok(subject, format!("Alertmanager {version}")),
            None => ANSWER.wrong(subject, format!("{evidence}, which no Alertmanager does")).mend(
                How::Config,
                format!("{key}.url"),
                "the address of an Alertmanager, with the path of --web.route-prefix if it has one: \
                 /api/v2/alerts is added",
            ),
        },
        // What a webhook says to a method that it does not take says nothing of the one it takes.
        Receiver::Webhook(_) => {
            ANSWER.ok(subject, format!("{evidence} to OPTIONS; nothing was sent to it"))
        }
    }
}

/// What an Alertmanager says of itself.
fn version(said: &[u8]) -> Option<String> {
    let said: serde_json::Value = serde_json::from_slice(said).ok()?;
    let version = said["versionInfo"]["version"].as_str()?;
    Some(version.chars().filter(|c| !c.is_control()).take(40).collect())
}
