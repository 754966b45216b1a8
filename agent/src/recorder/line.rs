//! Frames as lines of a segment. The format stands at the head of `recorder.rs`.

use std::sync::Arc;

use agent_core::{Input, LinkId, Observation, Seq};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    frame::{Frame, Given, Life, Mark, Why},
    looks::Looks,
};

/// Version of the format.
const FORMAT: u32 = 1;
/// `LENGTH HASH `, and the line break.
const AROUND: usize = 8 + 1 + 32 + 1 + 1;
/// Bytes of one frame at the most: more is not written, and not believed.
pub(super) const LONGEST: usize = 64 << 20;

/// First 16 bytes of SHA-256.
pub(super) type Short = [u8; 16];

/// Makes lines of frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoder {
    pub(super) hash: Short,
    looks: Looks,
}

/// Makes frames of lines.
#[derive(Debug)]
pub(super) struct Decoder {
    pub(super) hash: Short,
    looks: Looks,
    /// The newest mark can't be read by this version.
    foreign: bool,
}

/// What is at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A frame of so many bytes, if it says anything to this version.
    Frame(usize, Option<Frame>),
    End,
    /// Something that was never written to its end.
    Torn,
    /// Something that is not as it was written.
    Altered(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Mark {
        follows: Seq,
        at: Timestamp,
        why: Why,
        life: Life,
        evidence: Value,
    },
    Turn {
        follows: Seq,
        now: Timestamp,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        seen: Vec<Value>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        inputs: Vec<Value>,
    },
}

/// The line at the top of a segment.
pub(super) fn top(segment: u64) -> String {
    format!("dr-agent recorder {FORMAT} segment {segment}\n")
}

/// Where the first frame of a segment begins, if it has its line at the top.
pub(super) fn behind_top(segment: u64, bytes: &[u8]) -> Option<usize> {
    let top = top(segment);
    bytes.starts_with(top.as_bytes()).then_some(top.len())
}

/// The hash that the first frame follows.
pub(super) fn top_hash(segment: u64) -> Short {
    short(&[], top(segment).as_bytes())
}

impl Encoder {
    /// The line of a frame, with its line break. None if it would be longer than [`LONGEST`].
    pub(super) fn line(&mut self, frame: &Frame) -> Option<String> {
        let line = match frame {
            Frame::Mark(mark) => {
                self.looks = Looks::default();
                let Mark { follows, at, why, life, evidence } = &**mark;
                let mut evidence = serde_json::to_value(evidence).unwrap_or_default();
                self.looks.pack_all(&mut evidence);
                let (follows, at, life) = (*follows, *at, Life::clone(life));
                Line::Mark { follows, at, why: *why, life, evidence }
            }
            Frame::Turn(given) => {
                let Given { follows, now, seen, inputs } = &**given;
                let value = |input: &Input| serde_json::to_value(input).unwrap_or_default();
                let mut look = |seen: &Observation| {
                    self.looks.pack(serde_json::to_value(seen).unwrap_or_default())
                };
                Line::Turn {
                    follows: *follows,
                    now: *now,
                    seen: seen.iter().map(&mut look).collect(),
                    inputs: inputs.iter().map(value).collect(),
                }
            }
            // Nothing of this version makes one.
            Frame::Foreign { .. } => return None,
        };
        let json = serde_json::to_string(&line).unwrap_or_default();
        if json.len() > LONGEST {
            return None;
        }
        self.hash = short(&self.hash, json.as_bytes());
        Some(format!("{:08x} {} {json}\n", json.len(), agent_core::to_hex(&self.hash)))
    }
}

impl Decoder {
    /// Begins at the top of a segment, behind its first line.
    pub(super) fn new(segment: u64) -> Self {
        Self { hash: top_hash(segment), looks: Looks::default(), foreign: false }
    }

    /// What comes next.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Next {
        if bytes.is_empty() {
            return Next::End;
        }
        let json = match self.checked(bytes) {
            Ok(json) => json,
            Err(_) if is_torn(bytes) => return Next::Torn,
            Err(why) => return Next::Altered(why),
        };
        match self.frame(json) {
            Ok(frame) => Next::Frame(json.len() + AROUND, frame),
            Err(_) if self.foreign => Next::Frame(json.len() + AROUND, None),
            Err(why) => Next::Altered(why),
        }
    }

    /// The JSON of the first line, if it is as it was written.
    fn checked<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b str, String> {
        let head = bytes.get(..AROUND - 1).ok_or("it has no length and no hash")?;
        let head = std::str::from_utf8(head).map_err(|_| "its beginning is not text")?;
        let (length, rest) = head.split_at(8);
        let length = usize::from_str_radix(length, 16).map_err(|_| "its length is no number")?;
        if length > LONGEST {
            return Err(format!("its length of {length} is more than any frame has"));
        }
        let json =
            bytes.get(AROUND - 1..AROUND - 1 + length).ok_or("it is shorter than it says")?;
        if bytes.get(AROUND - 1 + length) != Some(&b'\n') {
            return Err("it does not end where it says".to_owned());
        }
        let hash = short(&self.hash, json);
        if rest != format!(" {} ", agent_core::to_hex(&hash)) {
            return Err(
                "its hash is another: it, or a frame before it, has been changed".to_owned()
            );
        }
        let json = std::str::from_utf8(json).map_err(|_| "it is not UTF-8")?;
        self.hash = hash;
        Ok(json)
    }

    fn frame(&mut self, json: &str) -> Result<Option<Frame>, String> {
        let line: Line = serde_json::from_str(json).map_err(|error| error.to_string())?;
        match line {
            Line::Mark { follows, at, why, life, evidence } => {
                self.looks = Looks::default();
                let life = Arc::new(life);
                let evidence = self.evidence(evidence);
                self.foreign = evidence.is_err();
                Ok(Some(match evidence {
                    Ok(evidence) => {
                        Frame::Mark(Box::new(Mark { follows, at, why, life, evidence }))
                    }
                    Err(why) => Frame::Foreign { life, why },
                }))
            }
            Line::Turn { .. } if self.foreign => Ok(None),
            Line::Turn { follows, now, seen, inputs } => {
                let seen = seen.into_iter().map(|look| typed(self.looks.unpack(look)?));
                let seen = seen.collect::<Result<Vec<Observation>, String>>()?;
                let inputs = inputs.into_iter().map(typed);
                let inputs = inputs.collect::<Result<Vec<Input>, String>>()?;
                Ok(Some(Frame::Turn(Box::new(Given { follows, now, seen, inputs }))))
            }
        }
    }

    fn evidence(
        &mut self,
        mut packed: Value,
    ) -> Result<Vec<(LinkId, agent_core::Evidence)>, String> {
        self.looks.unpack_all(&mut packed)?;
        typed(packed)
    }
}

fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// Whether these bytes are the beginning of a line that was never finished, with what a file system
/// may have put behind it.
fn is_torn(bytes: &[u8]) -> bool {
    let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    !bytes[..written].contains(&b'\n')
}

fn short(before: &[u8], text: &[u8]) -> Short {
    let whole = Sha256::new().chain_update(before).chain_update(text).finalize();
    let mut short = Short::default();
    short.copy_from_slice(&whole[..16]);
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What was recorded once has to be read later.
    #[test]
    fn a_line_is_what_sha256sum_says() {
        // printf 'dr-agent recorder 1 segment 1\n' | sha256sum
        assert_eq!(agent_core::to_hex(&top_hash(1)), TOP);
        let now = "2026-01-02T03:04:05Z".parse().expect("a time");
        let given = Given { follows: 7, now, seen: Vec::new(), inputs: Vec::new() };
        let mut encoder = Encoder { hash: top_hash(1), looks: Looks::default() };
        let line = encoder.line(&Frame::Turn(Box::new(given))).expect("short enough");
        let json = json!({ "turn": { "follows": 7, "now": "2026-01-02T03:04:05Z" } }).to_string();
        assert_eq!(line, format!("{:08x} {LINE} {json}\n", json.len()));
    }

    const TOP: &str = "0f3939e7dedf36bfec46a4a3f852a446";
    const LINE: &str = "c95272f4d03c5d4b68d9c2a12bf5e946";
}
