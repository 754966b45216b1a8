//! The estate: all links that one agent guards, and the six verbs.

mod asking;
mod memory;
mod work;

use alloc::{collections::BTreeMap, format, string::ToString, vec::Vec};
use core::time::Duration;

use jiff::Timestamp;

pub use self::asking::GIVES_WAY;
use self::asking::Wish;
pub use self::work::Work;
use crate::{
    alert,
    approval::{Ballot, Decision},
    clearance::clearance,
    event::{Entry, Event, FORMAT, StepRef, Subject},
    evidence::{Evidence, Observation},
    explain::{Explanation, explain},
    input::{Input, Refusal, Report},
    link::{Illegal, Record},
    names::{LinkId, Seq},
    plan::PlanKind,
    policy::{LinkSpec, Roster, StormBrake},
    proposal::{End, Origin, Status},
    report::{self, Tally},
    rules::{self, View},
    run::{Started, StepState},
};

/// Everything the agent knows and has decided. Record and evidence live side by side: `observe`
/// touches only evidence, `apply` only the record.
#[derive(Clone, Debug)]
pub struct Estate {
    links: BTreeMap<LinkId, Guarded>,
    roster: Roster,
    brake: StormBrake,
    last_seq: Seq,
    last_at: Option<Timestamp>,
    tally: Tally,
}

#[derive(Clone, Debug)]
struct Guarded {
    /// None for a link that the journal knows and the configuration does not any more.
    spec: Option<LinkSpec>,
    record: Record,
    evidence: Evidence,
}

impl Estate {
    #[must_use]
    pub fn new(links: Vec<LinkSpec>, roster: Roster, brake: StormBrake) -> Self {
        let links = links
            .into_iter()
            .map(|spec| {
                let id = spec.id.clone();
                let (record, evidence) = (Record::default(), Evidence::default());
                (id, Guarded { spec: Some(spec), record, evidence })
            })
            .collect();
        Self { links, roster, brake, last_seq: 0, last_at: None, tally: Tally::default() }
    }

    /// A look at the world becomes evidence. Never journaled as such.
    pub fn observe(&mut self, _now: Timestamp, seen: Observation) {
        let Some(link) = self.links.get_mut(&seen.link) else { return };
        let Some(spec) = &link.spec else { return };
        link.evidence.add(seen, spec.policy.miss_spacing);
    }

    /// An input becomes one event, or is refused with a reason that a human understands.
    ///
    /// # Errors
    ///
    /// The [`Refusal`]; nothing has changed then.
    pub fn admit(&self, now: Timestamp, input: Input) -> Result<(Subject, Event), Refusal> {
        match input {
            Input::Start { version, config_digest } => {
                Ok((Subject::Agent, Event::AgentStarted { version, config_digest }))
            }
            Input::Propose { link, kind, by, winner } => {
                let origin = Origin::Operator { name: by };
                self.admit_proposal(now, &link, Wish { kind, origin, winner, lost_for: None })
            }
            Input::ProposeForAlert { link, kind, rule, alertname, fingerprint, lost_for } => {
                let origin = Origin::Alert { rule, alertname, fingerprint };
                self.admit_proposal(now, &link, Wish { kind, origin, winner: None, lost_for })
            }
            Input::AlertResolved { link, alertname, fingerprint } => {
                let record = self.record(&link);
                let record = record.ok_or(Refusal::UnknownLink { link: link.clone() })?;
                Ok((Subject::Link(link), alert::resolved(record, &alertname, &fingerprint)?))
            }
            Input::Cast { ballot } => self.admit_ballot(now, ballot),
            Input::Report { step, report } => self.admit_report(now, step, report),
            Input::Acknowledge { link, by, note } => {
                let record =
                    self.record(&link).ok_or(Refusal::UnknownLink { link: link.clone() })?;
                let closed = record.run.as_ref().is_some_and(|run| run.closed_at.is_some());
                if record.acknowledged || !closed {
                    return Err(Refusal::NothingToAcknowledge);
                }
                Ok((Subject::Link(link), Event::EpisodeAcknowledged { by, note }))
            }
            Input::LiftGuard { link, by, note } => {
                let record =
                    self.record(&link).ok_or(Refusal::UnknownLink { link: link.clone() })?;
                if record.guard.is_none() {
                    return Err(Refusal::NoGuard);
                }
                Ok((Subject::Link(link), Event::GuardLifted { by, note }))
            }
            Input::ReportState { missed, placement } => {
                Ok(report::reported(self, &self.tally, missed, &placement, now))
            }
            Input::IssueRunbook { runbook } => Ok(report::issued(runbook)),
        }
    }

    /// The one event that follows from record and evidence at this time, if any, and the rule that
    /// says so.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<(&'static str, Subject, Event)> {
        let dropped = self.links.iter().find_map(|(id, link)| {
            let run = link.record.live().filter(|_| link.spec.is_none())?;
            Some(("link_dropped", Subject::Link(id.clone()), rules::link_dropped(run)))
        });
        dropped.or_else(|| {
            self.views(now).find_map(|view| {
                let (rule, event) = rules::next(&view)?;
                Some((rule, Subject::Link(view.spec.id.clone()), event))
            })
        })
    }

    /// An entry that is in the journal becomes part of the record. Never reads policy,
    /// configuration or evidence.
    ///
    /// # Errors
    ///
    /// An entry that can't follow from those before it.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), Illegal> {
        if entry.seq != self.last_seq + 1 {
            return Err(Illegal(format!("entry {} can't follow {}", entry.seq, self.last_seq)));
        }
        if self.last_at.is_some_and(|last| entry.at < last) {
            return Err(Illegal(format!("entry {} is earlier than the one before it", entry.seq)));
        }
        match &entry.subject {
            Subject::Agent | Subject::Instance(_) => {
                if matches!(entry.event, Event::AgentStarted { .. }) {
                    self.links.values_mut().for_each(|link| link.record.restarted(entry.at));
                }
                self.tally.count(entry, None);
            }
            Subject::Link(id) => {
                let link = self.links.entry(id.clone()).or_insert_with(|| Guarded {
                    spec: None,
                    record: Record::default(),
                    evidence: Evidence::default(),
                });
                link.record.apply(entry)?;
                self.tally.count(entry, Some(&link.record));
            }
        }
        self.last_seq = entry.seq;
        self.last_at = Some(entry.at);
        Ok(())
    }

    /// The actions that ought to be under way: at most one per lane. Read from the record alone, so
    /// that a restart asks for the same.
    #[must_use]
    pub fn work(&self) -> Vec<Work> {
        let runs = self.links.iter().filter_map(|(id, link)| Some((id, link.record.live()?)));
        let mut work = Vec::new();
        for (id, run) in runs {
            for (lane, progress) in run.lanes.iter().enumerate() {
                let (Some(step), Some(place), Some((started, overdue))) =
                    (run.current(lane), run.place(lane), under_way(&progress.state))
                else {
                    continue;
                };
                let span = if overdue { run.proposal.terms.stuck_after_ms } else { 0 };
                let span = Duration::from_millis(step.deadline_ms.saturating_add(span));
                let place = StepRef {
                    proposal: run.proposal.terms.proposal,
                    lane,
                    step: place,
                    attempt: progress.attempts,
                    undo: run.undoing(),
                };
                work.push(Work {
                    link: id.clone(),
                    step: place,
                    action: step.action.clone(),
                    route: step.routes.get(started.route).cloned(),
                    started_at: started.at,
                    deadline: started
                        .at
                        .checked_add(crate::evidence::signed(span))
                        .unwrap_or(Timestamp::MAX),
                    sent: started.sent,
                    operation: started.operation.clone(),
                    overdue,
                    turned_at: run.turned_at,
                });
            }
        }
        work
    }

    /// When to ask `next` again, if nothing else happens first.
    #[must_use]
    pub fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        self.views(now).filter_map(|view| rules::wake(&view)).min()
    }

    /// Puts an event in its place behind the last entry. `at` never goes back.
    #[must_use]
    pub fn entry(
        &self,
        now: Timestamp,
        subject: Subject,
        rule: Option<&str>,
        event: Event,
    ) -> Entry {
        let at = self.last_at.map_or(now, |last| last.max(now));
        Entry {
            v: FORMAT,
            seq: self.last_seq + 1,
            at,
            subject,
            rule: rule.map(ToString::to_string),
            event,
        }
    }

    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// Time of the last entry.
    #[must_use]
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// The links by name, those too that only the journal knows.
    pub fn links(&self) -> impl Iterator<Item = (&LinkId, Option<&LinkSpec>, &Record)> {
        self.links.iter().map(|(id, link)| (id, link.spec.as_ref(), &link.record))
    }

    #[must_use]
    pub fn record(&self, link: &LinkId) -> Option<&Record> {
        self.links.get(link).map(|link| &link.record)
    }

    /// The newest look of each vantage at a link.
    #[must_use]
    pub fn newest(&self, link: &LinkId) -> Vec<Observation> {
        self.links.get(link).map(|link| link.evidence.newest()).unwrap_or_default()
    }

    /// Why the agent would, or would not, propose a failover of this link now.
    #[must_use]
    pub fn explain(&self, link: &LinkId, now: Timestamp) -> Option<Explanation> {
        self.view(link, now).map(|view| explain(&view))
    }

    fn views(&self, now: Timestamp) -> impl Iterator<Item = View<'_>> {
        let braked = self.own_proposals() >= self.brake.open_proposals;
        self.links.values().filter_map(move |link| {
            Some(View {
                spec: link.spec.as_ref()?,
                record: &link.record,
                evidence: &link.evidence,
                roster: &self.roster,
                braked,
                next_seq: self.last_seq + 1,
                now,
            })
        })
    }

    fn view(&self, link: &LinkId, now: Timestamp) -> Option<View<'_>> {
        self.views(now).find(|view| &view.spec.id == link)
    }

    fn own_proposals(&self) -> usize {
        let configured = self.links.values().filter(|link| link.spec.is_some());
        let live = configured.filter_map(|link| link.record.live());
        live.filter(|run| run.proposal.terms.origin.is_machine()).count()
    }

    fn admit_ballot(&self, now: Timestamp, ballot: Ballot) -> Result<(Subject, Event), Refusal> {
        let unknown = || Refusal::UnknownProposal { proposal: ballot.proposal };
        let record = self.record(&ballot.link).ok_or_else(unknown)?;
        let run = record.run.as_ref().ok_or_else(unknown)?;
        let terms = &run.proposal.terms;
        if terms.proposal != ballot.proposal {
            return Err(unknown());
        }
        // A rejection also stops a plan that is approved, as long as nothing may have taken effect.
        let open = match (&run.status, &ballot.decision) {
            (Status::Open, _) => now < terms.approve_by,
            (Status::Approved { .. }, Decision::Reject { .. }) => !run.committed(),
            (Status::Approved { .. }, Decision::Approve { .. })
            | (Status::Undoing { .. } | Status::Closed(_), _) => false,
        };
        if !open {
            return Err(Refusal::NotOpen { proposal: ballot.proposal });
        }
        let approver = ballot.approver.clone();
        let Some(known) = self.roster.approver(&approver) else {
            return Err(Refusal::UnknownApprover { approver });
        };
        if !terms.approvers.contains(&approver) {
            return Err(Refusal::NotOnThisProposal { approver });
        }
        if let Some(wrong) = ballot.wording() {
            return Err(Refusal::BadWords { because: wrong.to_string() });
        }
        if ballot.proposal_digest != run.proposal.digest || ballot.plan_digest != terms.plan_digest
        {
            return Err(Refusal::DigestDiffers { expected: run.proposal.digest.clone() });
        }
        if !ballot.verify(&known.key) {
            return Err(Refusal::BadSignature { approver });
        }
        let subject = Subject::Link(ballot.link.clone());
        match &ballot.decision {
            Decision::Reject { reason } => {
                let why = format!("{approver} rejected it: {reason}{}", run.for_people());
                // Nothing of a guard is taken back: each of its steps stands for itself.
                if run.acted() && run.proposal.plan.kind != PlanKind::ReturnGuard {
                    return Ok((subject, Event::UndoStarted { proposal: ballot.proposal, why }));
                }
                let (proposal, end) = (ballot.proposal, End::Rejected);
                Ok((subject, Event::ProposalClosed { proposal, end, why }))
            }
            Decision::Approve { break_glass, forecast_unknown, attestation } => {
                // Who finds nobody else after signing may still break the glass, once.
                let again = run.ballots.iter().any(|received| {
                    let decision = &received.ballot.decision;
                    let glass = matches!(decision, Decision::Approve { break_glass: true, .. });
                    received.ballot.approver == approver && (glass || !*break_glass)
                });
                if again {
                    return Err(Refusal::AlreadyDecided { approver });
                }
                if terms.attestation_required && attestation.is_none() {
                    return Err(Refusal::AttestationMissing);
                }
                if terms.bounds.loss_most_ms.is_none() && !forecast_unknown {
                    return Err(Refusal::ForecastUnknown);
                }
                if *break_glass && terms.break_glass_wait_ms.is_none() {
                    return Err(Refusal::NoBreakGlass);
                }
                Ok((subject, Event::BallotReceived { ballot }))
            }
        }
    }

    fn admit_report(
        &self,
        now: Timestamp,
        step: StepRef,
        report: Report,
    ) -> Result<(Subject, Event), Refusal> {
        let under_way = self.work().into_iter().find(|work| work.step == step);
        let work = under_way.ok_or(Refusal::StepNotUnderWay)?;
        let event = match report {
            Report::Sending => {
                // The permission for the deed itself: both clocks, bounds and contrary evidence are
                // looked at once more, on the newest evidence there is.
                let view = self.view(&work.link, now).ok_or(Refusal::StepNotUnderWay)?;
                let run = view.record.live().ok_or(Refusal::StepNotUnderWay)?;
                if work.sent || work.overdue || work.route.is_none() {
                    return Err(Refusal::StepNotUnderWay);
                }
                clearance(&view, run)
                    .map_err(|blocked| Refusal::NoSuchWay { because: blocked.to_string() })?;
                Event::StepSending { step }
            }
            Report::Noted { .. } if !work.sent || work.overdue => {
                return Err(Refusal::StepNotUnderWay);
            }
            Report::Noted { operation } => Event::StepNoted { step, operation },
            Report::Done { seen, engine_ms, warning } => {
                Event::StepDone { step, seen, engine_ms, warning }
            }
            Report::NotDone { why, again } => Event::StepNotDone { step, why, again },
            Report::Unknown { .. } if work.overdue => return Err(Refusal::StepNotUnderWay),
            Report::Unknown { why } => Event::StepUnknown { step, why },
        };
        Ok((Subject::Link(work.link), event))
    }
}

fn under_way(state: &StepState) -> Option<(&Started, bool)> {
    match state {
        StepState::Started(started) => Some((started, false)),
        StepState::Unknown { started, .. } => Some((started, true)),
        StepState::Pending | StepState::NotDone { .. } => None,
    }
}
