//! Alerts that come in: Alertmanager's webhook, version 4.
//!
//! A firing alert asks for a proposal by the first rule that matches it; a resolved one takes its
//! own proposal back. Whatever becomes of an alert, the answer is 200 with the outcome in the body:
//! Alertmanager would send again at once whatever is answered with an error. 5xx is for what had
//! better be sent again, as an alert that fires before the trouble has lasted long enough: by itself
//! Alertmanager would repeat it after hours.

use agent_core::{Estate, Input, LinkId, Origin, ProposalId, Refusal, Seq};
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{
    App,
    alert::{self, Alert, Asks},
    extract::Json,
    problem::Problem,
};
use crate::config::AlertRule;

pub(super) const PATH: &str = "/webhooks/alertmanager";
/// Bytes of a body at the most; an alert has about one thousand.
pub const WEBHOOK_BODY: usize = 1024 * 1024;
/// Alerts of one body at the most.
pub const WEBHOOK_ALERTS: usize = 256;
/// The only format there is of this webhook.
const VERSION: &str = "4";

/// What Alertmanager sends, as far as it is used. It may say more.
#[derive(Debug, Deserialize)]
pub(super) struct Notification {
    version: String,
    receiver: String,
    alerts: Vec<Alert>,
}

/// What became of each alert, in the order of the body.
#[derive(Debug, Serialize)]
pub(super) struct Answered {
    alerts: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
struct Verdict {
    alertname: String,
    fingerprint: String,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Outcome {
    /// It asks for nothing, by the rules: none matches, or one says no.
    Ignored {
        because: String,
    },
    /// The proposal that this very alert asked for is open or being carried out.
    Known {
        link: LinkId,
        proposal: ProposalId,
    },
    Proposed {
        link: LinkId,
        proposal: ProposalId,
    },
    /// The core says no; `refusal` is its own name for it.
    Refused {
        link: LinkId,
        refusal: String,
        because: String,
    },
    /// It may ask for the same later, and is to.
    TooEarly {
        link: LinkId,
        because: String,
    },
    Withdrawn {
        link: LinkId,
        proposal: ProposalId,
    },
    /// It is over, and had asked for nothing that could still be taken back.
    NothingToWithdraw,
}

pub(super) async fn take(
    State(app): State<App>,
    Json(body): Json<Notification>,
) -> Result<axum::Json<Answered>, Problem> {
    if body.version != VERSION {
        let message = format!(
            "this is version {:?} of Alertmanager's webhook; only \"{VERSION}\" is known here",
            body.version
        );
        return Err(Problem::bad_request(message));
    }
    if body.alerts.len() > WEBHOOK_ALERTS {
        return Err(Problem::too_large(format!(
            "{} alerts at once; {WEBHOOK_ALERTS} at the most: set `max_alerts` of the receiver",
            body.alerts.len()
        )));
    }
    for alert in &body.alerts {
        alert.check().map_err(Problem::bad_request)?;
    }
    let mut alerts = Vec::with_capacity(body.alerts.len());
    for alert in &body.alerts {
        let outcome = judge(&app, alert).await?;
        app.parts.metrics.alert_received(outcome.word());
        tell(&body.receiver, alert, &outcome);
        let (alertname, fingerprint) = (alert.name().to_owned(), alert.fingerprint.clone());
        alerts.push(Verdict { alertname, fingerprint, outcome });
    }
    let early = alerts.iter().find_map(|verdict: &Verdict| verdict.outcome.too_early());
    match early {
        Some(because) => Err(Problem::too_early(because)),
        None => Ok(axum::Json(Answered { alerts })),
    }
}

async fn judge(app: &App, alert: &Alert) -> Result<Outcome, Problem> {
    if alert.resolved() {
        return resolved(app, alert).await;
    }
    let now = app.ask(|_, now| now).await?;
    match alert::asks(&app.parts.alert_rules, alert, now) {
        Ok(asks) => fires(app, alert, asks).await,
        Err(because) => Ok(Outcome::Ignored { because }),
    }
}

async fn fires(app: &App, alert: &Alert, asks: Asks<'_>) -> Result<Outcome, Problem> {
    let Asks { rule, link } = asks;
    if let Some(outcome) = before(app, alert, rule, &link).await? {
        return Ok(outcome);
    }
    let input = Input::ProposeForAlert {
        link: link.clone(),
        kind: rule.kind,
        rule: rule.name.clone(),
        alertname: alert.name().to_owned(),
        fingerprint: alert.fingerprint.clone(),
        lost_for: rule.lost_for,
    };
    match hand_in(app, input).await? {
        Ok(proposal) => Ok(Outcome::Proposed { link, proposal }),
        // Another notification of the same alert may have been quicker.
        Err(refusal @ Refusal::ProposalOpen { .. }) => {
            let known = before(app, alert, rule, &link).await?;
            Ok(known.unwrap_or_else(|| Outcome::refused(app, link, refusal)))
        }
        Err(refusal @ Refusal::NotLost { from: Some(_), .. }) => {
            Ok(Outcome::TooEarly { link, because: refusal.to_string() })
        }
        Err(refusal) => Ok(Outcome::refused(app, link, refusal)),
    }
}

/// What the link's newest proposal says, if it says enough.
async fn before(
    app: &App,
    alert: &Alert,
    rule: &AlertRule,
    link: &LinkId,
) -> Result<Option<Outcome>, Problem> {
    let (asked, fingerprint, cooldown) = (link.clone(), alert.fingerprint.clone(), rule.cooldown);
    let found = app
        .ask(move |estate, now| {
            let run = estate.record(&asked)?.run.as_ref()?;
            let proposal = run.proposal.terms.proposal;
            match run.closed_at {
                None if of_alert(&run.proposal.terms.origin, &fingerprint) => {
                    Some(Outcome::Known { link: asked, proposal })
                }
                None => None,
                Some(at) => alert::cooling(at, cooldown, now).map(|until| Outcome::Ignored {
                    because: format!(
                        "proposal {proposal} of the link was closed not long ago; alerts may ask for another from {until:.0} on"
                    ),
                }),
            }
        })
        .await?;
    Ok(found)
}

async fn resolved(app: &App, alert: &Alert) -> Result<Outcome, Problem> {
    let fingerprint = alert.fingerprint.clone();
    let asked = app.ask(move |estate, _| asked_for(estate, &fingerprint)).await?;
    let Some((link, proposal)) = asked else { return Ok(Outcome::NothingToWithdraw) };
    let input = Input::AlertResolved {
        link: link.clone(),
        alertname: alert.name().to_owned(),
        fingerprint: alert.fingerprint.clone(),
    };
    match hand_in(app, input).await? {
        Ok(_) => Ok(Outcome::Withdrawn { link, proposal }),
        Err(refusal) => Ok(Outcome::refused(app, link, refusal)),
    }
}

/// The place of the entry that the input became, or why it became none.
async fn hand_in(app: &App, input: Input) -> Result<Result<Seq, Refusal>, Problem> {
    match app.parts.inbox.input(input).await {
        Ok(verdict) => Ok(verdict.map(|entry| entry.seq)),
        Err(ended) => Err(Problem::shutting_down(ended)),
    }
}

/// The link whose live proposal this alert asked for, and the proposal. What a link has is one
/// proposal, so whichever it is when the input comes in, it is this one or none of this alert.
fn asked_for(estate: &Estate, fingerprint: &str) -> Option<(LinkId, ProposalId)> {
    estate.links().find_map(|(link, _, record)| {
        let terms = &record.live()?.proposal.terms;
        of_alert(&terms.origin, fingerprint).then(|| (link.clone(), terms.proposal))
    })
}

fn of_alert(origin: &Origin, fingerprint: &str) -> bool {
    match origin {
        Origin::Alert { fingerprint: asked, .. } => asked == fingerprint,
        Origin::Agent | Origin::Operator { .. } | Origin::Guard { .. } => false,
    }
}

fn tell(receiver: &str, alert: &Alert, outcome: &Outcome) {
    let (alertname, fingerprint) = (alert.name(), alert.fingerprint.as_str());
    match outcome {
        Outcome::Proposed { link, proposal } => {
            tracing::warn!(receiver, alertname, fingerprint, %link, proposal, "an alert asked for a proposal");
        }
        Outcome::Withdrawn { link, proposal } => {
            tracing::warn!(receiver, alertname, fingerprint, %link, proposal, "an alert is over: its proposal is withdrawn");
        }
        Outcome::Refused { link, because, .. } => {
            tracing::warn!(receiver, alertname, fingerprint, %link, because, "an alert is refused");
        }
        Outcome::Ignored { because } => {
            tracing::info!(receiver, alertname, fingerprint, because, "an alert is ignored");
        }
        // What repeats all the time is told once, or counted.
        Outcome::TooEarly { link, because } => {
            tracing::debug!(receiver, alertname, fingerprint, %link, because, "an alert is early");
        }
        Outcome::Known { .. } | Outcome::NothingToWithdraw => {}
    }
}

impl Outcome {
    /// Counts it, as every refusal over HTTP is counted.
    fn refused(app: &App, link: LinkId, refusal: Refusal) -> Self {
        let because = refusal.to_string();
        let refusal = Problem::refused(refusal).refusal_word().to_owned();
        app.parts.metrics.refused(&refusal);
        Self::Refused { link, refusal, because }
    }

    fn too_early(&self) -> Option<&str> {
        match self {
            Self::TooEarly { because, .. } => Some(because),
            Self::Ignored { .. }
            | Self::Known { .. }
            | Self::Proposed { .. }
            | Self::Refused { .. }
            | Self::Withdrawn { .. }
            | Self::NothingToWithdraw => None,
        }
    }

    /// As it stands in the answer and in the metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::Ignored { .. } => "ignored",
            Self::Known { .. } => "known",
            Self::Proposed { .. } => "proposed",
            Self::Refused { .. } => "refused",
            Self::TooEarly { .. } => "too_early",
            Self::Withdrawn { .. } => "withdrawn",
            Self::NothingToWithdraw => "nothing_to_withdraw",
        }
    }
}
