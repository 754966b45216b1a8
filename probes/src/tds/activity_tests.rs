//! Who is at work, and backups: what is made of the rows, and of rows that are not there.

use agent_core::sight::BackupTaken;

use super::*;
use crate::SecretSource;
use crate::tds::{
    Encryption, Login, Port, TdsEndpoint, Tls, Trust, backup_running, backup_taken, log_backups,
    peer::{Cell, Heard, Peer, Reply, Table},
};
use Cell::{Int, Text};

const LONG: Duration = Duration::from_secs(20);

/// The columns of a result, and its rows.
type Rows = (Vec<&'static str>, Vec<Vec<Cell>>);

/// A session with a server that gives these results, the sentinel in front of each row.
async fn session(results: Vec<Rows>) -> Session {
    let peer = Peer::start(move |heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { nonce, .. } => {
            let table = |(names, rows): &Rows| Table {
                columns: [vec!["nonce"], names.clone()].concat(),
                rows: rows
                    .iter()
                    .map(|row| [vec![Int(Some(nonce))], row.clone()].concat())
                    .collect(),
            };
            Reply::Results(results.iter().map(table).collect())
        }
    })
    .await;
    Session::new(TdsEndpoint {
        host: "localhost".into(),
        port: Port::Number(peer.port),
        login: Login::Sql { user: "eyes".into(), password: SecretSource::fixed("secret".into()) },
        encryption: Encryption::Negotiated,
        tls: Tls::new(&Trust::pinned_pem(&peer.pem).expect("a pin")).expect("usable"),
        tls_name: None,
        app_name: "dr-agent".into(),
        connect_within: LONG,
    })
}

fn server(id: Option<i64>, sees: i64, log: Option<i64>) -> Rows {
    (
        vec!["database_id", "ms_ticks", "sees_sessions", "log_bytes_flushed"],
        vec![vec![Int(id), Int(Some(17)), Int(Some(sees)), Int(log)]],
    )
}

fn users(rows: &[(Option<&'static str>, i64, Option<i64>)]) -> Rows {
    let row = |(login, sessions, transactions): &(Option<&'static str>, i64, Option<i64>)| {
        vec![Text(*login), Text(*login), Text(*login), Int(Some(*sessions)), Int(*transactions)]
    };
    (
        vec!["login_name", "program_name", "host_name", "sessions", "transactions"],
        rows.iter().map(row).collect(),
    )
}

#[tokio::test]
async fn those_at_work_are_told() {
    let rows = users(&[(Some("shop"), 2, Some(1)), (Some("dba"), 1, Some(0))]);
    let mut session = session(vec![server(Some(5), 1, Some(4_096)), rows]).await;
    let seen = activity(&mut session, "Orders", LONG).await.expect("an answer");
    assert_eq!((seen.at_ms, seen.log_bytes_flushed), (17, 4_096));
    let told: Vec<_> =
        seen.users.iter().map(|u| (u.login.as_str(), u.sessions, u.transactions)).collect();
    assert_eq!(told, [("shop", 2, 1), ("dba", 1, 0)]);
}

#[tokio::test]
async fn nobody_is_one_row_without_a_name() {
    let mut session = session(vec![server(Some(5), 1, Some(0)), users(&[(None, 0, None)])]).await;
    let seen = activity(&mut session, "Orders", LONG).await.expect("an answer");
    assert!(seen.users.is_empty());
    assert!(session.is_open());
}

#[tokio::test]
async fn not_seeing_is_never_nobody() {
    let nobody = || users(&[(None, 0, None)]);
    let cases = [
        (vec![server(Some(5), 0, Some(0)), nobody()], "lacks VIEW SERVER STATE"),
        (vec![server(None, 1, Some(0)), nobody()], "no such database"),
        (vec![server(Some(5), 1, None), nobody()], "NULL as `log_bytes_flushed`"),
        (vec![server(Some(5), 1, Some(0)), users(&[])], "no rows in `users`"),
        (vec![server(Some(5), 1, Some(0))], "1 results where two must be"),
    ];
    for (results, words) in cases {
        let mut session = session(results).await;
        let error = activity(&mut session, "Orders", LONG).await.expect_err("it can't be told");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!session.is_open(), "{words}");
    }
}

#[tokio::test]
async fn a_backup_is_running_while_its_session_is_there() {
    let row = |found, percent, sees| -> Vec<Rows> {
        let names = vec!["found", "done_percent", "sees_sessions"];
        vec![(names, vec![vec![Int(Some(found)), Int(percent), Int(Some(sees))]])]
    };
    let cases = [
        (row(0, None, 1), None),
        (row(1, Some(42), 1), Some(Some(42))),
        (row(1, None, 1), Some(None)),
    ];
    for (results, running) in cases {
        let mut session = session(results).await;
        assert_eq!(backup_running(&mut session, "dr-agent 17/0/6", LONG).await, Ok(running));
    }
    let mut session = session(row(0, None, 0)).await;
    let blind = backup_running(&mut session, "dr-agent 17/0/6", LONG).await;
    assert_eq!(blind.expect_err("it can't be told").number(), Some(300));
}

#[tokio::test]
async fn a_backup_is_there_with_its_row() {
    let row = |id: Option<i64>| -> Vec<Rows> {
        let names = vec!["backup_set_id", "took_s", "size_bytes", "has_checksums", "last_lsn"];
        let about = id.map(|_| 1);
        let last = Cell::Lsn(id.map(|_| 39_000_000_057_600_001));
        vec![(names, vec![vec![Int(id), Int(about), Int(about), Int(about), last]])]
    };
    let mut there = session(row(Some(3))).await;
    let taken = BackupTaken {
        took_s: Some(1),
        size_bytes: Some(1),
        checksums: true,
        last_lsn: Some(agent_core::Lsn(39_000_000_057_600_001)),
    };
    assert_eq!(
        backup_taken(&mut there, "Orders", "dr-agent 17 1", false, LONG).await,
        Ok(Some(taken))
    );
    let mut none = session(row(None)).await;
    assert_eq!(backup_taken(&mut none, "Orders", "dr-agent 17 1", false, LONG).await, Ok(None));
}

#[tokio::test]
async fn jobs_and_the_last_log_backup_are_told() {
    let steps = |rows| -> Rows { (vec!["job", "command"], rows) };
    let about = |last: Option<i64>, agents, sees| -> Rows {
        let names =
            vec!["last_log_backup_s", "last_full_backup_s", "agent_sessions", "sees_sessions"];
        let full = last.map(|ago| 2 * ago);
        (names, vec![vec![Int(last), Int(full), Int(Some(agents)), Int(Some(sees))]])
    };
    let step = vec![Text(Some("Logs")), Text(Some("BACKUP LOG [Orders]"))];
    let empty = vec![Text(None), Text(None)];
    let mut full = session(vec![steps(vec![step]), about(Some(90), 1, 1)]).await;
    let seen = log_backups(&mut full, "Orders", LONG).await.expect("an answer");
    assert_eq!(
        (seen.steps[0].job.as_str(), seen.last_s, seen.full_s, seen.agent_running),
        ("Logs", Some(90), Some(180), Some(true))
    );
    let mut bare = session(vec![steps(vec![empty.clone()]), about(None, 0, 1)]).await;
    let seen = log_backups(&mut bare, "Orders", LONG).await.expect("an answer");
    assert_eq!((seen.steps.len(), seen.last_s, seen.agent_running), (0, None, Some(false)));
    let mut blind = session(vec![steps(vec![empty]), about(None, 0, 0)]).await;
    let seen = log_backups(&mut blind, "Orders", LONG).await.expect("an answer");
    assert_eq!(seen.agent_running, None);
}
