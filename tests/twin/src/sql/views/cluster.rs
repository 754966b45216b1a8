//! The cluster below availability groups, and their listeners. Without one, as with cluster type
//! NONE, these views have no rows but one without a name.

use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::{ClusterType, Link, LocalGroup, LocalReplica, Power, Side};

use super::groups::guid;
use super::{Row, View, row};

/// `sys.availability_group_listeners`
pub(super) fn listeners(env: &Env<'_>, view: &View) -> Vec<Row> {
    let listener = |(link, local): (&Link, &LocalGroup)| {
        let name = local.listener.clone()?;
        let id = link.member(Side::SqlServer).group_id;
        Some(
            row(view)
                .set("group_id", guid(id))
                .set("listener_id", id.to_string().to_lowercase())
                .set("dns_name", name)
                .set("port", 1433)
                .set("is_conformant", true)
                .done(),
        )
    };
    groups(env).filter_map(listener).collect()
}

/// `sys.dm_hadr_cluster`
pub(super) fn cluster(env: &Env<'_>, view: &View) -> Vec<Row> {
    let there = clustered(env).next().is_some();
    let name =
        if there { format!("{}-CL", machine(&env.instance.server_name)) } else { String::new() };
    let (kind, kind_desc) = if there { (0, "NODE_MAJORITY") } else { (0, "UNKNOWN_QUORUM") };
    let (state, state_desc) =
        if there { (1, "NORMAL_QUORUM") } else { (0, "UNKNOWN_QUORUM_STATE") };
    let row = row(view).set("cluster_name", name).coded("quorum_type", kind, kind_desc).coded(
        "quorum_state",
        state,
        state_desc,
    );
    vec![row.done()]
}

/// `sys.dm_hadr_cluster_members`: each replica's machine has a vote.
pub(super) fn members(env: &Env<'_>, view: &View) -> Vec<Row> {
    let mut nodes: Vec<(String, bool)> = clustered(env)
        .flat_map(|(_, local)| local.replicas())
        .map(|replica| (node(env, replica), is_up(env, replica)))
        .collect();
    nodes.sort();
    nodes.dedup();
    let member = |(name, up): (String, bool)| {
        row(view)
            .set("member_name", name)
            .coded("member_type", 0, "CLUSTER_NODE")
            .coded("member_state", u8::from(up), if up { "UP" } else { "DOWN" })
            .set("number_of_quorum_votes", 1)
            .set("number_of_current_votes", 1)
            .done()
    };
    nodes.into_iter().map(member).collect()
}

/// `sys.dm_hadr_availability_replica_cluster_nodes`
pub(super) fn replica_nodes(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(link, local): (&Link, &LocalGroup)| {
        let group = link.member(Side::SqlServer).group.clone();
        let replica = |replica: &LocalReplica| {
            row(view)
                .set("group_name", group.clone())
                .set("replica_server_name", server(env, replica))
                .set("node_name", node(env, replica))
                .done()
        };
        local.replicas().iter().map(replica).collect::<Vec<_>>()
    };
    clustered(env).flat_map(of).collect()
}

/// `sys.dm_hadr_instance_node_map`
pub(super) fn node_map(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(link, local): (&Link, &LocalGroup)| {
        let id = resource(link);
        let replica = |replica: &LocalReplica| {
            row(view)
                .set("ag_resource_id", id.clone())
                .set("instance_name", server(env, replica))
                .set("node_name", node(env, replica))
                .done()
        };
        local.replicas().iter().map(replica).collect::<Vec<_>>()
    };
    clustered(env).flat_map(of).collect()
}

/// `sys.dm_hadr_name_id_map`
pub(super) fn names(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |(link, _): (&Link, &LocalGroup)| {
        let member = link.member(Side::SqlServer);
        row(view)
            .set("ag_name", member.group.clone())
            .set("ag_id", guid(member.group_id))
            .set("ag_resource_id", resource(link))
            .set("ag_group_id", member.group_id.to_string().to_lowercase())
            .done()
    };
    clustered(env).map(of).collect()
}

/// A view that has rows only after what the twin's disks never do.
pub(super) fn nothing(_: &Env<'_>, _: &View) -> Vec<Row> {
    Vec::new()
}

/// `sys.dm_hadr_fabric_config_parameters`: the port and the names that a managed instance has.
pub(super) fn fabric(env: &Env<'_>, view: &View) -> Vec<Row> {
    let name = env.instance.server_name.as_str();
    let cluster = name.split_once('.').map_or("", |(_, zone)| zone);
    let port = env.instance.node_port();
    [
        ("ClusterName", Value::text(cluster)),
        ("DnsRecordName", Value::text(name)),
        ("HadrPort", Value::text(port.to_string())),
    ]
    .map(|(name, value)| row(view).set("parameter_name", name).set("parameter_value", value).done())
    .into()
}

/// The local groups with several replicas that the instance is in.
fn groups<'a>(env: &Env<'a>) -> impl Iterator<Item = (&'a Link, &'a LocalGroup)> {
    let at = env.instance.name.as_str();
    env.world.links().filter_map(move |link| {
        link.side_with(at).filter(|side| *side == Side::SqlServer)?;
        Some((link, link.member(Side::SqlServer).local()?))
    })
}

fn clustered<'a>(env: &Env<'a>) -> impl Iterator<Item = (&'a Link, &'a LocalGroup)> {
    groups(env).filter(|(_, local)| local.cluster_type == ClusterType::Wsfc)
}

fn server(env: &Env<'_>, replica: &LocalReplica) -> String {
    let found = env.world.instance(&replica.instance);
    found.map_or_else(|| replica.instance.clone(), |found| found.server_name.clone())
}

fn node(env: &Env<'_>, replica: &LocalReplica) -> String {
    machine(&server(env, replica)).to_owned()
}

fn is_up(env: &Env<'_>, replica: &LocalReplica) -> bool {
    env.world.instance(&replica.instance).is_some_and(|found| found.power() != Power::Frozen)
}

fn machine(server: &str) -> &str {
    server.split(['\\', '.']).next().unwrap_or(server)
}

/// The resource of a group in its cluster has an id of its own.
fn resource(link: &Link) -> String {
    let id = link.member(Side::SqlServer).local_replica_id;
    id.to_string().to_lowercase()
}
