//! Numbers that somebody else keeps; they are asked for at each scrape.

use prometheus::{
    Gauge, IntCounter, Opts,
    core::{Collector, Desc, Describer as _},
    proto::MetricFamily,
};

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

pub(super) struct Asked<F> {
    opts: Opts,
    desc: Desc,
    kind: Kind,
    value: F,
}

impl<F: Fn() -> u64> Asked<F> {
    pub(super) fn new(
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        kind: Kind,
        value: F,
    ) -> prometheus::Result<Self> {
        let add = |opts: Opts, (label, of): &(&str, &str)| opts.const_label(*label, *of);
        let opts = labels.iter().fold(Opts::new(name, help), add);
        Ok(Self { desc: opts.describe()?, opts, kind, value })
    }

    fn gather(&self) -> prometheus::Result<Vec<MetricFamily>> {
        let value = (self.value)();
        Ok(match self.kind {
            Kind::Counter => {
                let counter = IntCounter::with_opts(self.opts.clone())?;
                counter.inc_by(value);
                counter.collect()
            }
            Kind::Gauge => {
                let gauge = Gauge::with_opts(self.opts.clone())?;
                gauge.set(super::gauges::number(value));
                gauge.collect()
            }
        })
    }
}

impl<F: Fn() -> u64 + Send + Sync> Collector for Asked<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gather().unwrap_or_default()
    }
}
