//! Reading what was recorded, while the agent runs too.

use std::{io, path::Path};

use super::{
    disk::{Disk as _, Folder},
    frame::Frame,
    line::{Decoder, Next, behind_top, top},
};

/// A folder of segments.
#[derive(Debug)]
pub struct Recording {
    folder: Folder,
    segments: Vec<u64>,
}

/// One segment, frame by frame.
#[derive(Debug)]
pub struct Segment {
    pub number: u64,
    bytes: Vec<u8>,
    at: usize,
    decoder: Decoder,
    ended: bool,
}

/// What stands in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Frame(Frame),
    /// The rest was never written to its end: power was lost there, or it is being written.
    Torn,
    /// From here on it is not what was written.
    Altered {
        at: usize,
        why: String,
    },
}

impl Recording {
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut folder = Folder::new(path);
        let segments = folder.list()?.into_iter().map(|(segment, _)| segment).collect();
        Ok(Self { folder, segments })
    }

    /// The numbers of its segments, the oldest first.
    #[must_use]
    pub fn segments(&self) -> &[u64] {
        &self.segments
    }

    /// One of its segments, or None if it has been dropped to make room meanwhile.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub fn segment(&mut self, number: u64) -> io::Result<Option<Segment>> {
        match self.folder.read(number) {
            Ok(bytes) => Ok(Some(Segment {
                number,
                bytes,
                at: 0,
                decoder: Decoder::new(number),
                ended: false,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Segment {
    fn begin(&mut self) -> Option<Found> {
        if let Some(at) = behind_top(self.number, &self.bytes) {
            self.at = at;
            return None;
        }
        self.ended = true;
        let top = top(self.number);
        Some(if top.as_bytes().starts_with(&self.bytes) {
            Found::Torn
        } else {
            let why = format!("it does not begin with `{}`", top.trim_end());
            Found::Altered { at: 0, why }
        })
    }
}

impl Iterator for Segment {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.ended {
            return None;
        }
        if self.at == 0
            && let Some(found) = self.begin()
        {
            return Some(found);
        }
        loop {
            match self.decoder.next(&self.bytes[self.at..]) {
                Next::Frame(length, frame) => {
                    self.at += length;
                    if let Some(frame) = frame {
                        return Some(Found::Frame(frame));
                    }
                }
                Next::End => {
                    self.ended = true;
                    return None;
                }
                Next::Torn => {
                    self.ended = true;
                    return Some(Found::Torn);
                }
                Next::Altered(why) => {
                    self.ended = true;
                    return Some(Found::Altered { at: self.at, why });
                }
            }
        }
    }
}
