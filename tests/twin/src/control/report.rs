//! The world in JSON: what it shows, and what is true.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{CommandRecord, Instance, Link, Role, Side, Statement, World};

/// What can be seen from outside, all sides at once.
pub(super) fn state(world: &World) -> Value {
    let instances: Vec<Value> = world
        .instances()
        .map(|instance| {
            json!({
                "name": instance.name,
                "kind": instance.side(),
                "server_name": instance.server_name,
                "power": instance.power(),
                "listens": instance.listens(),
                "recovered": instance.has_recovered(world.now()),
                "sessions": instance.sessions().count(),
            })
        })
        .collect();
    let links: Vec<Value> = world
        .links()
        .map(|link| {
            let side = |side| {
                let member = link.member(side);
                let databases: Vec<Value> = world
                    .database_replica_states(&member.instance)
                    .into_iter()
                    .filter(|row| row.group_id == link.id)
                    .map(|row| json!(row))
                    .collect();
                json!({
                    "instance": member.instance,
                    "role": member.role(),
                    "connected": member.connected(),
                    "databases": databases,
                    "replicas": replicas(world, link, side),
                })
            };
            json!({
                "name": link.name,
                "group": link.group,
                "sql_server": side(Side::SqlServer),
                "managed_instance": side(Side::ManagedInstance),
                "operation": link.running().and_then(|id| world.operation(id)),
            })
        })
        .collect();
    let workloads: Vec<Value> = world
        .workloads()
        .map(|workload| {
            json!({
                "name": workload.name,
                "link": workload.link,
                "target": workload.target(),
                "running": workload.is_running(),
                "acknowledged": workload.acknowledged(),
                "refused": workload.refused(),
                "last_commit": workload.last_commit(),
                "last_refusal": workload.last_refusal(),
            })
        })
        .collect();
    json!({
        "now": world.now(),
        "instances": instances,
        "links": links,
        "workloads": workloads,
        "faults": world.lasting_faults(),
    })
}

/// The replicas of a local group by name, with their roles in it; none if there is only one.
fn replicas(world: &World, link: &Link, side: Side) -> BTreeMap<String, Option<Role>> {
    let local = link.member(side).local();
    let each = local.into_iter().flat_map(|local| local.replicas());
    each.map(|replica| {
        let running = world.instance(&replica.instance).is_some_and(Instance::is_up);
        let role = world.local_role(link, &replica.instance).filter(|_| running);
        (replica.instance.clone(), role)
    })
    .collect()
}

/// The ledger.
pub(super) fn truth(world: &World) -> Value {
    let links: Vec<Value> = world
        .links()
        .map(|link| {
            let intervals = world.ledger().intervals(&link.name);
            let databases: Vec<Value> = link
                .databases()
                .enumerate()
                .map(|(place, name)| {
                    let intervals = world.ledger().intervals_of(&link.name, place);
                    let writers = intervals.last().map(|interval| interval.writers);
                    json!({ "name": name, "writers": writers, "intervals": intervals })
                })
                .collect();
            json!({
                "name": link.name,
                "group": link.group,
                "rightful": link.rightful(),
                "loss": world.loss(&link.name),
                "writers": intervals.last().map(|interval| interval.writers),
                "intervals": intervals,
                "databases": databases,
            })
        })
        .collect();
    let commands: Vec<Value> = world.ledger().commands().iter().map(|c| told(world, c)).collect();
    let operations: Vec<Value> = world.operations().map(|operation| json!(operation)).collect();
    json!({
        "now": world.now(),
        "links": links,
        "commands": commands,
        "commands_forgotten": world.ledger().commands_forgotten(),
        "operations": operations,
        "logins": world.entries().collect::<Vec<_>>(),
    })
}

/// So many commits are told of at once.
const COMMITS_AT_ONCE: usize = 10_000;

/// The commits of a link from a number on, whose they are and where they live; none if there is no
/// such link. `next` is the number to go on with, if there are more.
pub(super) fn commits(world: &World, link: &str, from: u32) -> Option<Value> {
    world.link(link)?;
    let mut rest = world.commits(link).filter(|commit| commit.id.0 >= from);
    let told: Vec<_> = rest.by_ref().take(COMMITS_AT_ONCE).collect();
    Some(json!({ "link": link, "commits": told, "next": rest.next().map(|commit| commit.id) }))
}

/// A command with the error that its statement has ended with, if it was not refused at once.
fn told(world: &World, command: &CommandRecord) -> Value {
    let mut told = json!(command);
    let operation = command.operation.and_then(|id| world.operation(id));
    if let Some(Statement::Failed(error)) = operation.map(|found| &found.statement) {
        told["error"] = json!(error.number);
    }
    told
}
