//! What the twin bears: questions by TDS, a thousand links in one process, and how fast its time can
//! pass.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use jiff::{SignedDuration, Timestamp};
use lab::wait;
use tokio::{runtime::Builder, task::JoinSet};
use twin::world::{InstanceSpec, Side, Tier, World, WorldSpec};

use crate::{
    sql::{self, Connection},
    stage::TwinAlone,
};

/// What an eye on a link asks for (mi-link 3.6), with a join and an outer one.
const QUESTION: &str = "SELECT ag.name, ars.role_desc, drs.synchronization_state_desc, \
     drs.last_hardened_lsn, drs.last_commit_time, drs.secondary_lag_seconds \
     FROM sys.availability_groups AS ag \
     JOIN sys.dm_hadr_availability_replica_states AS ars ON ars.group_id = ag.group_id \
     LEFT JOIN sys.dm_hadr_database_replica_states AS drs \
       ON drs.group_id = ars.group_id AND drs.replica_id = ars.replica_id \
     WHERE ag.is_distributed = 1";
/// Questions of one connection.
const QUESTIONS: usize = 500;
const LINKS: usize = 1_000;
const INSTANCES: usize = 10;
/// Of the world's time, in steps of a tenth of a second.
const SIMULATED: SignedDuration = SignedDuration::from_secs(60);
const STEP: SignedDuration = SignedDuration::from_millis(100);

/// Measures all three.
pub(super) fn measure(watch_s: u64) -> Result<Vec<String>> {
    let mut lines = vec![format!("twin, by TDS: {QUESTIONS} questions of each connection")];
    let alone = TwinAlone::start(&WorldSpec::default())?;
    for connections in [1, 8, 32] {
        lines.push(questions(&alone, connections)?);
    }
    drop(alone);
    let many = many();
    lines.push(simulated("one link", &WorldSpec::default())?);
    lines.push(simulated(&format!("{LINKS} links"), &many)?);
    let alone = TwinAlone::start(&many)?;
    let before = alone.process.cpu().context("/proc tells")?;
    wait::rest(Duration::from_secs(watch_s));
    let used = alone.process.cpu().context("/proc tells")?.saturating_sub(before);
    let rss = alone.process.rss_kib().context("/proc tells")?;
    lines.push(format!("twin, {LINKS} links on {INSTANCES} instances, over {watch_s} s"));
    lines.push(format!("  memory (RSS)          {:.1} MiB", rss as f64 / 1024.0));
    let share = used.as_secs_f64() / watch_s.max(1) as f64 * 100.0;
    lines.push(format!("  processor             {share:.1} % of one core"));
    Ok(lines)
}

fn questions(alone: &TwinAlone, connections: usize) -> Result<String> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let twin = &alone.twin;
    runtime.block_on(async {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(sql::connect(twin, &twin.endpoints.sql_server).await?);
        }
        let begun = wait::now();
        let mut all = JoinSet::new();
        for connection in open {
            all.spawn(ask(connection));
        }
        let mut each = Vec::new();
        while let Some(ended) = all.join_next().await {
            each.push(ended.map_err(|_| anyhow!("a connection has panicked"))??);
        }
        let whole = wait::now().duration_since(begun);
        Ok(told(each, whole))
    })
}

/// Figures of each connection: the middle one, and the worst.
fn told(mut each: Vec<Vec<Duration>>, whole: Duration) -> String {
    let connections = each.len();
    let asked: usize = each.iter().map(Vec::len).sum();
    let rate = |took: &Vec<Duration>| {
        took.len() as f64 / took.iter().sum::<Duration>().as_secs_f64().max(f64::EPSILON)
    };
    let mut rates: Vec<f64> = each.iter().map(rate).collect();
    rates.sort_by(f64::total_cmp);
    each.iter_mut().for_each(|took| took.sort_unstable());
    let at = |share: usize| {
        let of = |took: &Vec<Duration>| took.get(took.len() * share / 100).copied();
        let mut all: Vec<Duration> = each.iter().filter_map(of).collect();
        all.sort_unstable();
        let middle = all.get(all.len() / 2).copied().unwrap_or_default();
        let worst = all.last().copied().unwrap_or_default();
        (middle.as_secs_f64() * 1000.0, worst.as_secs_f64() * 1000.0)
    };
    let (half, most) = (at(50), at(99));
    format!(
        "  {connections} connections: {:.0} a second in all; each of them {:.0} a second (the \
         slowest {:.0}), p50 {:.2} ms, p99 {:.2} ms (the worst {:.2} ms)",
        asked as f64 / whole.as_secs_f64(),
        rates.get(rates.len() / 2).copied().unwrap_or_default(),
        rates.first().copied().unwrap_or_default(),
        half.0,
        most.0,
        most.1,
    )
}

async fn ask(mut connection: Connection) -> Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let begun = wait::now();
        let rows = connection.simple_query(QUESTION).await?.into_first_result().await?;
        anyhow::ensure!(!rows.is_empty(), "the link has rows");
        took.push(wait::now().duration_since(begun));
    }
    Ok(took)
}

/// How many of the world's seconds pass in one, with nobody there to look.
fn simulated(what: &str, spec: &WorldSpec) -> Result<String> {
    let start: Timestamp = "2026-01-02T03:00:00Z".parse()?;
    let mut world = World::new(spec, 1, start)?;
    let begun = wait::now();
    let end = start + SIMULATED;
    let mut now = start;
    while now < end {
        now += STEP;
        world.advance(now);
    }
    let took = wait::now().duration_since(begun).as_secs_f64();
    let speed = SIMULATED.as_secs_f64() / took;
    Ok(format!("twin, {what}: {speed:.0} simulated seconds a second"))
}

/// Links with a database and an application each, spread over servers of both kinds.
fn many() -> WorldSpec {
    let usual = WorldSpec::default();
    let server = |kind, number: usize| {
        let mut instance: InstanceSpec =
            usual.instances.iter().find(|one| one.kind == kind).expect("one of each").clone();
        let host = instance.server_name.split_once('.').map(|(_, rest)| rest.to_owned());
        instance.name = format!("{}{number}", instance.name);
        instance.server_name = match host {
            Some(rest) => format!("{}.{rest}", instance.name),
            None => instance.name.to_uppercase(),
        };
        if kind == Side::ManagedInstance {
            // The others carry a hundred links at most.
            instance.tier = Tier::NextGenGeneralPurpose;
        }
        instance
    };
    let pairs = INSTANCES / 2;
    let all = (0..pairs)
        .map(|number| (server(Side::SqlServer, number), server(Side::ManagedInstance, number)));
    let pairs: Vec<_> = all.collect();
    let mut links = Vec::new();
    let mut workloads = Vec::new();
    for number in 0..LINKS {
        let (sql, mi) = &pairs[number % pairs.len()];
        let mut link = usual.links[0].clone();
        link.name = format!("Link{number}");
        link.sql_group = format!("AG{number}");
        link.instance_group = format!("AG{number}_MI");
        link.databases = vec![format!("Db{number}")];
        link.sql_server.clone_from(&sql.name);
        link.managed_instance.clone_from(&mi.name);
        let mut workload = usual.workloads[0].clone();
        workload.name = format!("app{number}");
        workload.link.clone_from(&link.name);
        workload.database.clone_from(&link.databases[0]);
        workload.target.clone_from(&sql.name);
        workload.commits_per_s = 1.0;
        links.push(link);
        workloads.push(workload);
    }
    let instances = pairs.into_iter().flat_map(|(sql, mi)| [sql, mi]).collect();
    WorldSpec { instances, links, workloads }
}
