//! The gauges of one scrape.

use std::collections::BTreeMap;

use agent_core::{
    DatabaseReading, Forecast, Health, Loss, Observation, Role, Run, Seen, Side, SideReading,
    Status,
};
use jiff::Timestamp;
use prometheus::{GaugeVec, IntCounter, Opts, Registry, proto::MetricFamily};

use super::{Bus, LinkView, View, vantage_word};

/// Name, help and labels of one metric.
struct Family {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
}

const BUILD_INFO: Family = Family {
    name: "dr_agent_build_info",
    help: "Always 1; the version that runs.",
    labels: &["version"],
};
const TURN_ANSWERS: Family = Family {
    name: "dr_agent_turn_answers",
    help: "Whether the loop that decides answered this scrape; without it there is nothing to show.",
    labels: &[],
};
const LAST_SEQ: Family = Family {
    name: "dr_agent_journal_last_seq",
    help: "Place of the newest entry of the journal.",
    labels: &[],
};
const HEALTH: Family = Family {
    name: "dr_agent_link_health",
    help: "1 for the health that the link is in, 0 for each other one.",
    labels: &["link", "health"],
};
const HEALTH_SINCE: Family = Family {
    name: "dr_agent_link_health_since_timestamp_seconds",
    help: "Since when the link is in its health.",
    labels: &["link"],
};
const PRIMARY: Family = Family {
    name: "dr_agent_link_primary",
    help: "1 for the side that was primary when one was last seen, by the journal.",
    labels: &["link", "side"],
};
const EPISODE: Family = Family {
    name: "dr_agent_link_episode",
    help: "1 from the first sign of trouble until the link is healthy again.",
    labels: &["link"],
};
const UNACKNOWLEDGED: Family = Family {
    name: "dr_agent_link_unacknowledged",
    help: "1 if the newest proposal is closed and no human has acknowledged how it ended.",
    labels: &["link"],
};
const ROLE: Family = Family {
    name: "dr_agent_link_role",
    help: "1 for the role that a side showed in the newest look; no sample while it is silent.",
    labels: &["link", "side", "role"],
};
const SERVING: Family = Family {
    name: "dr_agent_link_serving",
    help: "Whether a side was primary with its database taking writes in the newest look.",
    labels: &["link", "side"],
};
const AGE: Family = Family {
    name: "dr_agent_observation_age_seconds",
    help: "Age of the newest look of a vantage, silence included.",
    labels: &["link", "vantage"],
};
const SILENT: Family = Family {
    name: "dr_agent_observation_silent",
    help: "Whether the newest look of a vantage was met with silence.",
    labels: &["link", "vantage"],
};
const LAST_COMMIT: Family = Family {
    name: "dr_agent_link_last_commit_timestamp_seconds",
    help: "Last commit on a side by that side's own clock.",
    labels: &["link", "side"],
};
const SECONDARY_LAG: Family = Family {
    name: "dr_agent_link_secondary_lag_seconds",
    help: "How far the secondary is behind, as the primary tells; 0 while suspended.",
    labels: &["link"],
};
const SEND_QUEUE: Family = Family {
    name: "dr_agent_link_log_send_queue_bytes",
    help: "Log that the primary has not yet sent.",
    labels: &["link"],
};
const REDO_QUEUE: Family = Family {
    name: "dr_agent_link_redo_queue_bytes",
    help: "Log that a side has received and not yet redone, by its own word.",
    labels: &["link", "side"],
};
const LOSS: Family = Family {
    name: "dr_agent_forecast_loss_seconds",
    help: "Commits that a forced failover now would lose, at the least and at the most.",
    labels: &["link", "edge"],
};
const LOSS_UNKNOWN: Family = Family {
    name: "dr_agent_forecast_unknown",
    help: "1 if nobody can say what a forced failover now would lose.",
    labels: &["link"],
};
const RECOVERY: Family = Family {
    name: "dr_agent_forecast_recovery_seconds",
    help: "Time from the command until the new primary takes writes.",
    labels: &["link", "edge"],
};
const WOULD_PROPOSE: Family = Family {
    name: "dr_agent_link_would_propose",
    help: "Whether the agent would propose a failover of the link now.",
    labels: &["link"],
};
const OPEN: Family = Family {
    name: "dr_agent_proposal_open",
    help: "1 while a proposal waits for approvers.",
    labels: &["link"],
};
const APPROVED: Family = Family {
    name: "dr_agent_proposal_approved",
    help: "1 while an approved plan is being carried out.",
    labels: &["link"],
};
const APPROVALS: Family = Family {
    name: "dr_agent_proposal_approvals",
    help: "Valid approvals of the live proposal so far.",
    labels: &["link"],
};
const NEEDED: Family = Family {
    name: "dr_agent_proposal_approvals_needed",
    help: "Approvals that the live proposal takes.",
    labels: &["link"],
};
const EXPIRES: Family = Family {
    name: "dr_agent_proposal_expires_timestamp_seconds",
    help: "When the clock that runs for the live proposal ends: to approve it, or to begin steps.",
    labels: &["link"],
};
const STEPS: Family = Family {
    name: "dr_agent_run_steps",
    help: "Steps of the live proposal's plan.",
    labels: &["link"],
};
const STEPS_DONE: Family = Family {
    name: "dr_agent_run_steps_done",
    help: "Steps of the live proposal's plan that are done.",
    labels: &["link"],
};
const ATTEMPTS: Family = Family {
    name: "dr_agent_run_step_attempts",
    help: "Tries of the step that is next or under way.",
    labels: &["link", "lane"],
};
const BUS_CONNECTED: Family = Family {
    name: "dr_agent_bus_connected",
    help: "Whether there is a connection to the broker.",
    labels: &[],
};
const BUS_CONFIRMED: Family = Family {
    name: "dr_agent_bus_confirmed_seq",
    help: "Place of the newest entry that the broker has confirmed.",
    labels: &[],
};
const BUS_LAG_ENTRIES: Family = Family {
    name: "dr_agent_bus_lag_entries",
    help: "Entries of the journal that the broker has not confirmed.",
    labels: &[],
};
const BUS_LAG: Family = Family {
    name: "dr_agent_bus_lag_seconds",
    help: "Age of the oldest entry that the broker has not confirmed; 0 if there is none.",
    labels: &[],
};

/// All gauges, and the counters that somebody else keeps.
pub(super) fn gather(
    version: &str,
    view: Option<&View>,
    bus: Option<&Bus>,
) -> prometheus::Result<Vec<MetricFamily>> {
    let mut sheet = Sheet::default();
    sheet.put(&BUILD_INFO, &[version], 1.0)?;
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
        self.put(&UNACKNOWLEDGED, &[link], flag(closed && !record.acknowledged))
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
        self.put(&SERVING, &[link, side], flag(reading.serving()))?;
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
            Status::Open | Status::Closed(_) => terms.approve_by,
        };
        self.put(&EXPIRES, &[link], timestamp(expires))?;
        let steps: usize = run.proposal.plan.lanes.iter().map(|lane| lane.steps.len()).sum();
        let done: usize = run.lanes.iter().map(|lane| lane.step).sum();
        self.put(&STEPS, &[link], count(steps))?;
        self.put(&STEPS_DONE, &[link], count(done))?;
        for (lane, progress) in run.lanes.iter().enumerate() {
            let lane = lane.to_string();
            self.put(&ATTEMPTS, &[link, &lane], f64::from(progress.attempts))?;
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

const HEALTHS: [Health; 8] = [
    Health::Unknown,
    Health::Healthy,
    Health::Degraded,
    Health::PrimaryUnreachable,
    Health::PrimaryDown,
    Health::NoPrimary,
    Health::SplitBrain,
    Health::Unlinked,
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
fn number(value: u64) -> f64 {
    value as f64
}
