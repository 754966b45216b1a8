//! The thread that writes. Whatever it meets, it goes on: what can't be written is counted and told.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc::RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    disk::Disk,
    frame::Frame,
    line::{Decoder, Encoder, Next, Short, behind_top, top, top_hash},
    tape::{Feed, Message, Shared},
};

/// Turns of one write at the most.
const BATCH: u64 = 512;
/// What is written is forced to the disk this often. In between a power failure takes it along; the
/// end of the process does not. More often would hold up the journal, which is on the same disk.
const SYNC_EVERY: SignedDuration = SignedDuration::from_secs(10);
/// The same when nothing happens any more.
const IDLE: Duration = Duration::from_secs(10);
/// After a disk failed it is tried again this much later.
const RETRY_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of all segments together; the oldest go.
    pub keep_bytes: u64,
    /// Of one segment. One that begins with much evidence gets twice as long as that.
    pub segment_bytes: u64,
    /// Nothing is written while the disk has less room than this: it is the journal's.
    pub leave_bytes: u64,
}

/// The thread of the writer; it ends when the loop has.
pub type WriterThread = JoinHandle<()>;

/// Begins to write what comes out of `feed`.
///
/// # Errors
///
/// The operating system gives no thread.
pub fn spawn<D: Disk + 'static>(feed: Feed, disk: D, bounds: Bounds) -> io::Result<WriterThread> {
    let writer = Writer::new(feed, disk, bounds);
    std::thread::Builder::new().name("recorder".into()).spawn(move || writer.run())
}

struct Writer<D> {
    feed: Feed,
    shared: Arc<Shared>,
    disk: D,
    bounds: Bounds,
    encoder: Encoder,
    /// The hash behind what is on the disk.
    hash: Short,
    /// With their sizes, the oldest first.
    segments: Vec<(u64, u64)>,
    /// The newest one is open; so long is the mark at its beginning.
    open: Option<u64>,
    /// What is written next, the turns in it, and the time of the last one.
    lines: String,
    turns: u64,
    now: Timestamp,
    /// Turns that were lost since the last mark that is on the disk.
    lost: u64,
    /// Nothing can be used before the next mark, which is asked for at this time.
    waits: Option<Timestamp>,
    synced: Option<Timestamp>,
    /// The trouble has been told.
    told: bool,
}

impl<D: Disk> Writer<D> {
    fn new(feed: Feed, disk: D, bounds: Bounds) -> Self {
        Self {
            shared: Arc::clone(&feed.shared),
            feed,
            disk,
            bounds,
            encoder: Encoder::default(),
            hash: Short::default(),
            segments: Vec::new(),
            open: None,
            lines: String::new(),
            turns: 0,
            now: Timestamp::UNIX_EPOCH,
            lost: 0,
            waits: None,
            synced: None,
            told: false,
        }
    }

    fn run(mut self) {
        self.begin();
        loop {
            match self.feed.from_loop.recv_timeout(IDLE) {
                Ok(message) => {
                    self.batch(message);
                    if self.synced.is_none_or(|at| self.now.duration_since(at) >= SYNC_EVERY) {
                        self.sync();
                        self.synced = Some(self.now);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.sync();
    }

    /// Goes on with the newest segment if it is sound and has room: an agent that starts again and
    /// again must not push out what was before. The first mark says that a life begins there.
    fn begin(&mut self) {
        // A folder that is not there yet has no segments.
        self.segments = self.disk.list().unwrap_or_default();
        self.told_size();
        let Some(&(segment, bytes)) = self.segments.last() else { return };
        if bytes >= self.bounds.segment_bytes {
            return;
        }
        let found = self.disk.read(segment).ok();
        let Some((end, hash)) = found.and_then(|found| sound(segment, &found)) else { return };
        if self.disk.go_on(segment, end).is_ok() {
            (self.open, self.hash, self.encoder.hash) = (Some(0), hash, hash);
            self.resized(end);
        }
    }

    /// Writes a message and whatever waits behind it.
    fn batch(&mut self, first: Message) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(message) = next {
            self.now = message.now();
            if message.is_marked() {
                self.take_marked(message);
            } else {
                self.take(message);
            }
            taken += 1;
            next = (taken < BATCH).then(|| self.feed.from_loop.try_recv().ok()).flatten();
        }
        self.write();
    }

    fn take(&mut self, message: Message) {
        let Some(retry_at) = self.waits else {
            let frames = self.feed.frames(message, 0);
            self.add(&frames);
            return;
        };
        self.feed.taken(message);
        self.lose(1);
        if self.now >= retry_at {
            self.shared.wanted.store(true, Ordering::Relaxed);
        }
    }

    fn take_marked(&mut self, message: Message) {
        self.write();
        self.lost += message.lost();
        let frames = self.feed.frames(message, self.lost);
        let fresh = self.open.is_none_or(|head| self.is_full(head));
        if fresh && let Err(error) = self.next_segment() {
            self.lose(1);
            self.fail(&error);
            return;
        }
        self.waits = None;
        let before = self.size();
        self.add(&frames);
        self.write();
        if self.waits.is_none() {
            self.lost = 0;
        }
        if fresh {
            self.open = self.open.map(|_| self.size() - before);
        }
    }

    fn add(&mut self, frames: &[Frame]) {
        for frame in frames {
            let Some(line) = self.encoder.line(frame) else {
                self.write();
                self.lose(1);
                self.fail(&io::Error::other("a turn is longer than can be recorded"));
                return;
            };
            self.lines.push_str(&line);
        }
        self.turns += 1;
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let (lines, turns) = (std::mem::take(&mut self.lines), std::mem::take(&mut self.turns));
        let written = self.has_room().and_then(|()| self.disk.write(lines.as_bytes()));
        if let Err(error) = written {
            self.lose(turns);
            self.fail(&error);
            return;
        }
        self.hash = self.encoder.hash;
        self.shared.written.fetch_add(turns, Ordering::Relaxed);
        self.resized(self.size() + length(lines.len()));
        if self.open.is_some_and(|head| self.is_full(head)) {
            self.shared.wanted.store(true, Ordering::Relaxed);
        }
        if std::mem::take(&mut self.told) {
            tracing::info!("the flight recorder records again");
        }
    }

    /// Goes on without: what is lost until the next mark is counted.
    fn fail(&mut self, error: &io::Error) {
        let retry_at = self.now.checked_add(RETRY_AFTER);
        self.waits = Some(retry_at.unwrap_or(Timestamp::MAX));
        self.encoder.hash = self.hash;
        // Half a line may be there.
        if let (Some(_), Some(&(segment, bytes))) = (self.open, self.segments.last())
            && self.disk.go_on(segment, bytes).is_err()
        {
            self.open = None;
        }
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(%error, "the flight recorder can't write; decisions go on without it");
        }
    }

    fn lose(&mut self, turns: u64) {
        self.lost += turns;
        self.shared.dropped.fetch_add(turns, Ordering::Relaxed);
    }

    fn next_segment(&mut self) -> io::Result<()> {
        self.has_room()?;
        self.sync();
        self.open = None;
        let segment = self.segments.last().map_or(1, |(last, _)| last + 1);
        if let Err(error) = self.disk.make(segment) {
            // Somebody else may have been at the folder.
            self.segments = self.disk.list().unwrap_or_default();
            return Err(error);
        }
        let top = top(segment);
        self.segments.push((segment, 0));
        self.disk.write(top.as_bytes())?;
        self.open = Some(0);
        self.hash = top_hash(segment);
        self.encoder.hash = self.hash;
        self.resized(length(top.len()));
        Ok(())
    }

    fn has_room(&mut self) -> io::Result<()> {
        let free = self.disk.free()?;
        if free >= self.bounds.leave_bytes {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("only {free} bytes are free on its disk, and they are left to the journal"),
        ))
    }

    fn is_full(&self, head: u64) -> bool {
        self.size() >= self.bounds.segment_bytes.max(head.saturating_mul(2))
    }

    /// Of the newest segment.
    fn size(&self) -> u64 {
        self.segments.last().map_or(0, |(_, bytes)| *bytes)
    }

    /// Takes down how long the newest segment is, and lets the oldest go if all are too long.
    fn resized(&mut self, bytes: u64) {
        if let Some(newest) = self.segments.last_mut() {
            newest.1 = bytes;
        }
        while self.segments.len() > 1 && self.told_size() > self.bounds.keep_bytes {
            match self.disk.remove(self.segments[0].0) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%error, "the flight recorder can't remove its oldest segment");
                    return;
                }
            }
            self.segments.remove(0);
        }
    }

    fn told_size(&self) -> u64 {
        let bytes = self.segments.iter().map(|(_, bytes)| bytes).sum();
        self.shared.bytes.store(bytes, Ordering::Relaxed);
        bytes
    }

    fn sync(&mut self) {
        if self.open.is_some()
            && let Err(error) = self.disk.sync()
        {
            tracing::warn!(%error, "the flight recorder can't force its segment to the disk");
        }
    }
}

/// How far a segment can be believed, and the hash there. None if it is not as it was written.
fn sound(segment: u64, bytes: &[u8]) -> Option<(u64, Short)> {
    let mut at = behind_top(segment, bytes)?;
    let mut decoder = Decoder::new(segment);
    loop {
        match decoder.next(&bytes[at..]) {
            Next::Frame(length, _) => at += length,
            Next::End | Next::Torn => return Some((length(at), decoder.hash)),
            Next::Altered(_) => return None,
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
