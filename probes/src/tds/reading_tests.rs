use agent_core::{LinkId, Seen};
use expect_test::{Expect, expect};

use super::*;

fn target() -> LinkTarget {
    LinkTarget {
        link: LinkId::new("dag1").expect("a name"),
        dag: "dag1".into(),
        database: "Orders".into(),
    }
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().expect("a time"))
}

/// In winter of Central Europe.
fn server() -> ServerRow {
    ServerRow {
        product_version: "16.0.4125.3".into(),
        edition: "Enterprise Edition (64-bit)".into(),
        engine_edition: 3,
        utc_time: at("2026-11-22T10:00:00Z"),
        // A tick after the other clock was read.
        local_time: at("2026-11-22T11:00:00.003Z"),
        sees_groups: Some(true),
        sees_databases: Some(true),
    }
}

fn group(is_local: bool, role: i32) -> GroupRow {
    GroupRow {
        group: Some("dag1".into()),
        is_local: Some(is_local),
        role: Some(role),
        connected_state: Some(1),
        synchronization_health: Some(2),
        member: Some(if is_local { "ag1" } else { "mi" }.into()),
        local_group: is_local.then(|| "ag1".into()),
        local_role: is_local.then_some(1),
    }
}

fn database(group: &str, is_distributed: bool, is_local: bool, lsn: u128) -> DatabaseRow {
    DatabaseRow {
        database: Some("Orders".into()),
        state: Some(0),
        updateability: Some("READ_WRITE".into()),
        group: Some(group.into()),
        is_distributed: Some(is_distributed),
        is_local: Some(is_local),
        is_primary_replica: Some(is_local),
        synchronization_state: Some(1),
        is_suspended: Some(false),
        suspend_reason: None,
        last_hardened_lsn: Some(Lsn(lsn)),
        last_commit_lsn: Some(Lsn(lsn)),
        end_of_log_lsn: None,
        last_commit_time: at("2026-11-22T10:59:58Z"),
        log_send_queue_kb: Some(16),
        redo_queue_kb: Some(4),
        redo_rate_kb_per_s: Some(900),
        lag_s: Some(1),
    }
}

fn primary() -> Answer {
    Answer {
        server: server(),
        groups: vec![group(true, 1), group(false, 2)],
        databases: vec![
            database("dag1", true, true, 100),
            database("dag1", true, false, 90),
            database("ag1", false, true, 100),
        ],
    }
}

fn seen(answer: &Answer, target: &LinkTarget) -> Seen {
    match told(answer, target) {
        Ok(told) => Seen::Side(told.reading),
        Err(silence) => Seen::Silence(silence),
    }
}

fn check(answer: &Answer, expected: Expect) {
    expected.assert_debug_eq(&seen(answer, &target()));
}

fn read(answer: &Answer) -> SideReading {
    match seen(answer, &target()) {
        Seen::Side(reading) => reading,
        other @ (Seen::Silence(_) | Seen::Control(_)) => panic!("expected a reading: {other:?}"),
    }
}

fn refused(answer: &Answer) -> (SilenceKind, String) {
    match seen(answer, &target()) {
        Seen::Silence(silence) => (silence.kind, silence.detail),
        other @ (Seen::Side(_) | Seen::Control(_)) => panic!("expected silence: {other:?}"),
    }
}

#[test]
fn a_primary_tells_of_itself_and_of_what_it_heard() {
    check(
        &primary(),
        expect![[r#"
            Side(
                SideReading {
                    product_version: "16.0.4125.3",
                    edition: "Enterprise Edition (64-bit)",
                    engine_edition: 3,
                    server_time: 2026-11-22T10:00:00Z,
                    role: Primary,
                    connected: None,
                    sync_health: Some(
                        Healthy,
                    ),
                    database: Some(
                        DatabaseReading {
                            state: Online,
                            read_write: true,
                            suspended: false,
                            suspend_reason: None,
                            synchronization: Some(
                                Synchronizing,
                            ),
                            last_hardened_lsn: Some(
                                Lsn(
                                    100,
                                ),
                            ),
                            last_commit_lsn: Some(
                                Lsn(
                                    100,
                                ),
                            ),
                            last_commit_at: Some(
                                2026-11-22T09:59:58Z,
                            ),
                            redo_queue_kb: Some(
                                4,
                            ),
                            redo_rate_kb_per_s: Some(
                                900,
                            ),
                            end_of_log_lsn: None,
                        },
                    ),
                    partner: Some(
                        PartnerReading {
                            connected: Some(
                                true,
                            ),
                            sync_health: Some(
                                Healthy,
                            ),
                            last_hardened_lsn: Some(
                                Lsn(
                                    90,
                                ),
                            ),
                            last_commit_at: Some(
                                2026-11-22T09:59:58Z,
                            ),
                            log_send_queue_kb: Some(
                                16,
                            ),
                            redo_queue_kb: Some(
                                4,
                            ),
                            lag_s: Some(
                                1,
                            ),
                            suspended: Some(
                                false,
                            ),
                        },
                    ),
                    replicas: [],
                    members: Some(
                        Members {
                            own: "ag1",
                            other: "mi",
                        },
                    ),
                },
            )
        "#]],
    );
}

#[test]
fn the_role_is_the_local_rows_whatever_the_others_say() {
    let mut answer = primary();
    answer.groups = vec![group(false, 1), group(true, 2)];
    let reading = read(&answer);
    assert_eq!(reading.role, Role::Secondary);
    assert_eq!(reading.partner, None, "a secondary knows nothing of its partner");
    answer.groups = vec![group(true, 0)];
    assert_eq!(read(&answer).role, Role::Resolving);
}

#[test]
fn without_a_clear_local_row_there_is_no_role() {
    let mut answer = primary();
    answer.groups = vec![group(false, 1)];
    assert_eq!(refused(&answer).0, SilenceKind::Garbled);
    answer.groups = vec![group(true, 1), group(true, 2)];
    assert_eq!(refused(&answer).0, SilenceKind::Garbled);
    answer.groups = vec![GroupRow { role: None, ..group(true, 1) }];
    assert_eq!(refused(&answer), (SilenceKind::Garbled, "NULL as role".into()));
    answer.groups = vec![group(true, 7)];
    assert_eq!(refused(&answer), (SilenceKind::Garbled, "7 as role".into()));
}

#[test]
fn a_group_that_is_not_there_is_absent_unless_it_may_just_be_hidden() {
    let mut answer = primary();
    answer.groups = vec![GroupRow::default()];
    answer.databases = vec![DatabaseRow::default()];
    let reading = read(&answer);
    assert_eq!((reading.role, reading.database), (Role::Absent, None));

    answer.server.sees_groups = None;
    assert_eq!(read(&answer).role, Role::Absent);
    answer.server.sees_groups = Some(false);
    let (kind, detail) = refused(&answer);
    assert_eq!(kind, SilenceKind::Denied);
    assert!(detail.contains("VIEW ANY DEFINITION"), "{detail}");

    answer = primary();
    answer.databases = vec![DatabaseRow::default()];
    answer.server.sees_databases = Some(false);
    assert_eq!(refused(&answer).0, SilenceKind::Denied);
}

#[test]
fn another_link_of_the_same_database_does_not_count() {
    let mut answer = primary();
    answer.databases = vec![
        database("dag2", true, true, 7),
        DatabaseRow { group: None, ..database("", false, true, 8) },
    ];
    answer.databases[1].is_distributed = None;
    let reading = read(&answer).database.expect("the database itself is there");
    assert_eq!(reading.last_hardened_lsn, None, "neither the other link's nor an internal group's");
    assert_eq!(reading.synchronization, None);
}

#[test]
fn of_several_local_replicas_the_primary_one_counts() {
    let mut answer = primary();
    answer.groups = vec![group(true, 2)];
    answer.databases = vec![
        DatabaseRow { is_primary_replica: Some(false), ..database("dag1", true, true, 50) },
        database("dag1", true, true, 60),
    ];
    let reading = read(&answer).database.expect("there");
    assert_eq!(reading.last_hardened_lsn, Some(Lsn(60)));
}

#[test]
fn an_asynchronous_primary_hides_its_position_in_the_row_of_the_link() {
    let mut answer = primary();
    answer.databases[0].last_hardened_lsn = None;
    let reading = read(&answer).database.expect("there");
    assert_eq!(reading.last_hardened_lsn, Some(Lsn(100)), "the local group's row has it");
}

#[test]
fn names_are_compared_as_most_servers_do() {
    let mut answer = primary();
    for row in &mut answer.databases {
        row.database = Some("ORDERS".into());
    }
    answer.groups[0].group = Some("DAG1".into());
    assert!(read(&answer).database.is_some());
}

#[test]
fn a_commit_in_the_future_is_not_known() {
    // The hour that is there twice: the commit was stamped before the clock went back, and it has
    // gone back since.
    let mut answer = primary();
    answer.server.utc_time = at("2026-10-25T01:10:00Z");
    answer.server.local_time = at("2026-10-25T02:10:00Z");
    answer.databases[0].last_commit_time = at("2026-10-25T02:59:00Z");
    answer.databases.truncate(1);
    assert_eq!(read(&answer).database.expect("there").last_commit_at, None);
}

#[test]
fn half_hour_zones_and_zones_west_of_utc_are_zones_too() {
    for (local, commit) in [
        ("2026-11-22T15:30:00Z", "2026-11-22T15:29:58Z"),
        ("2026-11-22T05:00:00Z", "2026-11-22T04:59:58Z"),
        ("2026-11-22T10:00:00Z", "2026-11-22T09:59:58Z"),
    ] {
        let mut answer = primary();
        answer.server.local_time = at(local);
        answer.databases[0].last_commit_time = at(commit);
        let found = read(&answer).database.expect("there").last_commit_at;
        assert_eq!(found, at("2026-11-22T09:59:58Z"), "{local}");
    }
    let mut answer = primary();
    answer.server.local_time = at("2026-11-24T10:00:00Z");
    assert_eq!(refused(&answer).0, SilenceKind::Garbled);
    answer.server.local_time = None;
    assert_eq!(refused(&answer).0, SilenceKind::Garbled);
}

#[test]
fn what_cannot_be_is_unknown() {
    let mut answer = primary();
    answer.databases[1].lag_s = Some(-1);
    answer.databases[1].log_send_queue_kb = None;
    let partner = read(&answer).partner.expect("it is the primary");
    assert_eq!((partner.lag_s, partner.log_send_queue_kb), (None, None));
    answer.databases[0].state = Some(12);
    assert_eq!(refused(&answer), (SilenceKind::Garbled, "12 as state of a database".into()));
}

#[test]
fn a_suspended_database_says_why() {
    let mut answer = primary();
    answer.databases[0].is_suspended = Some(true);
    answer.databases[0].suspend_reason = Some("SUSPEND_FROM_PARTNER".into());
    answer.databases[0].updateability = None;
    let reading = read(&answer).database.expect("there");
    assert!(reading.suspended && !reading.read_write);
    assert_eq!(reading.suspend_reason.as_deref(), Some("SUSPEND_FROM_PARTNER"));
}
