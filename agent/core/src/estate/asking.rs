//! Whether a plan that somebody asks for can be proposed.

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use jiff::Timestamp;

use super::Estate;
use crate::{
    alert, capability,
    draft::draft,
    event::{Event, Subject},
    evidence::{Role, SideReading},
    health::{Health, assess, fresh_reading, primary_seen_by},
    input::{Input, Refusal},
    names::{LinkId, Side},
    plan::PlanKind,
    proposal::{End, Origin, Status},
    rules::View,
};

/// What is asked for, and by whom.
pub(super) struct Wish {
    pub(super) kind: PlanKind,
    pub(super) origin: Origin,
    /// Whose data a repair keeps, if it is said.
    pub(super) winner: Option<Side>,
    /// How long an alert wants the trouble to have lasted.
    pub(super) lost_for: Option<Duration>,
}

/// The name under which the end of a guard stands that gave way.
pub const GIVES_WAY: &str = "guard_gives_way";

impl Estate {
    /// What has to end before an input can be taken: a return guard at work gives way to a plan that
    /// people may ask for, which goes further than it. None where the input would be refused all
    /// the same.
    #[must_use]
    pub fn gives_way(&self, now: Timestamp, input: &Input) -> Option<(Subject, Event)> {
        let (Input::Propose { link, .. } | Input::ProposeForAlert { link, .. }) = input else {
            return None;
        };
        let run = self.record(link)?.live()?;
        if run.proposal.plan.kind != PlanKind::ReturnGuard {
            return None;
        }
        let (end, why) = (End::Withdrawn, "another plan is asked for; the guard stays armed");
        let why = why.to_string();
        let event = Event::ProposalClosed { proposal: run.proposal.terms.proposal, end, why };
        let subject = Subject::Link(link.clone());
        let mut after = self.clone();
        let entry = after.entry(now, subject.clone(), Some(GIVES_WAY), event.clone());
        after.apply(&entry).ok()?;
        after.admit(now, input.clone()).ok()?;
        Some((subject, event))
    }

    pub(super) fn admit_proposal(
        &self,
        now: Timestamp,
        link: &LinkId,
        wish: Wish,
    ) -> Result<(Subject, Event), Refusal> {
        let view =
            self.view(link, now).ok_or_else(|| Refusal::UnknownLink { link: link.clone() })?;
        let live = view.record.live();
        // A guard would give way, see `gives_way`; so what stands in the way is something else.
        if let Some(run) = live.filter(|run| run.proposal.plan.kind != PlanKind::ReturnGuard) {
            return Err(Refusal::ProposalOpen { proposal: run.proposal.terms.proposal });
        }
        if let Some(proposal) = view.record.stuck() {
            return Err(Refusal::Unacknowledged { proposal });
        }
        alert::may_ask(&wish.origin, &view, self.own_proposals())?;
        let Wish { kind, origin, winner, lost_for } = wish;
        // A cold agent has never seen a primary: whoever asks for the failover means this one.
        let over = view.record.primary.unwrap_or(Side::SqlServer).other();
        let target = match kind {
            PlanKind::ForcedFailover | PlanKind::Deletion => {
                let by = primary_seen_by(view.evidence, view.spec, over, now);
                if !by.is_empty() {
                    return Err(Refusal::PrimarySeen { by });
                }
                if view.record.health == Health::Healthy {
                    return no_way("the link is healthy: ask for a planned failover".to_string());
                }
                alert::lost_enough(&origin, &view, lost_for)?;
                over
            }
            PlanKind::PlannedFailover => {
                let health = view.record.health;
                if health != Health::Healthy {
                    return no_way(format!(
                        "the health is {health}: a planned failover takes two sides that are well"
                    ));
                }
                over
            }
            PlanKind::Cutover => match cuts_over(&view, over) {
                Ok(target) => target,
                Err(because) => return no_way(because),
            },
            PlanKind::ReturnGuard => {
                let because = "nobody asks for it: it was signed with a forced failover, and begins when the side that was lost returns";
                return no_way(because.to_string());
            }
            PlanKind::Repair => match repairs(&view, winner) {
                Ok(winner) => winner,
                Err(because) => return no_way(because),
            },
        };
        if let Some(because) = capability::obstacle(view.evidence, view.spec, kind, target) {
            return no_way(because);
        }
        if let Some(run) = live {
            return Err(Refusal::ProposalOpen { proposal: run.proposal.terms.proposal });
        }
        let texts = draft(&view, kind, target, origin);
        Ok((Subject::Link(link.clone()), Event::ProposalOpened { texts }))
    }
}

fn no_way<T>(because: String) -> Result<T, Refusal> {
    Err(Refusal::NoSuchWay { because })
}

/// Where a cutover would lead now, or why there can be none.
fn cuts_over(view: &View<'_>, over: Side) -> Result<Side, String> {
    if over != Side::ManagedInstance {
        return Err(format!(
            "{} is the primary: a cutover leads from SQL Server to a managed instance",
            over.other()
        ));
    }
    let health = view.record.health;
    if health != Health::Healthy {
        return Err(format!("the health is {health}: a cutover takes two sides that are well"));
    }
    Ok(over)
}

/// The side whose data a repair would keep now, or why there can be none.
fn repairs(view: &View<'_>, winner: Option<Side>) -> Result<Side, String> {
    let seen = assess(view.evidence, view.spec, view.record.primary, view.now);
    if view.record.health != Health::SplitBrain
        || seen.is_none_or(|seen| seen.health != Health::SplitBrain)
    {
        let health = view.record.health;
        return Err(format!("the health is {health}: a repair takes two sides that are primary"));
    }
    let winner = winner.or_else(|| promoted(view)).ok_or_else(|| {
        "it was not the agent who made one of them primary: say which side's data is to be kept"
            .to_string()
    })?;
    let kept = fresh_reading(view.evidence, view.spec, winner, view.now);
    if !kept.is_some_and(SideReading::serving) {
        return Err(format!(
            "{winner} does not take writes now, so its data can't be what is kept"
        ));
    }
    let loser = winner.other();
    let lost = fresh_reading(view.evidence, view.spec, loser, view.now);
    if lost.is_none_or(|reading| reading.role != Role::Primary) {
        return Err(format!("{loser} is not seen as PRIMARY now"));
    }
    Ok(winner)
}

/// The side that the agent itself has made primary last.
fn promoted(view: &View<'_>) -> Option<Side> {
    if let Some(guard) = &view.record.guard {
        return Some(guard.winner);
    }
    let run = view.record.run.as_ref()?;
    let done = run.status == Status::Closed(End::Succeeded) || run.handed_over();
    run.proposal.plan.lanes.first().filter(|_| done).map(|lane| lane.target)
}
