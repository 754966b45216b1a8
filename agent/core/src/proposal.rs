//! A proposal: plan, reason, frozen evidence, forecast and bounds, waiting for approvers.
//!
//! Two texts make it: the plan and the terms. Their exact bytes are what is signed, stored and
//! executed from; they are never serialised again.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    approval::{Ballot, Decision},
    evidence::{Observation, signed},
    forecast::{Bounds, Forecast, Loss},
    health::{Health, Reason},
    names::{ApproverId, LinkId, ProposalId, Side},
    plan::{Action, Plan, PlanKind, Route, Undo, digest},
};

const PLAN_LABEL: &str = "dr-agent plan v1";
const TERMS_LABEL: &str = "dr-agent proposal v1";

/// The two exact texts of a proposal, as they are carried about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    pub plan: String,
    pub terms: String,
}

/// A proposal as read from its texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub texts: Texts,
    /// Digest of the terms, and through the plan's digest in them of everything.
    pub digest: String,
    pub plan: Plan,
    pub terms: Terms,
}

/// Everything that is signed beside the steps themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    pub proposal: ProposalId,
    pub link: LinkId,
    pub kind: PlanKind,
    pub plan_digest: String,
    pub opened_at: Timestamp,
    pub origin: Origin,
    pub health: Health,
    pub reasons: Vec<Reason>,
    /// The newest look of each vantage when it was opened.
    pub evidence: Vec<Observation>,
    pub forecast: Forecast,
    pub bounds: Bounds,
    /// Approvers have to say how writes on the other side were stopped.
    pub attestation_required: bool,
    /// The signatures that it takes, and whose.
    pub quorum: usize,
    pub approvers: Vec<ApproverId>,
    /// One signer is enough after this long, if the glass is broken; None: it can't be.
    pub break_glass_wait_ms: Option<u64>,
    /// First clock: after this it can't be approved any more.
    pub approve_by: Timestamp,
    /// Second clock: this long after the last approval no step starts any more.
    pub execute_within_ms: u64,
    pub stuck_after_ms: u64,
    pub retry_after_ms: u64,
    pub attempts: u32,
    /// What an approver has to know, in sentences.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Origin {
    /// The rules of the agent.
    Agent,
    /// Somebody asked for it.
    Operator { name: String },
    /// An alert of a monitoring system asked for it, by a rule of the configuration. The fingerprint
    /// is the alert's identity there: the same alert that resolves speaks against the proposal.
    Alert { rule: String, alertname: String, fingerprint: String },
    /// A side came back, and the plan of this proposal said what is done then.
    Guard { proposal: ProposalId },
}

impl Origin {
    /// Whether no human asked for it.
    pub(crate) fn is_machine(&self) -> bool {
        match self {
            Self::Agent | Self::Alert { .. } => true,
            // What was signed before does not count against what may be asked.
            Self::Operator { .. } | Self::Guard { .. } => false,
        }
    }
}

/// Where a proposal stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Open,
    Approved {
        at: Timestamp,
        execute_by: Timestamp,
    },
    /// What has been done is being taken back.
    Undoing {
        since: Timestamp,
    },
    Closed(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Succeeded,
    /// What had been done was taken back: the old primary takes writes again.
    Undone,
    /// The agent can't tell or can't go on; a human must look.
    Stuck,
    Rejected,
    /// A clock ran out before anything took effect.
    Expired,
    /// Something positive spoke against it before anything took effect; or, of a return guard, whose
    /// steps each stand for themselves, it is not needed any more.
    Withdrawn,
    /// The primary was lost while a planned failover was under way: it can neither go on nor be
    /// taken back, and stands in the way of a forced one no more.
    Overtaken,
}

impl Proposal {
    /// Reads the two texts and checks that they belong together.
    ///
    /// # Errors
    ///
    /// Says which text is wrong and how.
    pub fn read(texts: Texts) -> Result<Self, String> {
        let plan: Plan = serde_json::from_str(&texts.plan)
            .map_err(|error| format!("the plan can't be read: {error}"))?;
        let terms: Terms = serde_json::from_str(&texts.terms)
            .map_err(|error| format!("the terms can't be read: {error}"))?;
        let found = digest(PLAN_LABEL, &texts.plan);
        if found != terms.plan_digest {
            return Err(format!(
                "the plan is not the one that the terms name: its digest is {found}, theirs {}",
                terms.plan_digest
            ));
        }
        Ok(Self { digest: digest(TERMS_LABEL, &texts.terms), texts, plan, terms })
    }

    /// Puts a plan and its terms into their final texts. `terms.plan_digest` is filled in here.
    pub(crate) fn write(plan: &Plan, mut terms: Terms) -> Texts {
        let plan = plan.to_text();
        terms.plan_digest = digest(PLAN_LABEL, &plan);
        let terms = serde_json::to_string(&terms).unwrap_or_default();
        Texts { plan, terms }
    }

    /// Whether the ballots make a quorum at `now`: enough signers, or one and the waiting time.
    #[must_use]
    pub fn decided(&self, ballots: &[Received], now: Timestamp) -> bool {
        signers(ballots) >= self.terms.quorum
            || self.glass_breaks_at(ballots).is_some_and(|at| at <= now)
    }

    /// When the waiting time of the earliest signer who broke the glass ends.
    #[must_use]
    pub fn glass_breaks_at(&self, ballots: &[Received]) -> Option<Timestamp> {
        let wait = jiff::SignedDuration::from_millis(
            i64::try_from(self.terms.break_glass_wait_ms?).unwrap_or(i64::MAX),
        );
        let first = ballots.iter().find(|received| {
            matches!(received.ballot.decision, Decision::Approve { break_glass: true, .. })
        })?;
        first.at.checked_add(wait).ok()
    }
}

/// A ballot and when it came in, by the agent's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub at: Timestamp,
    pub ballot: Ballot,
}

/// How many people have signed: somebody who breaks the glass later is still one.
pub(crate) fn signers(ballots: &[Received]) -> usize {
    let names: alloc::collections::BTreeSet<&ApproverId> =
        ballots.iter().map(|received| &received.ballot.approver).collect();
    names.len()
}

/// The sentences that an approver has to have read.
pub(crate) fn notes(
    forecast: &Forecast,
    bounds: &Bounds,
    attestation_required: bool,
    plan: &Plan,
) -> Vec<String> {
    let mut notes = Vec::new();
    match plan.kind {
        PlanKind::ForcedFailover | PlanKind::Deletion => {}
        PlanKind::PlannedFailover => {
            planned_notes(plan, &mut notes);
            return notes;
        }
        PlanKind::Cutover => {
            cutover_notes(plan, &mut notes);
            return notes;
        }
        PlanKind::Repair => {
            repair_notes(plan, &mut notes);
            return notes;
        }
        PlanKind::ReturnGuard => {
            guard_notes(plan, &mut notes);
            return notes;
        }
    }
    match (&forecast.loss, bounds.loss_most_ms) {
        (Loss::Unknown { .. }, _) | (_, None) => notes.push(forecast.loss.to_string()),
        (loss @ Loss::Within { .. }, Some(most)) => notes.push(format!(
            "Expected loss: {loss}. No step starts if the forecast exceeds {}",
            crate::forecast::seconds(most)
        )),
    }
    if attestation_required {
        notes.push(String::from(
            "Nobody independent confirms that the primary is gone. Say how writes there were stopped",
        ));
    }
    points_of_no_return(plan, &mut notes);
    backups(plan, &mut notes);
    notes.push(String::from(
        "When the old primary returns it will still be PRIMARY and take writes: keep applications away from it",
    ));
    standing_order(plan, &mut notes);
    notes
}

/// What is signed beside the failover itself.
fn standing_order(plan: &Plan, notes: &mut Vec<String>) {
    for lane in &plan.lanes {
        let side = lane.target.other();
        if lane.guard.is_empty() {
            notes.push(format!("No return guard: nobody stops writers on {side} when it returns"));
            continue;
        }
        let logins = lane.guard.iter().find_map(|step| {
            if let Action::LoginsSet { logins, .. } = &step.action { Some(logins) } else { None }
        });
        let out = match logins {
            Some(logins) => format!(
                ", and {} disabled there, for its other databases too; members of sysadmin, jobs and users of other logins slip through",
                logins.join(", ")
            ),
            None => String::from(
                "; with no logins in `links.guard` those who come back are ended again, as often as the plan allows",
            ),
        };
        let closes = lane.guard.iter().any(|step| matches!(step.action, Action::ReadOnly { .. }));
        let then = match (plan.kind.parts(), closes) {
            (false, _) => "",
            (true, true) => {
                ". Then its groups are dropped, and what is left is READ_ONLY: no link leads back to it"
            }
            (true, false) => {
                ". Then its distributed group is dropped; its own group is not known, or is several replicas, and stays, so it is NOT made READ_ONLY: keep everybody out of it"
            }
        };
        notes.push(format!(
            "With it you sign the return guard: when {side} returns as PRIMARY, whoever works in its database is ended at once, without asking again{out}. Nothing is taken from it{then}"
        ));
    }
}

fn guard_notes(plan: &Plan, notes: &mut Vec<String>) {
    let Some(winner) = plan.lanes.first().map(|lane| lane.target) else { return };
    let loser = winner.other();
    notes.push(format!(
        "{winner} is the primary by a plan that was signed, and this was signed with it: writers on {loser} are stopped, what {loser} has stays there"
    ));
    let steps = || plan.lanes.iter().flat_map(|lane| &lane.steps);
    if steps().any(|step| matches!(step.action, Action::GroupDropped { .. })) {
        notes.push(format!(
            "No link leads from {winner} to {loser}: its groups are dropped, and merging what only {loser} has is for people"
        ));
        return;
    }
    notes.push(format!(
        "To make {loser} the secondary again ask for a repair; to keep what {loser} has instead, too, with `--winner`"
    ));
}

fn planned_notes(plan: &Plan, notes: &mut Vec<String>) {
    notes.push(String::from(
        "Nothing is lost: the primary hands over only when the other side has everything, and else stays primary",
    ));
    let steps = || plan.lanes.iter().flat_map(|lane| &lane.steps);
    let hooked = steps().any(|step| matches!(step.routes.first(), Some(Route::Hook(_))));
    notes.push(String::from(if hooked {
        "The applications are stopped by the hook, and let in again if the plan is taken back. After the change of roles they have to be pointed at the new primary"
    } else {
        "No hook stops the applications: stop them yourself after you have signed, and let them in again if the plan is taken back. After the change of roles point them at the new primary"
    }));
    points_of_no_return(plan, notes);
    backups(plan, notes);
}

fn cutover_notes(plan: &Plan, notes: &mut Vec<String>) {
    notes.push(String::from(
        "Nothing is lost: the link is deleted only when nobody is at work, SQL Server commits synchronously and the other side has all of its log, looked at once more just before",
    ));
    let steps = || plan.lanes.iter().flat_map(|lane| &lane.steps);
    let hooked = steps().any(|step| matches!(step.routes.first(), Some(Route::Hook(_))));
    notes.push(String::from(if hooked {
        "The applications are stopped by the hook, and let in again if the plan is taken back. After the deletion they have to be pointed at the managed instance"
    } else {
        "No hook stops the applications: stop them yourself after you have signed, and let them in again if the plan is taken back. After the deletion point them at the managed instance"
    }));
    points_of_no_return(plan, notes);
    notes.extend(steps().filter_map(|step| {
        let Action::LocalGroupDropped { instance, local, .. } = &step.action else { return None };
        Some(format!(
            "The availability group {local} on {instance} is dropped with its listener if it is seen to have no other database, replica or link; else the database is taken out of it, and the group stays"
        ))
    }));
    let logins = steps().find_map(|step| {
        if let Action::LoginsSet { logins, .. } = &step.action {
            Some(logins.join(", "))
        } else {
            None
        }
    });
    let out = logins.map_or_else(
        || String::from("No logins are configured in `links.guard`, so only the hook or you keep them out"),
        |logins| format!("{logins} disabled there meanwhile, for its other databases too; members of sysadmin, jobs and users of other logins slip through"),
    );
    notes.push(format!(
        "From the deletion until the old copy is READ_ONLY both copies could take writes, for some seconds if all goes well: the engine refuses READ_ONLY as long as the database is in a group (1468). {out}"
    ));
    backups(plan, notes);
}

fn repair_notes(plan: &Plan, notes: &mut Vec<String>) {
    let Some(winner) = plan.lanes.first().map(|lane| lane.target) else { return };
    let loser = winner.other();
    notes.push(format!(
        "{winner} keeps what it has. What only {loser} has committed since the two parted is saved in a COPY_ONLY backup, and then leaves its database: nobody merges it but you, from that backup"
    ));
    notes.push(format!(
        "Sessions in the database on {loser} are ended, and ended again if they come back. Point their applications at {winner} before you sign"
    ));
    points_of_no_return(plan, notes);
    notes.push(String::from(
        "UNCONFIRMED for links: 41104 was seen from SET (ROLE = SECONDARY) on old primaries of ordinary groups. It is tried again; if it never works the logs have parted too far, and the link has to be given up and seeded anew",
    ));
}

/// What the backups after the change of roles need.
fn backups(plan: &Plan, notes: &mut Vec<String>) {
    let steps = || plan.lanes.iter().flat_map(|lane| &lane.steps);
    let target = plan.lanes.first().map(|lane| lane.target);
    let backup = steps().any(|step| matches!(step.action, Action::BackedUp { .. }));
    match target {
        Some(Side::SqlServer) if !backup => notes.push(String::from(
            "No place for backups is configured: take a full backup, not COPY_ONLY, on SQL Server at once. Without it nothing after the change of roles can be restored there",
        )),
        Some(Side::ManagedInstance) if plan.kind.parts() => notes.push(String::from(
            "Do not restart or stop the managed instance before its first full backup after the deletion: the database could become unavailable",
        )),
        Some(Side::ManagedInstance) => notes.push(String::from(
            "Do not restart the managed instance and do not drop the link before its first full backup after the change of roles: some minutes for a small database",
        )),
        Some(Side::SqlServer) | None => {}
    }
}

fn points_of_no_return(plan: &Plan, notes: &mut Vec<String>) {
    for lane in &plan.lanes {
        for (place, step) in lane.steps.iter().enumerate() {
            if step.undo == Undo::Impossible {
                notes.push(format!("Point of no return: step {} ({})", place + 1, step.action));
            }
        }
    }
}

/// When the second clock ends, counted from the decisive approval.
pub(crate) fn execute_by(terms: &Terms, approved_at: Timestamp) -> Timestamp {
    let within = core::time::Duration::from_millis(terms.execute_within_ms);
    approved_at.checked_add(signed(within)).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Overtaken => "overtaken",
        })
    }
}
