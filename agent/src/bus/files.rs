//! The journal and the cursor, read and written on threads that may wait for a disk.

use std::sync::{Arc, Mutex, PoisonError};

use agent_core::Seq;

use super::{BusError, CURSOR};
use crate::journal::{Cursors, JournalError, Mark, Reader, Stored};

pub(super) struct Files(Arc<Mutex<(Reader, Cursors)>>);

impl Files {
    pub(super) fn new(reader: Reader, cursors: Cursors) -> Self {
        Self(Arc::new(Mutex::new((reader, cursors))))
    }

    /// How far the bus has got in this journal. A cursor into another one is not believed: what is
    /// published twice does less harm than what is never published.
    pub(super) async fn cursor(&self) -> Result<Mark, BusError> {
        self.with(|reader, cursors| {
            let mark = cursors.get(CURSOR)?;
            if reader.hash_of(mark.seq)? == Some(mark.hash) {
                return Ok(mark);
            }
            tracing::warn!(
                seq = mark.seq,
                "the cursor of the bus points into another journal: all entries are published again"
            );
            Ok(Mark::START)
        })
        .await
    }

    pub(super) async fn set(&self, mark: Mark) -> Result<(), BusError> {
        self.with(move |_, cursors| cursors.set(CURSOR, mark)).await
    }

    pub(super) async fn read_after(&self, seq: Seq, limit: usize) -> Result<Vec<Stored>, BusError> {
        self.with(move |reader, _| reader.read_after(seq, limit)).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader, &Cursors) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, BusError> {
        let files = Arc::clone(&self.0);
        let worked = tokio::task::spawn_blocking(move || {
            let files = files.lock().unwrap_or_else(PoisonError::into_inner);
            work(&files.0, &files.1)
        });
        Ok(worked.await.map_err(|_| BusError::Panicked)??)
    }
}
