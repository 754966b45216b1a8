//! The eyes: from the world to observations, with latency, time-outs and clocks that differ.

use std::collections::BTreeMap;

use agent_core::{
    ControlLink, ControlReading, DatabaseReading, DatabaseState, Lsn, Members, Observation,
    PartnerReading, Role, Seen, SideReading, Silence, SilenceKind, SyncHealth, SyncState, Vantage,
};
use jiff::{SignedDuration, Timestamp};
use twin::world::{self, Party, Reach, World, views};

use super::{DATABASE, Happening, LINK, MANAGED_INSTANCE, SQL_SERVER, Universe};

pub(super) const VANTAGES: [Vantage; 3] =
    [Vantage::SqlServer, Vantage::ManagedInstance, Vantage::ControlPlane];
/// One deadline around a look.
const DEADLINE_MS: i64 = 1_000;

/// How far a server's clock is ahead of the agent's.
pub(super) type Skew = SignedDuration;

pub(super) fn skews(rng: &mut fastrand::Rng, most_ms: i64) -> BTreeMap<Vantage, Skew> {
    let mut draw = || SignedDuration::from_millis(rng.i64(-most_ms..=most_ms));
    VANTAGES.into_iter().map(|vantage| (vantage, draw())).collect()
}

pub(super) fn party(vantage: Vantage) -> Party {
    match vantage {
        Vantage::SqlServer => Party::Instance(SQL_SERVER.into()),
        Vantage::ManagedInstance => Party::Instance(MANAGED_INSTANCE.into()),
        Vantage::ControlPlane => Party::Arm,
    }
}

/// A look at the primary that never arrived, for those who break the house on purpose.
pub(super) fn blinded(seen: Observation) -> Observation {
    let silence =
        Silence { kind: SilenceKind::TimedOut, detail: "the look was thrown away".into() };
    let lost = match &seen.seen {
        Seen::Side(reading) if reading.role == Role::Primary => Seen::Silence(silence),
        Seen::Side(reading) => {
            Seen::Side(SideReading { connected: Some(false), ..reading.clone() })
        }
        Seen::Control(_) | Seen::Silence(_) => seen.seen.clone(),
    };
    Observation { seen: lost, ..seen }
}

/// A look that claims that everything has arrived at the target until just now.
pub(super) fn boasting(seen: Observation) -> Observation {
    let seen_at = seen.at;
    let claim = |reading: &SideReading| {
        let database = reading
            .database
            .clone()
            .map(|database| DatabaseReading { last_commit_at: Some(seen_at), ..database });
        Seen::Side(SideReading { database, ..reading.clone() })
    };
    let boast = match &seen.seen {
        Seen::Side(reading) => claim(reading),
        Seen::Control(_) | Seen::Silence(_) => seen.seen.clone(),
    };
    Observation { seen: boast, ..seen }
}

impl Universe {
    pub(super) fn begin_look(&mut self, vantage: Vantage) {
        let begun_at = self.now;
        let jitter = self.rng.i64(-100..=100);
        let next = self.settings.look_every + SignedDuration::from_millis(jitter);
        self.at(begun_at + next, Happening::Look(vantage));
        let latency = match best(&self.ways(vantage)) {
            Passage::Open(ms) => ms,
            Passage::Refused => 1,
            Passage::Silent => DEADLINE_MS,
        };
        self.after_ms(latency, Happening::LookLands { vantage, begun_at });
    }

    pub(super) fn look_lands(
        &mut self,
        vantage: Vantage,
        begun_at: Timestamp,
    ) -> Option<Observation> {
        let elapsed = self.now.duration_since(begun_at);
        let silence = |kind, detail: &str| Seen::Silence(Silence { kind, detail: detail.into() });
        let ways = self.ways(vantage);
        let seen = match best(&ways) {
            Passage::Silent => silence(SilenceKind::TimedOut, "no answer within the deadline"),
            Passage::Refused => silence(SilenceKind::Refused, "connection refused"),
            Passage::Open(_) if elapsed >= SignedDuration::from_millis(DEADLINE_MS) => {
                silence(SilenceKind::TimedOut, "no answer within the deadline")
            }
            Passage::Open(_) => {
                let open = |way: &&(String, Passage)| matches!(way.1, Passage::Open(_));
                let answering: Vec<String> =
                    ways.iter().filter(open).map(|(name, _)| name.clone()).collect();
                self.read(vantage, &answering).0
            }
        };
        // The host stood still in between: the look says nothing about the other side.
        let late = elapsed > SignedDuration::from_millis(2 * DEADLINE_MS);
        Some(Observation {
            link: Self::link(),
            vantage,
            begun_at: begun_at + self.ahead,
            at: self.agent_now(),
            late,
            seen,
        })
    }

    /// Whether something gets from the agent to a party and back, and how long it takes. Of a side
    /// with several replicas it is the primary one that counts.
    pub(super) fn passage(&mut self, to: &Party) -> Passage {
        match self.found(to) {
            Some(to) => self.way(&to),
            None => Passage::Refused,
        }
    }

    /// All ways to look from a vantage, by the name of the server.
    pub(super) fn ways(&mut self, vantage: Vantage) -> Vec<(String, Passage)> {
        let to = party(vantage);
        let Party::Instance(side) = &to else { return vec![(to.to_string(), self.way(&to))] };
        let servers = self.servers(side).into_iter();
        let way = |name: String| {
            let passage = self.way(&Party::Instance(name.clone()));
            (name, passage)
        };
        servers.map(way).collect()
    }

    pub(super) fn way(&mut self, to: &Party) -> Passage {
        let there = self.world.reachable(&Party::Agent, to);
        let back = self.world.reachable(to, &Party::Agent);
        let up = match to {
            Party::Instance(name) => self.world.instance(name).is_some_and(|i| i.is_up()),
            Party::Arm => !self.world.arm_unavailable(),
            Party::Agent | Party::Operator | Party::TokenService | Party::Application(_) => true,
        };
        match (there, back) {
            (Reach::Refused, _) => Passage::Refused,
            (Reach::Silent, _) | (_, Reach::Silent | Reach::Refused) => Passage::Silent,
            (Reach::Open { .. }, Reach::Open { .. }) if !up => Passage::Silent,
            (Reach::Open { delay }, Reach::Open { delay: back }) => {
                let slow = i64::try_from((delay + back).as_millis()).unwrap_or(i64::MAX);
                let ms = slow.saturating_add(self.rng.i64(1..20));
                if ms >= DEADLINE_MS { Passage::Silent } else { Passage::Open(ms) }
            }
        }
    }

    /// What the probes would read, and the place of the server that speaks for the side.
    pub(super) fn read(&self, vantage: Vantage, answering: &[String]) -> (Seen, Option<usize>) {
        let skew = |vantage| self.skew.get(&vantage).copied().unwrap_or_default();
        match vantage {
            Vantage::SqlServer => {
                let clock = skew(Vantage::SqlServer);
                let read = |at: &str| side(&self.world, at, clock, clock);
                match self.servers(SQL_SERVER).as_slice() {
                    [one] => (read(one), Some(0)),
                    _ => self.group(answering, read),
                }
            }
            // Commit times travel in the log: they are by the clock of whoever was primary then.
            Vantage::ManagedInstance => {
                let (clock, commits) = (skew(Vantage::ManagedInstance), skew(Vantage::SqlServer));
                (side(&self.world, MANAGED_INSTANCE, clock, commits), Some(0))
            }
            Vantage::ControlPlane => (control(&self.world), None),
        }
    }
}

/// The shortest way, if there is one; a refusal says more than silence.
pub(super) fn best(ways: &[(String, Passage)]) -> Passage {
    let open = ways.iter().filter_map(|(_, way)| match way {
        Passage::Open(ms) => Some(*ms),
        Passage::Refused | Passage::Silent => None,
    });
    let refused = ways.iter().any(|(_, way)| matches!(way, Passage::Refused));
    match (open.min(), refused) {
        (Some(ms), _) => Passage::Open(ms),
        (None, true) => Passage::Refused,
        (None, false) => Passage::Silent,
    }
}

pub(super) enum Passage {
    Open(i64),
    Refused,
    Silent,
}

/// What the probes would read of one instance.
fn side(world: &World, at: &str, clock: Skew, commits: Skew) -> Seen {
    let groups = world.availability_groups(at);
    let group = groups.iter().find(|group| group.is_distributed && group.name == LINK);
    let states = world.replica_states(at);
    let local = group.and_then(|group| {
        states.iter().find(|state| state.is_local && state.group_id == group.group_id)
    });
    let rows = world.database_replica_states(at);
    let of_group = |is_local: bool| {
        rows.iter().find(|row| {
            row.database == DATABASE
                && row.is_local == is_local
                && group.is_some_and(|group| group.group_id == row.group_id)
        })
    };
    // Where it is in no link any more, the row of the server's own group.
    let own = || {
        let local = |id| groups.iter().any(|group| !group.is_distributed && group.group_id == id);
        rows.iter().find(|row| row.database == DATABASE && row.is_local && local(row.group_id))
    };
    let facts = world.databases(at).into_iter().find(|db| db.name == DATABASE);
    let role = local.map_or(Role::Absent, |state| role(state.role));
    let database = facts.map(|facts| database(&facts, of_group(true).or_else(own), commits));
    let remote = group.and_then(|group| {
        states.iter().find(|state| !state.is_local && state.group_id == group.group_id)
    });
    let partner = of_group(false).map(|row| PartnerReading {
        connected: remote.map(|state| state.connected),
        sync_health: Some(health(row.health)),
        last_hardened_lsn: row.last_hardened_lsn.and_then(lsn),
        last_commit_at: row.last_commit_time.map(|at| at + commits),
        log_send_queue_kb: row.log_send_queue_size,
        redo_queue_kb: row.redo_queue_size,
        lag_s: row.secondary_lag_seconds,
        suspended: Some(row.suspended.is_some()),
    });
    let version =
        world.instance(at).map(|instance| instance.product_version.clone()).unwrap_or_default();
    Seen::Side(SideReading {
        product_version: version,
        edition: "Enterprise Edition (64-bit)".into(),
        engine_edition: if at == MANAGED_INSTANCE { 8 } else { 3 },
        server_time: world.now() + clock,
        role,
        connected: local.filter(|_| role != Role::Primary).map(|state| state.connected),
        sync_health: local.map(|state| health(state.health)),
        database,
        partner,
        replicas: Vec::new(),
        members: members(world, at),
    })
}

/// The two groups of the link, as a server that has one of them names them.
fn members(world: &World, at: &str) -> Option<Members> {
    let groups = world.availability_groups(at);
    let group = groups.iter().find(|group| group.is_distributed && group.name == LINK)?;
    let names = world.availability_replicas(at).into_iter();
    let of_link = names.filter(|member| member.group_id == group.group_id);
    let is_own = |name: &str| groups.iter().any(|own| !own.is_distributed && own.name == name);
    let (own, other): (Vec<_>, Vec<_>) =
        of_link.map(|member| member.replica_server_name).partition(|name| is_own(name));
    Some(Members { own: own.first()?.clone(), other: other.first()?.clone() })
}

fn database(
    facts: &views::DatabaseFacts,
    row: Option<&views::DatabaseReplicaFacts>,
    commits: Skew,
) -> DatabaseReading {
    DatabaseReading {
        state: state(facts.state),
        read_write: facts.updateable,
        suspended: row.is_some_and(|row| row.suspended.is_some()),
        suspend_reason: row.and_then(|row| row.suspended).map(|reason| reason.desc().into()),
        synchronization: row.map(|row| sync(row.state)),
        last_hardened_lsn: row.and_then(|row| row.last_hardened_lsn).and_then(lsn),
        last_commit_lsn: row.and_then(|row| row.last_commit_lsn).and_then(lsn),
        last_commit_at: row.and_then(|row| row.last_commit_time).map(|at| at + commits),
        redo_queue_kb: row.and_then(|row| row.redo_queue_size),
        redo_rate_kb_per_s: row.and_then(|row| row.redo_rate),
        end_of_log_lsn: row.and_then(|row| row.end_of_log_lsn).and_then(lsn),
    }
}

pub(super) fn control(world: &World) -> Seen {
    let link = world.arm_link(MANAGED_INSTANCE, LINK).map(|link| {
        let database = link.databases.first();
        ControlLink {
            instance_role: role(link.instance_role),
            partner_role: role(link.partner_role),
            replica_state: database.map(|db| db.replica_state.clone()),
            connected: database.map(|db| db.connected),
            sync_health: database.map(|db| health(db.health)),
            failover_mode: Some(if link.two_way { "Manual" } else { "None" }.into()),
            last_hardened_lsn: database.and_then(|db| lsn(db.hardened_lsn)),
            other_databases: Vec::new(),
        }
    });
    Seen::Control(ControlReading {
        instance_state: "Ready".into(),
        database_format: "SQLServer2022".into(),
        link,
    })
}

fn lsn(lsn: world::Lsn) -> Option<Lsn> {
    Some(Lsn(lsn.0))
}

pub(super) fn role(role: world::Role) -> Role {
    match role {
        world::Role::Primary => Role::Primary,
        world::Role::Secondary => Role::Secondary,
        world::Role::Resolving => Role::Resolving,
    }
}

fn health(health: world::SyncHealth) -> SyncHealth {
    match health {
        world::SyncHealth::NotHealthy => SyncHealth::NotHealthy,
        world::SyncHealth::PartiallyHealthy => SyncHealth::PartiallyHealthy,
        world::SyncHealth::Healthy => SyncHealth::Healthy,
    }
}

fn sync(state: world::SyncState) -> SyncState {
    match state {
        world::SyncState::NotSynchronizing => SyncState::NotSynchronizing,
        world::SyncState::Synchronizing => SyncState::Synchronizing,
        world::SyncState::Synchronized => SyncState::Synchronized,
        world::SyncState::Reverting => SyncState::Reverting,
        world::SyncState::Initializing => SyncState::Initializing,
    }
}

fn state(state: world::DatabaseState) -> DatabaseState {
    match state {
        world::DatabaseState::Online => DatabaseState::Online,
        world::DatabaseState::Restoring => DatabaseState::Restoring,
        world::DatabaseState::Recovering => DatabaseState::Recovering,
        world::DatabaseState::RecoveryPending => DatabaseState::RecoveryPending,
        world::DatabaseState::Suspect => DatabaseState::Suspect,
        world::DatabaseState::Offline => DatabaseState::Offline,
    }
}
