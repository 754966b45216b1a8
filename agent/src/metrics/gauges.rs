//! The gauges of one scrape.

use std::collections::BTreeMap;

use agent_core::{
    DatabaseReading, Forecast, Health, Loss, Observation, Role, Run, Seen, Side, SideReading,
    Status, StepState,
};
use jiff::Timestamp;
use prometheus::{GaugeVec, IntCounter, Opts, Registry, proto::MetricFamily};

use super::{
    Bus, Host, LinkView, View,
    families::{
        AGE, APPROVALS, APPROVED, ATTEMPTS, BUILD_INFO, BUS_CONFIRMED, BUS_CONNECTED, BUS_LAG,
        BUS_LAG_ENTRIES, CLOCK_OFFSET, DISK_FREE, EPISODE, EXPIRES, Family, GUARD, HEALTH,
        HEALTH_SINCE, JOURNAL_READABLE, JOURNAL_SIZE, LAST_COMMIT, LAST_SEQ, LOSS, LOSS_UNKNOWN,
        NEEDED, OPEN, PRIMARY, RECOVERY, REDO_QUEUE, REPLICA, ROLE, SECONDARY_LAG, SEND_QUEUE,
        SERVING, SIDE_CLOCK, SILENT, STARTED, STEP_UNKNOWN, STEPS, STEPS_DONE, STUCK, TURN_ANSWERS,
        UNACKNOWLEDGED, WOULD_PROPOSE,
    },
    vantage_word,
};

/// All gauges, and the counters that somebody else keeps.
pub(super) fn gather(
    version: &str,
    host: Option<&Host>,
    view: Option<&View>,
    bus: Option<&Bus>,
) -> prometheus::Result<Vec<MetricFamily>> {
    let mut sheet = Sheet::default();
    sheet.put(&BUILD_INFO, &[version], 1.0)?;
    if let Some(host) = host {
        sheet.host(host)?;
    }
    sheet.put(&TURN_ANSWERS, &[], flag(view.is_some()))?;
    if let Some(view) = view {
        sheet.put(&LAST_SEQ, &[], number(view.last_seq))?;
        for link in &view.links {
            sheet.record(link)?;
            sheet.evidence(link, view.now)?;
            if let Some(explanation) = &link.explanation {
                sheet.forecast(link.link.as_str(), &explanation.forecast)?;
                let would = flag(explanation.would_propose);
                sheet.put(&WOULD_PROPOSE, &[link.link.as_str()], would)?;
            }
            sheet.run(link.link.as_str(), link.record.live())?;
        }
    }
    if let Some(bus) = bus {
        sheet.bus(bus)?;
    }
    Ok(sheet.registry.gather())
}

/// Milliseconds in the base unit.
pub(super) fn seconds(ms: u64) -> f64 {
    number(ms) / 1000.0
}

#[derive(Default)]
struct Sheet {
    registry: Registry,
    gauges: BTreeMap<&'static str, GaugeVec>,
}

impl Sheet {
    fn put(&mut self, family: &Family, labels: &[&str], value: f64) -> prometheus::Result<()> {
        let gauge = match self.gauges.get(family.name) {
            Some(gauge) => gauge,
            None => {
                let gauge = GaugeVec::new(Opts::new(family.name, family.help), family.labels)?;
                self.registry.register(Box::new(gauge.clone()))?;
                self.gauges.entry(family.name).or_insert(gauge)
            }
        };
        gauge.get_metric_with_label_values(labels)?.set(value);
        Ok(())
    }

    fn host(&mut self, host: &Host) -> prometheus::Result<()> {
        self.put(&STARTED, &[], timestamp(host.started_at))?;
        self.put(&CLOCK_OFFSET, &[], host.clock_offset.as_secs_f64())?;
        self.put(&JOURNAL_READABLE, &[], flag(host.journal_readable))?;
        if let Some(bytes) = host.journal_bytes {
            self.put(&JOURNAL_SIZE, &[], number(bytes))?;
        }
        if let Some(bytes) = host.free_bytes {
            self.put(&DISK_FREE, &[], number(bytes))?;
        }
        Ok(())
    }

    fn record(&mut self, view: &LinkView) -> prometheus::Result<()> {
        let (link, record) = (view.link.as_str(), &view.record);
        for health in HEALTHS {
            self.put(&HEALTH, &[link, health_word(health)], flag(record.health == health))?;
        }
        if let Some(since) = record.health_since {
            self.put(&HEALTH_SINCE, &[link], timestamp(since))?;
        }
        for side in Side::BOTH {
            self.put(&PRIMARY, &[link, side_word(side)], flag(record.primary == Some(side)))?;
        }
        self.put(&EPISODE, &[link], flag(record.episode.is_some()))?;
        let closed = record.run.as_ref().is_some_and(|run| run.closed_at.is_some());
        self.put(&GUARD, &[link], flag(record.guard.is_some()))?;
        self.put(&UNACKNOWLEDGED, &[link], flag(closed && !record.acknowledged))?;
        self.put(&STUCK, &[link], flag(record.stuck().is_some()))
    }

    fn evidence(&mut self, view: &LinkView, now: Timestamp) -> prometheus::Result<()> {
        let link = view.link.as_str();
        for look in &view.looks {
            let vantage = vantage_word(look.vantage);
            let age = now.duration_since(look.begun_at).as_secs_f64().max(0.0);
            self.put(&AGE, &[link, vantage], age)?;
            let silent = matches!(look.seen, Seen::Silence(_));
            self.put(&SILENT, &[link, vantage], flag(silent))?;
            if let Seen::Side(reading) = &look.seen {
                self.side(link, look, reading)?;
            }
        }
        Ok(())
    }

    fn side(
        &mut self,
        link: &str,
        look: &Observation,
        reading: &SideReading,
    ) -> prometheus::Result<()> {
        // A reading comes from the TDS look at a side: its vantage is named as the side is.
        let side = vantage_word(look.vantage);
        for role in ROLES {
            self.put(&ROLE, &[link, side, role_word(role)], flag(reading.role == role))?;
        }
        // As many as are configured, and their listener.
        for replica in &reading.replicas {
            for role in ROLES {
                let holds = flag(replica.role == Some(role));
                self.put(&REPLICA, &[link, side, &replica.name, role_word(role)], holds)?;
            }
        }
        self.put(&SERVING, &[link, side], flag(reading.serving()))?;
        // The server read its clock at some time between the two ends of the look.
        let half = look.at.duration_since(look.begun_at).as_secs_f64() / 2.0;
        let ahead = reading.server_time.duration_since(look.begun_at).as_secs_f64() - half;
        self.put(&SIDE_CLOCK, &[link, side], ahead)?;
        if let Some(database) = &reading.database {
            self.database(link, side, database)?;
        }
        let Some(partner) = &reading.partner else { return Ok(()) };
        if let Some(lag) = partner.lag_s {
            self.put(&SECONDARY_LAG, &[link], number(lag))?;
        }
        if let Some(queue) = partner.log_send_queue_kb {
            self.put(&SEND_QUEUE, &[link], bytes(queue))?;
        }
        Ok(())
    }

    fn database(
        &mut self,
        link: &str,
        side: &str,
        database: &DatabaseReading,
    ) -> prometheus::Result<()> {
        if let Some(at) = database.last_commit_at {
            self.put(&LAST_COMMIT, &[link, side], timestamp(at))?;
        }
        if let Some(queue) = database.redo_queue_kb {
            self.put(&REDO_QUEUE, &[link, side], bytes(queue))?;
        }
        Ok(())
    }

    fn forecast(&mut self, link: &str, forecast: &Forecast) -> prometheus::Result<()> {
        let known = match forecast.loss {
            Loss::Within { least_ms, most_ms, .. } => {
                self.put(&LOSS, &[link, "least"], seconds(least_ms))?;
                self.put(&LOSS, &[link, "most"], seconds(most_ms))?;
                true
            }
            Loss::Unknown { .. } => false,
        };
        self.put(&LOSS_UNKNOWN, &[link], flag(!known))?;
        self.put(&RECOVERY, &[link, "least"], seconds(forecast.recovery_least_ms))?;
        if let Some(most) = forecast.recovery_most_ms {
            self.put(&RECOVERY, &[link, "most"], seconds(most))?;
        }
        Ok(())
    }

    fn run(&mut self, link: &str, live: Option<&Run>) -> prometheus::Result<()> {
        let open = live.is_some_and(|run| run.status == Status::Open);
        self.put(&OPEN, &[link], flag(open))?;
        self.put(&APPROVED, &[link], flag(live.is_some() && !open))?;
        let Some(run) = live else { return Ok(()) };
        let terms = &run.proposal.terms;
        self.put(&APPROVALS, &[link], count(run.ballots.len()))?;
        self.put(&NEEDED, &[link], count(terms.quorum))?;
        let expires = match run.status {
            Status::Approved { execute_by, .. } => execute_by,
            Status::Open | Status::Undoing { .. } | Status::Closed(_) => terms.approve_by,
        };
        self.put(&EXPIRES, &[link], timestamp(expires))?;
        let steps: usize = run.proposal.plan.lanes.iter().map(|lane| lane.steps.len()).sum();
        let done: usize = run.lanes.iter().map(|lane| lane.step).sum();
        self.put(&STEPS, &[link], count(steps))?;
        self.put(&STEPS_DONE, &[link], count(done))?;
        for (lane, progress) in run.lanes.iter().enumerate() {
            let lane = lane.to_string();
            self.put(&ATTEMPTS, &[link, &lane], f64::from(progress.attempts))?;
            let unknown = matches!(progress.state, StepState::Unknown { .. });
            self.put(&STEP_UNKNOWN, &[link, &lane], flag(unknown))?;
        }
        Ok(())
    }

    fn bus(&mut self, bus: &Bus) -> prometheus::Result<()> {
        self.put(&BUS_CONNECTED, &[], flag(bus.connected))?;
        self.put(&BUS_CONFIRMED, &[], number(bus.last_confirmed_seq))?;
        self.put(&BUS_LAG_ENTRIES, &[], number(bus.lag_entries))?;
        self.put(&BUS_LAG, &[], bus.lag_seconds)?;
        let counters = [
            ("dr_agent_bus_published_total", "Entries that the broker confirmed.", bus.published),
            (
                "dr_agent_bus_returned_total",
                "Entries that the broker returned because no queue wanted them.",
                bus.returned,
            ),
            ("dr_agent_bus_nacked_total", "Entries that the broker refused.", bus.nacked),
        ];
        for (name, help, value) in counters {
            let counter = IntCounter::new(name, help)?;
            counter.inc_by(value);
            self.registry.register(Box::new(counter))?;
        }
        Ok(())
    }
}

const HEALTHS: [Health; 9] = [
    Health::Unknown,
    Health::Healthy,
    Health::Degraded,
    Health::PrimaryUnreachable,
    Health::PrimaryDown,
    Health::NoPrimary,
    Health::SplitBrain,
    Health::Unlinked,
    Health::Parted,
];

const ROLES: [Role; 4] = [Role::Primary, Role::Secondary, Role::Resolving, Role::Absent];

fn health_word(health: Health) -> &'static str {
    match health {
        Health::Unknown => "unknown",
        Health::Healthy => "healthy",
        Health::Degraded => "degraded",
        Health::PrimaryUnreachable => "primary_unreachable",
        Health::PrimaryDown => "primary_down",
        Health::NoPrimary => "no_primary",
        Health::SplitBrain => "split_brain",
        Health::Unlinked => "unlinked",
        Health::Parted => "parted",
    }
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::SqlServer => "sql_server",
        Side::ManagedInstance => "managed_instance",
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Primary => "primary",
        Role::Secondary => "secondary",
        Role::Resolving => "resolving",
        Role::Absent => "absent",
    }
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn timestamp(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// KB, as SQL Server counts them, in the base unit.
fn bytes(kb: u64) -> f64 {
    number(kb) * 1024.0
}

fn count(many: usize) -> f64 {
    number(u64::try_from(many).unwrap_or(u64::MAX))
}

/// Beyond 2^53 the last digits are lost, which no reader of a gauge will miss.
pub(super) fn number(value: u64) -> f64 {
    value as f64
}
