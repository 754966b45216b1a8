//! Sinks for alerts, as they tell of themselves.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, proto::MetricFamily};

/// What one sink says of itself; the one that fills it in is not known here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sink {
    /// `alertmanager` or `webhook`.
    pub kind: String,
    pub name: String,
    pub sent: u64,
    pub failed: u64,
    pub given_up: u64,
    pub pending_entries: u64,
    pub lag_seconds: f64,
}

const LABELS: [&str; 2] = ["kind", "name"];

pub(super) fn gather(sinks: &[Sink]) -> prometheus::Result<Vec<MetricFamily>> {
    let registry = Registry::new();
    let counter = |name: &str, help: &str, of: fn(&Sink) -> u64| {
        let counter = IntCounterVec::new(Opts::new(name, help), &LABELS)?;
        for sink in sinks {
            counter.with_label_values(&[&sink.kind, &sink.name]).inc_by(of(sink));
        }
        registry.register(Box::new(counter))
    };
    let gauge = |name: &str, help: &str, of: fn(&Sink) -> f64| {
        let gauge = GaugeVec::new(Opts::new(name, help), &LABELS)?;
        for sink in sinks {
            gauge.with_label_values(&[&sink.kind, &sink.name]).set(of(sink));
        }
        registry.register(Box::new(gauge))
    };
    counter("dr_agent_alerts_sent_total", "Requests that a receiver of alerts took.", |sink| {
        sink.sent
    })?;
    counter(
        "dr_agent_alerts_failed_total",
        "Requests to a receiver of alerts that failed and are, or were, tried again.",
        |sink| sink.failed,
    )?;
    counter(
        "dr_agent_alerts_given_up_total",
        "Alerts that a receiver refused so often that they were given up.",
        |sink| sink.given_up,
    )?;
    gauge(
        "dr_agent_alerts_pending_entries",
        "Entries of the journal of which a receiver of alerts has not been told.",
        |sink| sink.pending_entries as f64,
    )?;
    gauge(
        "dr_agent_alerts_lag_seconds",
        "Age of the oldest change that a receiver of alerts has not been told; 0 if there is none.",
        |sink| sink.lag_seconds,
    )?;
    Ok(registry.gather())
}
