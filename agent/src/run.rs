//! Composition: who is made, who is begun, who is told to stop. The only file that knows all others.
//!
//! The order of the beginning: journal, loop, executor (what was under way goes on before anything
//! else), probes, bus, HTTP. The end falls like dominoes: the sources are told to stop (probes,
//! executor, HTTP); when they have, the loop takes what they left and ends; then the bus. One grace
//! period is for all of it, and names whoever did not finish. `kill -9` is safe at any line.

mod alerting;
mod calendar;
mod issue;
mod parts;
mod places;
mod record;
mod supervisor;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use agent_core::{Estate, Input, Seq};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

pub use self::places::{SetupError, token_scope};
use self::{parts::Parts, places::Places, record::Recording, supervisor::Supervisor};
use crate::{
    account,
    bus::{self, BusStatus},
    clock::Clock,
    config::{BusSettings, Config, HttpSettings},
    executor,
    http::{self, Bound, BusLook, ServeError, TokenError, Tokens, view::BusView},
    journal::{Cursors, Hash, Journal, JournalError, Reader},
    metrics::Metrics,
    schedule,
    turn::{self, Ended, Inbox, Turn},
};

/// This version of the agent.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A clock that is this far ahead of the machine's own is worth a word.
const AHEAD: Duration = Duration::from_secs(5);
/// For the journal to take the first entry. A disk that takes longer is no disk to guard with.
const FIRST_ENTRY: Duration = Duration::from_secs(60);
/// For the flight recorder to write the turn that could not be stored.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the agent could not begin, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Tokens(#[from] TokenError),
    #[error(transparent)]
    Http(#[from] ServeError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("the journal takes no first entry: {0}")]
    NoStart(String),
    /// What was decided and not stored must not be seen by anybody: the process has to end.
    #[error("the loop that decides has ended: {0}")]
    Loop(JournalError),
    #[error("the loop that decides panicked; the log says where")]
    LoopPanicked,
    #[error("{0} ended though nobody had told it to; the log says why")]
    PartEnded(String),
    #[error("can't {doing}: {error}")]
    System { doing: &'static str, error: std::io::Error },
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
///
/// Why it could not begin, or why it had to end. End the process at once then: parts of it may
/// still be under way.
pub async fn run(config: Config) -> Result<(), RunError> {
    let stop = CancellationToken::new();
    on_signals(&stop)?;
    run_until(config, stop).await
}

/// Runs the agent until `stop`.
///
/// # Errors
///
/// As [`run`].
pub async fn run_until(config: Config, stop: CancellationToken) -> Result<(), RunError> {
    // Whatever can be wrong with the surroundings shows before anything is written or done.
    let tokens = Arc::new(Tokens::read(&config.http.token_files)?);
    let webhook_tokens = Arc::new(Tokens::read(&config.http.webhook_token_files)?);
    let bound = Bound::open(door(&config.http)).await?;
    let broker = config.bus.as_ref().map(|bus| broker(&config.agent.name, bus)).transpose()?;
    let receivers = alerting::receivers(&config).map_err(SetupError::Alerts)?;
    let opened = Opened::read(&config)?;
    let places = Places::make(&config, &opened.clock)?;
    let agent = opened.begin(&config).await?;
    let Agent { inbox, told, clock, started_at, .. } = &agent;

    let mut sources = Parts::new(stop.child_token());
    let (hands, work) = (Arc::new(places.hands()), told.work.clone());
    sources.once("the executor", |stop| {
        executor::run(work, inbox.clone(), hands, clock.clone(), stop)
    });
    let metrics = Metrics::new(VERSION, agent.found).map_err(SetupError::Metrics)?;
    let metrics = Arc::new(metrics.on_machine(clock.clone(), config.journal_path()));
    if let Some(recording) = &agent.recording {
        recording.tell(&metrics).map_err(SetupError::Metrics)?;
    }
    let jobs = calendar::jobs(&config, broker.as_ref(), inbox, agent.last_jobs);
    metrics.calendar(&jobs).map_err(SetupError::Metrics)?;
    let wall = calendar::wall(clock.clone());
    sources.again("the calendar", move |stop| schedule::run(jobs.clone(), wall.clone(), stop));
    places.watch(&mut sources, &metrics, inbox);

    // Entries that the stop itself brings about go out too, so the bus is told last.
    let mut sinks = Parts::new(CancellationToken::new());
    let bus = broker.map(|broker| publish(broker, &config, &agent, &mut sinks));
    let alerts = alerting::tell(receivers, &config, &agent, &mut sinks);
    let (journal, accounts) = (config.journal_path(), config.accounts_path());
    let head = told.head.clone();
    sinks.again("the accounts of runs", move |stop| {
        account::run(journal.clone(), accounts.clone(), head.clone(), stop)
    });

    let url = bound.url();
    let router = http::router(http::Parts {
        inbox: inbox.clone(),
        head: told.head.clone(),
        journal: config.journal_path(),
        bus,
        alerts,
        metrics,
        tokens,
        webhook_tokens,
        alert_rules: config.alert_rules.clone().into(),
        metrics_open: config.http.metrics_open,
        places: Arc::new(config.places.clone()),
        version: VERSION,
        started_at: *started_at,
        stop: sources.stop().clone(),
    });
    let grace = config.agent.grace;
    sources.fallible("HTTP", |stop| bound.serve(router, stop, grace));
    let supervisor = Supervisor::of_environment();
    if let Some(watch) = supervisor.watch(inbox.clone(), sources.stop().clone()) {
        sources.once("the word to the supervisor", |_| watch);
    }
    supervisor.ready(&url);
    tracing::info!(%url, version = VERSION, links = config.links.len(), "ready");

    agent.wait(stop, sources, sinks, grace, &supervisor).await
}

/// The parts that everything else rests on.
struct Agent {
    inbox: Inbox,
    told: turn::Told,
    clock: Clock,
    /// The newest entry that was found.
    found: Seq,
    started_at: Timestamp,
    recording: Option<Recording>,
    last_jobs: calendar::Last,
    /// How the loop ended, when it has.
    ended: oneshot::Receiver<Result<(), RunError>>,
}

/// The journal, read, and the clock that goes on from it.
struct Opened {
    journal: Journal,
    estate: Estate,
    head: Hash,
    term: u64,
    clock: Clock,
}

impl Opened {
    fn read(config: &Config) -> Result<Self, RunError> {
        let journal = Journal::open(&config.journal_path())?;
        let mut estate = Estate::new(config.links.clone(), config.roster.clone(), config.brake);
        let (head, term) = journal.fold(&mut estate)?;
        let clock = Clock::start(estate.last_at());
        if clock.ahead() > AHEAD {
            tracing::warn!(
                seconds = clock.ahead().as_secs(),
                "the newest entry is later than the machine's clock: going on from the entry"
            );
        }
        let work = estate.work().len();
        tracing::info!(entries = estate.last_seq(), work, "the journal is read");
        Ok(Self { journal, estate, head, term, clock })
    }

    /// Begins the loop, and has it write that it began.
    async fn begin(self, config: &Config) -> Result<Agent, RunError> {
        let Self { journal, estate, head, term, clock } = self;
        let (found, started_at) = (estate.last_seq(), clock.now());
        let last_jobs = estate.last_jobs();
        let mut turn = Turn::new(estate, journal, head, term);
        let mut recording = None;
        if let Some((recorder, begun)) = record::begin(config, term).map_err(no_thread)? {
            turn = turn.recorded(recorder);
            recording = Some(begun);
        }
        let (inbox, told, thread) = turn::spawn(turn, clock.clone()).map_err(no_thread)?;
        let ended = watch_loop(thread)?;
        let start =
            Input::Start { version: VERSION.to_owned(), config_digest: config.digest.clone() };
        let mut agent =
            Agent { inbox, told, clock, found, started_at, recording, last_jobs, ended };
        match tokio::time::timeout(FIRST_ENTRY, agent.inbox.input(start)).await {
            Ok(Ok(Ok(_entry))) => Ok(agent),
            Ok(Ok(Err(refusal))) => Err(RunError::NoStart(refusal.to_string())),
            Ok(Err(Ended)) => Err(fatal((&mut agent.ended).await)),
            Err(_) => Err(RunError::NoStart(format!("it took longer than {FIRST_ENTRY:?}"))),
        }
    }
}

impl Agent {
    /// Waits for the end, whatever brings it about, and then for everybody.
    async fn wait(
        mut self,
        stop: CancellationToken,
        mut sources: Parts,
        mut sinks: Parts,
        grace: Duration,
        supervisor: &Supervisor,
    ) -> Result<(), RunError> {
        tokio::select! {
            biased;
            ended = &mut self.ended => {
                // What it was given last is what everybody will want to see.
                if let Some(recording) = self.recording.take() {
                    drop(tokio::time::timeout(LAST_WORDS, recording.ended()).await);
                }
                return Err(fatal(ended));
            }
            part = sources.fallen() => return Err(RunError::PartEnded(part)),
            part = sinks.fallen() => return Err(RunError::PartEnded(part)),
            () = stop.cancelled() => {}
        }
        tracing::info!(?grace, "stopping");
        supervisor.stopping();
        let patience = tokio::time::sleep(grace);
        tokio::pin!(patience);
        let mut late = sources.finish(patience.as_mut()).await;
        self.inbox.stop();
        tokio::select! {
            biased;
            ended = &mut self.ended => match ended {
                Ok(Ok(())) => {}
                ended @ (Ok(Err(_)) | Err(_)) => return Err(fatal(ended)),
            },
            () = patience.as_mut() => late.push("the loop that decides".to_owned()),
        }
        late.extend(sinks.finish(patience.as_mut()).await);
        if let Some(recording) = self.recording.take() {
            tokio::select! {
                biased;
                () = recording.ended() => {}
                () = patience.as_mut() => late.push("the flight recorder".to_owned()),
            }
        }
        if late.is_empty() {
            tracing::info!("stopped");
        } else {
            // Nothing is lost: the journal knows what was under way, and the next start goes on.
            tracing::warn!(late = late.join(", "), "stopped; these had not finished");
        }
        Ok(())
    }
}

fn fatal(ended: Result<Result<(), RunError>, oneshot::error::RecvError>) -> RunError {
    match ended {
        Ok(Err(error)) => error,
        // It ends by itself only when it is told to, or when nobody can reach it any more.
        Ok(Ok(())) | Err(_) => RunError::PartEnded("the loop that decides".to_owned()),
    }
}

/// Turns the end of the loop's thread into something that can be waited for.
fn watch_loop(
    thread: std::thread::JoinHandle<Result<(), JournalError>>,
) -> Result<oneshot::Receiver<Result<(), RunError>>, RunError> {
    let (tell, ended) = oneshot::channel();
    let watcher = std::thread::Builder::new().name("turn-watch".into()).spawn(move || {
        let how = match thread.join() {
            Ok(how) => how.map_err(RunError::Loop),
            Err(_) => Err(RunError::LoopPanicked),
        };
        // Nobody waits any more when the agent could not begin.
        drop(tell.send(how));
    });
    watcher.map_err(no_thread)?;
    Ok(ended)
}

fn no_thread(error: std::io::Error) -> RunError {
    RunError::System { doing: "start a thread", error }
}

pub(crate) fn broker(name: &str, settings: &BusSettings) -> Result<bus::BusSettings, SetupError> {
    Ok(bus::BusSettings {
        url: settings.url.last().expose_secret().parse().map_err(SetupError::Bus)?,
        kept_url: Some(settings.url.clone()),
        exchange: settings.exchange.clone(),
        source: format!("/dr-agent/{name}"),
        ca: settings.ca.clone(),
        connect_within: settings.connect_within,
        confirm_within: settings.confirm_within,
    })
}

/// Begins the bus. If it fell it would begin again at its cursor.
fn publish(
    settings: bus::BusSettings,
    config: &Config,
    agent: &Agent,
    sinks: &mut Parts,
) -> BusLook {
    let (path, head) = (config.journal_path(), agent.told.head.clone());
    let status = BusStatus::new(head.clone());
    let shown = status.clone();
    sinks.again("the bus", move |stop| {
        let (settings, head, status) = (settings.clone(), head.clone(), status.clone());
        let files = Reader::open(&path).and_then(|reader| Ok((reader, Cursors::open(&path)?)));
        async move {
            match files {
                Ok((reader, cursors)) => {
                    bus::run(settings, reader, cursors, head, stop, status).await;
                }
                Err(error) => tracing::error!(%error, "the bus can't read what it is to publish"),
            }
        }
    });
    let clock = agent.clock.clone();
    Arc::new(move || {
        let report = shown.report(clock.now());
        BusView {
            connected: report.connected,
            published: report.published,
            returned: report.returned,
            nacked: report.nacked,
            held_up: report.held_up,
            last_confirmed_seq: report.last_confirmed_seq,
            lag_entries: report.lag_entries,
            lag_ms: report.lag_ms,
            last_error: report.last_error,
        }
    })
}

fn door(settings: &HttpSettings) -> http::Settings {
    http::Settings {
        listen: settings.listen,
        tls: settings
            .tls
            .as_ref()
            .map(|files| http::Tls { cert: files.cert.clone(), key: files.key.clone() }),
        address_file: settings.address_file.clone(),
    }
}

/// SIGTERM and SIGINT stop in order; another one after that ends the process where it stands.
fn on_signals(stop: &CancellationToken) -> Result<(), RunError> {
    let listen = |kind| {
        signal(kind).map_err(|error| RunError::System { doing: "listen for signals", error })
    };
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = stop.clone();
    tokio::spawn(async move {
        for told in ["stopping is asked for", "asked again: ending at once"] {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::info!("{told}");
            if stop.is_cancelled() {
                std::process::exit(70);
            }
            stop.cancel();
        }
    });
    Ok(())
}
