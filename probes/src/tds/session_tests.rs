use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize},
};

use agent_core::{InstanceId, LinkId, Lsn, Role, Seen, Side, SideReading, SilenceKind};
use tokio::net::TcpListener;

use super::*;
use crate::{
    InstanceTarget, LinkTarget, Look, SecretSource,
    tds::{
        InstanceLook, Trust,
        fixture::{LSN, healthy},
        in_flight,
        peer::{Cell, Heard, Peer, Reply, Table},
    },
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

fn endpoint(port: u16, trust: &Trust) -> TdsEndpoint {
    TdsEndpoint {
        host: "localhost".into(),
        port: Port::Number(port),
        login: Login::Sql {
            user: "eyes".into(),
            password: SecretSource::fixed("not to be shown".into()),
        },
        encryption: Encryption::Negotiated,
        tls: Tls::new(trust).expect("usable"),
        tls_name: None,
        app_name: "dr-agent".into(),
        connect_within: LONG,
    }
}

fn pinned(peer: &Peer) -> TdsEndpoint {
    endpoint(peer.port, &Trust::pinned_pem(&peer.pem).expect("a pin"))
}

fn look(endpoint: TdsEndpoint) -> InstanceLook {
    InstanceLook::new(InstanceTarget {
        instance: InstanceId::new("mi1").expect("a name"),
        side: Side::ManagedInstance,
        links: vec![LinkTarget {
            link: LinkId::new("dag1").expect("a name"),
            dag: "dag1".into(),
            database: "Orders".into(),
        }],
        endpoint,
        replicas: Vec::new(),
        listener: false,
    })
}

async fn seen(look: &mut InstanceLook, limit: Duration) -> Seen {
    look.look(limit).await.pop().expect("one link").1
}

async fn silence(look: &mut InstanceLook, limit: Duration) -> SilenceKind {
    match seen(look, limit).await {
        Seen::Silence(silence) => silence.kind,
        other @ (Seen::Side(_) | Seen::Control(_)) => panic!("expected silence, not {other:?}"),
    }
}

async fn reading(look: &mut InstanceLook) -> SideReading {
    match seen(look, LONG).await {
        Seen::Side(reading) => reading,
        other @ (Seen::Silence(_) | Seen::Control(_)) => panic!("expected a reading: {other:?}"),
    }
}

#[tokio::test]
async fn a_look_reads_the_columns_and_keeps_its_connection() {
    let peer = Peer::start(|heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { nonce, .. } => Reply::Results(healthy(nonce)),
    })
    .await;
    let mut look = look(pinned(&peer));
    let reading = reading(&mut look).await;
    assert_eq!(reading.role, Role::Secondary);
    assert_eq!(reading.product_version, "16.0.4125.3");
    assert_eq!(reading.server_time.to_string(), "2026-11-22T10:00:00Z");
    let database = reading.database.expect("the database is there");
    assert_eq!(database.last_hardened_lsn, Some(Lsn(LSN)));
    let committed = database.last_commit_at.expect("a time");
    assert_eq!(committed.to_string(), "2026-11-22T09:59:59Z");
    assert_eq!((database.redo_queue_kb, database.redo_rate_kb_per_s), (Some(12), Some(340)));

    for _ in 0..3 {
        seen(&mut look, LONG).await;
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn an_answer_without_rows_or_with_another_sentinel_is_garbled_and_costs_the_connection() {
    type Spoil = fn(i64) -> Vec<Table>;
    let spoils: [(&str, Spoil); 5] = [
        ("no results", |_| Vec::new()),
        ("another sentinel", |nonce| healthy(nonce.wrapping_add(1))),
        ("no role rows", |nonce| {
            let mut tables = healthy(nonce);
            tables[1].rows.clear();
            tables
        }),
        ("one result too few", |nonce| healthy(nonce).split_off(1)),
        ("no local row", |nonce| {
            let mut tables = healthy(nonce);
            tables[1].rows[0][2] = Cell::Int(Some(0));
            tables
        }),
    ];
    for (name, spoil) in spoils {
        let peer = Peer::start(move |heard| match heard {
            Heard::Login => Reply::Welcome,
            Heard::Question { connection: 1, nonce } => Reply::Results(spoil(nonce)),
            Heard::Question { nonce, .. } => Reply::Results(healthy(nonce)),
        })
        .await;
        let mut look = look(pinned(&peer));
        assert_eq!(silence(&mut look, LONG).await, SilenceKind::Garbled, "{name}");
        if name != "no local row" {
            reading(&mut look).await;
            assert_eq!(peer.connections(), 2, "{name}");
        }
    }
}

#[tokio::test]
async fn after_a_time_out_the_next_look_opens_a_new_connection() {
    let peer = Peer::start(|heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { connection: 1, .. } => Reply::Silence,
        Heard::Question { nonce, .. } => Reply::Results(healthy(nonce)),
    })
    .await;
    let mut look = look(pinned(&peer));
    assert_eq!(silence(&mut look, 3 * SHORT).await, SilenceKind::TimedOut);
    assert_eq!(reading(&mut look).await.role, Role::Secondary);
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_look_that_is_dropped_takes_its_connection_with_it() {
    let quiet = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let (is_quiet, counter) = (Arc::clone(&quiet), Arc::clone(&asked));
    let peer = Peer::start(move |heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { nonce, .. } => {
            counter.fetch_add(1, Ordering::SeqCst);
            if is_quiet.load(Ordering::SeqCst) {
                Reply::Silence
            } else {
                Reply::Results(healthy(nonce))
            }
        }
    })
    .await;
    let mut look = look(pinned(&peer));
    reading(&mut look).await;
    quiet.store(true, Ordering::SeqCst);
    let heard = timeout(LONG, async {
        while asked.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    });
    tokio::select! {
        _ = look.look(LONG) => panic!("nobody answers"),
        heard = heard => heard.expect("the question arrives"),
    }
    quiet.store(false, Ordering::SeqCst);
    reading(&mut look).await;
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_broke_is_replaced_at_the_next_look() {
    let peer = Peer::start(|heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { connection: 1, .. } => Reply::Close,
        Heard::Question { nonce, .. } => Reply::Results(healthy(nonce)),
    })
    .await;
    let mut look = look(pinned(&peer));
    assert_eq!(silence(&mut look, LONG).await, SilenceKind::Refused);
    reading(&mut look).await;
}

#[tokio::test]
async fn refusals_say_who_refused() {
    let cases = [
        (18456, 14, true, SilenceKind::LoginFailed),
        (40613, 20, true, SilenceKind::Throttled),
        (300, 14, false, SilenceKind::Denied),
        (10928, 16, false, SilenceKind::Throttled),
    ];
    for (number, class, at_login, expected) in cases {
        let peer = Peer::start(move |heard| match heard {
            Heard::Login if !at_login => Reply::Welcome,
            Heard::Login | Heard::Question { .. } => Reply::Error { number, class },
        })
        .await;
        assert_eq!(silence(&mut look(pinned(&peer)), LONG).await, expected, "error {number}");
    }
}

#[tokio::test]
async fn a_refused_login_is_repeated_with_another_password_and_not_with_the_same() {
    let logins = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&logins);
    let peer = Peer::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::Error { number: 18456, class: 14 }
    })
    .await;
    let file = Arc::new(Mutex::new("old"));
    let read = Arc::clone(&file);
    let password =
        SecretSource::kept("old".into(), move || Ok((*read.lock().expect("one holder")).into()));
    let login = Login::Sql { user: "eyes".into(), password };
    let mut look = look(TdsEndpoint { login, ..pinned(&peer) });
    for _ in 0..5 {
        assert_eq!(silence(&mut look, LONG).await, SilenceKind::LoginFailed);
    }
    assert_eq!((peer.connections(), logins.load(Ordering::SeqCst)), (5, 1));
    *file.lock().expect("one holder") = "new";
    assert_eq!(silence(&mut look, LONG).await, SilenceKind::LoginFailed);
    assert_eq!((peer.connections(), logins.load(Ordering::SeqCst)), (6, 2));
}

/// No realm knows `localhost`.
#[cfg(feature = "kerberos")]
#[tokio::test]
async fn without_kerberos_credentials_the_peer_is_there_and_nobody_logs_in() {
    let peer = Peer::start(|_| Reply::Welcome).await;
    let mut look = look(TdsEndpoint { login: Login::Kerberos, ..pinned(&peer) });
    assert_eq!(silence(&mut look, LONG).await, SilenceKind::LoginFailed);
}

#[tokio::test]
async fn a_port_that_is_closed_and_a_name_that_leads_nowhere() {
    let trust = Trust::PinnedCertificate([0; 32]);
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    assert_eq!(silence(&mut look(endpoint(port, &trust)), LONG).await, SilenceKind::Refused);
    let mut nowhere = endpoint(port, &trust);
    nowhere.host = "no such name".into();
    assert_eq!(silence(&mut look(nowhere), LONG).await, SilenceKind::Unroutable);
}

#[tokio::test]
async fn a_peer_that_accepts_and_says_nothing_costs_one_deadline_and_one_connection_each() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let held = Arc::new(Mutex::new(Vec::new()));
    let keeper = Arc::clone(&held);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            keeper.lock().expect("one holder").push(stream);
        }
    });
    let trust = Trust::PinnedCertificate([0; 32]);
    let mut look = look(endpoint(port, &trust));
    assert_eq!(silence(&mut look, SHORT).await, SilenceKind::TimedOut);
    assert_eq!(silence(&mut look, SHORT).await, SilenceKind::TimedOut);
    assert_eq!(held.lock().expect("one holder").len(), 2);

    let mut session = Session::new(endpoint(port, &trust));
    let error = session.execute("SELECT 1", SHORT).await.expect_err("nobody answers");
    assert_eq!(error, TdsError::TimedOut { stage: Stage::Securing });
    assert!(error.nothing_sent());
}

#[tokio::test]
async fn a_redirection_is_followed_and_a_circle_is_not() {
    let target = Peer::start(|heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { nonce, .. } => Reply::Results(healthy(nonce)),
    })
    .await;
    let port = target.port;
    let gateway = Peer::start(move |_| Reply::Route { port }).await;
    let both = [gateway.pem.clone(), target.pem.clone()].concat();
    let mut around = look(endpoint(gateway.port, &Trust::CaBundlePem(both)));
    assert_eq!(reading(&mut around).await.role, Role::Secondary);

    let own_port = Arc::new(AtomicUsize::new(0));
    let to = Arc::clone(&own_port);
    let circle = Peer::start(move |_| Reply::Route {
        port: u16::try_from(to.load(Ordering::SeqCst)).expect("a port"),
    })
    .await;
    own_port.store(circle.port.into(), Ordering::SeqCst);
    assert_eq!(silence(&mut look(pinned(&circle)), LONG).await, SilenceKind::Garbled);
    assert_eq!(circle.connections(), 1 + REDIRECTIONS);
}

#[tokio::test]
async fn each_way_of_trust_believes_its_own_and_nobody_else() {
    let welcoming = |heard| match heard {
        Heard::Login => Reply::Welcome,
        Heard::Question { .. } => Reply::Results(Vec::new()),
    };
    let peer = Peer::start(welcoming).await;
    let other = Peer::start(welcoming).await;
    let tried = async |trust: &Trust, name: Option<&str>| {
        let mut endpoint = endpoint(peer.port, trust);
        endpoint.tls_name = name.map(str::to_owned);
        Session::new(endpoint).execute("SELECT 1", LONG).await
    };
    let own = Trust::CaBundlePem(peer.pem.clone());
    assert_eq!(tried(&own, None).await, Ok(()));
    assert_eq!(tried(&Trust::pinned_pem(&peer.pem).expect("a pin"), Some("other")).await, Ok(()));

    let strangers = [
        (own, Some("sql.example")),
        (Trust::CaBundlePem(other.pem.clone()), None),
        (Trust::pinned_pem(&other.pem).expect("a pin"), None),
    ];
    for (trust, name) in strangers {
        let error = tried(&trust, name).await.expect_err("a stranger");
        assert!(matches!(error, TdsError::Tls { .. }), "{trust:?}: {error}");
        assert!(error.nothing_sent());
    }
}

#[tokio::test]
async fn what_a_failed_command_leaves_open() {
    let outcome = async |reply: Reply| {
        let peer = Peer::start(move |heard| match heard {
            Heard::Login => Reply::Welcome,
            Heard::Question { .. } => reply.clone(),
        })
        .await;
        let mut session = Session::new(pinned(&peer));
        session.execute("ALTER AVAILABILITY GROUP [dag1] FAILOVER", 4 * SHORT).await
    };
    assert_eq!(outcome(Reply::Results(Vec::new())).await, Ok(()));
    let refused = outcome(Reply::Error { number: 47517, class: 16 }).await.expect_err("refused");
    assert!(refused.refused());
    assert_eq!(refused.number(), Some(47517));
    assert!(outcome(Reply::Close).await.expect_err("broken").unknown());
    assert!(outcome(Reply::Silence).await.expect_err("late").unknown());
}

#[tokio::test]
async fn a_command_of_ours_that_is_still_at_work_is_found() {
    let answers = |found: i64, sees: i64| {
        move |heard| match heard {
            Heard::Login => Reply::Welcome,
            Heard::Question { nonce, .. } => Reply::Results(vec![Table {
                columns: vec!["nonce", "found", "sees_sessions"],
                rows: vec![vec![
                    Cell::Int(Some(nonce)),
                    Cell::Int(Some(found)),
                    Cell::Int(Some(sees)),
                ]],
            }]),
        }
    };
    let asked = async |peer: Peer| {
        in_flight(&mut Session::new(pinned(&peer)), "dr-agent step 12/3", LONG).await
    };
    assert_eq!(asked(Peer::start(answers(0, 1)).await).await, Ok(false));
    assert_eq!(asked(Peer::start(answers(2, 1)).await).await, Ok(true));
    let blind = asked(Peer::start(answers(0, 0)).await).await.expect_err("it cannot see");
    assert_eq!(blind.number(), Some(300));
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", endpoint(1, &Trust::PinnedCertificate([0; 32])));
    assert!(!shown.contains("not to be shown"), "{shown}");
}
