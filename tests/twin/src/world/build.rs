//! A world from its description.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Build, Guid, Instance, InstanceKind, InstanceSpec, Job, JobSpec, Ledger, Link, LinkSpec,
    PreparedSpec, Side, SpecError, Workload, WorkloadSpec, World, WorldSpec,
    azure::{Pairing, most_databases},
    clients::{APPLICATIONS, OF_ALL, OF_ONE},
    fault::Faults,
    housekeeping::backups_before,
    local, naming,
};

pub(super) fn build(spec: &WorldSpec, seed: u64, start: Timestamp) -> Result<World, SpecError> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut instances = instances(spec, seed, start)?;
    let links = links(spec, &mut instances, (seed, &mut rng), start)?;
    check_room(&spec.links, &instances)?;
    let mut workloads = BTreeMap::new();
    // Few applications have room for a large pool each, many for a small one.
    let count = spec.workloads.len().try_into().unwrap_or(u16::MAX);
    let of_one = OF_ONE.min(OF_ALL / count.max(1));
    for (place, given) in (0..).zip(&spec.workloads) {
        let whose = || format!("workloads, {:?}", given.name);
        let database =
            check_workload(given, &links, &instances).map_err(|problem| wrong(whose(), problem))?;
        if given.sessions > of_one {
            let problem =
                format!("it has {} sessions; of so many {of_one} would do", given.sessions);
            return Err(wrong(whose(), &problem));
        }
        let first_session = APPLICATIONS + of_one * place;
        let mut workload = Workload::new(given, database, first_session, start, &mut rng);
        workload.link.clone_from(naming::key_of(&links, &given.link).unwrap_or(&given.link));
        if workloads.insert(given.name.clone(), workload).is_some() {
            return Err(wrong(whose(), TWO));
        }
    }
    for given in &spec.instances {
        let place = || format!("instances, {:?}", given.name);
        jobs(given, &mut instances, &links, seed, start)
            .map_err(|problem| wrong(place(), problem))?;
    }
    let mut world = World {
        now: start,
        rng,
        faults: faults(spec, &instances)?,
        ledger: Ledger::new(links.keys().cloned(), start),
        instances,
        links,
        workloads,
        operations: BTreeMap::new(),
        begun: 0,
        active: Vec::new(),
        paths: super::path::Paths::default(),
        joinings: Vec::new(),
        scheduled: Vec::new(),
        media: BTreeMap::new(),
        directory: super::Directory::default(),
        entrances: super::entrance::Entrances::default(),
        azure: super::azure::Azure::default(),
    };
    world.note_writers();
    Ok(world)
}

fn links(
    spec: &WorldSpec,
    instances: &mut BTreeMap<String, Instance>,
    (seed, rng): (u64, &mut fastrand::Rng),
    start: Timestamp,
) -> Result<BTreeMap<String, Link>, SpecError> {
    let mut links = BTreeMap::new();
    let mut listeners = BTreeSet::new();
    for asked in &spec.links {
        let place = || format!("links, {:?}", asked.name);
        // Names are unique on each managed instance, and groups on each SQL Server.
        let given = &LinkSpec { name: key(asked, &spec.links), ..asked.clone() };
        check_link(given, instances).map_err(|problem| wrong(place(), &problem))?;
        local::check(given, instances, &mut listeners)
            .map_err(|problem| wrong(place(), &problem))?;
        let other = instances.get(&given.managed_instance).map(|found| found.server_name.clone());
        for name in given.replicas() {
            if let (Some(other), Some(sql)) = (&other, instances.get_mut(name)) {
                sql.setup.trusts(other, start);
            }
        }
        for name in given.replicas() {
            let shown = instances.get(name).and_then(|sql| sql.shown(start)).cloned();
            let managed = instances.get_mut(&given.managed_instance);
            if let Some((managed, shown)) = managed.zip(shown) {
                managed.resource.trusts(name, &shown, start);
            }
        }
        let mut link = Link::new(given, instances, seed, rng, start);
        link.group.clone_from(&asked.name);
        if links.values().any(|other| same_group(other, asked)) {
            return Err(wrong(place(), TWO));
        }
        if links.insert(given.name.clone(), link).is_some() {
            return Err(wrong(place(), TWO));
        }
    }
    Ok(links)
}

/// What goes wrong at the doors from the beginning.
fn faults(spec: &WorldSpec, instances: &BTreeMap<String, Instance>) -> Result<Faults, SpecError> {
    let mut faults = Faults::default();
    for given in &spec.instances {
        let place = || format!("instances, {:?}, door", given.name);
        if let Some(to) = given.door.redirect.as_ref().filter(|to| !instances.contains_key(*to)) {
            return Err(wrong(place(), &format!("redirect names no instance: {to:?}")));
        }
        for fault in &given.door.faults {
            fault.check().map_err(|error| wrong(place(), &error.to_string()))?;
            if fault.times > 0 {
                faults.wire.insert((given.name.clone(), fault.stage), *fault);
            }
        }
    }
    Ok(faults)
}

/// By which name the world keeps a link.
fn key(asked: &LinkSpec, all: &[LinkSpec]) -> String {
    let of_name = all.iter().filter(|other| other.name.eq_ignore_ascii_case(&asked.name));
    if of_name.count() > 1 {
        return format!("{}/{}", asked.managed_instance, asked.name);
    }
    asked.name.clone()
}

fn same_group(other: &Link, asked: &LinkSpec) -> bool {
    other.group.eq_ignore_ascii_case(&asked.name)
        && (other.member(Side::SqlServer).instance == asked.sql_server
            || other.member(Side::ManagedInstance).instance == asked.managed_instance)
}

const TWO: &str = "there are two of this name; names must differ";

fn instances(
    spec: &WorldSpec,
    seed: u64,
    start: Timestamp,
) -> Result<BTreeMap<String, Instance>, SpecError> {
    let mut instances = BTreeMap::new();
    for given in &spec.instances {
        let place = || format!("instances, {:?}", given.name);
        let zone = TimeZone::get(&given.time_zone).map_err(|_| {
            wrong(place(), "time_zone is no IANA zone; \"Europe/Berlin\" or \"UTC\" would be")
        })?;
        let kind = match given.kind {
            Side::SqlServer => {
                InstanceKind::SqlServer { edition: given.edition, platform: given.platform }
            }
            Side::ManagedInstance => InstanceKind::ManagedInstance {
                tier: given.tier,
                update_policy: given.update_policy,
            },
        };
        let mut instance = Instance::new(given, kind, zone, seed, start);
        for database in &given.databases {
            instance.backups.extend(backups_before(given.kind, database, start));
        }
        for prepared in &given.prepared {
            check_prepared(prepared, given).map_err(|problem| wrong(place(), problem))?;
            prepared.apply(&mut instance, seed, start);
        }
        if given.kind == Side::SqlServer && Build::parse(&given.product_version).is_none() {
            let problem = "product_version is none; \"16.0.4125.3\" would be one";
            return Err(wrong(place(), problem));
        }
        if given.kind == Side::SqlServer && !instance.build().is_known() {
            let problem = "product_version is of no release that the twin knows; 13.0 (2016), 14.0 \
                           (2017), 15.0 (2019), 16.0 (2022) or 17.0 (2025) would be";
            return Err(wrong(place(), problem));
        }
        if instance.on_linux() && instance.build().release().major < 14 {
            let problem = "platform is Linux, and SQL Server 2016 has none; 2017 would";
            return Err(wrong(place(), problem));
        }
        if instances.insert(given.name.clone(), instance).is_some() {
            return Err(wrong(place(), TWO));
        }
    }
    Ok(instances)
}

fn check_prepared(prepared: &PreparedSpec, given: &InstanceSpec) -> Result<(), &'static str> {
    if given.kind != Side::SqlServer {
        return Err("prepared is for a SQL Server; the groups of a managed instance are Azure's");
    }
    if prepared.databases.iter().any(|name| !given.databases.contains(name)) {
        return Err("prepared names a database that is not among databases");
    }
    Ok(())
}

fn jobs(
    given: &InstanceSpec,
    instances: &mut BTreeMap<String, Instance>,
    links: &BTreeMap<String, Link>,
    seed: u64,
    start: Timestamp,
) -> Result<(), &'static str> {
    let sees = links.values().filter(|link| link.side_with(&given.name).is_some());
    let databases: Vec<&str> = sees.flat_map(Link::databases).collect();
    let specs = match (&given.jobs, given.kind) {
        (Some(jobs), Side::SqlServer) => jobs.clone(),
        (Some(jobs), Side::ManagedInstance) if !jobs.is_empty() => {
            return Err("jobs are modelled on a SQL Server only");
        }
        (Some(_) | None, Side::ManagedInstance) => Vec::new(),
        (None, Side::SqlServer) => databases.iter().flat_map(|name| JobSpec::usual(name)).collect(),
    };
    for spec in &specs {
        if !databases.contains(&spec.database.as_str()) {
            return Err("a job names no database of a link of this instance");
        }
        if spec.every_s == 0 {
            return Err("every_s of a job must be at least 1");
        }
        let id = Guid::derive(seed, &format!("job/{}/{}", given.name, spec.name));
        let job = Job::new(spec, id, start);
        if let Some(instance) = instances.get_mut(&given.name) {
            instance.jobs.push(job);
        }
    }
    Ok(())
}

fn check_link(given: &LinkSpec, instances: &BTreeMap<String, Instance>) -> Result<(), String> {
    let members = [
        (&given.sql_server, Side::SqlServer, "sql_server"),
        (&given.managed_instance, Side::ManagedInstance, "managed_instance"),
    ];
    for (name, side, key) in members {
        let right_kind = instances.get(name).is_some_and(|found| found.side() == side);
        if !right_kind {
            return Err(format!("{key} names no such instance: {name:?}"));
        }
    }
    if given.databases.is_empty() {
        return Err("databases is empty; at least one must be named".to_owned());
    }
    for name in given.replicas() {
        let Some(instance) = instances.get(name) else { continue };
        let (build, first) = (instance.build(), instance.build().release().first_linkable);
        if build < first {
            let [a, b, c, d] = first.0;
            return Err(format!(
                "{name:?} is SQL Server {} without what a link needs; from {a}.{b}.{c}.{d} on it has it",
                build.release().name
            ));
        }
        let pairing = Pairing {
            from_instance: given.primary == Side::ManagedInstance,
            several: given.databases.len() > 1,
            // Where the versions leave no way back, a link is one-way whatever was asked for.
            two_way: None,
        };
        let other = instances.get(&given.managed_instance);
        if let Some(mismatch) = other.and_then(|other| pairing.mismatch(instance, other)) {
            return Err(mismatch.told(name));
        }
    }
    Ok(())
}

/// What all links of an instance together may not be: two of one database, or, on a managed
/// instance, too many. On SQL Server a database may have several links in truth, which is not
/// modelled.
fn check_room(links: &[LinkSpec], instances: &BTreeMap<String, Instance>) -> Result<(), SpecError> {
    for instance in instances.values() {
        let place = || format!("instances, {:?}", instance.name);
        let mut names = BTreeSet::new();
        let own = instance.resource().databases.iter().map(|own| own.name.as_str());
        let here = links.iter().filter(|link| {
            link.managed_instance == instance.name || link.sql_server == instance.name
        });
        let linked = here.flat_map(|link| link.databases.iter().map(String::as_str));
        for name in own.chain(linked) {
            if !names.insert(name.to_lowercase()) {
                let problem = format!("it would have two databases {name:?}; names must differ");
                return Err(wrong(place(), &problem));
            }
        }
        let most = most_databases(instance);
        if instance.is_managed() && names.len() > most {
            let problem = format!(
                "it would have {} databases, and {most} it may; with the tier \
                 NextGenGeneralPurpose it may have 500",
                names.len()
            );
            return Err(wrong(place(), &problem));
        }
    }
    Ok(())
}

/// The database's place in its link.
fn check_workload(
    given: &WorkloadSpec,
    links: &BTreeMap<String, Link>,
    instances: &BTreeMap<String, Instance>,
) -> Result<usize, &'static str> {
    let found = naming::key_of(links, &given.link).and_then(|key| links.get(key));
    let database = found
        .and_then(|link| link.databases.iter().position(|db| db.name == given.database))
        .ok_or("link and database name no database of a link")?;
    let leads = |link: &Link| {
        let local = link.member(Side::SqlServer).local();
        local.is_some_and(|local| local.listener.as_ref() == Some(&given.target))
    };
    if !instances.contains_key(&given.target) && !found.is_some_and(leads) {
        return Err("target names no instance, and no listener of the link");
    }
    if !(given.commits_per_s >= 0.0 && given.commits_per_s <= 100_000.0) {
        return Err("commits_per_s must lie between 0 and 100000");
    }
    if !(1..=100).contains(&given.sessions) || given.sessions_in_master > given.sessions {
        return Err("sessions must lie between 1 and 100, and sessions_in_master not above it");
    }
    Ok(database)
}

fn wrong(place: String, problem: &str) -> SpecError {
    SpecError { place, problem: problem.to_owned() }
}
