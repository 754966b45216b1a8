//! The flight recorder of one life of the agent.

use std::io;

use tokio::task;

use crate::{
    config::Config,
    metrics::{Kind, Metrics},
    recorder::{self, Bounds, Folder, Gauge, Life, Recorder, Settings, WriterThread},
};

/// Segments that the whole recording is made of, about; the oldest of them makes room for the next.
const SEGMENTS: u64 = 16;
/// One segment is read into memory by whoever replays it.
const SEGMENT_MOST: u64 = 16 << 20;

/// A recorder that has begun to write.
pub(super) struct Recording {
    gauge: Gauge,
    thread: WriterThread,
}

/// Begins to record, if it is configured. `term` is the one that this process writes to the journal
/// in.
pub(super) fn begin(config: &Config, term: u64) -> io::Result<Option<(Recorder, Recording)>> {
    let Some(settings) = &config.recorder else { return Ok(None) };
    let decides = Settings {
        links: config.links.clone(),
        roster: config.roster.clone(),
        brake: config.brake,
    };
    let life = Life::new(super::VERSION, term, &config.digest, &decides);
    let bounds = Bounds {
        keep_bytes: settings.keep_bytes,
        segment_bytes: (settings.keep_bytes / SEGMENTS).min(SEGMENT_MOST),
        leave_bytes: settings.leave_bytes,
    };
    let (recorder, feed) = recorder::tape(life);
    let gauge = recorder.gauge();
    let thread = recorder::spawn(feed, Folder::new(&settings.folder), bounds)?;
    Ok(Some((recorder, Recording { gauge, thread })))
}

impl Recording {
    /// Has each scrape tell how it is.
    pub(super) fn tell(&self, metrics: &Metrics) -> prometheus::Result<()> {
        let [written, dropped, bytes] = [(); 3].map(|()| self.gauge.clone());
        metrics.ask(
            "dr_agent_recorder_turns_total",
            "Turns that the flight recorder has written.",
            &[],
            Kind::Counter,
            move || written.written(),
        )?;
        metrics.ask(
            "dr_agent_recorder_dropped_turns_total",
            "Turns that the flight recorder could not write: its disk is slow, full or failing.",
            &[],
            Kind::Counter,
            move || dropped.dropped(),
        )?;
        metrics.ask(
            "dr_agent_recorder_size_bytes",
            "Size of all that the flight recorder keeps.",
            &[],
            Kind::Gauge,
            move || bytes.bytes(),
        )
    }

    /// Waits until the last turn is written; the loop has ended. Whoever waits gives up by dropping
    /// it: nothing that is decided is lost then.
    pub(super) async fn ended(self) {
        // One that panicked has lost its turns and said so.
        drop(task::spawn_blocking(|| self.thread.join()).await);
    }
}
