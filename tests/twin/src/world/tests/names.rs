//! A link's name is its own on a managed instance, and on a SQL Server; not in the world.

use super::*;

/// Two pairs, each with a link of the same name.
fn two() -> World {
    changed(double)
}

fn double(spec: &mut WorldSpec) {
    for place in 0..2 {
        let mut instance = spec.instances[place].clone();
        instance.name.push_str("-b");
        instance.server_name = format!("b-{}", instance.server_name);
        spec.instances.push(instance);
    }
    let mut link = spec.links[0].clone();
    link.sql_server.push_str("-b");
    link.managed_instance.push_str("-b");
    let mut workload = spec.workloads[0].clone();
    workload.name = "other".into();
    workload.target = link.sql_server.clone();
    workload.link = format!("{}/{}", link.managed_instance, link.name);
    spec.workloads[0].link = format!("{}/{}", spec.links[0].managed_instance, spec.links[0].name);
    spec.links.push(link);
    spec.workloads.push(workload);
}

#[test]
fn two_managed_instances_have_a_link_of_one_name_each() {
    let mut world = two();
    let [first, other] = ["mi-dr/LinkSales", "mi-dr-b/LinkSales"];
    assert!(world.link(LINK).is_none(), "nobody could tell which one is meant");
    wait(&mut world, 10.0);
    assert!(world.commits(first).count() > 100 && world.commits(other).count() > 100);
    let group = |at: &str| world.availability_groups(at).pop().expect("the distributed one").name;
    assert_eq!([group(SQL), group("sql01-b")], [LINK, LINK], "servers know only its own name");
    for at in [MI, "mi-dr-b"] {
        assert_eq!(world.arm_link(at, LINK).expect("it is there").name, LINK);
    }
    // What is done to one concerns that one only.
    let kind = FailoverType::ForcedAllowDataLoss;
    let command = ArmCommand::Failover { instance: "mi-dr-b".into(), link: LINK.into(), kind };
    world.arm(&agent(), command).expect("taken");
    wait(&mut world, 30.0);
    let role = |name: &str| world.link(name).expect("it").member(Side::ManagedInstance).role();
    assert_eq!([role(first), role(other)], [Role::Secondary, Role::Primary]);
    let error = world.force_locally(LINK, "sql01b", None).expect_err("ambiguous");
    assert!(error.to_string().contains("mi-dr/LinkSales"), "{error}");
}

#[test]
fn a_name_that_nobody_else_has_stands_alone_or_with_its_instance() {
    let world = world();
    let alone = world.link(LINK).expect("the link").id;
    assert_eq!(world.link("mi-dr/LinkSales").expect("the same").id, alone);
    assert!(world.link("sql01/LinkSales").is_none());
}

#[test]
fn one_instance_has_one_link_of_a_name() {
    let mut spec = WorldSpec::default();
    double(&mut spec);
    spec.links[1].managed_instance = MI.into();
    spec.links[1].databases = vec!["Orders".into()];
    spec.workloads.clear();
    let error = World::new(&spec, 1, Timestamp::UNIX_EPOCH).expect_err("two on one");
    assert!(error.to_string().contains("names must differ"), "{error}");
}
