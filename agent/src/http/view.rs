//! What the API shows. The command line reads these types back, so both speak of the same thing.

use agent_core::{
    ApproverId, Decision, End, Entry, Estate, Forecast, Health, LinkId, Observation, Origin,
    PlanKind, ProposalId, Record, Run, Runbook, Seen, Seq, Side, Status as Standing, Step,
    StepState, Texts, Vantage,
    runbook::{Places, Sheet},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/status`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub started_at: Timestamp,
    pub now: Timestamp,
    pub last_seq: Seq,
    pub links: Vec<LinkStatus>,
    /// None: no bus is configured.
    pub bus: Option<BusView>,
    /// One for each receiver that is configured.
    #[serde(default)]
    pub alerts: Vec<SinkView>,
}

/// `GET /api/v1/runbook`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runbooks {
    pub runbooks: Vec<RunbookPage>,
}

/// What people do by hand with one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunbookPage {
    pub link: LinkId,
    pub digest: String,
    /// Markdown that reads as plain text.
    pub text: String,
}

impl RunbookPage {
    /// Writes the page.
    #[must_use]
    pub fn write(sheet: &Sheet, places: &Places) -> Self {
        let text = sheet.page(places);
        Self { link: sheet.link().clone(), digest: Runbook::digest(&text), text }
    }
}

/// The links that the configuration names.
#[must_use]
pub fn configured(estate: &Estate) -> Vec<LinkId> {
    estate.links().filter(|(_, spec, _)| spec.is_some()).map(|(id, _, _)| id.clone()).collect()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkStatus {
    pub link: LinkId,
    /// False for a link that only the journal knows.
    pub configured: bool,
    pub health: Health,
    pub since: Option<Timestamp>,
    pub primary: Option<Side>,
    /// In words.
    pub reasons: Vec<String>,
    /// The entry with which the present trouble began.
    pub episode: Option<Seq>,
    /// What a forced failover now would lose.
    pub forecast: Option<Forecast>,
    pub sides: Sides,
    /// The newest one, closed or not.
    pub proposal: Option<Summary>,
    /// The standing order for a side that was left unfenced, while it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardView>,
}

/// A return guard that is armed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardView {
    /// The forced failover with which it was signed.
    pub proposal: ProposalId,
    /// The side whose writers it stops.
    pub side: Side,
    pub armed_at: Timestamp,
    /// It has stopped them, and does so again if the side goes and comes back.
    pub served: bool,
}

/// The newest look of each vantage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    pub sql_server: Option<Look>,
    pub managed_instance: Option<Look>,
    pub control_plane: Option<Look>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub begun_at: Timestamp,
    pub at: Timestamp,
    /// Since it was begun.
    pub age_ms: u64,
    pub late: bool,
    pub seen: Seen,
}

/// The bus as it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusView {
    pub connected: bool,
    pub published: u64,
    pub returned: u64,
    pub nacked: u64,
    /// Entries that the broker returned or refused and that are tried again.
    pub held_up: u64,
    pub last_confirmed_seq: Seq,
    pub lag_entries: u64,
    pub lag_ms: u64,
    pub last_error: Option<String>,
}

/// A sink for alerts as it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkView {
    pub kind: String,
    pub name: String,
    pub sent: u64,
    pub failed: u64,
    pub given_up: u64,
    pub pending_entries: u64,
    pub lag_ms: u64,
    pub last_error: Option<String>,
}

/// `GET /api/v1/proposals`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposals {
    pub proposals: Vec<Summary>,
}

/// One proposal, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub proposal: ProposalId,
    pub link: LinkId,
    pub kind: PlanKind,
    pub status: StatusWord,
    pub origin: Origin,
    pub opened_at: Timestamp,
    pub approvals: usize,
    pub quorum: usize,
    pub approve_by: Timestamp,
    /// Once it is approved.
    pub execute_by: Option<Timestamp>,
    pub step_count: usize,
    pub steps_done: usize,
    pub closed: Option<Closed>,
    /// A human has seen how it ended.
    pub acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusWord {
    Open,
    Approved,
    /// What was done is being taken back.
    Undoing,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    pub end: End,
    pub at: Option<Timestamp>,
    pub why: String,
}

/// `GET /api/v1/proposals/{id}`: everything an approver needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    #[serde(flatten)]
    pub summary: Summary,
    /// The exact texts that are signed.
    pub texts: Texts,
    pub digest: String,
    pub plan_digest: String,
    pub ballots: Vec<Cast>,
    /// Steps of all lanes, in order.
    pub steps: Vec<StepView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    pub approver: ApproverId,
    pub decision: Decision,
    /// When it came in, by the agent's clock.
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    pub lane: usize,
    pub step: usize,
    /// In words.
    pub action: String,
    /// In words, in signed order.
    pub routes: Vec<String>,
    pub state: StepWord,
    /// Why it is not done, or not known.
    pub why: Option<String>,
    pub attempts: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepWord {
    Pending,
    /// Begun, and no command has been let go.
    Started,
    /// The command has been let go: it may have landed.
    Sent,
    NotDone,
    Unknown,
    Done,
}

/// `GET /api/v1/journal`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalPage {
    pub entries: Vec<Kept>,
    /// Place of the newest entry.
    pub head: Seq,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub seq: Seq,
    /// Over the text in the journal, which says more than is shown where it holds a signed address.
    pub hash: String,
    pub entry: Entry,
}

/// All links, each with the newest looks at it. Runs on the loop's own thread.
pub(super) fn links(estate: &Estate, now: Timestamp) -> Vec<LinkStatus> {
    let views = estate.links().map(|(link, spec, record)| {
        let explanation = estate.explain(link, now);
        let (reasons, forecast) = match explanation {
            Some(found) => (found.reasons, Some(found.forecast)),
            None => (record.reasons.iter().map(ToString::to_string).collect(), None),
        };
        LinkStatus {
            link: link.clone(),
            configured: spec.is_some(),
            health: record.health,
            since: record.health_since,
            primary: record.primary,
            reasons,
            episode: record.episode,
            forecast,
            sides: Sides::of(estate.newest(link), now),
            proposal: record.run.as_ref().map(|run| Summary::of(record, run)),
            guard: record.guard.as_ref().map(|guard| GuardView {
                proposal: guard.proposal,
                side: guard.winner.other(),
                armed_at: guard.armed_at,
                served: guard.served,
            }),
        }
    });
    views.collect()
}

/// The newest proposal of each link.
pub(super) fn proposals(estate: &Estate) -> Proposals {
    let proposals =
        estate.links().filter_map(|(_, _, record)| Some(Summary::of(record, record.run.as_ref()?)));
    Proposals { proposals: proposals.collect() }
}

/// One proposal, if it is the newest of its link.
pub(super) fn proposal(estate: &Estate, id: ProposalId) -> Option<Detail> {
    estate.links().find_map(|(_, _, record)| {
        let run = record.run.as_ref().filter(|run| run.proposal.terms.proposal == id)?;
        Some(Detail::of(record, run))
    })
}

impl Sides {
    fn of(looks: Vec<Observation>, now: Timestamp) -> Self {
        let mut sides = Self::default();
        for look in looks {
            let place = match look.vantage {
                Vantage::SqlServer => &mut sides.sql_server,
                Vantage::ManagedInstance => &mut sides.managed_instance,
                Vantage::ControlPlane => &mut sides.control_plane,
            };
            let age_ms = now.duration_since(look.begun_at).as_millis();
            *place = Some(Look {
                begun_at: look.begun_at,
                at: look.at,
                age_ms: u64::try_from(age_ms).unwrap_or(0),
                late: look.late,
                seen: look.seen,
            });
        }
        sides
    }
}

impl Summary {
    fn of(record: &Record, run: &Run) -> Self {
        let terms = &run.proposal.terms;
        let (status, execute_by, closed) = match &run.status {
            Standing::Open => (StatusWord::Open, None, None),
            Standing::Approved { execute_by, .. } => {
                (StatusWord::Approved, Some(*execute_by), None)
            }
            Standing::Undoing { .. } => (StatusWord::Undoing, None, None),
            Standing::Closed(end) => {
                let why = run.why.clone().unwrap_or_default();
                (StatusWord::Closed, None, Some(Closed { end: *end, at: run.closed_at, why }))
            }
        };
        Self {
            proposal: terms.proposal,
            link: terms.link.clone(),
            kind: terms.kind,
            status,
            origin: terms.origin.clone(),
            opened_at: terms.opened_at,
            approvals: run.ballots.len(),
            quorum: terms.quorum,
            approve_by: terms.approve_by,
            execute_by,
            step_count: run.proposal.plan.lanes.iter().map(|lane| lane.steps.len()).sum(),
            steps_done: run.lanes.iter().map(|lane| lane.step).sum(),
            closed,
            acknowledged: record.acknowledged,
        }
    }
}

impl Detail {
    fn of(record: &Record, run: &Run) -> Self {
        let ballots = run.ballots.iter().map(|received| Cast {
            approver: received.ballot.approver.clone(),
            decision: received.ballot.decision.clone(),
            at: received.at,
        });
        Self {
            summary: Summary::of(record, run),
            texts: run.proposal.texts.clone(),
            digest: run.proposal.digest.clone(),
            plan_digest: run.proposal.terms.plan_digest.clone(),
            ballots: ballots.collect(),
            steps: steps(run),
        }
    }
}

fn steps(run: &Run) -> Vec<StepView> {
    let mut steps = Vec::new();
    for (lane, planned) in run.proposal.plan.lanes.iter().enumerate() {
        for (place, step) in planned.steps.iter().enumerate() {
            steps.push(step_view(run, lane, place, step));
        }
    }
    steps
}

fn step_view(run: &Run, lane: usize, place: usize, step: &Step) -> StepView {
    let (mut state, mut why, mut attempts) = (StepWord::Pending, None, 0);
    if let Some(progress) = run.lanes.get(lane) {
        if place < progress.step {
            state = StepWord::Done;
        } else if place == progress.step {
            attempts = progress.attempts;
            (state, why) = match &progress.state {
                StepState::Pending => (StepWord::Pending, None),
                StepState::Started(started) if started.sent => (StepWord::Sent, None),
                StepState::Started(_) => (StepWord::Started, None),
                StepState::NotDone { why, .. } => (StepWord::NotDone, Some(why.clone())),
                StepState::Unknown { why, .. } => (StepWord::Unknown, Some(why.clone())),
            };
        }
    }
    StepView {
        lane,
        step: place,
        action: step.action.to_string(),
        routes: step.routes.iter().map(ToString::to_string).collect(),
        state,
        why,
        attempts,
    }
}
