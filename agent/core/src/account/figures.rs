//! Where the time of a run went, how long service was away, and what was lost.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use core::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Account, StepAccount, TryEnd};
use crate::{
    evidence::{Observation, Seen, Vantage},
    forecast::{Loss, Sample, seconds},
    health::Reason,
    names::Side,
    plan::{Action, PlanKind},
    proposal::{End, Proposal, Terms},
};

/// Clocks of two servers differ: a commit so little later than the moment at which the primary was
/// lost is not one of after its return.
const CLOCKS_MS: u64 = 60_000;

/// From the approval to the end, in milliseconds; the parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    pub whole_ms: u64,
    /// Of servers and of Azure: from each command until its effect was seen.
    pub engine_ms: u64,
    /// The same of the operator's programs.
    pub hook_ms: u64,
    /// In steps that only look until something is so, between steps, and in pauses between tries.
    pub waits_ms: u64,
    /// In which no agent was there, as far as the journal tells.
    pub away_ms: u64,
    /// The rest: looks, permissions on disk, turns.
    pub agent_ms: u64,
}

/// How long service was away, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    pub from: Timestamp,
    /// When the new primary was seen to take writes. Until applications reach it, it takes as long
    /// as people and hooks take: that is not in here.
    pub to: Timestamp,
    pub whole_ms: u64,
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub what: String,
    pub until: Timestamp,
    pub ms: u64,
}

/// What was expected to be lost, what was signed, and what was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossAccount {
    pub forecast: Loss,
    /// None: it was signed as unknown.
    pub signed_most_ms: Option<u64>,
    pub measured: Measured,
}

/// What the journal tells of commits that do not live on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "measured")]
pub enum Measured {
    Nothing {
        because: String,
    },
    /// Commits of so long: from the newest that the new primary had to the newest of the old one.
    Commits {
        ms: u64,
        kept_until: Timestamp,
        lost_until: Timestamp,
        /// When the old primary was seen again.
        seen_at: Timestamp,
    },
    NotKnown {
        because: String,
    },
}

impl Spent {
    /// Its parts, each by what it was spent on.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 5] {
        [
            ("servers and Azure", self.engine_ms),
            ("hooks", self.hook_ms),
            ("waits", self.waits_ms),
            ("no agent there", self.away_ms),
            ("agent", self.agent_ms),
        ]
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { because } => write!(f, "nothing: {because}"),
            Self::Commits { ms, kept_until, lost_until, seen_at } => write!(
                f,
                "commits of {}: the new primary has them until {kept_until:.3}, the old one had them until {lost_until:.3}, as \
                 seen at {seen_at:.0}",
                seconds(*ms)
            ),
            Self::NotKnown { because } => write!(f, "not known: {because}"),
        }
    }
}

impl LossAccount {
    pub(super) fn signed(terms: &Terms) -> Self {
        Self {
            forecast: terms.forecast.loss,
            signed_most_ms: terms.bounds.loss_most_ms,
            measured: Measured::NotKnown { because: "it is not over".into() },
        }
    }
}

/// Milliseconds from one to the other, 0 if it is earlier.
pub(super) fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// What the time between two entries is spent on, summed up.
#[derive(Debug, Default)]
pub(super) struct Clock {
    engine: SignedDuration,
    hook: SignedDuration,
    waits: SignedDuration,
    away: SignedDuration,
}

impl Clock {
    /// `span` goes by as things stand in the account. `started`: an agent begins at its end.
    pub(super) fn run(&mut self, account: &Account, started: bool, span: SignedDuration) {
        if account.approved_at.is_none() || account.closed_at.is_some() {
            return;
        }
        let under_way = account.steps.iter().rev().find_map(|step| {
            let newest = step.tries.last()?;
            newest.ended_at.is_none().then_some((step, newest))
        });
        let of = match under_way {
            _ if started => &mut self.away,
            Some((_, tried)) if tried.sent_at.is_some() && tried.hook => &mut self.hook,
            Some((_, tried)) if tried.sent_at.is_some() => &mut self.engine,
            Some((step, _)) if step.acts => return,
            Some(_) | None => &mut self.waits,
        };
        *of = of.saturating_add(span);
    }

    pub(super) fn spent(&self, account: &Account) -> Option<Spent> {
        let ms = |span: SignedDuration| u64::try_from(span.as_millis()).unwrap_or(0);
        let whole_ms = between(account.approved_at?, account.closed_at?);
        let (engine_ms, hook_ms) = (ms(self.engine), ms(self.hook));
        let (waits_ms, away_ms) = (ms(self.waits), ms(self.away));
        let agent_ms = whole_ms.saturating_sub(engine_ms + hook_ms + waits_ms + away_ms);
        Some(Spent { whole_ms, engine_ms, hook_ms, waits_ms, away_ms, agent_ms })
    }
}

pub(super) fn recovery(
    account: &Account,
    proposal: &Proposal,
    noticed: Option<Timestamp>,
) -> Option<Recovery> {
    let done = |is: fn(&Action) -> bool| {
        let step = account.steps.iter().find(|step| {
            let planned = proposal.plan.step(step.lane, step.step);
            !step.undo && planned.is_some_and(|planned| is(&planned.action))
        })?;
        finished(step)
    };
    let turned = done(|action| {
        matches!(
            action,
            Action::TargetPrimary { .. } | Action::RolesChanged { .. } | Action::LinkDeleted { .. }
        )
    });
    let serving = done(|action| matches!(action, Action::TargetServing { .. }));
    let to = serving.or(turned)?;
    let mut marks: Vec<(String, Option<Timestamp>)> = Vec::new();
    let from = match account.kind {
        PlanKind::ForcedFailover | PlanKind::Deletion => {
            marks.push(("until the loss was noticed".into(), noticed));
            marks.push(("until it was proposed".into(), Some(account.opened_at)));
            marks.push(("until it was signed".into(), account.approved_at));
            marks.push(("until the first command left".into(), first_command(account)));
            silent_since(&proposal.terms, account.target?).or(noticed).unwrap_or(account.opened_at)
        }
        PlanKind::PlannedFailover | PlanKind::Cutover => {
            let quiesced = done(|action| matches!(action, Action::Quiesced { .. }));
            let caught_up = done(|action| matches!(action, Action::CaughtUp { .. }));
            marks.push(("until nobody worked there any more".into(), quiesced));
            marks.push(("until the other side had everything".into(), caught_up));
            let quiesce = account.steps.iter().find(|step| {
                let planned = proposal.plan.step(step.lane, step.step);
                planned.is_some_and(|planned| matches!(planned.action, Action::Quiesced { .. }))
            });
            quiesce?.tries.first()?.started_at
        }
        PlanKind::Repair | PlanKind::ReturnGuard => return None,
    };
    marks.push(("until the roles had changed".into(), turned));
    marks.push(("until the new primary was seen to serve".into(), serving));
    let (mut at, mut parts) = (from, Vec::new());
    for (what, until) in marks {
        let Some(until) = until.filter(|until| *until >= at && *until <= to) else { continue };
        parts.push(Part { what, until, ms: between(at, until) });
        at = until;
    }
    Some(Recovery { from, to, whole_ms: between(from, to), parts })
}

fn finished(step: &StepAccount) -> Option<Timestamp> {
    let last = step.tries.last().filter(|last| last.end == TryEnd::Done)?;
    last.ended_at
}

fn first_command(account: &Account) -> Option<Timestamp> {
    let tries = account.steps.iter().flat_map(|step| &step.tries);
    tries.filter_map(|tried| tried.sent_at).min()
}

/// Since when the old primary had not answered when the proposal was opened.
fn silent_since(terms: &Terms, target: Side) -> Option<Timestamp> {
    terms.reasons.iter().find_map(|reason| {
        let Reason::Silent { side, since, .. } = reason else { return None };
        (*side == target.other()).then_some(*since)
    })
}

pub(super) fn loss(
    account: &Account,
    proposal: &Proposal,
    sample: Option<&Sample>,
    after: &[Observation],
) -> LossAccount {
    let measured = match account.end {
        None => Measured::NotKnown { because: "it is not over".into() },
        Some(end) => measured(account, proposal, end, sample, after),
    };
    LossAccount { measured, ..LossAccount::signed(&proposal.terms) }
}

fn measured(
    account: &Account,
    proposal: &Proposal,
    end: End,
    sample: Option<&Sample>,
    after: &[Observation],
) -> Measured {
    let nothing = |because: &str| Measured::Nothing { because: because.to_string() };
    let unknown = |because: String| Measured::NotKnown { because };
    if first_command(account).is_none() {
        return nothing("no command left");
    }
    match account.kind {
        PlanKind::PlannedFailover | PlanKind::Cutover => {
            return match end {
                End::Succeeded => {
                    nothing("both logs ended at the same place before the roles changed")
                }
                End::Undone => nothing("the roles did not change"),
                End::Stuck | End::Rejected | End::Expired | End::Withdrawn | End::Overtaken => {
                    unknown("the run did not come to its end".into())
                }
            };
        }
        PlanKind::Repair => {
            return nothing(
                "what only the loser had is in its backup before it was taken from there",
            );
        }
        PlanKind::ReturnGuard => return nothing("nothing was taken from either side"),
        PlanKind::ForcedFailover | PlanKind::Deletion => {}
    }
    let Some(target) = account.target else { return unknown("the plan has no target".into()) };
    let kept = proposal.terms.evidence.iter().find_map(|look| last_commit(look, target));
    let kept = kept.or_else(|| sample.and_then(|sample| sample.arrived_at));
    let Some(kept_until) = kept else {
        return unknown("the new primary did not say what it had committed last".into());
    };
    let again = after.iter().find_map(|look| Some((look.at, last_commit(look, target.other())?)));
    let Some((seen_at, lost_until)) = again else {
        return unknown("the old primary has not been seen again with its database".into());
    };
    if between(account.opened_at, lost_until) > CLOCKS_MS {
        return unknown(format!(
            "when it was seen again, at {seen_at:.0}, the old primary had taken writes since its return, the newest at \
             {lost_until:.0}: the repair shows what differs"
        ));
    }
    Measured::Commits { ms: between(kept_until, lost_until), kept_until, lost_until, seen_at }
}

fn last_commit(look: &Observation, side: Side) -> Option<Timestamp> {
    match &look.seen {
        Seen::Side(reading) if look.vantage == Vantage::from(side) => {
            reading.database.as_ref()?.last_commit_at
        }
        Seen::Side(_) | Seen::Control(_) | Seen::Silence(_) => None,
    }
}
