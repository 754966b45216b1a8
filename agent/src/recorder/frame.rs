//! What is recorded.

use std::sync::Arc;

use agent_core::{Estate, Evidence, Input, LinkId, LinkSpec, Observation, Roster, Seq, StormBrake};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// One thing that is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Mark(Box<Mark>),
    Turn(Box<Given>),
    /// A mark of a version whose evidence this one can't read; the turns behind it neither.
    Foreign {
        life: Arc<Life>,
        why: String,
    },
}

/// Where a replay can begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The newest entry at that time.
    pub follows: Seq,
    pub at: Timestamp,
    pub why: Why,
    pub life: Arc<Life>,
    /// Everything that had been seen of each link, and not been forgotten.
    pub evidence: Vec<(LinkId, Evidence)>,
}

/// Why there is a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The agent began.
    Started,
    /// A segment begins.
    Segment,
    /// So many turns before this one could not be recorded.
    Lost { turns: u64 },
}

/// What stays the same from one start of the agent to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Life {
    /// Of the agent.
    pub version: String,
    /// The term in which this process writes to the journal: no two have the same.
    pub term: u64,
    pub config_digest: String,
    /// [`Settings`] as text, kept to the byte.
    pub settings: String,
    /// Over that text.
    pub settings_digest: String,
}

/// What of the configuration the decisions rest on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub links: Vec<LinkSpec>,
    pub roster: Roster,
    pub brake: StormBrake,
}

/// What one turn was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The newest entry when it began.
    pub follows: Seq,
    pub now: Timestamp,
    pub seen: Vec<Observation>,
    /// Those that were accepted, in order.
    pub inputs: Vec<Input>,
}

impl Life {
    #[must_use]
    pub fn new(version: &str, term: u64, config_digest: &str, settings: &Settings) -> Self {
        let settings = settings.to_text();
        Self {
            version: version.to_owned(),
            term,
            config_digest: config_digest.to_owned(),
            settings_digest: digest(&settings),
            settings,
        }
    }

    /// What this life was configured with.
    ///
    /// # Errors
    ///
    /// Says why this version can't decide as that one did.
    pub fn read_settings(&self) -> Result<Settings, String> {
        if digest(&self.settings) != self.settings_digest {
            return Err("what it was configured with has been changed since".to_owned());
        }
        let settings: Settings = serde_json::from_str(&self.settings).map_err(|error| {
            format!(
                "this version can't read what version {} was configured with: {error}",
                self.version
            )
        })?;
        if settings.to_text() == self.settings {
            Ok(settings)
        } else {
            Err(format!(
                "this version reads what version {} was configured with in another way",
                self.version
            ))
        }
    }
}

impl Settings {
    /// An estate that has seen and decided nothing yet.
    #[must_use]
    pub fn estate(&self) -> Estate {
        Estate::new(self.links.clone(), self.roster.clone(), self.brake)
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn digest(text: &str) -> String {
    format!("sha256:{}", agent_core::to_hex(&Sha256::digest(text.as_bytes())))
}
