//! The story of each link, told from the journal alone: when an episode begins and ends, what changes
//! in it, and when a human has to act. Pure: the same entries give the same changes, so a sink that
//! begins again tells nothing twice.
//!
//! An episode begins with the first sign of trouble, or with a proposal, and is over when the link
//! is healthy and nothing waits for a human. It is a *page* while a human has to act and a *warning*
//! otherwise (see `need`). What may heal by itself is a page only when it has lasted for a while, and
//! a page ends only when nobody has had to act for as long: a server that restarts again and again
//! is one page. Those two follow from time alone; they take their place among the entries by the
//! time at which they are due.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use agent_core::{
    Action, Again, ApproverId, End, Entry, Event, Health, LinkId, Proposal, ProposalId, Reason,
    Seq, Side, Status, Step, Subject, Texts, Undo,
};
use jiff::{SignedDuration, Timestamp};

use super::need::{Need, lost, pressing};
use crate::config::Severity;

/// The rule that closes the proposal of a link which the configuration does not name any more.
const LINK_DROPPED: &str = "link_dropped";

/// All episodes that are not over.
#[derive(Clone, Debug)]
pub(super) struct Stories {
    page_after: SignedDuration,
    open: BTreeMap<LinkId, Episode>,
}

/// One episode as it stands after some change.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    pub(super) link: LinkId,
    /// The entry with which it began.
    pub(super) id: Seq,
    pub(super) since: Timestamp,
    /// Changes so far.
    pub(super) sequence: u64,
    pub(super) health: Health,
    /// The newest health that says something: what is not seen has not changed.
    pub(super) known: Health,
    pub(super) health_since: Timestamp,
    pub(super) primary: Option<Side>,
    pub(super) reasons: Vec<Reason>,
    /// The newest one.
    pub(super) proposal: Option<Proposed>,
    pub(super) need: Option<Need>,
    pub(super) page: Option<Paged>,
    /// When it was over.
    pub(super) over: Option<Timestamp>,
    timer: Option<Timer>,
}

/// When a human had to act. It may begin anew in the same episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paged {
    pub(super) since: Timestamp,
    pub(super) until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub(super) proposal: Arc<Proposal>,
    pub(super) status: Status,
    pub(super) approved_by: Vec<ApproverId>,
    pub(super) why: Option<String>,
    pub(super) acknowledged: bool,
    /// The command after which nothing is taken back may have left, and an old copy that is to be
    /// READ_ONLY after it is not yet.
    pub(super) committed: bool,
}

/// What follows from time alone.
#[derive(Clone, Copy, Debug)]
struct Timer {
    /// The entry from which on it runs.
    started: Seq,
    due: Timestamp,
    /// The page ends then; otherwise it begins.
    ends: bool,
}

/// Something that receivers are told.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    pub(super) news: News,
    /// Whether a human had to act before it.
    pub(super) paged_before: bool,
    /// As it stands after it.
    pub(super) episode: Episode,
}

#[derive(Clone, Debug)]
pub(super) enum News {
    /// An entry of the journal, redacted.
    Entry { seq: Seq, event: Box<Event> },
    /// The primary has been lost for so long that it is a page. `started` is the entry since which.
    Lasting { started: Seq },
    /// Nobody has had to act for a while.
    Calm { started: Seq },
    /// The configuration does not name the link any more.
    Dropped,
    /// Nothing new: the receiver is, and is told how things stand.
    Standing,
}

impl Stories {
    pub(super) fn new(page_after: std::time::Duration) -> Self {
        let page_after = SignedDuration::try_from(page_after).unwrap_or(SignedDuration::MAX);
        Self { page_after, open: BTreeMap::new() }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// The next entry, redacted. What was due before it has to have been taken with [`Self::pass`].
    pub(super) fn take(&mut self, entry: &Entry) -> Option<Change> {
        let Subject::Link(link) = &entry.subject else { return None };
        let mut episode = match self.open.remove(link) {
            Some(episode) => episode,
            None => Episode::begin(link, entry)?,
        };
        let paged_before = episode.paging();
        let news = episode.apply(entry);
        episode.weigh(entry, self.page_after);
        if episode.ended(entry) {
            episode.over = Some(entry.at);
            episode.calm_down(entry.at);
        }
        let over = episode.over.is_some();
        let change = (news || over || paged_before != episode.paging()).then(|| {
            episode.sequence += 1;
            let news = News::Entry { seq: entry.seq, event: Box::new(entry.event.clone()) };
            Change { at: entry.at, news, paged_before, episode: episode.clone() }
        });
        if !over {
            self.open.insert(link.clone(), episode);
        }
        change
    }

    /// The earliest change that follows from time alone, if one is due.
    pub(super) fn pass(&mut self, now: Timestamp) -> Option<Change> {
        self.expire(|timer| timer.due <= now)
    }

    /// Takes for told what began to run with an entry up to `started`.
    pub(super) fn told(&mut self, started: Seq) {
        while self.expire(|timer| timer.started <= started).is_some() {}
    }

    /// Ends the episodes of links that are not configured any more: nobody looks at them. A proposal
    /// that is live is closed by the core first.
    pub(super) fn drop_others(&mut self, links: &BTreeSet<LinkId>, now: Timestamp) -> Vec<Change> {
        let gone = |link: &LinkId, episode: &mut Episode| !links.contains(link) && !episode.waits();
        let end = |(_, mut episode): (LinkId, Episode)| {
            let paged_before = episode.paging();
            let now = now.max(episode.health_since);
            episode.over = Some(now);
            episode.calm_down(now);
            episode.sequence += 1;
            Change { at: now, news: News::Dropped, paged_before, episode }
        };
        self.open.extract_if(.., gone).map(end).collect()
    }

    /// When something is due next.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        self.open.values().filter_map(|episode| Some(episode.timer?.due)).min()
    }

    /// Whether no episode is open.
    pub(super) fn calm(&self) -> bool {
        self.open.is_empty()
    }

    /// Every open episode as it stands.
    pub(super) fn standing(&self) -> Vec<Change> {
        let change = |episode: &Episode| Change {
            at: episode.health_since,
            news: News::Standing,
            paged_before: episode.paging(),
            episode: episode.clone(),
        };
        self.open.values().map(change).collect()
    }

    fn expire(&mut self, due: impl Fn(&Timer) -> bool) -> Option<Change> {
        let timers =
            self.open.values_mut().filter(|episode| episode.timer.as_ref().is_some_and(&due));
        let episode =
            timers.min_by_key(|episode| episode.timer.map(|timer| (timer.due, timer.started)))?;
        let Timer { started, due, ends } = episode.timer.take()?;
        let paged_before = episode.paging();
        let news = if ends {
            episode.calm_down(due);
            News::Calm { started }
        } else {
            episode.page(due, Need::lost(episode.known));
            News::Lasting { started }
        };
        episode.sequence += 1;
        Some(Change { at: due, news, paged_before, episode: episode.clone() })
    }
}

impl Episode {
    fn begin(link: &LinkId, entry: &Entry) -> Option<Self> {
        let (known, health) = match &entry.event {
            Event::HealthChanged { to: Health::Healthy, .. }
            | Event::HealthChanged { from: Health::Unknown, to: Health::Unknown, .. } => {
                return None;
            }
            Event::HealthChanged { from, to, .. } => (*from, *to),
            Event::ProposalOpened { texts } => {
                let health = read(texts)?.terms.health;
                (health, health)
            }
            Event::AgentStarted { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::ProposalClosed { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepDone { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::UndoStarted { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => return None,
        };
        Some(Self {
            link: link.clone(),
            id: entry.seq,
            since: entry.at,
            sequence: 0,
            health,
            known,
            health_since: entry.at,
            primary: None,
            reasons: Vec::new(),
            proposal: None,
            need: None,
            page: None,
            over: None,
            timer: None,
        })
    }

    /// Whether a human has to act.
    pub(super) fn paging(&self) -> bool {
        self.page.is_some_and(|page| page.until.is_none())
    }

    pub(super) fn severity(&self) -> Severity {
        if self.paging() { Severity::Page } else { Severity::Warning }
    }

    /// Takes in an entry. Says whether it is news to people.
    fn apply(&mut self, entry: &Entry) -> bool {
        match &entry.event {
            Event::HealthChanged { to, primary, reasons, .. } => {
                self.health = *to;
                if *to != Health::Unknown {
                    self.known = *to;
                }
                self.health_since = entry.at;
                self.primary = primary.or(self.primary);
                self.reasons.clone_from(reasons);
                true
            }
            Event::ProposalOpened { texts } => self.opened(texts),
            Event::BallotReceived { ballot } => self.about(ballot.proposal, |proposed| {
                if !proposed.approved_by.contains(&ballot.approver) {
                    proposed.approved_by.push(ballot.approver.clone());
                }
            }),
            Event::ProposalApproved { proposal, execute_by, .. } => {
                let status = Status::Approved { at: entry.at, execute_by: *execute_by };
                self.about(*proposal, |proposed| proposed.status = status)
            }
            Event::UndoStarted { proposal, why } => self.about(*proposal, |proposed| {
                proposed.status = Status::Undoing { since: entry.at };
                proposed.why = Some(why.clone());
            }),
            Event::ProposalClosed { proposal, end, why } => self.about(*proposal, |proposed| {
                proposed.status = Status::Closed(*end);
                proposed.why = Some(why.clone());
            }),
            Event::EpisodeAcknowledged { .. } => {
                if let Some(proposed) = &mut self.proposal {
                    proposed.acknowledged = true;
                }
                true
            }
            Event::StepSending { step } => {
                if let Some(proposed) = &mut self.proposal {
                    let sent = proposed.proposal.plan.step(step.lane, step.step);
                    proposed.committed |= sent.is_some_and(|sent| sent.undo == Undo::Impossible);
                }
                true
            }
            Event::StepDone { step, .. } => {
                if let Some(proposed) = &mut self.proposal {
                    let done = proposed.proposal.plan.step(step.lane, step.step);
                    let closed = |done: &Step| matches!(done.action, Action::ReadOnly { .. });
                    proposed.committed &= !done.is_some_and(closed);
                }
                true
            }
            Event::GuardLifted { .. } | Event::StepUnknown { .. } => true,
            // It is tried again, up to twenty times: that it began to fail is news.
            Event::StepNotDone { step, again, .. } => step.attempt == 1 || *again == Again::Never,
            Event::StepStarted { .. }
            | Event::StepNoted { .. }
            | Event::AgentStarted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => false,
        }
    }

    fn opened(&mut self, texts: &Texts) -> bool {
        let Some(proposal) = read(texts) else { return false };
        let target = proposal.plan.lanes.first().map(|lane| lane.target);
        self.primary = self.primary.or(target.map(Side::other));
        if self.reasons.is_empty() {
            self.reasons.clone_from(&proposal.terms.reasons);
        }
        self.proposal = Some(Proposed {
            proposal: Arc::new(proposal),
            status: Status::Open,
            approved_by: Vec::new(),
            why: None,
            acknowledged: false,
            committed: false,
        });
        true
    }

    fn about(&mut self, proposal: ProposalId, change: impl FnOnce(&mut Proposed)) -> bool {
        let newest = self.proposal.as_mut();
        let Some(proposed) = newest.filter(|newest| newest.id() == proposal) else { return false };
        change(proposed);
        true
    }

    /// Whether a human has to act now, or will have to if it lasts, or has not to any more.
    fn weigh(&mut self, entry: &Entry, page_after: SignedDuration) {
        let due = entry.at.checked_add(page_after).unwrap_or(Timestamp::MAX);
        let timer = |ends| Some(Timer { started: entry.seq, due, ends });
        if let Some(need) = pressing(self) {
            self.timer = None;
            self.page(entry.at, need);
        } else if lost(self.known) {
            if self.paging() {
                self.timer = None;
                self.need = Some(Need::lost(self.known));
            } else if due <= entry.at {
                self.page(entry.at, Need::lost(self.known));
            } else if self.timer.is_none() {
                self.timer = timer(false);
            }
        } else if !self.paging() {
            self.timer = None;
        } else if due <= entry.at {
            self.calm_down(entry.at);
        } else if self.timer.is_none() {
            self.timer = timer(true);
        }
    }

    fn page(&mut self, at: Timestamp, need: Need) {
        if !self.paging() {
            self.page = Some(Paged { since: at, until: None });
        }
        self.need = Some(need);
    }

    fn calm_down(&mut self, at: Timestamp) {
        if let Some(page) = &mut self.page {
            page.until.get_or_insert(at);
        }
        (self.need, self.timer) = (None, None);
    }

    fn ended(&self, entry: &Entry) -> bool {
        if entry.rule.as_deref() == Some(LINK_DROPPED) {
            return true;
        }
        let stuck = self.proposal.as_ref().is_some_and(|proposed| {
            // Overtaken: the applications may be out, and nothing lets them in by itself.
            let ends = [End::Stuck, End::Overtaken].map(Status::Closed);
            ends.contains(&proposed.status) && !proposed.acknowledged
        });
        self.health == Health::Healthy && !stuck && !self.waits()
    }

    /// Whether a proposal is open or being carried out.
    fn waits(&self) -> bool {
        self.proposal.as_ref().is_some_and(|proposed| match proposed.status {
            Status::Open | Status::Approved { .. } | Status::Undoing { .. } => true,
            Status::Closed(
                End::Succeeded
                | End::Undone
                | End::Stuck
                | End::Rejected
                | End::Expired
                | End::Withdrawn
                | End::Overtaken,
            ) => false,
        })
    }
}

impl Proposed {
    pub(super) fn id(&self) -> ProposalId {
        self.proposal.terms.proposal
    }
}

/// None for one that can't be read: the loop has read it before it was written.
fn read(texts: &Texts) -> Option<Proposal> {
    Proposal::read(texts.clone()).ok()
}
