//! What a client sees of an instance or a path in trouble; attention.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use twin::tds::{AttentionStyle, Options};
use twin::world::{Fault, Party};

use crate::door::{
    Connection, Doors, LINK, MI, PATIENCE, SQL, USUAL, connect, number, rows, text, until,
};

/// How long a client waits for an answer that does not come.
const SHORT: Duration = Duration::from_millis(300);

fn change(doors: &Doors, fault: Fault) {
    doors.world.with(|world| world.fault(fault)).expect("it names what exists");
    doors.world.wake();
}

/// Whether a query gets no answer within a short time.
async fn silent(client: &mut Connection) -> bool {
    tokio::time::timeout(SHORT, rows(client, "SELECT 1")).await.is_err()
}

#[tokio::test]
async fn a_hung_instance_takes_connections_and_answers_none() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    change(&doors, Fault::Hang { instance: SQL.to_owned() });
    assert!(silent(&mut client).await);
    let mut stream = TcpStream::connect(("127.0.0.1", doors.sql)).await.expect("it listens");
    let read = tokio::time::timeout(SHORT, stream.read_u8()).await;
    assert!(read.is_err(), "not a byte: {read:?}");
    change(&doors, Fault::Resume { instance: SQL.to_owned() });
    let mut again = doors.admin(doors.sql).await;
    assert_eq!(number(&mut again, "SELECT 5").await, 5);
}

#[tokio::test]
async fn a_host_that_vanishes_leaves_connections_half_open() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    change(&doors, Fault::Vanish { instance: SQL.to_owned() });
    assert!(silent(&mut client).await, "nobody has closed it");
    let mut stream = TcpStream::connect(("127.0.0.1", doors.sql)).await.expect("nobody refuses");
    let read = tokio::time::timeout(SHORT, stream.read_u8()).await;
    assert!(read.is_err(), "not a byte: {read:?}");
    let gone = doors.world.with(|world| world.instance(SQL).map(|found| found.sessions().count()));
    assert_eq!(gone, Some(0), "its sessions have died with it");
    change(&doors, Fault::Start { instance: SQL.to_owned() });
    let mut again = doors.admin(doors.sql).await;
    assert_eq!(number(&mut again, "SELECT 5").await, 5);
    let old = tokio::time::timeout(PATIENCE, rows(&mut client, "SELECT 1")).await;
    assert!(old.is_ok_and(|answer| answer.is_err()), "the new process knows nothing of it");
}

#[tokio::test]
async fn a_cut_path_is_silent_in_either_direction() {
    let doors = Doors::open().await;
    let (agent, server) = (Party::Agent, Party::Instance(SQL.to_owned()));
    for (from, to) in [(agent.clone(), server.clone()), (server.clone(), agent.clone())] {
        let mut client = doors.admin(doors.sql).await;
        change(&doors, Fault::Cut { from, to, one_way: true });
        assert!(silent(&mut client).await);
        // The other instance is not concerned.
        let mut other = doors.admin(doors.mi).await;
        assert_eq!(number(&mut other, "SELECT 5").await, 5);
        change(&doors, Fault::Heal { from: agent.clone(), to: server.clone() });
    }
}

#[tokio::test]
async fn a_path_that_heals_delivers_what_was_sent() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let (from, to) = (Party::Agent, Party::Instance(SQL.to_owned()));
    change(&doors, Fault::Cut { from: from.clone(), to: to.clone(), one_way: false });
    let ask = number(&mut client, "SELECT 5");
    let heal = async {
        tokio::task::yield_now().await;
        change(&doors, Fault::Heal { from, to });
    };
    assert_eq!(tokio::join!(ask, heal).0, 5);
}

#[tokio::test]
async fn an_application_has_a_path_of_its_own() {
    let doors = Doors::open().await;
    let mut config = doors.config(doors.sql, "sa", "S3cret!");
    config.application_name("app:shop");
    let mut shop = connect(config).await.expect("a login");
    let (from, to) = (Party::Agent, Party::Instance(SQL.to_owned()));
    change(&doors, Fault::Cut { from, to, one_way: false });
    assert_eq!(number(&mut shop, "SELECT 5").await, 5);
}

#[tokio::test]
async fn a_refusing_path_closes_the_connection() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    change(&doors, Fault::Refuse { instance: SQL.to_owned() });
    let error = rows(&mut client, "SELECT 1").await.expect_err("closed");
    assert!(matches!(error, tiberius::error::Error::Io { .. }), "{error}");
}

#[tokio::test]
async fn the_deed_is_done_though_its_reply_is_lost() {
    let doors = Doors::open().await;
    let mut operator = doors.admin(doors.mi).await;
    let mut watcher = doors.admin(doors.mi).await;
    change(&doors, Fault::LoseReply { at: Party::Instance(MI.to_owned()), times: 1 });
    let statement = format!("ALTER AVAILABILITY GROUP [{LINK}] FORCE_FAILOVER_ALLOW_DATA_LOSS");
    let role = "SELECT rs.role_desc FROM sys.availability_groups ag \
                JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id \
                WHERE rs.is_local = 1 AND ag.is_distributed = 1";
    tokio::select! {
        answer = rows(&mut operator, &statement) => panic!("an answer: {answer:?}"),
        () = until(&mut watcher, role, "PRIMARY") => {}
    }
}

#[tokio::test]
async fn what_a_client_waits_for_ends_when_it_leaves() {
    let doors = Doors::open().await;
    let mut watcher = doors.admin(doors.sql).await;
    let mut client = doors.admin(doors.sql).await;
    let others = "SELECT COALESCE((SELECT MAX(command) FROM sys.dm_exec_requests \
                  WHERE session_id > 50 AND session_id <> @@SPID), N'none')";
    tokio::select! {
        answer = rows(&mut client, "WAITFOR DELAY '01:00:00'") => panic!("an answer: {answer:?}"),
        () = until(&mut watcher, others, "WAITFOR") => {}
    }
    drop(client);
    until(&mut watcher, others, "none").await;
    let sessions =
        "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE login_name = N'sa' AND session_id > 50";
    assert_eq!(number(&mut watcher, sessions).await, 1);
}

#[tokio::test]
async fn a_cancelled_query_ends_and_the_next_one_is_answered() {
    let doors = Doors::open().await;
    let mut client = doors.admin(doors.sql).await;
    let begun = tokio::time::timeout(SHORT, rows(&mut client, "WAITFOR DELAY '01:00:00'")).await;
    assert!(begun.is_err(), "it waits");
    let cancelled = tokio::time::timeout(PATIENCE, client.cancel_query()).await;
    cancelled.expect("in time").expect("acknowledged");
    assert_eq!(text(&mut client, "SELECT N'next'").await, "next");
}

/// The trap of a client library: the acknowledgement in a message of its own is taken for the
/// (empty) answer to the next query.
#[tokio::test]
async fn an_acknowledgement_of_its_own_confuses_the_client() {
    let doors = Doors::with(Options { attention: AttentionStyle::TwoMessages, ..USUAL }).await;
    let mut client = doors.admin(doors.sql).await;
    let begun = tokio::time::timeout(SHORT, rows(&mut client, "WAITFOR DELAY '01:00:00'")).await;
    assert!(begun.is_err(), "it waits");
    let cancelled = tokio::time::timeout(PATIENCE, client.cancel_query()).await.expect("in time");
    assert!(cancelled.is_err(), "the client does not find the acknowledgement");
    let stale = rows(&mut client, "SELECT 1").await.expect("an answer that is not one");
    assert_eq!(stale.len(), 0);
}

/// A managed instance's gateway: the login succeeds, and the client has to go elsewhere.
#[tokio::test]
async fn a_gateway_sends_clients_to_the_server_behind_it() {
    let behind = Doors::open().await;
    let gateway = Doors::with(Options { redirect: Some(behind.mi), ..USUAL }).await;
    let sent = connect(gateway.config(gateway.mi, "sa", "S3cret!")).await.map(drop);
    let Err(tiberius::error::Error::Routing { host, port }) = sent else {
        panic!("it is sent elsewhere: {sent:?}");
    };
    assert_eq!((host.as_str(), port), ("localhost", behind.mi));
    let left = gateway.world.with(|world| {
        world
            .session_facts(MI)
            .iter()
            .filter(|session| session.login == "sa" && session.user)
            .count()
    });
    assert_eq!(left, 0, "nobody stays at the gateway");
    let mut client = behind.admin(port).await;
    assert_eq!(text(&mut client, "SELECT N'here'").await, "here");
}
