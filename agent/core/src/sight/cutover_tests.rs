use super::*;
use crate::{
    evidence::{ControlLink, DatabaseReading, SilenceKind, SyncHealth},
    names::{InstanceId, Lsn},
};
use jiff::Timestamp;

fn side(role: Role, change: impl Fn(&mut DatabaseReading)) -> SideReading {
    let mut database = DatabaseReading {
        state: DatabaseState::Online,
        read_write: role != Role::Secondary,
        suspended: false,
        suspend_reason: None,
        synchronization: (role != Role::Absent).then_some(SyncState::Synchronized),
        last_hardened_lsn: Some(Lsn(70)),
        last_commit_lsn: None,
        last_commit_at: None,
        redo_queue_kb: None,
        redo_rate_kb_per_s: None,
        end_of_log_lsn: Some(Lsn(70)),
    };
    change(&mut database);
    SideReading {
        product_version: "15.0.4430.1".into(),
        edition: "Enterprise Edition".into(),
        engine_edition: 3,
        server_time: Timestamp::UNIX_EPOCH,
        role,
        connected: (role == Role::Secondary).then_some(true),
        sync_health: Some(SyncHealth::Healthy),
        database: Some(database),
        partner: None,
        replicas: alloc::vec::Vec::new(),
        members: None,
    }
}

fn mode(synchronous: bool) -> Action {
    let name = |name| InstanceId::new(name).expect("a name");
    Action::CommitMode {
        instance: name("sql01"),
        target: name("mi-dr"),
        group: "dag".into(),
        database: "shop".into(),
        synchronous,
    }
}

fn silence() -> Silence {
    Silence { kind: SilenceKind::TimedOut, detail: "late".into() }
}

fn not() -> Sight {
    Sight::Not { seen: "mi-dr is SECONDARY".into(), first_hand: true }
}

#[test]
fn both_sides_have_to_be_synchronized() {
    let look = |own, copy| {
        let primary = side(Role::Primary, |database| database.synchronization = Some(own));
        let target = side(Role::Secondary, |database| database.synchronization = Some(copy));
        commit_mode(&mode(true), Ok(primary), Ok(target))
    };
    let (yes, no) = (SyncState::Synchronized, SyncState::Synchronizing);
    assert!(matches!(look(yes, yes), Sight::Holds { .. }));
    for (own, copy) in [(yes, no), (no, yes), (no, no)] {
        assert!(matches!(look(own, copy), Sight::Not { first_hand: true, .. }));
    }
    let primary = || side(Role::Primary, |_| ());
    assert!(matches!(commit_mode(&mode(true), Ok(primary()), Err(silence())), Sight::Blind { .. }));
    let away = SideReading { connected: Some(false), ..side(Role::Secondary, |_| ()) };
    assert!(matches!(commit_mode(&mode(true), Ok(primary()), Ok(away)), Sight::Not { .. }));
    // Taking it back needs the primary alone.
    let back = |own| {
        let primary = side(Role::Primary, |database| database.synchronization = Some(own));
        commit_mode(&mode(false), Ok(primary), Err(silence()))
    };
    assert!(matches!(back(no), Sight::Holds { .. }));
    assert!(matches!(back(yes), Sight::Not { .. }));
}

#[test]
fn the_link_is_deleted_only_while_the_logs_are_equal() {
    let look = |end: u128, hardened: u128| {
        let primary = side(Role::Primary, |database| database.end_of_log_lsn = Some(Lsn(end)));
        let target =
            side(Role::Secondary, |database| database.last_hardened_lsn = Some(Lsn(hardened)));
        still_equal(not(), Ok(primary), Ok(target))
    };
    assert!(matches!(look(70, 70), Sight::Not { .. }));
    let Sight::Unfit { seen } = look(71, 70) else { panic!("one commit is missing") };
    assert!(seen.ends_with("it has 70 of 71: somebody writes"), "{seen}");
    let target = || Ok(side(Role::Secondary, |_| ()));
    assert!(matches!(still_equal(not(), Err(silence()), target()), Sight::Blind { .. }));
    let shut = side(Role::Secondary, |_| ());
    assert!(matches!(still_equal(not(), Ok(shut), target()), Sight::Unfit { .. }));
    let holds = || Sight::Holds { seen: "gone".into() };
    assert_eq!(still_equal(holds(), Err(silence()), Err(silence())), holds());
}

#[test]
fn the_link_is_gone_when_both_say_so() {
    let link = || ControlLink {
        instance_role: Role::Secondary,
        partner_role: Role::Primary,
        replica_state: None,
        connected: None,
        sync_health: None,
        failover_mode: None,
        last_hardened_lsn: None,
        other_databases: alloc::vec::Vec::new(),
    };
    let control = |link| {
        Ok(ControlReading {
            instance_state: "Ready".into(),
            database_format: "SQLServer2022".into(),
            link,
        })
    };
    let seen = |role| link_deleted(&side(role, |_| ()), String::new());
    assert!(matches!(by_both(seen(Role::Absent), control(None)), Sight::Holds { .. }));
    assert!(matches!(by_both(seen(Role::Absent), control(Some(link()))), Sight::Coming { .. }));
    assert!(matches!(by_both(seen(Role::Absent), Err(silence())), Sight::Holds { .. }));
    assert!(matches!(by_both(seen(Role::Secondary), control(Some(link()))), Sight::Not { .. }));
    assert!(matches!(by_both(seen(Role::Secondary), control(None)), Sight::Coming { .. }));
    assert!(matches!(seen(Role::Primary), Sight::Unfit { .. }));
}

#[test]
fn what_is_left_is_closed_step_by_step() {
    let idle = UnderWay::No;
    let of = |role| side(role, |_| ());
    assert!(matches!(group_dropped(&of(Role::Primary), &idle, String::new()), Sight::Not { .. }));
    assert!(matches!(group_dropped(&of(Role::Absent), &idle, String::new()), Sight::Holds { .. }));
    let busy = group_dropped(&of(Role::Primary), &UnderWay::Yes, String::new());
    assert!(matches!(busy, Sight::Coming { .. }));
    let local = side(Role::Absent, |database| {
        database.synchronization = Some(SyncState::Synchronized);
    });
    assert!(matches!(local_dropped(&local, &idle, String::new()), Sight::Not { .. }));
    assert!(matches!(local_dropped(&of(Role::Absent), &idle, String::new()), Sight::Holds { .. }));
    let early = local_dropped(&of(Role::Primary), &idle, String::new());
    assert!(matches!(early, Sight::Unfit { .. }));
    assert!(matches!(read_only(&of(Role::Absent), String::new()), Sight::Not { .. }));
    let shut = side(Role::Absent, |database| database.read_write = false);
    assert!(matches!(read_only(&shut, String::new()), Sight::Holds { .. }));
}

#[test]
fn the_first_full_backup_is_newer_than_the_deletion() {
    let found = |full_s| {
        Ok(LogBackups { steps: alloc::vec::Vec::new(), last_s: None, full_s, agent_running: None })
    };
    assert!(matches!(first_backup(Some(100), found(Some(40))), Sight::Holds { .. }));
    assert!(matches!(first_backup(Some(100), found(Some(100))), Sight::Coming { .. }));
    assert!(matches!(first_backup(Some(100), found(None)), Sight::Coming { .. }));
    assert!(matches!(first_backup(Some(100), Err(silence())), Sight::Blind { .. }));
}
