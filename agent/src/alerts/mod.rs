//! Alerts: what the journal says goes to people by way of an Alertmanager or a webhook, grouped to
//! one page per episode and one message per change.
//!
//! *At least once, nothing lost, nothing told twice that was confirmed.* Every configured receiver
//! has a sink with cursors of its own, so that one that is down holds up no other. `story` folds
//! entries into episodes and changes, `need` says when a human has to act, `words` what people read;
//! all three are pure. `alertmanager` and `webhook` shape that for their receivers, `tail` follows
//! the journal, `pump` reads, sends and only then moves the cursor.

mod alertmanager;
mod files;
mod need;
mod notice;
mod post;
mod pump;
pub(crate) mod readiness;
mod status;
mod story;
mod tail;
mod webhook;
mod words;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use agent_core::{LinkId, Seq};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::status::{SinkReport, SinkStatus};
use self::{alertmanager::Alertmanager, files::Files, post::Post, pump::Pump, tail::Tail};
use crate::{
    clock::Clock,
    config::{AlertmanagerSettings, Destination, WebhookSettings},
    journal::{Cursors, JournalError, Reader},
};

/// What all sinks share.
#[derive(Clone, Debug)]
pub struct Common {
    /// By which the agent is known.
    pub agent: String,
    /// Where humans find its API; ends without a slash.
    pub external_url: Option<String>,
    /// How long a primary may be lost before that alone is a page.
    pub page_after: Duration,
    /// The links that are configured.
    pub links: BTreeSet<LinkId>,
    pub clock: Clock,
    /// Place of the newest durable entry.
    pub head: watch::Receiver<Seq>,
}

/// One configured receiver.
#[derive(Clone, Debug)]
pub enum Receiver {
    Alertmanager(AlertmanagerSettings),
    Webhook(WebhookSettings),
}

/// Why nothing is sent at present. Without secrets.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    #[error("alerts can't be sent to {name}: {why}")]
    Setup { name: String, why: String },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the thread that reads the journal for alerts has panicked")]
    Panicked,
}

impl Receiver {
    /// As it stands in metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Alertmanager(_) => "alertmanager",
            Self::Webhook(_) => "webhook",
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.to().name
    }

    fn to(&self) -> &Destination {
        match self {
            Self::Alertmanager(to) => &to.to,
            Self::Webhook(to) => &to.to,
        }
    }

    /// Whether a way to it can be made at all. Opens no connection.
    ///
    /// # Errors
    ///
    /// What is wrong with its settings.
    pub fn check(&self) -> Result<(), AlertError> {
        self.post().map(drop)
    }

    fn post(&self) -> Result<Post, AlertError> {
        match self {
            Self::Alertmanager(to) => Post::new(&to.to, &alertmanager::PATH),
            Self::Webhook(to) => Post::new(&to.to, &[]),
        }
    }
}

/// Tells one receiver until `cancel`. Failures are told to `status` and the log, and tried again.
///
/// # Errors
///
/// What [`Receiver::check`] says.
pub async fn run(
    to: Receiver,
    common: Common,
    reader: Reader,
    cursors: Cursors,
    cancel: CancellationToken,
    status: SinkStatus,
) -> Result<(), AlertError> {
    let post = to.post()?;
    let name = format!("alerts/{}/{}", to.kind(), to.name());
    let tail = Tail::new(Files::new(&name, reader, cursors), common.page_after);
    let Common { agent, external_url, clock, head, links, .. } = common;
    match to {
        Receiver::Alertmanager(to) => {
            let make = alertmanager::Make {
                agent,
                external_url,
                min_severity: to.to.min_severity,
                repeat_every: to.repeat_every,
            };
            let shape = Alertmanager::new(make);
            Pump { tail, shape, post, links, head, clock, cancel, status }.run().await;
        }
        Receiver::Webhook(to) => {
            let make = webhook::Make { agent, external_url, min_severity: to.to.min_severity };
            let post = post.signed_by(&to.secret);
            let shape = webhook::Webhook::new(make, to.secret);
            Pump { tail, shape, post, links, head, clock, cancel, status }.run().await;
        }
    }
    Ok(())
}
