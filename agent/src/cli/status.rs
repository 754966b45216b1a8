//! `status`: every link at a glance.

use agent_core::Seen;
use clap::Args;

use super::{
    Context,
    exit::Failure,
    show::summary,
    text::{Page, lasting, time},
    words,
};
use crate::http::view;

#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let status: view::Status = context.connection.open()?.get(&["status"], &[])?;
        context.output.show(&status, |page| self::page(page, &status))
    }
}

pub(super) fn page(page: &mut Page, status: &view::Status) {
    let view::Status { version, started_at, now, last_seq, links, bus, alerts } = status;
    let up = u64::try_from(now.duration_since(*started_at).as_millis()).unwrap_or(0);
    page.title(format!(
        "dr-agent {version}, {}, up for {}, entry {last_seq}",
        time(*now),
        lasting(up)
    ));
    match bus {
        None => page.line(0, "bus: not configured"),
        Some(bus) => self::bus(page, bus),
    }
    for sink in alerts {
        self::sink(page, sink);
    }
    for link in links {
        self::link(page, link);
    }
}

fn bus(page: &mut Page, bus: &view::BusView) {
    let state = if bus.connected { "connected" } else { "NOT connected" };
    page.line(
        0,
        format!(
            "bus: {state}, {} entries behind ({}), {} published, {} returned, {} refused",
            bus.lag_entries,
            lasting(bus.lag_ms),
            bus.published,
            bus.returned,
            bus.nacked
        ),
    );
    if let Some(error) = &bus.last_error {
        page.line(1, format!("last error: {error}"));
    }
}

fn sink(page: &mut Page, sink: &view::SinkView) {
    page.line(
        0,
        format!(
            "alerts to {} {}: {} entries behind ({}), {} sent, {} failed, {} given up",
            sink.kind,
            sink.name,
            sink.pending_entries,
            lasting(sink.lag_ms),
            sink.sent,
            sink.failed,
            sink.given_up
        ),
    );
    if let Some(error) = &sink.last_error {
        page.line(1, format!("last error: {error}"));
    }
}

fn link(page: &mut Page, link: &view::LinkStatus) {
    let since = link.since.map(|at| format!(" since {}", time(at))).unwrap_or_default();
    page.title(format!("{}: {}{since}", link.link, link.health));
    if !link.configured {
        page.line(1, "known from the journal alone: it is not in the configuration any more");
    }
    let primary = link.primary.map_or_else(|| "never seen".to_owned(), |side| side.to_string());
    page.pair(1, "primary", primary);
    for reason in &link.reasons {
        page.line(2, format!("- {reason}"));
    }
    let view::Sides { sql_server, managed_instance, control_plane } = &link.sides;
    for (name, look) in [
        ("SQL Server", sql_server),
        ("managed instance", managed_instance),
        ("control plane", control_plane),
    ] {
        let words = match look {
            None => "not looked at yet".to_owned(),
            Some(look) => format!("{}: {}", words::ago(look.age_ms), words::seen(&look.seen)),
        };
        page.pair(1, name, words);
        if let Some(view::Look { seen: Seen::Side(reading), .. }) = look {
            for replica in &reading.replicas {
                page.line(2, format!("- replica {}: {}", replica.name, replica.said));
            }
        }
    }
    if let Some(forecast) = &link.forecast {
        page.line(1, "a forced failover now:");
        words::forecast(page, forecast);
    }
    match &link.proposal {
        None => page.pair(1, "proposal", "none"),
        Some(proposal) => summary(page, 1, proposal),
    }
    if let Some(guard) = &link.guard {
        let state = if guard.served { "has stopped writers on" } else { "armed for" };
        let words = format!(
            "{state} {}, signed with proposal {}, since {}",
            guard.side,
            guard.proposal,
            time(guard.armed_at)
        );
        page.pair(1, "return guard", words);
    }
}
