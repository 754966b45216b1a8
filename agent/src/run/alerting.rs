//! From the configuration to the sinks for alerts: one part for each receiver.

use std::sync::Arc;

use super::{Agent, parts::Parts};
use crate::{
    alerts::{self, AlertError, Common, Receiver, SinkStatus},
    config::Config,
    http::{SinksLook, view::SinkView},
    journal::{Cursors, Reader},
};

/// All receivers of the configuration, each known to be one.
pub(super) fn receivers(config: &Config) -> Result<Vec<Receiver>, AlertError> {
    let alertmanagers = config.alerts.alertmanagers.iter().cloned().map(Receiver::Alertmanager);
    let webhooks = config.alerts.webhooks.iter().cloned().map(Receiver::Webhook);
    let all: Vec<Receiver> = alertmanagers.chain(webhooks).collect();
    for receiver in &all {
        receiver.check()?;
    }
    Ok(all)
}

/// Begins to tell all of them. One that fell would begin again at its cursors.
pub(super) fn tell(
    receivers: Vec<Receiver>,
    config: &Config,
    agent: &Agent,
    sinks: &mut Parts,
) -> SinksLook {
    let common = Common {
        agent: config.agent.name.clone(),
        external_url: config.alerts.external_url.clone(),
        page_after: config.alerts.page_after,
        links: config.links.iter().map(|link| link.id.clone()).collect(),
        clock: agent.clock.clone(),
        head: agent.told.head.clone(),
    };
    let mut statuses = Vec::new();
    for to in receivers {
        let (kind, name) = (to.kind(), to.name().to_owned());
        let status = SinkStatus::new(kind, &name, common.head.clone());
        statuses.push(status.clone());
        let (path, common) = (config.journal_path(), common.clone());
        sinks.again(&format!("alerts to the {kind} {name}"), move |stop| {
            let (to, common, status) = (to.clone(), common.clone(), status.clone());
            let files = Reader::open(&path).and_then(|reader| Ok((reader, Cursors::open(&path)?)));
            async move {
                let told = match files {
                    Ok((reader, cursors)) => {
                        alerts::run(to, common, reader, cursors, stop, status).await
                    }
                    Err(error) => Err(AlertError::Journal(error)),
                };
                if let Err(error) = told {
                    tracing::error!(%error, "alerts can't be sent");
                }
            }
        });
    }
    let clock = agent.clock.clone();
    Arc::new(move || {
        let now = clock.now();
        let view = |status: &SinkStatus| {
            let report = status.report(now);
            SinkView {
                kind: report.kind.to_owned(),
                name: report.name,
                sent: report.sent,
                failed: report.failed,
                given_up: report.given_up,
                pending_entries: report.pending_entries,
                lag_ms: report.lag_ms,
                last_error: report.last_error,
            }
        };
        statuses.iter().map(view).collect()
    })
}
