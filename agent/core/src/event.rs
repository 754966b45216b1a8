//! Entries: facts with their place and time. Their format is a promise: what has been written once
//! can be read for ever, and there is a golden file of every event to hold us to it.

use alloc::{format, string::String, vec::Vec};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    approval::Ballot,
    evidence::Observation,
    forecast::Sample,
    health::{Health, Reason},
    names::{InstanceId, LinkId, ProposalId, Seq, Side},
    proposal::{End, Texts},
    report::{Runbook, StateReport},
};

/// The format that this version writes. Older ones are lifted by [`read`].
pub const FORMAT: u16 = 1;

/// A fact with its place and time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Format of this entry.
    pub v: u16,
    pub seq: Seq,
    pub at: Timestamp,
    pub subject: Subject,
    /// The rule that said so, if it was the agent's own initiative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub event: Event,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Agent,
    Instance(InstanceId),
    Link(LinkId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// The daemon came up and has read the journal.
    AgentStarted {
        version: String,
        config_digest: String,
    },
    /// The verdict on a link changed.
    HealthChanged {
        from: Health,
        to: Health,
        primary: Option<Side>,
        reasons: Vec<Reason>,
        /// The newest look of each vantage: what the verdict rests on.
        evidence: Vec<Observation>,
        /// The primary as it was last seen, if it has just fallen silent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sample: Option<Sample>,
    },
    ProposalOpened {
        texts: Texts,
    },
    /// A valid approval came in.
    BallotReceived {
        ballot: Ballot,
    },
    /// The quorum is reached, or the glass is broken and the waiting time over.
    ProposalApproved {
        proposal: ProposalId,
        break_glass: bool,
        execute_by: Timestamp,
    },
    ProposalClosed {
        proposal: ProposalId,
        end: End,
        why: String,
    },
    /// A step is begun; from here on the world may be touched.
    StepStarted {
        step: StepRef,
        route: usize,
    },
    /// The command leaves now: from here on it may have landed.
    StepSending {
        step: StepRef,
    },
    /// The control plane took the command and named an operation. The address is signed: it is a
    /// secret of sorts and is not published.
    StepNoted {
        step: StepRef,
        operation: String,
    },
    StepDone {
        step: StepRef,
        seen: String,
        engine_ms: u64,
        /// What is missing though the step is done, and what people do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
    /// Conclusively without effect.
    StepNotDone {
        step: StepRef,
        why: String,
        again: Again,
    },
    /// The deadline passed and nobody can tell.
    StepUnknown {
        step: StepRef,
        why: String,
    },
    /// What has been done is taken back, last step first. No command of the plan itself leaves any
    /// more.
    UndoStarted {
        proposal: ProposalId,
        why: String,
    },
    /// A human has seen it; the agent may propose again.
    EpisodeAcknowledged {
        by: String,
        note: String,
    },
    /// A human has taken back the standing order for a side that was left unfenced.
    GuardLifted {
        by: String,
        note: String,
    },
    /// How everything is, told at times of the calendar.
    StateReported {
        report: StateReport,
    },
    /// What people do by hand if the agent is dead, as it is today.
    RunbookIssued {
        runbook: Runbook,
    },
}

/// One try of one step of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepRef {
    pub proposal: ProposalId,
    pub lane: usize,
    pub step: usize,
    /// Counted from 1.
    pub attempt: u32,
    /// It is taken back, not done.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub undo: bool,
}

/// What a conclusive failure allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// The same route, after a while.
    SameRoute,
    /// This route can't be gone at present, or not at all; the next one may.
    NextRoute,
    /// Nothing that this plan can do will help.
    Never,
}

impl Event {
    /// The name of the event as it stands in the journal and in what is published.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::AgentStarted { .. } => "agent_started",
            Self::HealthChanged { .. } => "health_changed",
            Self::ProposalOpened { .. } => "proposal_opened",
            Self::BallotReceived { .. } => "ballot_received",
            Self::ProposalApproved { .. } => "proposal_approved",
            Self::ProposalClosed { .. } => "proposal_closed",
            Self::StepStarted { .. } => "step_started",
            Self::StepSending { .. } => "step_sending",
            Self::StepNoted { .. } => "step_noted",
            Self::StepDone { .. } => "step_done",
            Self::StepNotDone { .. } => "step_not_done",
            Self::StepUnknown { .. } => "step_unknown",
            Self::UndoStarted { .. } => "undo_started",
            Self::EpisodeAcknowledged { .. } => "episode_acknowledged",
            Self::GuardLifted { .. } => "guard_lifted",
            Self::StateReported { .. } => "state_reported",
            Self::RunbookIssued { .. } => "runbook_issued",
        }
    }
}

/// Lifts an entry of one format to the next.
type Upcast = fn(&mut Value) -> Result<(), String>;

/// From format n + 1 to n + 2, by place. Empty as long as there is one format.
const UPCASTS: [Upcast; FORMAT as usize - 1] = [];

/// Reads an entry of any format that ever was.
///
/// # Errors
///
/// Says what is wrong, and which format is too new.
pub fn read(text: &str) -> Result<Entry, String> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    lift(&mut value, &UPCASTS)?;
    serde_json::from_value(value).map_err(|error| format!("it is no entry: {error}"))
}

/// The text of an entry, as it stands in the journal.
#[must_use]
pub fn write(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap_or_default()
}

fn lift(value: &mut Value, upcasts: &[Upcast]) -> Result<(), String> {
    let newest = u64::try_from(upcasts.len()).unwrap_or(u64::MAX) + 1;
    let format = value.get("v").and_then(Value::as_u64).ok_or("it has no format number `v`")?;
    if format == 0 || format > newest {
        return Err(format!(
            "its format is {format}, and this version of dr-agent knows 1 to {newest}: run the version that wrote it, or a newer one"
        ));
    }
    for (place, upcast) in upcasts.iter().enumerate().skip(usize::try_from(format - 1).unwrap_or(0))
    {
        upcast(value)?;
        value["v"] = Value::from(place + 2);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_entry_is_lifted_step_by_step() {
        let rename: Upcast = |value| {
            value["new"] = value["old"].take();
            Ok(())
        };
        let double: Upcast = |value| {
            value["new"] = Value::from(value["new"].as_u64().ok_or("no number")? * 2);
            Ok(())
        };
        let mut value: Value = serde_json::from_str(r#"{"v":1,"old":21}"#).expect("JSON");
        lift(&mut value, &[rename, double]).expect("liftable");
        assert_eq!((value["v"].as_u64(), value["new"].as_u64()), (Some(3), Some(42)));
    }

    #[test]
    fn an_entry_from_the_future_is_refused_in_words() {
        let error = read(r#"{"v":9,"seq":1}"#).expect_err("too new");
        assert!(error.starts_with("its format is 9, and this version of dr-agent knows 1 to 1"));
        assert_eq!(read(r#"{"seq":1}"#).expect_err("no v"), "it has no format number `v`");
    }
}
