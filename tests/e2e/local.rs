//! The SQL Server side as an availability group with three replicas and a listener, one tenth of
//! real time: what takes 10 s, 60 s or 30 s takes 1 s, 6 s or 3 s here, and so do the thresholds of
//! the agent (a proposal after 6 s for the 60 s of the reference, a session timeout of 2 s for 20).

use agent_core::Proposal;
use lab::{setup::Setup, twin::Twin};
use serde_json::Value;
use tests::harness::{ours, wait};
use toml::Value as Setting;
use twin::world::{Fault, WorldSpec};

use crate::{
    planned::{asked, ended, nothing_lost},
    rig::{Follower, LIMIT, MI, Rig, SHOP, SQL, Wish, side_by_side},
};

const B: &str = "sql01b";
const C: &str = "sql01c";
const REPLICAS: [&str; 3] = [SQL, B, C];
const LISTENER: &str = "sql01-l";

/// The twin's pair with three replicas on SQL Server, the third asynchronous, at one tenth.
fn group(seed: u64) -> Wish {
    let mut wish = Wish::new(seed);
    several(&mut wish.world);
    let link = &mut wish.world.links[0];
    link.session_timeout_s = 2;
    link.log.reconnect_ms = 400;
    link.log.background_ms = 2_000;
    link.failover.planned_online_ms = 500;
    wish.set("policy.propose_after", "6s").set("policy.withdraw_after", "6s")
}

fn several(world: &mut WorldSpec) {
    for name in [B, C] {
        let mut replica = world.instances[0].clone();
        replica.name = name.to_owned();
        replica.server_name = name.to_uppercase();
        world.instances.push(replica);
    }
    let local = "listener = \"sql01-l\"\n\
                 replicas = [{ instance = \"sql01b\" }, { instance = \"sql01c\", synchronous = false }]\n\
                 detect_ms = 500\nlease_ms = 2_000\nfailover_ms = 1_000\ncatch_up_ms = 300";
    world.links[0].local = Some(toml::from_str(local).expect("keys of a local group"));
    world.workloads[0].target = LISTENER.to_owned();
}

/// Tells the agent of a listener and of all replicas behind it, if the world has some.
pub(crate) fn behind(setup: &mut Setup, world: &WorldSpec, twin: &Twin) {
    let Some(listener) = twin.endpoints.listeners.values().next() else { return };
    let port = i64::from(listener.port);
    let link = &world.links[0];
    let others = link.local.iter().flat_map(|local| &local.replicas);
    let names = std::iter::once(&link.sql_server).chain(others.map(|replica| &replica.instance));
    let replicas = names.map(|name| {
        let at = &twin.endpoints.instances[name];
        let mut replica = toml::Table::new();
        replica.insert("name".to_owned(), name.clone().into());
        replica.insert("host".to_owned(), at.host.clone().into());
        replica.insert("port".to_owned(), i64::from(at.port).into());
        Setting::from(replica)
    });
    let replicas: Vec<Setting> = replicas.collect();
    setup.set("sql_servers.0.replicas", replicas).expect("replicas are set");
    setup.set("sql_servers.0.port", port).expect("the port is set");
}

fn local_failover(to: Option<&str>, ms: u32) -> Fault {
    let link = WorldSpec::default().links[0].name.clone();
    Fault::LocalFailover { link, to: to.map(str::to_owned), ms: Some(ms) }
}

/// What the twin's replicas are within their group.
fn roles(rig: &Rig) -> Vec<String> {
    let state = rig.twin.state().expect("the twin shows its state");
    let roles = &state["links"][0]["sql_server"]["replicas"];
    REPLICAS.map(|name| roles[name].as_str().unwrap_or("-").to_owned()).into()
}

/// What the agent shows of each replica, and of the listener.
fn shown(rig: &Rig) -> Vec<String> {
    let link = rig.agent.link(rig.link()).expect("the agent tells of its link");
    let replicas = link["sides"]["sql_server"]["seen"]["side"]["replicas"].as_array().cloned();
    let one = |replica: &Value| format!("{}: {}", replica["name"], replica["said"]);
    let mut said: Vec<String> = replicas.iter().flatten().map(one).collect();
    said.iter_mut().for_each(|line| *line = line.replace('"', ""));
    said
}

#[track_caller]
fn wait_shown(rig: &Rig, expected: [&str; 4]) {
    let mut last = Vec::new();
    let found = wait::try_until(LIMIT, || {
        last = shown(rig);
        (last == expected).then_some(())
    });
    assert!(found.is_some(), "waited in vain for {expected:?}: {last:?}");
}

/// That trouble was told in between, that it is over, and that nobody was asked to sign anything.
#[track_caller]
fn told_and_not_proposed(journal: &mut Follower, healths: &[&str]) {
    let health = |entry: &Value| entry["event"]["to"].as_str().map(str::to_owned);
    assert!(
        healths
            .iter()
            .any(|health| { journal.seen.iter().any(|entry| entry["event"]["to"] == *health) }),
        "one of {healths:?} is told: {:?}",
        journal.seen.iter().filter_map(health).collect::<Vec<_>>()
    );
    let names = journal.names();
    assert!(!names.contains(&"proposal_opened"), "no proposal: {names:?}");
}

/// One that takes 10 s, one that takes 60 s, and one after the primary replica has died.
#[test]
fn a_local_failover_is_told_and_nothing_is_proposed() {
    side_by_side(vec![(1_000, false), (6_000, false), (6_000, true)], 2, |(ms, dies)| {
        let mut wish = group(101 + u64::from(ms) + u64::from(dies));
        wish.world.links[0].local.as_mut().expect("it is there").failover_ms = ms;
        let rig = Rig::healthy(wish);
        let mut journal = rig.follow(0);
        journal.until_health("healthy");
        rig.commits(5);
        wait_shown(
            &rig,
            ["sql01: PRIMARY", "sql01b: SECONDARY", "sql01c: SECONDARY", "listener: PRIMARY"],
        );
        if dies {
            rig.stop(SQL)
        } else {
            rig.fault(&local_failover(None, ms))
        }
        // Until the session times out, the other side hears a primary that has died.
        let told = if dies { &["degraded", "no_primary"][..] } else { &["no_primary"] };
        journal.until_that("health_changed", |entry| {
            entry["event"]["to"].as_str().is_some_and(|to| told.contains(&to))
        });
        journal.until_health("healthy");
        rig.commits(5);
        told_and_not_proposed(&mut journal, told);
        assert_eq!(roles(&rig)[1], "PRIMARY");
        let link = shown(&rig);
        assert_eq!(link[1..], ["sql01b: PRIMARY", "sql01c: SECONDARY", "listener: PRIMARY"]);
        assert_eq!(link[0].contains("SECONDARY"), !dies, "{link:?}");
        nothing_lost(&rig, SQL);
    });
}

/// Without the replicas the agent sees but silence: 60 s of it are no disaster either.
#[test]
fn seen_by_its_listener_alone_a_local_failover_of_a_minute_is_no_proposal() {
    let none: Vec<Setting> = Vec::new();
    let rig = Rig::healthy(group(111).set("sql_servers.0.replicas", none));
    let mut journal = rig.follow(0);
    journal.until_health("healthy");
    rig.commits(5);
    assert!(shown(&rig).is_empty());
    rig.fault(&local_failover(None, 6_000));
    journal.until_health("primary_down");
    journal.until_health("healthy");
    rig.commits(5);
    told_and_not_proposed(&mut journal, &["primary_down"]);
    nothing_lost(&rig, SQL);
}

/// Nobody reaches any of the replicas for 30 s.
#[test]
fn a_blip_of_half_a_minute_is_told_and_nothing_is_proposed() {
    let rig = Rig::healthy(group(121));
    let mut journal = rig.follow(0);
    journal.until_health("healthy");
    for replica in REPLICAS {
        rig.cut("agent", replica);
        rig.cut(MI, replica);
    }
    let from = wait::now();
    journal.until_that("health_changed", |entry| {
        let to = entry["event"]["to"].as_str().unwrap_or_default();
        ["primary_unreachable", "primary_down"].contains(&to)
    });
    let blip = std::time::Duration::from_secs(3);
    wait::until("the end of the blip", LIMIT, || {
        (wait::now().saturating_duration_since(from) >= blip).then_some(())
    });
    for replica in REPLICAS {
        rig.heal("agent", replica);
        rig.heal(MI, replica);
    }
    journal.until_health("healthy");
    told_and_not_proposed(&mut journal, &["primary_unreachable", "primary_down"]);
    assert_eq!(roles(&rig), ["PRIMARY", "SECONDARY", "SECONDARY"]);
    nothing_lost(&rig, SQL);
}

#[test]
fn a_rolling_restart_is_told_and_nothing_is_proposed() {
    let rig = Rig::healthy(group(131));
    let mut journal = rig.follow(0);
    journal.until_health("healthy");
    rig.commits(5);
    let link = rig.link().to_owned();
    rig.fault(&Fault::RollingRestart { link, down_ms: 2_000, pause_ms: 1_000 });
    journal.until_health("no_primary");
    journal.until_health("healthy");
    // The last of them is the one that was primary.
    wait::until("the last restart to begin", LIMIT, || (roles(&rig)[0] == "-").then_some(()));
    wait_shown(
        &rig,
        ["sql01: SECONDARY", "sql01b: PRIMARY", "sql01c: SECONDARY", "listener: PRIMARY"],
    );
    rig.commits(5);
    rig.looks(2);
    told_and_not_proposed(&mut journal, &["no_primary"]);
    assert_eq!(rig.health(), "healthy");
    nothing_lost(&rig, SQL);
}

#[test]
fn when_all_replicas_are_gone_it_is_a_disaster_and_the_failover_goes_through() {
    let rig = Rig::healthy(group(141));
    let mut journal = rig.follow(0);
    journal.until_health("healthy");
    rig.commits(20);
    // A local failover before, so that it is not the first replica by which the side is known.
    rig.fault(&local_failover(Some(B), 1_000));
    journal.until_health("no_primary");
    journal.until_health("healthy");
    rig.commits(20);
    for replica in REPLICAS {
        rig.stop(replica);
    }
    journal.until_health("primary_down");
    let id = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    let Proposal { terms, .. } = rig.proposal(id);
    let bound = terms.bounds.loss_most_ms.expect("the forecast is known");
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    ended(&mut journal, "succeeded");
    rig.assert_one_failover();
    rig.assert_loss_within(bound);
    // Two of the replicas return, with the role that they had.
    for replica in [SQL, B] {
        rig.fault(&Fault::Start { instance: replica.to_owned() });
    }
    journal.until_health("split_brain");
    rig.looks(4);
    rig.assert_one_failover();
}

/// Each replica has to be fit to take over; what only the primary one can be is not asked of the
/// others.
#[test]
fn the_check_looks_at_each_replica_and_finds_nothing_wrong() {
    let rig = Rig::cold(group(171));
    let mut command = ours("dr-agent");
    command.arg("check").arg("--config").arg(rig.config());
    let output = command.output().expect("the check runs");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(!page.contains("  WRONG "), "{page}");
    for subject in
        ["SQL Server sql01, sql01b", "SQL Server sql01, sql01c", "SQL Server sql01, listener"]
    {
        assert!(page.contains(subject), "{subject}: {page}");
    }
    let others = page.matches("SECONDARY within its own group").count();
    assert_eq!(others, 2, "{page}");
}

/// Each statement goes to the replica that is primary at that moment.
#[test]
fn planned_over_and_back_act_on_whichever_replica_is_primary() {
    let mut wish = group(151).set("links.0.planned.applications.within", "3s");
    wish.hook = true;
    let rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    journal.until_health("healthy");
    rig.commits(5);
    let settle = |journal: &mut Follower, to: &str| {
        rig.fault(&local_failover(Some(to), 1_000));
        // Of a secondary side it is the secondary that changes its role: told or not, it has to be
        // over before the next step.
        let _ = journal;
        wait::until("the local failover", LIMIT, || {
            let at = REPLICAS.iter().position(|name| *name == to)?;
            let said = shown(&rig);
            (roles(&rig)[at] == "PRIMARY" && said.get(at)?.ends_with(": PRIMARY")).then_some(())
        });
        rig.wait_health("healthy");
    };
    settle(&mut journal, B);
    let over = asked(&rig, &mut journal);
    rig.approve(over, "alice");
    ended(&mut journal, "succeeded");
    nothing_lost(&rig, MI);
    rig.twin.repoint(SHOP, MI).expect("the application is pointed elsewhere");
    assert!(rig.hook("start"), "the application is started again");
    rig.commits(10);
    settle(&mut journal, SQL);
    let back = asked(&rig, &mut journal);
    rig.approve(back, "bob");
    ended(&mut journal, "succeeded");
    rig.twin.repoint(SHOP, LISTENER).expect("the application is pointed at the listener");
    assert!(rig.hook("start"), "the application is started again");
    rig.commits(10);
    nothing_lost(&rig, SQL);
    let commands = rig.twin.truth().expect("the twin tells what is true")["commands"].clone();
    let commands = commands.as_array().expect("a list");
    let at = |words: &str| -> Vec<String> {
        let found = commands.iter().filter(|one| {
            one["who"]["party"] == "agent"
                && one["refused"].is_null()
                && one["command"].as_str().is_some_and(|command| command.contains(words))
        });
        found.map(|one| one["target"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(at("] FAILOVER"), [B, MI], "{commands:#?}");
    assert_eq!(at("BACKUP DATABASE"), [SQL], "{commands:#?}");
}

/// The primary replica changes in the middle of a planned failover: whatever comes of it, nothing
/// is lost and there are never two writers.
#[test]
fn a_local_failover_in_the_middle_of_a_planned_one_loses_nothing() {
    side_by_side(vec![1, 2, 3], 2, |step| {
        let mut wish = group(160 + step)
            .set("links.0.planned.applications.within", "3s")
            .set("links.0.planned.quiet_for", "2s");
        wish.hook = true;
        let rig = Rig::healthy(wish);
        let mut journal = rig.follow(0);
        journal.until_health("healthy");
        rig.commits(5);
        let id = asked(&rig, &mut journal);
        rig.approve(id, "alice");
        journal.until_that("step_started", |entry| entry["event"]["step"]["step"] == step);
        rig.fault(&local_failover(Some(B), 1_000));
        let closed = journal.until("proposal_closed");
        let end = closed["event"]["end"].as_str().expect("a word").to_owned();
        assert!(["succeeded", "undone"].contains(&end.as_str()), "{closed:#}");
        let primary = if end == "succeeded" { MI } else { SQL };
        nothing_lost(&rig, primary);
        let truth = rig.twin.truth().expect("the twin tells what is true");
        for interval in truth["links"][0]["intervals"].as_array().expect("a list") {
            let writers = &interval["writers"];
            assert!(
                writers["sql_server"] != true || writers["managed_instance"] != true,
                "two writers: {interval}"
            );
        }
        if end == "undone" {
            // The application goes on by the listener.
            rig.commits(5);
        }
        println!("local failover in step {step}: {end}");
    });
}
