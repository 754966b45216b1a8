use alloc::{borrow::ToOwned as _, vec::Vec};

use crate::evidence::{ControlLink, SilenceKind, SyncHealth};
use expect_test::{Expect, expect};

use super::*;

#[derive(Clone, Copy)]
enum Kind {
    Ready,
    Primary,
    Serving,
}

fn action(kind: Kind) -> Action {
    let instance = InstanceId::new("mi").expect("a name");
    let (group, database) = ("dag".to_owned(), "shop".to_owned());
    match kind {
        Kind::Ready => Action::TargetReady { instance, group, database },
        Kind::Primary => Action::TargetPrimary { instance, group, database },
        Kind::Serving => Action::TargetServing { instance, group, database },
    }
}

fn reading(role: Role, database: Option<(DatabaseState, bool, Option<SyncState>)>) -> SideReading {
    SideReading {
        product_version: "16.0.1000.6".into(),
        edition: "SQL Azure".into(),
        engine_edition: 8,
        server_time: Timestamp::UNIX_EPOCH,
        role,
        connected: None,
        sync_health: None,
        database: database.map(|(state, read_write, synchronization)| DatabaseReading {
            state,
            read_write,
            suspended: false,
            suspend_reason: None,
            synchronization,
            last_hardened_lsn: None,
            last_commit_lsn: None,
            last_commit_at: None,
            redo_queue_kb: None,
            redo_rate_kb_per_s: None,
            end_of_log_lsn: None,
        }),
        partner: None,
        replicas: Vec::new(),
        members: None,
    }
}

fn control(role: Option<Role>, state: &str) -> ControlReading {
    ControlReading {
        instance_state: state.into(),
        database_format: "SQLServer2022".into(),
        link: role.map(|instance_role| ControlLink {
            instance_role,
            partner_role: Role::Secondary,
            replica_state: None,
            connected: Some(false),
            sync_health: Some(SyncHealth::NotHealthy),
            failover_mode: None,
            last_hardened_lsn: None,
            other_databases: Vec::new(),
        }),
    }
}

fn silence() -> Silence {
    Silence { kind: SilenceKind::TimedOut, detail: "no answer in time".into() }
}

fn line(sight: &Sight) -> String {
    match sight {
        Sight::Holds { seen } => format!("HOLDS   {seen}\n"),
        Sight::Warned { seen, warning } => format!("WARNED  {seen}\n        ! {warning}\n"),
        Sight::Not { seen, .. } => format!("NOT     {seen}\n"),
        Sight::Coming { seen } => format!("COMING  {seen}\n"),
        Sight::Unfit { seen } => format!("UNFIT   {seen}\n"),
        Sight::Blind { why } => format!("BLIND   {why}\n"),
    }
}

fn check(kind: Kind, under_way: &UnderWay, expected: &Expect) {
    let synchronizing = Some(SyncState::Synchronizing);
    let lost = Some(SyncState::NotSynchronizing);
    let online = DatabaseState::Online;
    let readings = [
        reading(Role::Secondary, Some((online, false, synchronizing))),
        reading(Role::Secondary, Some((online, false, lost))),
        reading(Role::Secondary, Some((online, false, Some(SyncState::Reverting)))),
        reading(Role::Secondary, Some((online, false, Some(SyncState::Initializing)))),
        reading(Role::Secondary, Some((DatabaseState::Recovering, false, lost))),
        reading(Role::Secondary, Some((DatabaseState::Suspect, false, lost))),
        reading(Role::Secondary, None),
        reading(Role::Resolving, Some((online, false, lost))),
        reading(Role::Absent, None),
        reading(Role::Primary, Some((DatabaseState::Recovering, false, None))),
        reading(Role::Primary, Some((online, false, None))),
        reading(Role::Primary, Some((online, true, None))),
        reading(Role::Primary, Some((DatabaseState::Suspect, false, None))),
        reading(Role::Primary, None),
    ];
    let sights = readings.iter().map(|reading| of_side(&action(kind), reading, under_way));
    expected.assert_eq(&sights.map(|sight| line(&sight)).collect::<String>());
}

#[test]
fn ready_is_a_secondary_that_could_start_or_a_primary() {
    check(
        Kind::Ready,
        &UnderWay::No,
        &expect![[r#"
        HOLDS   mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
        HOLDS   mi is SECONDARY, shop ONLINE READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is SECONDARY, shop ONLINE READ_ONLY REVERTING, from which it could not start as primary
        UNFIT   mi is SECONDARY, shop ONLINE READ_ONLY INITIALIZING, from which it could not start as primary
        COMING  mi is SECONDARY, shop RECOVERING READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is SECONDARY, shop SUSPECT READ_ONLY NOT SYNCHRONIZING, and that database could not start as primary
        UNFIT   mi is SECONDARY, and there is no such database
        COMING  mi is RESOLVING, shop ONLINE READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is without the group, the distributed availability group is unknown there
        HOLDS   mi is PRIMARY, shop RECOVERING READ_ONLY
        HOLDS   mi is PRIMARY, shop ONLINE READ_ONLY
        HOLDS   mi is PRIMARY, shop ONLINE READ_WRITE
        HOLDS   mi is PRIMARY, shop SUSPECT READ_ONLY
        HOLDS   mi is PRIMARY
    "#]],
    );
}

#[test]
fn primary_counts_when_it_takes_writes_and_only_a_calm_secondary_is_not_one() {
    check(
        Kind::Primary,
        &UnderWay::No,
        &expect![[r#"
        NOT     mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
        NOT     mi is SECONDARY, shop ONLINE READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is SECONDARY, shop ONLINE READ_ONLY REVERTING, from which it could not start as primary
        UNFIT   mi is SECONDARY, shop ONLINE READ_ONLY INITIALIZING, from which it could not start as primary
        COMING  mi is SECONDARY, shop RECOVERING READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is SECONDARY, shop SUSPECT READ_ONLY NOT SYNCHRONIZING, and that database could not start as primary
        UNFIT   mi is SECONDARY, and there is no such database
        COMING  mi is RESOLVING, shop ONLINE READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is without the group, the distributed availability group is unknown there
        COMING  mi is PRIMARY, shop RECOVERING READ_ONLY
        COMING  mi is PRIMARY, shop ONLINE READ_ONLY
        HOLDS   mi is PRIMARY, shop ONLINE READ_WRITE
        UNFIT   mi is PRIMARY, shop SUSPECT READ_ONLY, and another failover would not mend that
        UNFIT   mi is PRIMARY, and there is no such database
    "#]],
    );
}

#[test]
fn while_a_command_is_at_work_nothing_is_conclusive() {
    check(
        Kind::Primary,
        &UnderWay::Yes,
        &expect![[r#"
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING, a change of the group is under way
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY NOT SYNCHRONIZING, a change of the group is under way
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY REVERTING, a change of the group is under way
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY INITIALIZING, a change of the group is under way
        COMING  mi is SECONDARY, shop RECOVERING READ_ONLY NOT SYNCHRONIZING, a change of the group is under way
        COMING  mi is SECONDARY, shop SUSPECT READ_ONLY NOT SYNCHRONIZING, a change of the group is under way
        COMING  mi is SECONDARY, a change of the group is under way
        COMING  mi is RESOLVING, shop ONLINE READ_ONLY NOT SYNCHRONIZING
        UNFIT   mi is without the group, the distributed availability group is unknown there
        COMING  mi is PRIMARY, shop RECOVERING READ_ONLY
        COMING  mi is PRIMARY, shop ONLINE READ_ONLY
        HOLDS   mi is PRIMARY, shop ONLINE READ_WRITE
        COMING  mi is PRIMARY, shop SUSPECT READ_ONLY
        UNFIT   mi is PRIMARY, and there is no such database
    "#]],
    );
}

#[test]
fn sessions_that_cannot_be_seen_are_not_absent() {
    let blind = UnderWay::Unseen("the login lacks VIEW SERVER STATE".into());
    let secondary = reading(Role::Secondary, Some((DatabaseState::Online, false, None)));
    let sight = |kind| line(&of_side(&action(kind), &secondary, &blind));
    expect![[r#"
        BLIND   mi is SECONDARY, shop ONLINE READ_ONLY, but not whether a command is at work there: the login lacks VIEW SERVER STATE
        HOLDS   mi is SECONDARY, shop ONLINE READ_ONLY
    "#]].assert_eq(&(sight(Kind::Primary) + &sight(Kind::Ready)));
}

#[test]
fn what_the_control_plane_shows_where_the_target_is_silent() {
    let readings = [
        control(Some(Role::Secondary), "Ready"),
        control(Some(Role::Primary), "Ready"),
        control(Some(Role::Secondary), "Stopped"),
        control(None, "Ready"),
    ];
    let mut table = String::new();
    for kind in [Kind::Ready, Kind::Primary, Kind::Serving] {
        for reading in &readings {
            table += &line(&of_control(&action(kind), reading, "no answer in time"));
        }
    }
    expect![[r#"
        HOLDS   ARM says SECONDARY; the target can't be seen: no answer in time
        HOLDS   ARM says PRIMARY; the target can't be seen: no answer in time
        UNFIT   ARM says SECONDARY, and that the instance is Stopped; the target can't be seen: no answer in time
        UNFIT   ARM knows no such link; the target can't be seen: no answer in time
        NOT     ARM says SECONDARY; the target can't be seen: no answer in time
        COMING  ARM says PRIMARY; the target can't be seen: no answer in time
        UNFIT   ARM says SECONDARY, and that the instance is Stopped; the target can't be seen: no answer in time
        UNFIT   ARM knows no such link; the target can't be seen: no answer in time
        NOT     ARM says SECONDARY; the target can't be seen: no answer in time
        COMING  ARM says PRIMARY; the target can't be seen: no answer in time
        UNFIT   ARM says SECONDARY, and that the instance is Stopped; the target can't be seen: no answer in time
        UNFIT   ARM knows no such link; the target can't be seen: no answer in time
    "#]].assert_eq(&table);
}

#[test]
fn a_post_needs_both_to_say_secondary() {
    let by_side = Sight::Not { seen: "mi is SECONDARY".into(), first_hand: true };
    let both = |control| line(&not_by_both(by_side.clone(), &action(Kind::Primary), control));
    let table = [
        both(Ok(control(Some(Role::Secondary), "Ready"))),
        both(Ok(control(Some(Role::Primary), "Ready"))),
        both(Ok(control(Some(Role::Secondary), "Updating"))),
        both(Err(silence())),
    ]
    .concat();
    expect![[r#"
        NOT     mi is SECONDARY
        COMING  ARM says PRIMARY; mi is SECONDARY
        UNFIT   ARM says SECONDARY, and that the instance is Updating; mi is SECONDARY
        NOT     mi is SECONDARY
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_control_plane_that_lags_is_waited_for_and_does_not_block() {
    let seen = || "mi is PRIMARY".to_owned();
    let table = [
        agreed(seen(), Ok(control(Some(Role::Primary), "Ready")), false),
        agreed(seen(), Ok(control(Some(Role::Secondary), "Ready")), false),
        agreed(seen(), Ok(control(Some(Role::Secondary), "Ready")), true),
        agreed(seen(), Ok(control(None, "Ready")), true),
        agreed(seen(), Err(silence()), false),
    ]
    .map(|sight| line(&sight))
    .concat();
    expect![[r#"
        HOLDS   mi is PRIMARY; ARM agrees
        COMING  mi is PRIMARY; ARM still says SECONDARY
        HOLDS   mi is PRIMARY; ARM still says SECONDARY
        HOLDS   mi is PRIMARY; ARM still says that it knows no such link
        HOLDS   mi is PRIMARY; no word from ARM: no answer in time
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_replica_that_is_away_hides_no_command_unless_it_is_the_one_that_counts() {
    let unseen = || Err(silence());
    let hidden = UnderWay::Unseen(silence().detail);
    for (told, speaker, expected) in [
        (Vec::from([Ok(false)]), Some(0), UnderWay::No),
        (Vec::from([unseen(), Ok(true)]), Some(1), UnderWay::Yes),
        (Vec::from([unseen(), Ok(false)]), Some(1), UnderWay::No),
        (Vec::from([unseen(), Ok(false)]), Some(0), hidden.clone()),
        (Vec::from([unseen(), Ok(false)]), Some(2), hidden.clone()),
        (Vec::from([unseen(), Ok(false)]), None, hidden),
    ] {
        assert_eq!(under_way(&told, speaker), expected);
    }
}
