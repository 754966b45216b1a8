use agent_core::InstanceId;
use expect_test::expect;
use probes::tds::Stage;

use super::*;

fn server(number: u32) -> TdsError {
    TdsError::Server { number, class: 16, state: 1, message: "m".into() }
}

fn login(number: u32) -> TdsError {
    TdsError::Login { number, class: 14, state: 1, message: "m".into() }
}

fn action(kind: &str) -> Action {
    let instance = |name| InstanceId::new(name).expect("a name");
    let (group, database) = ("dag".to_owned(), "shop".to_owned());
    match kind {
        "forced" => Action::TargetPrimary { instance: instance("mi"), group, database },
        "planned" => {
            let source = instance("sql");
            Action::RolesChanged { instance: instance("mi"), source, group, database }
        }
        _ => {
            let name = "dr-agent 17 1".to_owned();
            Action::BackedUp { instance: instance("sql"), group, database, name }
        }
    }
}

fn short(kind: &str, error: TdsError) -> String {
    let name = match &error {
        TdsError::Server { number, .. } => format!("server {number}"),
        TdsError::Login { number, .. } => format!("login {number}"),
        TdsError::Refused { .. }
        | TdsError::Unroutable { .. }
        | TdsError::TimedOut { .. }
        | TdsError::Io { .. }
        | TdsError::Tls { .. }
        | TdsError::NoToken { .. }
        | TdsError::Garbled { .. } => error.to_string(),
    };
    let outcome = match sent(Err(error), &action(kind), "dr_agent") {
        Sent::Accepted { .. } => "accepted".to_owned(),
        Sent::Already { .. } => "already".to_owned(),
        Sent::Refused { again, .. } => format!("refused, {again:?}"),
        Sent::Unknown { .. } => "unknown".to_owned(),
    };
    format!("{name}: {outcome}\n")
}

#[test]
fn what_every_failure_allows() {
    let detail = || "d".to_owned();
    let mut errors = vec![
        TdsError::Refused { detail: detail() },
        TdsError::Unroutable { detail: detail() },
        TdsError::Tls { detail: detail() },
        TdsError::NoToken { detail: detail() },
        TdsError::TimedOut { stage: Stage::LoggingIn },
        TdsError::TimedOut { stage: Stage::Asking },
        TdsError::Io { stage: Stage::Securing, detail: detail() },
        TdsError::Io { stage: Stage::Asking, detail: detail() },
        TdsError::Garbled { stage: Stage::Asking, detail: detail() },
    ];
    errors.extend([40613, 10928, 18456, 18470, 40615].map(login));
    errors.extend([41122, 41965, 47513, 41968, 41113, 41142, 47515, 41993, 10928].map(server));
    errors.extend([47517, 102, 15151, 229, 300, 41985, 47511, 47122, 41191].map(server));
    errors.extend([41104, 41149, 41163, 41165, 41969, 4711].map(server));
    let table: String = errors.into_iter().map(|error| short("forced", error)).collect();
    expect![[r#"
        connection refused: d: refused, NextRoute
        cannot be reached: d: refused, NextRoute
        TLS failed: d: refused, NextRoute
        no token to log in with: d: refused, NextRoute
        no answer in time while logging in: refused, NextRoute
        no answer in time while waiting for the result: unknown
        connection broke while negotiating encryption: d: refused, NextRoute
        connection broke while waiting for the result: d: unknown
        answer not understood while waiting for the result: d: unknown
        login 40613: refused, SameRoute
        login 10928: refused, SameRoute
        login 18456: refused, SameRoute
        login 18470: refused, NextRoute
        login 40615: refused, NextRoute
        server 41122: already
        server 41965: already
        server 47513: already
        server 41968: already
        server 41113: already
        server 41142: refused, SameRoute
        server 47515: refused, SameRoute
        server 41993: refused, SameRoute
        server 10928: refused, SameRoute
        server 47517: refused, NextRoute
        server 102: refused, NextRoute
        server 15151: refused, NextRoute
        server 229: refused, NextRoute
        server 300: refused, NextRoute
        server 41985: refused, Never
        server 47511: refused, Never
        server 47122: refused, Never
        server 41191: refused, Never
        server 41104: unknown
        server 41149: unknown
        server 41163: unknown
        server 41165: unknown
        server 41969: unknown
        server 4711: unknown
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_missing_permission_is_named_with_its_grant() {
    let Sent::Refused { why, .. } = sent(Err(server(15151)), &action("forced"), "dr_agent") else {
        panic!("expected a refusal");
    };
    assert!(why.contains("GRANT ALTER ANY AVAILABILITY GROUP TO [dr_agent]"), "{why}");
}

fn table(kind: &str, numbers: &[u32]) -> String {
    numbers.iter().map(|number| short(kind, server(*number))).collect()
}

#[test]
fn what_a_primary_that_hands_over_allows() {
    let numbers =
        [47513, 41113, 47514, 47515, 47516, 41142, 47517, 41195, 41122, 41140, 102, 229, 15151];
    let more = [41985, 47511, 47122, 41191, 41104, 41149];
    expect![[r#"
        server 47513: already
        server 41113: already
        server 47514: refused, SameRoute
        server 47515: refused, SameRoute
        server 47516: refused, SameRoute
        server 41142: refused, SameRoute
        server 47517: already
        server 41195: already
        server 41122: refused, NextRoute
        server 41140: refused, SameRoute
        server 102: refused, NextRoute
        server 229: refused, NextRoute
        server 15151: refused, NextRoute
        server 41985: refused, Never
        server 47511: refused, Never
        server 47122: refused, Never
        server 41191: refused, Never
        server 41104: unknown
        server 41149: unknown
    "#]]
    .assert_eq(&(table("planned", &numbers) + &table("planned", &more)));
}

#[test]
fn what_a_failed_backup_allows() {
    let numbers = [3201, 3202, 3013, 3271, 3059, 3023, 262, 229, 102, 3292, 911, 3999];
    expect![[r#"
        server 3201: refused, SameRoute
        server 3202: refused, SameRoute
        server 3013: refused, SameRoute
        server 3271: refused, SameRoute
        server 3059: refused, SameRoute
        server 3023: refused, SameRoute
        server 262: refused, SameRoute
        server 229: refused, SameRoute
        server 102: refused, SameRoute
        server 3292: refused, SameRoute
        server 911: refused, SameRoute
        server 3999: unknown
    "#]]
    .assert_eq(&table("backup", &numbers));
    let lost = TdsError::Io { stage: Stage::Asking, detail: "d".into() };
    assert!(matches!(sent(Err(lost), &action("backup"), "dr_agent"), Sent::Unknown { .. }));
    let Sent::Refused { why, .. } = sent(Err(server(262)), &action("backup"), "dr_agent") else {
        panic!("expected a refusal");
    };
    assert!(why.contains("in shop: CREATE USER [dr_agent]"), "{why}");
}
