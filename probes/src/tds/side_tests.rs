use agent_core::{DatabaseReading, DatabaseState};

use super::*;

fn told(role: Role, local: Option<Role>) -> Result<Told, Silence> {
    let primary = role == Role::Primary;
    Ok(Told {
        reading: SideReading {
            product_version: "16.0.4125.3".into(),
            edition: "Enterprise Edition (64-bit)".into(),
            engine_edition: 3,
            server_time: "2026-11-22T10:00:00Z".parse().expect("a time"),
            role,
            connected: (!primary).then_some(true),
            sync_health: None,
            database: Some(DatabaseReading {
                state: DatabaseState::Online,
                read_write: primary && local == Some(Role::Primary),
                suspended: false,
                suspend_reason: None,
                synchronization: None,
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
        },
        local,
    })
}

fn silent(kind: SilenceKind) -> Result<Told, Silence> {
    Err(Silence { kind, detail: format!("{kind:?}") })
}

const PRIMARY: Option<Role> = Some(Role::Primary);
const SECONDARY: Option<Role> = Some(Role::Secondary);

/// What is seen, in one line, and who spoke.
fn short(said: Vec<Said<'_>>, listener: bool) -> (String, Option<usize>) {
    let (seen, at) = seen(said, listener);
    let line = match seen {
        Seen::Side(reading) => {
            let each: Vec<_> =
                reading.replicas.iter().map(|one| format!("{}: {}", one.name, one.said)).collect();
            let serving = if reading.serving() { " serving" } else { "" };
            format!("{:?}{serving} [{}]", reading.role, each.join(", "))
        }
        Seen::Silence(silence) => format!("{:?} ({})", silence.kind, silence.detail),
        Seen::Control(_) => panic!("no side"),
    };
    (line, at)
}

/// The matrix: role of the local leg in the distributed group by role in the local group.
#[test]
fn the_primary_of_the_local_group_speaks_for_the_side() {
    for (role, serving) in [(Role::Primary, " serving"), (Role::Secondary, "")] {
        let said = vec![("a", told(role, SECONDARY)), ("b", told(role, PRIMARY))];
        let expected = format!("{role:?}{serving} [a: SECONDARY, b: PRIMARY]");
        assert_eq!(short(said, false), (expected, Some(1)));
        let said = vec![("a", silent(SilenceKind::TimedOut)), ("b", told(role, PRIMARY))];
        let expected = format!("{role:?}{serving} [a: TimedOut, b: PRIMARY]");
        assert_eq!(short(said, false), (expected, Some(1)));
    }
}

#[test]
fn a_local_failover_under_way_is_no_silence() {
    let resolving = Some(Role::Resolving);
    for (a, b, words) in [
        (told(Role::Primary, SECONDARY), silent(SilenceKind::Refused), "a: SECONDARY, b: Refused"),
        (
            told(Role::Primary, resolving),
            told(Role::Primary, SECONDARY),
            "a: RESOLVING, b: SECONDARY",
        ),
        (
            told(Role::Absent, None),
            silent(SilenceKind::TimedOut),
            "a: without the local group, b: TimedOut",
        ),
        (
            told(Role::Resolving, resolving),
            silent(SilenceKind::Refused),
            "a: RESOLVING, b: Refused",
        ),
    ] {
        let seen = short(vec![("a", a), ("b", b)], false);
        assert_eq!(seen, (format!("Resolving [{words}]"), None));
    }
}

/// It may be the primary. Then the other side hears one, which speaks louder than this reading.
#[test]
fn a_replica_that_lives_and_does_not_tell_is_shown_and_hides_nobody() {
    for kind in [SilenceKind::LoginFailed, SilenceKind::Denied, SilenceKind::Throttled] {
        let said = vec![("a", told(Role::Primary, SECONDARY)), ("b", silent(kind))];
        let expected = format!("Resolving [a: SECONDARY, b: {kind:?}]");
        assert_eq!(short(said, false), (expected, None));
        let said = vec![("a", silent(kind)), ("b", told(Role::Primary, PRIMARY))];
        assert_eq!(short(said, false).1, Some(1));
    }
}

#[test]
fn only_if_none_answers_it_is_a_miss() {
    use SilenceKind::{LoginFailed, Refused, TimedOut, Unroutable};
    for (a, b, kind) in [
        (Refused, TimedOut, "Refused"),
        (TimedOut, Unroutable, "TimedOut"),
        (TimedOut, LoginFailed, "LoginFailed"),
    ] {
        let (line, at) = short(vec![("a", silent(a)), ("b", silent(b))], false);
        assert_eq!((line, at), (format!("{kind} (a: {a:?}; b: {b:?})"), None));
    }
}

#[test]
fn two_that_say_they_are_primary_are_believed_neither() {
    let two = vec![("a", told(Role::Primary, PRIMARY)), ("b", told(Role::Primary, PRIMARY))];
    let (line, at) = short(two, false);
    let expected =
        "Garbled (more than one replica says that it is primary: a: PRIMARY; b: PRIMARY)";
    assert_eq!((line.as_str(), at), (expected, None));
}

#[test]
fn the_listener_leads_to_one_of_them_or_to_one_that_is_not_listed() {
    let twice = vec![
        ("a", told(Role::Primary, PRIMARY)),
        ("b", told(Role::Primary, SECONDARY)),
        ("listener", told(Role::Primary, PRIMARY)),
    ];
    assert_eq!(short(twice, true).1, Some(0));
    let unlisted =
        vec![("a", silent(SilenceKind::TimedOut)), ("listener", told(Role::Primary, PRIMARY))];
    assert_eq!(short(unlisted, true).1, Some(1));
}

#[test]
fn a_link_is_gone_only_if_every_replica_says_so() {
    let gone = || told(Role::Absent, None);
    let all = vec![("a", gone()), ("b", gone()), ("listener", silent(SilenceKind::TimedOut))];
    assert!(short(all, true).0.starts_with("Absent"));
    let part = vec![("a", gone()), ("b", silent(SilenceKind::TimedOut))];
    assert!(short(part, false).0.starts_with("Resolving"));
}

#[test]
fn a_single_server_speaks_for_itself_unless_it_is_a_secondary_of_a_local_group() {
    let alone = |local| short(vec![("a", told(Role::Primary, local))], false);
    assert_eq!(alone(PRIMARY), ("Primary serving []".into(), Some(0)));
    assert_eq!(alone(None), ("Primary []".into(), Some(0)));
    assert_eq!(alone(SECONDARY), ("Resolving [a: SECONDARY]".into(), None));
    let (line, at) = short(vec![("a", silent(SilenceKind::Refused))], false);
    assert_eq!((line.as_str(), at), ("Refused (Refused)", None));
}
