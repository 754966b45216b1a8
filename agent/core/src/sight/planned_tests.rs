use crate::{
    evidence::{DatabaseState, SilenceKind},
    names::{InstanceId, Lsn},
};
use expect_test::{Expect, expect};
use jiff::Timestamp;

use super::*;

const QUIET: Quiet = Quiet { for_ms: 5_000, log_kb: 256 };
const END: u128 = 39_000_000_057_600_001;

fn roles() -> Action {
    Action::RolesChanged {
        instance: InstanceId::new("mi").expect("a name"),
        source: InstanceId::new("sql").expect("a name"),
        group: "dag".into(),
        database: "shop".into(),
    }
}

fn catching_up() -> Action {
    Action::CaughtUp {
        instance: InstanceId::new("sql").expect("a name"),
        target: InstanceId::new("mi").expect("a name"),
        group: "dag".into(),
        database: "shop".into(),
        quiet: QUIET,
    }
}

/// A side that is well in this role.
fn side(role: Role) -> SideReading {
    let primary = role == Role::Primary;
    SideReading {
        product_version: "16.0.4125.3".into(),
        edition: "Developer".into(),
        engine_edition: 3,
        server_time: at(0),
        role,
        connected: (!primary).then_some(true),
        sync_health: Some(SyncHealth::Healthy),
        database: Some(DatabaseReading {
            state: DatabaseState::Online,
            read_write: primary,
            suspended: false,
            suspend_reason: None,
            synchronization: Some(SyncState::Synchronizing),
            last_hardened_lsn: (!primary).then_some(Lsn(END)),
            last_commit_lsn: None,
            last_commit_at: None,
            redo_queue_kb: (!primary).then_some(0),
            redo_rate_kb_per_s: None,
            end_of_log_lsn: Some(Lsn(END)),
        }),
        partner: primary.then_some(PartnerReading {
            connected: Some(true),
            sync_health: Some(SyncHealth::Healthy),
            last_hardened_lsn: Some(Lsn(END)),
            last_commit_at: None,
            log_send_queue_kb: Some(0),
            redo_queue_kb: Some(0),
            lag_s: Some(0),
            suspended: Some(false),
        }),
        replicas: Vec::new(),
        members: None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

fn silence() -> Silence {
    Silence { kind: SilenceKind::TimedOut, detail: "no answer in time".into() }
}

fn line(sight: &Sight) -> String {
    match sight {
        Sight::Holds { seen } => format!("HOLDS   {seen}\n"),
        Sight::Warned { seen, warning } => format!("WARNED  {seen}\n        ! {warning}\n"),
        Sight::Not { seen, first_hand: true } => format!("NOT     {seen}\n"),
        Sight::Not { seen, first_hand: false } => format!("NOT?    {seen}\n"),
        Sight::Coming { seen } => format!("COMING  {seen}\n"),
        Sight::Unfit { seen } => format!("UNFIT   {seen}\n"),
        Sight::Blind { why } => format!("BLIND   {why}\n"),
    }
}

fn check(sights: impl IntoIterator<Item = Sight>, expected: &Expect) {
    let lines: String = sights.into_iter().map(|sight| line(&sight)).collect();
    expected.assert_eq(&lines);
}

fn user(login: &str, sessions: i64, transactions: i64) -> User {
    let (program, host) = ("Shop".into(), "web-1".into());
    User { login: login.into(), program, host, sessions, transactions }
}

fn activity(at_ms: i64, users: Vec<User>) -> Result<Activity, Silence> {
    Ok(Activity { at_ms, log_bytes_flushed: 7, users })
}

#[test]
fn quiesced_is_nobody_there_for_a_while() {
    let mut still = Stillness::default();
    let crowd = vec![user("shop", 12, 2), user("dba", 1, 1), user("report", 1, 0), user("x", 1, 0)];
    let sights = [
        quiesced(None, Err(silence()), QUIET, &mut still),
        quiesced(None, activity(0, crowd), QUIET, &mut still),
        quiesced(None, activity(1_000, Vec::new()), QUIET, &mut still),
        quiesced(None, activity(5_900, Vec::new()), QUIET, &mut still),
        quiesced(None, activity(5_950, vec![user("shop", 1, 0)]), QUIET, &mut still),
        quiesced(None, activity(6_000, Vec::new()), QUIET, &mut still),
        quiesced(None, Err(silence()), QUIET, &mut still),
        quiesced(None, activity(11_000, Vec::new()), QUIET, &mut still),
        quiesced(None, activity(16_000, Vec::new()), QUIET, &mut still),
    ];
    check(
        sights,
        &expect![[r#"
        BLIND   no answer in time
        COMING  still at work: shop (Shop on web-1), 12 sessions and 2 open transactions; dba (Shop on web-1), 1 session and 1 open transaction; report (Shop on web-1), 1 session; and 1 more
        COMING  nobody is at work, quiet for 0.0 s of 5.0 s
        COMING  nobody is at work, quiet for 4.9 s of 5.0 s
        COMING  still at work: shop (Shop on web-1), 1 session
        COMING  nobody is at work, quiet for 0.0 s of 5.0 s
        BLIND   no answer in time
        COMING  nobody is at work, quiet for 0.0 s of 5.0 s
        HOLDS   no session, no open transaction and at most 256 KB of log for 5.0 s
    "#]],
    );
}

#[test]
fn applications_that_run_are_stopped_first() {
    let mut still = Stillness::default();
    still.seen(0, 7, QUIET);
    let stopped = not_stopped(Ok(Status::Stopped), &mut still);
    assert_eq!(stopped, None);
    let sights = [Ok(Status::Running), Err("hook status ended with exit code 1".to_owned())]
        .map(|status| not_stopped(status, &mut still).expect("that settles it"));
    check(
        sights,
        &expect![[r#"
        NOT     the applications run, by the word of the hook
        BLIND   hook status ended with exit code 1
    "#]],
    );
    let again = quiesced(None, activity(9_000, Vec::new()), QUIET, &mut still);
    assert!(matches!(again, Sight::Coming { .. }), "what was quiet before counts no more");
}

#[test]
fn admitted_is_applications_that_run_where_they_can_work() {
    let action = Action::Admitted {
        instance: InstanceId::new("sql").expect("a name"),
        group: "dag".into(),
        database: "shop".into(),
        status: crate::plan::Hook { command: Vec::new(), sha256: String::new(), within_ms: 1 },
    };
    let mut sights = Vec::new();
    for status in [Ok(Status::Running), Ok(Status::Stopped), Err("no answer".to_owned())] {
        for reading in [Ok(side(Role::Primary)), Ok(side(Role::Secondary)), Err(silence())] {
            sights.push(admitted(&action, status.clone(), reading));
        }
    }
    check(
        sights,
        &expect![[r#"
            HOLDS   the applications run; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING
            COMING  sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
            COMING  the server can't be seen: no answer in time
            NOT     the applications are stopped; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING
            NOT     the applications are stopped; sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
            NOT     the applications are stopped; the server can't be seen: no answer in time
            BLIND   no answer
            BLIND   no answer
            BLIND   no answer
        "#]],
    );
}

/// Both sides well and the log still for long enough, but for what `change` does.
fn almost(change: impl FnOnce(&mut SideReading, &mut SideReading)) -> Sight {
    let mut steady = Steadiness::default();
    steady.seen(at(0), Lsn(END), QUIET);
    let mut primary = SideReading { server_time: at(5), ..side(Role::Primary) };
    let mut target = side(Role::Secondary);
    change(&mut primary, &mut target);
    caught_up(&catching_up(), Ok(primary), Ok(target), QUIET, &mut steady)
}

fn copy(reading: &mut SideReading) -> &mut DatabaseReading {
    reading.database.as_mut().expect("there is one")
}

fn partner(reading: &mut SideReading) -> &mut PartnerReading {
    reading.partner.as_mut().expect("there is one")
}

#[test]
fn caught_up_is_all_of_the_log_on_a_side_that_follows() {
    let sights = [
        almost(|_, _| {}),
        almost(|_, target| copy(target).last_hardened_lsn = Some(Lsn(END - 1))),
        almost(|primary, _| copy(primary).end_of_log_lsn = Some(Lsn(END + 1))),
        almost(|_, target| copy(target).redo_queue_kb = Some(257)),
        almost(|_, target| copy(target).suspended = true),
        almost(|_, target| target.connected = Some(false)),
        almost(|_, target| copy(target).synchronization = Some(SyncState::NotSynchronizing)),
        almost(|primary, _| partner(primary).connected = Some(false)),
        almost(|primary, _| partner(primary).sync_health = Some(SyncHealth::PartiallyHealthy)),
        almost(|primary, _| partner(primary).suspended = Some(true)),
        almost(|primary, _| partner(primary).log_send_queue_kb = Some(300)),
        almost(|primary, _| partner(primary).lag_s = Some(2)),
        almost(|primary, _| partner(primary).lag_s = Some(1)),
        almost(|primary, _| partner(primary).redo_queue_kb = Some(300)),
        almost(|primary, _| primary.server_time = at(4)),
        almost(|primary, _| {
            // The end has moved by more than a server moves it.
            copy(primary).end_of_log_lsn = Some(Lsn(END - 600 * 100_000));
        }),
        almost(|primary, _| copy(primary).read_write = false),
        almost(core::mem::swap),
        almost(|_, target| target.role = Role::Resolving),
    ];
    check(
        sights,
        &expect![[r#"
            HOLDS   sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it has all of the log, up to 39000000057600001
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it has 39000000057600000 of 39000000057600001
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it has 39000000057600001 of 39000000057600002
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; 257 KB are to be redone
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING (suspended); its data movement is suspended
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it is not connected
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY NOT SYNCHRONIZING; it is not synchronizing
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the primary does not call it connected
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the primary does not call it HEALTHY
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the primary does not call its data movement running
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; by the primary 300 KB are to be sent
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; by the primary it is 2 s behind
            HOLDS   sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it has all of the log, up to 39000000057600001
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; by the primary 300 KB are to be redone
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the log is still for 4.0 s of 5.0 s
            COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the log is still for 0.0 s of 5.0 s
            UNFIT   sql is PRIMARY, shop ONLINE READ_ONLY SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING, which is not a primary that serves and its secondary
            UNFIT   sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; mi is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING, which is not a primary that serves and its secondary
            UNFIT   sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is RESOLVING, shop ONLINE READ_ONLY SYNCHRONIZING, which is not a primary that serves and its secondary
        "#]],
    );
}

#[test]
fn what_is_not_known_is_not_good() {
    let sights = [
        almost(|primary, _| primary.partner = None),
        almost(|primary, _| copy(primary).end_of_log_lsn = None),
        almost(|_, target| copy(target).last_hardened_lsn = None),
        almost(|_, target| target.connected = None),
        almost(|_, target| copy(target).synchronization = None),
        almost(|primary, _| {
            *partner(primary) = PartnerReading {
                connected: None,
                sync_health: None,
                last_hardened_lsn: None,
                last_commit_at: None,
                log_send_queue_kb: None,
                redo_queue_kb: None,
                lag_s: None,
                suspended: None,
            };
        }),
        caught_up(
            &catching_up(),
            Err(silence()),
            Ok(side(Role::Secondary)),
            QUIET,
            &mut Steadiness::default(),
        ),
        caught_up(
            &catching_up(),
            Ok(side(Role::Primary)),
            Err(silence()),
            QUIET,
            &mut Steadiness::default(),
        ),
    ];
    check(
        sights,
        &expect![[r#"
        COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the primary says nothing of it
        BLIND   sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING, but not where the log ends
        COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it does not say how far its log goes
        COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; it is not connected
        COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY; it is not synchronizing
        COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING; mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the primary does not call it connected, the primary does not call it HEALTHY, the primary does not call its data movement running, the primary can't say how much is to be sent, the primary can't say how much is to be redone
        BLIND   no answer in time
        BLIND   no answer in time
    "#]],
    );
}

#[test]
fn the_roles_have_changed_when_the_target_serves() {
    use Role::{Absent, Primary, Resolving, Secondary};
    let mut sights = Vec::new();
    let mut broken = side(Primary);
    copy(&mut broken).state = DatabaseState::Suspect;
    copy(&mut broken).read_write = false;
    for target in [Ok(side(Primary)), Ok(broken), Ok(side(Resolving)), Err(silence())] {
        let source = Ok(side(Primary));
        sights.push(roles_changed(&roles(), target, &UnderWay::No, source));
    }
    for under_way in [UnderWay::No, UnderWay::Yes, UnderWay::Unseen("denied".into())] {
        for source in [Ok(side(Primary)), Ok(side(Resolving)), Ok(side(Secondary)), Err(silence())]
        {
            sights.push(roles_changed(&roles(), Ok(side(Secondary)), &under_way, source));
        }
    }
    let mut reverting = side(Secondary);
    copy(&mut reverting).synchronization = Some(SyncState::Reverting);
    for (target, source) in
        [(side(Secondary), side(Absent)), (side(Absent), side(Primary)), (reverting, side(Primary))]
    {
        sights.push(roles_changed(&roles(), Ok(target), &UnderWay::No, Ok(source)));
    }
    check(
        sights,
        &expect![[r#"
        HOLDS   mi is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING
        COMING  mi is PRIMARY, shop SUSPECT READ_ONLY SYNCHRONIZING
        COMING  mi is RESOLVING, shop ONLINE READ_ONLY SYNCHRONIZING
        BLIND   no answer in time
        NOT     mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is RESOLVING, shop ONLINE READ_ONLY SYNCHRONIZING
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
        BLIND   mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the source: no answer in time
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING, where a change of the group is under way
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is RESOLVING, shop ONLINE READ_ONLY SYNCHRONIZING, where a change of the group is under way
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING, where a change of the group is under way
        BLIND   mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the source: no answer in time
        BLIND   mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING, but not whether a command is at work there: denied
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is RESOLVING, shop ONLINE READ_ONLY SYNCHRONIZING
        COMING  mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
        BLIND   mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; the source: no answer in time
        UNFIT   mi is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING; sql is without the group, shop ONLINE READ_ONLY SYNCHRONIZING, the distributed availability group is unknown there
        UNFIT   mi is without the group, shop ONLINE READ_ONLY SYNCHRONIZING; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING, the distributed availability group is unknown there
        UNFIT   mi is SECONDARY, shop ONLINE READ_ONLY REVERTING; sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING, from which it could not start as primary
    "#]],
    );
}

#[test]
fn the_old_primary_is_waited_for() {
    let action = Action::SourceSecondary {
        instance: InstanceId::new("sql").expect("a name"),
        group: "dag".into(),
        database: "shop".into(),
    };
    let roles = [Role::Secondary, Role::Resolving, Role::Primary, Role::Absent];
    check(
        roles.map(|role| source_secondary(&action, &side(role))),
        &expect![[r#"
        HOLDS   sql is SECONDARY, shop ONLINE READ_ONLY SYNCHRONIZING
        COMING  sql is RESOLVING, shop ONLINE READ_ONLY SYNCHRONIZING
        COMING  sql is PRIMARY, shop ONLINE READ_WRITE SYNCHRONIZING
        UNFIT   sql is without the group, shop ONLINE READ_ONLY SYNCHRONIZING, the distributed availability group is unknown there
    "#]],
    );
}
