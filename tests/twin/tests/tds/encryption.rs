//! Logins, and every cell of the encryption table that the client can ask for.

use tiberius::EncryptionLevel;
use twin::tds::{Encryption, Options};

use crate::door::{Doors, SQL, USUAL, code, connect, number, text};

#[tokio::test]
async fn each_side_gets_the_encryption_that_both_can_have() {
    use Encryption::{Available, Forced, NotSupported, Strict};
    for (server, client, comes_in) in [
        (Available, EncryptionLevel::Off, true),
        (Available, EncryptionLevel::On, true),
        (Available, EncryptionLevel::Required, true),
        (Available, EncryptionLevel::NotSupported, true),
        (Available, EncryptionLevel::Strict, true),
        (Forced, EncryptionLevel::Off, true),
        (Forced, EncryptionLevel::On, true),
        (Forced, EncryptionLevel::Required, true),
        (Forced, EncryptionLevel::NotSupported, false),
        (Forced, EncryptionLevel::Strict, true),
        (NotSupported, EncryptionLevel::NotSupported, true),
        (NotSupported, EncryptionLevel::Required, false),
        (NotSupported, EncryptionLevel::Strict, false),
        (Strict, EncryptionLevel::Required, false),
        (Strict, EncryptionLevel::Strict, true),
    ] {
        let doors = Doors::with(Options { encryption: server, ..USUAL }).await;
        let mut config = doors.config(doors.sql, "sa", "S3cret!");
        config.encryption(client);
        match connect(config).await {
            Ok(mut client) => {
                assert!(comes_in, "{server:?} {client:?}");
                assert_eq!(text(&mut client, "SELECT @@SERVERNAME").await, "SQL01");
            }
            Err(error) => assert!(!comes_in, "{server:?} {client:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let (doors, others) = (Doors::open().await, Doors::open().await);
    let config = others.config(doors.sql, "sa", "S3cret!");
    let error = connect(config).await.map(|_| ()).expect_err("a foreign certificate");
    assert!(!matches!(error, tiberius::error::Error::Server(_)), "{error}");
}

#[tokio::test]
async fn who_does_not_belong_here_does_not_come_in() {
    let doors = Doors::open().await;
    for (user, password) in [("sa", "wrong"), ("stranger", "x"), ("sa", ""), ("agent", "pass word")]
    {
        let refused = connect(doors.config(doors.sql, user, password)).await.map(|_| ());
        assert_eq!(code(refused), 18_456, "{user}");
    }
    let mut config = doors.config(doors.sql, "SA", "S3cret!");
    config.database("nowhere");
    assert_eq!(code(connect(config).await.map(|_| ())), 4_060);
    let mut config = doors.config(doors.sql, "nobody", "x");
    config.database("Sales");
    assert_eq!(code(connect(config).await.map(|_| ())), 4_060);
    let mut config = doors.config(doors.sql, "agent", "päss wörd");
    config.database("sales");
    let mut client = connect(config).await.expect("a login");
    assert_eq!(text(&mut client, "SELECT DB_NAME() + N'/' + SUSER_SNAME()").await, "Sales/agent");
}

#[tokio::test]
async fn sessions_are_seen_while_they_are_there() {
    let doors = Doors::open().await;
    let mut config = doors.config(doors.sql, "sa", "S3cret!");
    config.application_name("watcher");
    let mut first = connect(config).await.expect("a login");
    let second = doors.admin(doors.sql).await;
    let count = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1 \
                 AND login_name = N'sa'";
    assert_eq!(number(&mut first, count).await, 2);
    let own = "SELECT program_name + N' ' + login_name + N' ' + status \
               FROM sys.dm_exec_sessions WHERE session_id = @@SPID";
    assert_eq!(text(&mut first, own).await, "watcher sa running");
    second.close().await.expect("closed");
    let seen = format!("SELECT CAST(({count}) AS nvarchar(9))");
    crate::door::until(&mut first, &seen, "1").await;
    assert!(doors.world.with(|world| world.instance(SQL).is_some()));
}
