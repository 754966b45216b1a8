//! What the agent sees and does, in Prometheus' words.
//!
//! Counters and histograms live as long as the process: looks as they are made, entries as they
//! come to stand in the journal. Gauges are made anew for each scrape from a [`View`] of the estate,
//! so that nothing stale is ever shown: what is not known now has no sample. Base units throughout:
//! seconds and bytes.

mod asked;
mod calendar;
mod families;
mod gauges;
mod host;
mod sinks;
#[cfg(test)]
mod tests;
mod view;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use agent_core::{Entry, Event, Observation, Seen, Seq, SilenceKind, Vantage};
use jiff::Timestamp;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

use self::host::Host;
pub use self::{
    asked::Kind,
    sinks::Sink,
    view::{LinkView, View},
};
use crate::{
    clock::Clock,
    journal::{JournalError, Reader},
};

/// What `Content-Type` goes with [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Entries read from the journal at once, and how many such pages one scrape reads at the most. If
/// there are more the next scrape goes on.
const PAGE: usize = 256;
const PAGES: usize = 64;

/// From a look that finds its connection open to one that runs into a deadline.
const LOOK_BUCKETS: [f64; 11] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// From a look that finds the state brought about already to a long redo.
const ENGINE_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// All metrics of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    version: String,
    looks: IntCounterVec,
    look_seconds: HistogramVec,
    entries: IntCounterVec,
    rules: IntCounterVec,
    ends: IntCounterVec,
    refusals: IntCounterVec,
    alerts_received: IntCounterVec,
    engine_seconds: HistogramVec,
    warnings: IntCounterVec,
    /// The newest entry that has been counted.
    counted: Mutex<Seq>,
    machine: Option<host::Machine>,
}

/// What the bus says of itself; the sink that fills it in is not known here.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bus {
    pub connected: bool,
    pub published: u64,
    pub returned: u64,
    /// Entries that the broker did not take.
    pub nacked: u64,
    pub last_confirmed_seq: Seq,
    pub lag_entries: u64,
    pub lag_seconds: f64,
}

/// Counts the looks of one watch.
#[derive(Debug)]
pub struct Eye {
    metrics: Arc<Metrics>,
    instance: String,
    /// When the newest look was begun: it answers for several links and took its time once.
    newest: Mutex<Option<Timestamp>>,
}

impl Metrics {
    /// `last_seq` is the newest entry of the journal as the process found it: counters begin there.
    ///
    /// # Errors
    ///
    /// Two metrics with one name, which is a mistake in this file.
    pub fn new(version: &str, last_seq: Seq) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let looks = counter(
            &registry,
            "dr_agent_probe_looks_total",
            "Looks at a link, by vantage and by what was seen: an answer, or which silence.",
            &["link", "vantage", "result"],
        )?;
        let look_seconds = histogram(
            &registry,
            "dr_agent_probe_duration_seconds",
            "How long one look at an instance took, connect and login included.",
            // Not `instance`, which is Prometheus' own label for who was scraped.
            &["server", "vantage"],
            &LOOK_BUCKETS,
        )?;
        let entries = counter(
            &registry,
            "dr_agent_entries_total",
            "Entries that came to stand in the journal since the process began, by event.",
            &["event"],
        )?;
        let rules = counter(
            &registry,
            "dr_agent_rules_fired_total",
            "Entries on the agent's own initiative, by the rule that said so.",
            &["rule"],
        )?;
        let ends = counter(
            &registry,
            "dr_agent_proposals_closed_total",
            "Proposals that were closed, by how they ended.",
            &["end"],
        )?;
        let refusals = counter(
            &registry,
            "dr_agent_refusals_total",
            "Inputs over HTTP that were refused, by the reason.",
            &["refusal"],
        )?;
        let alerts_received = counter(
            &registry,
            "dr_agent_alerts_received_total",
            "Alerts that came in over the webhook, by what became of each.",
            &["outcome"],
        )?;
        let (engine_seconds, warnings) = of_steps(&registry)?;
        // A rule that has not fired yet shows as 0.
        agent_core::rule_names().iter().for_each(|rule| rules.with_label_values(&[rule]).inc_by(0));
        registry.register(Box::new(ProcessCollector::for_self()))?;
        Ok(Self {
            registry,
            version: version.to_owned(),
            looks,
            look_seconds,
            entries,
            rules,
            ends,
            refusals,
            alerts_received,
            engine_seconds,
            warnings,
            counted: Mutex::new(last_seq),
            machine: None,
        })
    }

    /// Has each scrape tell of the machine too: its clock, and the disk that `journal` is on.
    #[must_use]
    pub fn on_machine(mut self, clock: Clock, journal: PathBuf) -> Self {
        self.machine = Some(host::Machine::new(clock, journal));
        self
    }

    /// Shows a number that somebody else keeps, under a name of its own, or with labels of its own.
    ///
    /// # Errors
    ///
    /// The name is taken, or none.
    pub fn ask(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        kind: Kind,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        self.registry.register(Box::new(asked::Asked::new(name, help, labels, kind, value)?))
    }

    /// Counts the looks of one watch; `server` is the label under which their time is kept.
    #[must_use]
    pub fn eye(self: &Arc<Self>, instance: &str) -> Eye {
        Eye { metrics: Arc::clone(self), instance: instance.to_owned(), newest: Mutex::new(None) }
    }

    /// Counts an input that was refused; `word` is the refusal's own name.
    pub fn refused(&self, word: &str) {
        self.refusals.with_label_values(&[word]).inc();
    }

    /// Counts an alert that came in; `outcome` is what became of it, in a word.
    pub fn alert_received(&self, outcome: &str) {
        self.alerts_received.with_label_values(&[outcome]).inc();
    }

    /// Whether the journal could be read for the scrape that is being made.
    pub fn journal_readable(&self, readable: bool) {
        if let Some(machine) = &self.machine {
            machine.journal_readable(readable);
        }
    }

    /// Counts what has come to stand in the journal since it was last read, and looks how much room
    /// there is for more. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// The journal can't be read; what was counted before stays counted.
    pub fn read_journal(&self, reader: &Reader) -> Result<(), JournalError> {
        if let Some(machine) = &self.machine {
            machine.look_at_disk();
        }
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..PAGES {
            let page = reader.read_after(*counted, PAGE)?;
            for stored in &page {
                self.count(&stored.entry);
                *counted = stored.entry.seq;
            }
            if page.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// One scrape. Without a view (the loop does not answer) it shows what needs none.
    ///
    /// # Errors
    ///
    /// Two metrics with one name, which is a mistake in this module.
    pub fn render(
        &self,
        view: Option<&View>,
        bus: Option<&Bus>,
        alerts: &[Sink],
    ) -> prometheus::Result<String> {
        let host = self.machine.as_ref().map(host::Machine::now);
        let mut families = gauges::gather(&self.version, host.as_ref(), view, bus)?;
        families.extend(self.registry.gather());
        families.extend(sinks::gather(alerts)?);
        families.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new().encode_to_string(&families)
    }

    fn count(&self, entry: &Entry) {
        self.entries.with_label_values(&[entry.event.name()]).inc();
        if let Some(rule) = &entry.rule {
            self.rules.with_label_values(&[rule.as_str()]).inc();
        }
        match &entry.event {
            Event::ProposalClosed { end, .. } => {
                self.ends.with_label_values(&[end.to_string().as_str()]).inc();
            }
            Event::StepDone { step, engine_ms, warning, .. } => {
                let seconds = gauges::seconds(*engine_ms);
                let step = (step.step + 1).to_string();
                self.engine_seconds.with_label_values(&[step.as_str()]).observe(seconds);
                if warning.is_some() {
                    self.warnings.with_label_values(&[step.as_str()]).inc();
                }
            }
            Event::AgentStarted { .. }
            | Event::HealthChanged { .. }
            | Event::ProposalOpened { .. }
            | Event::BallotReceived { .. }
            | Event::ProposalApproved { .. }
            | Event::StepStarted { .. }
            | Event::StepSending { .. }
            | Event::StepNoted { .. }
            | Event::StepNotDone { .. }
            | Event::StepUnknown { .. }
            | Event::UndoStarted { .. }
            | Event::EpisodeAcknowledged { .. }
            | Event::GuardLifted { .. }
            | Event::StateReported { .. }
            | Event::RunbookIssued { .. } => {}
        }
    }
}

impl Eye {
    /// Counts one look at one link.
    pub fn saw(&self, look: &Observation) {
        let vantage = vantage_word(look.vantage);
        let labels = [look.link.as_str(), vantage, result_word(&look.seen)];
        self.metrics.looks.with_label_values(&labels).inc();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.replace(look.begun_at) != Some(look.begun_at) {
            let took = look.at.duration_since(look.begun_at).as_secs_f64().max(0.0);
            let labels = [self.instance.as_str(), vantage];
            self.metrics.look_seconds.with_label_values(&labels).observe(took);
        }
    }
}

/// What steps took, and what was missing after them.
fn of_steps(registry: &Registry) -> prometheus::Result<(HistogramVec, IntCounterVec)> {
    let engine_seconds = histogram(
        registry,
        "dr_agent_step_engine_seconds",
        "From letting a command go to seeing the state that it brings about.",
        &["step"],
        &ENGINE_BUCKETS,
    )?;
    let warnings = counter(
        registry,
        "dr_agent_step_warnings_total",
        "Steps that are done with something missing that people have to see to; their entry says what.",
        &["step"],
    )?;
    Ok((engine_seconds, warnings))
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    let histogram = HistogramVec::new(opts, labels)?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

fn vantage_word(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::SqlServer => "sql_server",
        Vantage::ManagedInstance => "managed_instance",
        Vantage::ControlPlane => "control_plane",
    }
}

fn result_word(seen: &Seen) -> &'static str {
    match seen {
        Seen::Side(_) | Seen::Control(_) => "answered",
        Seen::Silence(silence) => match silence.kind {
            SilenceKind::Refused => "refused",
            SilenceKind::TimedOut => "timed_out",
            SilenceKind::Unroutable => "unroutable",
            SilenceKind::LoginFailed => "login_failed",
            SilenceKind::TlsFailed => "tls_failed",
            SilenceKind::Garbled => "garbled",
            SilenceKind::Throttled => "throttled",
            SilenceKind::Denied => "denied",
        },
    }
}
