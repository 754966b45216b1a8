//! The journal and the cursors of one sink, read and written on threads that may wait for a disk.
//!
//! A sink has three cursors: how far it has told what the entries say, the same for what follows
//! from time alone, and the last place at which no episode was open, from which on the story is
//! read again after a restart.

use std::sync::{Arc, Mutex, PoisonError};

use agent_core::Seq;

use super::AlertError;
use crate::journal::{Cursors, JournalError, Mark, Reader, Stored};

/// How far a sink has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Everything up to this entry has been told.
    pub(super) mark: Mark,
    /// And what follows from time alone, as far as it began with an entry up to this one.
    pub(super) timed: Seq,
    /// No episode was open there.
    pub(super) calm: bool,
}

/// What the cursors say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// None for a sink that is new here, or whose cursor points into another journal.
    pub(super) place: Option<Place>,
    /// Where to begin to read.
    pub(super) base: Mark,
    /// Where the journal ends.
    pub(super) head: Mark,
}

pub(super) struct Files {
    both: Arc<Mutex<(Reader, Cursors)>>,
    /// Of the sink, with its kind.
    name: String,
}

impl Files {
    pub(super) fn new(name: &str, reader: Reader, cursors: Cursors) -> Self {
        Self { both: Arc::new(Mutex::new((reader, cursors))), name: name.to_owned() }
    }

    pub(super) async fn find(&self) -> Result<Found, AlertError> {
        let name = self.name.clone();
        self.with(move |reader, cursors| {
            let known = |name: &str| {
                let mark = cursors.get(name)?;
                let ours = mark == Mark::START || reader.hash_of(mark.seq)? == Some(mark.hash);
                if !ours {
                    let seq = mark.seq;
                    tracing::warn!(name, seq, "the cursor points into another journal");
                }
                Ok::<_, JournalError>(ours.then_some(mark))
            };
            let mark = known(&name)?.filter(|mark| *mark != Mark::START);
            let timed = cursors.get(&timed(&name))?.seq;
            let base = known(&base(&name))?.unwrap_or(Mark::START);
            let head = reader.head()?;
            let place = mark.map(|mark| Place { mark, timed, calm: false });
            let base = place.map_or(Mark::START, |place| {
                if base.seq <= place.mark.seq { base } else { Mark::START }
            });
            Ok(Found { place, base, head: Mark { seq: head.seq, hash: head.hash } })
        })
        .await
    }

    pub(super) async fn save(&self, place: Place) -> Result<(), AlertError> {
        let name = self.name.clone();
        self.with(move |_, cursors| {
            // The journal that it is of is the one of the other mark.
            cursors.set(&timed(&name), Mark { seq: place.timed, hash: place.mark.hash })?;
            cursors.set(&name, place.mark)?;
            if place.calm {
                cursors.set(&base(&name), place.mark)?;
            }
            Ok(())
        })
        .await
    }

    pub(super) async fn read_after(
        &self,
        seq: Seq,
        limit: usize,
    ) -> Result<Vec<Stored>, AlertError> {
        self.with(move |reader, _| reader.read_after(seq, limit)).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader, &Cursors) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, AlertError> {
        let both = Arc::clone(&self.both);
        let worked = tokio::task::spawn_blocking(move || {
            let both = both.lock().unwrap_or_else(PoisonError::into_inner);
            work(&both.0, &both.1)
        });
        Ok(worked.await.map_err(|_| AlertError::Panicked)??)
    }
}

fn timed(name: &str) -> String {
    format!("{name}/timed")
}

fn base(name: &str) -> String {
    format!("{name}/base")
}
