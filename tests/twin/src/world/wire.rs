//! How an instance's door behaves on the wire: what it agrees to, and what goes wrong there at
//! which stage of a connection.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{FaultError, Party, World};

/// What a server's certificate and settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// There if the client wants it; the login is encrypted in any case (the default of SQL
    /// Server).
    Available,
    /// For everything (managed instance, or Force Encryption).
    Forced,
    /// There is none.
    NotSupported,
    /// TDS 8 only (Force Strict Encryption of SQL Server 2022): TLS comes first.
    Strict,
}

/// How the server acknowledges an attention while a request runs. Clients disagree on which ways
/// they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionStyle {
    /// The reply ends with the acknowledgement.
    OneMessage,
    /// The reply ends, then the acknowledgement follows as a message of its own.
    TwoMessages,
    /// It never comes.
    Never,
    /// It follows as a message of its own, ten seconds later.
    Late,
    /// It follows as a message of its own, and once more.
    Twice,
}

/// What a TDS door of a world from a file does otherwise than usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoorSpec {
    /// Whether connections are encrypted; by default `available` on a SQL Server and `forced` on a
    /// managed instance.
    #[serde(default)]
    pub encryption: Option<Encryption>,
    /// How a cancelled request ends; `two-messages` by default.
    #[serde(default)]
    pub attention: Option<AttentionStyle>,
    /// The instance to which whoever logs in is sent, as a gateway does; nobody is by default.
    #[serde(default)]
    pub redirect: Option<String>,
    /// What goes wrong on the wire from the beginning.
    #[serde(default)]
    pub faults: Vec<WireFault>,
}

/// What goes wrong on the wire, where, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireFault {
    /// At which stage of a connection.
    pub stage: Stage,
    /// What.
    pub trouble: Trouble,
    /// How long a stall lasts, or the pause after each byte, in ms of the world, at most 600000;
    /// 30000 and 5 if left out.
    #[serde(default)]
    pub ms: Option<u32>,
    /// To how many connections or answers it happens; 0 ends it.
    #[serde(default = "once")]
    pub times: u32,
}

/// A stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The connection is there, and nothing is read of it yet.
    Accept,
    /// PRELOGIN is read; its answer is what suffers.
    Prelogin,
    /// The first of the server's part of the TLS handshake, inside PRELOGIN or strict.
    Tls,
    /// LOGIN7 is read; its answer is what suffers.
    Login,
    /// A request is read; the whole answer suffers.
    BeforeAnswer,
    /// The second half of what an answer sends first: mostly in the middle of a row.
    WithinAnswer,
    /// All rows are sent; the last DONE suffers.
    BeforeDone,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It comes later.
    Stall,
    /// It comes byte by byte.
    Dribble,
    /// The connection is closed instead.
    Eof,
    /// The connection is reset instead.
    Reset,
    /// Something comes that is none of the protocol's.
    Garbage,
    /// The packet says that it is shorter than its own header.
    ShortLength,
    /// The packet says that it is longer than it is.
    LongLength,
    /// The last token, which is DONE, comes first.
    Reordered,
}

/// A path that carries so much and no more, and what is under way on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    free: BTreeMap<(Party, Party), Timestamp>,
}

/// The longest stall.
const MOST_MS: u32 = 600_000;
const STALL_MS: u32 = 30_000;
const DRIBBLE_MS: u32 = 5;

impl WireFault {
    /// How long its stall or its pauses are.
    #[must_use]
    pub fn pause(&self) -> SignedDuration {
        let usual = if self.trouble == Trouble::Stall { STALL_MS } else { DRIBBLE_MS };
        SignedDuration::from_millis(i64::from(self.ms.unwrap_or(usual)))
    }

    pub(super) fn check(&self) -> Result<(), FaultError> {
        let early = self.stage == Stage::Accept;
        if early && !matches!(self.trouble, Trouble::Stall | Trouble::Eof | Trouble::Reset) {
            let text = "at the stage accept the server sends nothing; stall, eof and reset can \
                        happen there";
            return Err(FaultError::Impossible(text.to_owned()));
        }
        let answers = matches!(self.stage, Stage::Login | Stage::BeforeAnswer);
        if self.trouble == Trouble::Reordered && !answers {
            let text =
                "only an answer has tokens that can be reordered; at login and before-answer";
            return Err(FaultError::Impossible(text.to_owned()));
        }
        match self.ms {
            Some(ms) if ms > MOST_MS => {
                let text = format!("{ms} ms are too many; {MOST_MS} at most");
                Err(FaultError::Impossible(text))
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl World {
    /// What an instance's door does otherwise than usual.
    #[must_use]
    pub fn door(&self, at: &str) -> Option<&DoorSpec> {
        self.instances.get(at).map(|instance| &instance.door)
    }

    /// The port of the door to which an instance's sends whoever logs in, if it does.
    #[must_use]
    pub fn sends_to(&self, at: &str) -> Option<u16> {
        let to = self.instances.get(at)?.door.redirect.as_ref()?;
        self.instances.get(to)?.port
    }

    /// Notes at which port an instance's door is, for those who are sent to it.
    pub fn know_port(&mut self, at: &str, port: u16) {
        if let Some(instance) = self.instances.get_mut(at) {
            instance.port = Some(port);
        }
    }

    /// What goes wrong on the wire of an instance at this stage, if anything; asking uses it up.
    pub fn take_wire(&mut self, at: &str, stage: Stage) -> Option<WireFault> {
        if self.faults.wire.is_empty() {
            return None;
        }
        let key = (at.to_owned(), stage);
        let found = self.faults.wire.get_mut(&key)?;
        found.times -= 1;
        let taken = *found;
        if taken.times == 0 {
            self.faults.wire.remove(&key);
        }
        Some(taken)
    }

    /// The error with which the next login at an instance fails, and its state, if it is told to;
    /// asking uses it up.
    pub fn take_login_failure(&mut self, at: &str) -> Option<(u32, Option<u8>)> {
        let (number, state, left) = self.faults.failing_logins.get_mut(at)?;
        let taken = (*number, *state);
        *left -= 1;
        if *left == 0 {
            self.faults.failing_logins.remove(at);
        }
        Some(taken)
    }

    pub(super) fn set_wire(&mut self, at: String, fault: WireFault) -> Result<(), FaultError> {
        fault.check()?;
        let key = (at, fault.stage);
        if fault.times == 0 {
            self.faults.wire.remove(&key);
        } else {
            self.faults.wire.insert(key, fault);
        }
        Ok(())
    }

    pub(super) fn fail_logins(
        &mut self,
        at: String,
        (number, state): (u32, Option<u8>),
        times: u32,
    ) {
        if times == 0 {
            self.faults.failing_logins.remove(&at);
        } else {
            self.faults.failing_logins.insert(at, (number, state, times));
        }
    }

    /// How long so many bytes need from one party to another, behind what is under way there;
    /// nothing where the path is not throttled.
    pub fn carry(&mut self, from: &Party, to: &Party, bytes: usize) -> SignedDuration {
        let Some(most) = self.faults.throttle_of(from, to) else { return SignedDuration::ZERO };
        let micros = bytes as u128 * 1_000 / u128::from(most.max(1));
        let need = SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX));
        let free = self.faults.lanes.free.entry((from.clone(), to.clone())).or_insert(self.now);
        *free = (*free).max(self.now).checked_add(need).unwrap_or(Timestamp::MAX);
        free.duration_since(self.now)
    }

    /// What is left of faults of the wire and of logins, in words.
    pub(super) fn wire_faults(&self) -> impl Iterator<Item = String> {
        let wire = self.faults.wire.iter().map(|((at, stage), fault)| {
            let (stage, trouble) = (word(stage), word(&fault.trouble));
            let pause = match fault.trouble {
                Trouble::Stall | Trouble::Dribble => {
                    format!(" of {} ms", fault.pause().as_millis())
                }
                Trouble::Eof
                | Trouble::Reset
                | Trouble::Garbage
                | Trouble::ShortLength
                | Trouble::LongLength
                | Trouble::Reordered => String::new(),
            };
            format!("wire of {at}: {trouble}{pause} at {stage}, the next {} times", fault.times)
        });
        let logins = self.faults.failing_logins.iter();
        wire.chain(logins.map(|(at, (number, _, times))| {
            format!("fail the next {times} logins at {at} with {number}")
        }))
    }
}

impl Lanes {
    /// Forgets what is under way between two parties.
    pub(crate) fn clear(&mut self, from: &Party, to: &Party) {
        self.free.remove(&(from.clone(), to.clone()));
    }
}

fn once() -> u32 {
    1
}

/// A stage or a trouble as it is written.
fn word(of: &impl Serialize) -> String {
    serde_json::to_value(of)
        .ok()
        .and_then(|value| Some(value.as_str()?.to_owned()))
        .unwrap_or_default()
}
