//! The bus: the journal after a cursor goes to RabbitMQ, each entry as a CloudEvent, confirmed.
//!
//! *At least once, in order per subject, duplicates only under the same id.* The cursor moves only
//! over entries that the broker has confirmed and routed to a queue; entries of one subject leave
//! one after the other (see `outbox`). While the broker is away the cursor stays, entries wait in
//! the journal and at most a window of them in memory. A message that no queue wants is not a
//! success and not a loss: it is shown, and tried again until somebody binds a queue.
//!
//! lapin logs whole returned messages as warnings: the log filter of the process has to have
//! `lapin=error`.

mod connection;
mod files;
mod message;
mod outbox;
pub mod readiness;
mod status;
mod url;

use std::time::Duration;

use agent_core::Seq;
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lapin::{Channel, Event};
use probes::SecretSource;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::{
    connection::{Answer, Session, connect, publish},
    files::Files,
    message::Message,
    outbox::Outbox,
};
pub use self::{
    status::{BusReport, BusStatus},
    url::BrokerUrl,
};
use crate::journal::{Cursors, JournalError, Reader, Stored};

/// Name of the bus's cursor.
pub const CURSOR: &str = "bus";
/// Pauses between tries grow from this to [`PAUSE_MOST`].
const PAUSE_LEAST: Duration = Duration::from_millis(100);
/// A broker that comes back is found within this.
const PAUSE_MOST: Duration = Duration::from_secs(15);
/// What the journal holds when the agent stops may still go out for so long. The rest goes out after
/// the next start.
const LAST_LAP: Duration = Duration::from_secs(2);

/// The way to RabbitMQ. The user of the URL needs the permissions `configure` and `write` on the
/// exchange.
#[derive(Clone, Debug)]
pub struct BusSettings {
    pub url: BrokerUrl,
    /// Where the same is kept, with whatever it is changed to meanwhile: it is looked at before each
    /// connection.
    pub kept_url: Option<SecretSource>,
    /// A topic exchange; made, durable, if it is not there.
    pub exchange: String,
    /// CloudEvents `source`: a URI reference, by convention `/dr-agent/<agent name>`.
    pub source: String,
    /// PEM of the authorities to believe, and no others; None: those of the operating system.
    pub ca: Option<SecretSource>,
    /// For name resolution, TCP, TLS, login and declarations together.
    pub connect_within: Duration,
    /// From sending a message to the broker's confirmation of it.
    pub confirm_within: Duration,
}

/// Why nothing is published at present. Without secrets.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("can't {doing}: no answer within {after:?}")]
    TimedOut { doing: &'static str, after: Duration },
    #[error("can't {doing}: {source}")]
    Failed { doing: &'static str, source: lapin::Error },
    #[error("the connection is lost: {0}")]
    Lost(lapin::Error),
    #[error("the broker does not keep to the protocol: {0}")]
    Confused(&'static str),
    #[error("can't use the authorities for TLS: {0}")]
    Authority(String),
    #[error("{text:?} is too long for AMQP: at most 255 bytes")]
    TooLong { text: String },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the thread that reads the journal for the bus has panicked")]
    Panicked,
}

/// Publishes until `cancel`; if there is a connection then, what the journal holds still goes out.
/// Failures are told to `status` and the log, and tried again.
pub async fn run(
    settings: BusSettings,
    reader: Reader,
    cursors: Cursors,
    head: watch::Receiver<Seq>,
    cancel: CancellationToken,
    status: BusStatus,
) {
    let files = Files::new(reader, cursors);
    let (outbox, failures, head_told) = (None, 0, true);
    let mut bus = Bus { settings, files, head, head_told, cancel, status, outbox, failures };
    loop {
        match bus.session().await {
            Ok(()) => return,
            Err(error) => bus.failed(&error),
        }
        if !bus.rest().await {
            return;
        }
    }
}

struct Bus {
    settings: BusSettings,
    files: Files,
    head: watch::Receiver<Seq>,
    /// False once the one who tells it is gone: then nothing is added to the journal any more.
    head_told: bool,
    cancel: CancellationToken,
    status: BusStatus,
    /// None until the cursor has been read.
    outbox: Option<Outbox>,
    /// In a row.
    failures: u32,
}

/// What happens while messages are on their way.
#[expect(clippy::large_enum_variant, reason = "the large variant is the ordinary one")]
enum Landed {
    Answered { seq: Seq, key: String, channel: Channel, answer: Result<Answer, BusError> },
    Rested(Seq),
}

type Flights = FuturesUnordered<BoxFuture<'static, Landed>>;

impl Bus {
    /// One connection, from its making to its loss (an error) or the end of it all.
    async fn session(&mut self) -> Result<(), BusError> {
        self.load().await?;
        let cancel = self.cancel.clone();
        let session = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            session = connect(&self.settings) => session?,
        };
        self.status.connected();
        tracing::info!(broker = %self.settings.url, "the bus is connected");
        self.pump(session).await
    }

    async fn pump(&mut self, mut session: Session) -> Result<(), BusError> {
        let mut flights = Flights::new();
        let mut idle = session.channels();
        // A connection that has stood so long is a good one, even if nothing went over it.
        let mut stands = Box::pin(sleep(PAUSE_MOST).fuse());
        let cancel = self.cancel.clone();
        loop {
            self.send(&mut idle, &flights);
            self.advance().await?;
            if self.load().await? {
                continue;
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                event = session.events.next() => self.heed(event)?,
                Some(landed) = flights.next() => self.landed(landed, &mut idle, &flights)?,
                told = self.head.changed(), if self.head_told => self.head_told = told.is_ok(),
                () = &mut stands => self.failures = 0,
            }
        }
        let last_lap = async {
            loop {
                self.send(&mut idle, &flights);
                self.advance().await?;
                if self.load().await? {
                    continue;
                }
                if self.outbox.as_ref().is_none_or(|outbox| outbox.in_flight() == 0) {
                    return Ok::<(), BusError>(());
                }
                let Some(landed) = flights.next().await else { return Ok(()) };
                self.landed(landed, &mut idle, &flights)?;
            }
        };
        let finished = timeout(LAST_LAP, last_lap).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::info!("not all entries are published; the rest goes out after the next start");
        }
        self.status.disconnected();
        session.close().await;
        Ok(())
    }

    /// Sends what may leave, as far as channels are free.
    fn send(&mut self, idle: &mut Vec<Channel>, flights: &Flights) {
        let Some(outbox) = &mut self.outbox else { return };
        while !idle.is_empty() {
            let Some(stored) = outbox.send_next() else { return };
            let Some(channel) = idle.pop() else { return };
            let (seq, message) = (stored.entry.seq, Message::new(stored, &self.settings.source));
            let (exchange, within) = (self.settings.exchange.clone(), self.settings.confirm_within);
            flights.push(Box::pin(async move {
                let key = message.key.clone();
                let answer = publish(&channel, &exchange, message, within).await;
                Landed::Answered { seq, key, channel, answer }
            }));
        }
    }

    fn landed(
        &mut self,
        landed: Landed,
        idle: &mut Vec<Channel>,
        flights: &Flights,
    ) -> Result<(), BusError> {
        let Some(outbox) = &mut self.outbox else { return Ok(()) };
        match landed {
            Landed::Rested(seq) => outbox.rested(seq),
            Landed::Answered { seq, key, channel, answer } => {
                idle.push(channel);
                let trouble = match answer? {
                    Answer::Taken => {
                        outbox.confirmed(seq);
                        self.status.published();
                        self.failures = 0;
                        return Ok(());
                    }
                    Answer::Returned { reason } => {
                        let exchange = &self.settings.exchange;
                        let trouble = format!(
                            "entry {seq} is not published: no queue of the exchange {exchange} wants \
                             the key {key} ({reason}); bind one, for example with the key #"
                        );
                        self.status.returned(trouble.clone());
                        trouble
                    }
                    Answer::Nacked => {
                        let trouble = format!(
                            "entry {seq} is not published: the broker could not take charge of it"
                        );
                        self.status.nacked(trouble.clone());
                        trouble
                    }
                };
                let tries = outbox.held_up(seq);
                if tries == 1 {
                    tracing::warn!("{trouble}");
                }
                let rest = pause(tries);
                flights.push(Box::pin(sleep(rest).map(move |()| Landed::Rested(seq))));
            }
        }
        Ok(())
    }

    fn heed(&mut self, event: Option<Event>) -> Result<(), BusError> {
        match event {
            Some(Event::Error(error)) => return Err(BusError::Lost(error)),
            Some(Event::ConnectionBlocked(reason)) => {
                let trouble = format!("the broker takes nothing at present: {reason}");
                tracing::warn!("{trouble}");
                self.status.failed(&trouble);
            }
            None => return Err(BusError::Confused("the connection has ended without a word")),
            // The rest says that all is well.
            Some(_) => {}
        }
        Ok(())
    }

    /// Writes down how far we got, and tells it.
    async fn advance(&mut self) -> Result<(), BusError> {
        let Some(outbox) = &mut self.outbox else { return Ok(()) };
        let moved = outbox.advance();
        self.tell();
        if let Some(mark) = moved {
            self.files.set(mark).await?;
        }
        Ok(())
    }

    /// Fills the outbox, if there is room and something to read. Says whether it did.
    async fn load(&mut self) -> Result<bool, BusError> {
        let outbox = match &mut self.outbox {
            Some(outbox) => outbox,
            none => none.insert(Outbox::new(self.files.cursor().await?)),
        };
        let head = *self.head.borrow_and_update();
        let room = outbox.room();
        let page: Vec<Stored> = if room > 0 && outbox.loaded_to() < head {
            self.files.read_after(outbox.loaded_to(), room).await?
        } else {
            Vec::new()
        };
        let loaded = !page.is_empty();
        outbox.load(page);
        self.tell();
        Ok(loaded)
    }

    fn tell(&self) {
        if let Some(outbox) = &self.outbox {
            self.status.at(outbox.cursor().seq, outbox.oldest(), outbox.in_trouble());
        }
    }

    fn failed(&mut self, error: &BusError) {
        self.failures = self.failures.saturating_add(1);
        self.status.disconnected();
        self.status.failed(error);
        if self.failures == 1 {
            tracing::warn!(broker = %self.settings.url, "the bus is interrupted: {error}");
        } else {
            tracing::debug!(broker = %self.settings.url, "the bus is still interrupted: {error}");
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.lost();
        }
        self.tell();
    }

    /// Waits before the next connection, and goes on reading so that the lag can be told. False at
    /// the end of it all.
    async fn rest(&mut self) -> bool {
        let cancel = self.cancel.clone();
        let mut over = Box::pin(sleep(pause(self.failures)));
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return false,
                () = &mut over => return true,
                told = self.head.changed(), if self.head_told => {
                    self.head_told = told.is_ok();
                    if let Err(error) = self.load().await {
                        self.status.failed(&error);
                    }
                }
            }
        }
    }
}

/// The pause after so many failures in a row: doubled each time, up to a limit, with jitter, so
/// that agents that lost the same broker don't come back as one.
fn pause(failures: u32) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let longest = PAUSE_LEAST.saturating_mul(doubled).min(PAUSE_MOST);
    // Without randomness there is no jitter, which is worse than it should be and no more.
    let part = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    longest.mul_f64(0.5 + part / 2.0)
}

#[cfg(test)]
mod tests;
