//! What goes wrong on the wire, stage by stage, as bytes and as real clients take it.

use std::io::ErrorKind;

use twin::serve::{Twin, TwinOptions};
use twin::tds::{Encryption, Options};
use twin::world::{Fault, Party, Setting, Stage, Trouble, WorldSpec};

use crate::door::{Doors, MI, PATIENCE, SQL, USUAL, code, connect, number, rows, text};
use crate::raw::{LOGIN7, PRELOGIN, Raw, login7, prelogin};

const CLEAR: Options = Options { encryption: Encryption::NotSupported, ..USUAL };

fn wire(doors: &Doors, stage: Stage, trouble: Trouble, ms: u32) {
    let instance = SQL.to_owned();
    let fault = Fault::Wire { instance, stage, trouble, ms: Some(ms), times: 1 };
    doors.world.with(|world| world.fault(fault)).expect("it can happen");
}

/// That no fault is left, and a client comes in.
async fn is_well(doors: &Doors) {
    let left = doors.world.with(|world| world.lasting_faults());
    assert!(left.is_empty(), "{left:?}");
    let mut raw = Raw::open(doors.sql).await;
    raw.ask("SELECT 1").await.expect("an answer");
}

#[tokio::test]
async fn a_connection_can_end_before_its_first_byte() {
    let doors = Doors::with(CLEAR).await;
    wire(&doors, Stage::Accept, Trouble::Eof, 0);
    let mut raw = Raw::connect(doors.sql).await;
    raw.say(PRELOGIN, &prelogin(2)).await;
    assert_eq!(raw.rest().await.expect("in good order"), b"");
    wire(&doors, Stage::Accept, Trouble::Reset, 0);
    let mut raw = Raw::connect(doors.sql).await;
    assert_eq!(raw.rest().await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    wire(&doors, Stage::Accept, Trouble::Stall, 4_000);
    let mut raw = Raw::connect(doors.sql).await;
    raw.say(PRELOGIN, &prelogin(2)).await;
    assert!(raw.is_silent().await);
    raw.hear().await.expect("late");
    is_well(&doors).await;
}

#[tokio::test]
async fn the_answer_to_a_prelogin_suffers() {
    let doors = Doors::with(CLEAR).await;
    for trouble in [
        Trouble::Stall,
        Trouble::Dribble,
        Trouble::Eof,
        Trouble::Reset,
        Trouble::Garbage,
        Trouble::ShortLength,
        Trouble::LongLength,
    ] {
        wire(&doors, Stage::Prelogin, trouble, 1);
        let mut raw = Raw::connect(doors.sql).await;
        raw.say(PRELOGIN, &prelogin(2)).await;
        match trouble {
            Trouble::Stall | Trouble::Dribble => {
                let answer = raw.hear().await.expect("whole in the end");
                assert_eq!(answer.data[..5], [0, 0, 26, 0, 6], "{trouble:?}");
            }
            Trouble::Eof => assert_eq!(raw.rest().await.expect("in good order"), b""),
            Trouble::Reset => {
                assert_eq!(raw.rest().await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
            }
            Trouble::Garbage | Trouble::ShortLength => {
                assert_eq!(raw.hear().await.expect_err("no packet").kind(), ErrorKind::InvalidData);
            }
            Trouble::LongLength | Trouble::Reordered => {
                assert!(raw.hears_half().await, "more is promised than comes");
            }
        }
    }
    is_well(&doors).await;
}

#[tokio::test]
async fn the_answer_to_a_login_suffers() {
    let doors = Doors::with(CLEAR).await;
    for trouble in [Trouble::Dribble, Trouble::Eof, Trouble::Garbage] {
        wire(&doors, Stage::Login, trouble, 0);
        let mut raw = Raw::connect(doors.sql).await;
        raw.say(PRELOGIN, &prelogin(2)).await;
        raw.hear().await.expect("PRELOGIN is answered");
        raw.say(LOGIN7, &login7("sa", "S3cret!", 0)).await;
        match trouble {
            Trouble::Eof => assert_eq!(raw.rest().await.expect("in good order"), b""),
            Trouble::Garbage => assert!(raw.hear().await.is_err()),
            Trouble::Stall
            | Trouble::Dribble
            | Trouble::Reset
            | Trouble::ShortLength
            | Trouble::LongLength
            | Trouble::Reordered => {
                assert!(raw.hear().await.expect("whole").holds(&[0xAD]));
            }
        }
    }
    is_well(&doors).await;
}

#[tokio::test]
async fn an_answer_suffers_before_within_and_at_its_end() {
    let doors = Doors::with(CLEAR).await;
    let query = "SELECT N'first', 7 UNION ALL SELECT N'second', 8";
    let whole = Raw::open(doors.sql).await.ask(query).await.expect("an answer");
    for stage in [Stage::BeforeAnswer, Stage::WithinAnswer, Stage::BeforeDone] {
        for trouble in [Trouble::Stall, Trouble::Dribble] {
            let mut raw = Raw::open(doors.sql).await;
            wire(&doors, stage, trouble, 1);
            let late = raw.ask(query).await.expect("whole in the end");
            assert_eq!(late.data, whole.data, "{stage:?} {trouble:?}");
        }
        let mut raw = Raw::open(doors.sql).await;
        wire(&doors, stage, Trouble::Eof, 0);
        raw.send(query).await;
        let part = raw.rest().await.expect("in good order");
        let wanted = if stage == Stage::WithinAnswer {
            (whole.data.len() + 8) / 2
        } else if stage == Stage::BeforeDone {
            // All rows in a packet that is not the last, without the DONE.
            whole.data.len() - 13 + 8
        } else {
            0
        };
        assert_eq!(part.len(), wanted, "{stage:?}");
        assert!(part.get(1).is_none_or(|status| stage == Stage::WithinAnswer || status & 1 == 0));
        let mut raw = Raw::open(doors.sql).await;
        wire(&doors, stage, Trouble::Reset, 0);
        raw.send(query).await;
        assert_eq!(raw.rest().await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
        for trouble in [Trouble::Garbage, Trouble::ShortLength] {
            let mut raw = Raw::open(doors.sql).await;
            wire(&doors, stage, trouble, 0);
            let answer = raw.ask(query).await;
            let heard = answer.map(|answer| answer.data);
            assert_ne!(heard.ok(), Some(whole.data.clone()), "{stage:?} {trouble:?}");
        }
    }
    is_well(&doors).await;
}

#[tokio::test]
async fn tokens_come_in_the_wrong_order() {
    let doors = Doors::with(CLEAR).await;
    let query = "SELECT N'first', 7 UNION ALL SELECT N'second', 8";
    let whole = Raw::open(doors.sql).await.ask(query).await.expect("an answer");
    let mut raw = Raw::open(doors.sql).await;
    wire(&doors, Stage::BeforeAnswer, Trouble::Reordered, 0);
    let wrong = raw.ask(query).await.expect("whole").data;
    assert_eq!(wrong[0], 0xFD, "DONE comes first");
    assert_eq!(wrong[13..], whole.data[..whole.data.len() - 13]);
    let error = doors.world.with(|world| {
        let (instance, stage) = (SQL.to_owned(), Stage::Prelogin);
        let trouble = Trouble::Reordered;
        world.fault(Fault::Wire { instance, stage, trouble, ms: None, times: 1 })
    });
    assert!(error.is_err(), "PRELOGIN has no tokens");
    is_well(&doors).await;
}

#[tokio::test]
async fn a_client_takes_each_for_what_it_is_and_comes_in_again() {
    let doors = Doors::open().await;
    for trouble in
        [Trouble::Eof, Trouble::Reset, Trouble::Garbage, Trouble::ShortLength, Trouble::LongLength]
    {
        wire(&doors, Stage::Tls, trouble, 0);
        let mut config = doors.config(doors.sql, "sa", "S3cret!");
        config.handshake_timeout(Some(std::time::Duration::from_secs(2)));
        let refused = connect(config).await.map(drop);
        let refused = refused.expect_err("no handshake");
        assert!(refused.code().is_none(), "{trouble:?}: {refused}");
        assert_eq!(number(&mut doors.admin(doors.sql).await, "SELECT 5").await, 5);
    }
    for trouble in [Trouble::Stall, Trouble::Dribble] {
        wire(&doors, Stage::Tls, trouble, 1);
        assert_eq!(number(&mut doors.admin(doors.sql).await, "SELECT 5").await, 5);
    }
    for stage in [Stage::BeforeAnswer, Stage::WithinAnswer, Stage::BeforeDone] {
        for trouble in [Trouble::Eof, Trouble::Reset] {
            let mut client = doors.admin(doors.sql).await;
            wire(&doors, stage, trouble, 0);
            let error = rows(&mut client, "SELECT 1").await.expect_err("the connection ends");
            let broken = matches!(error, tiberius::error::Error::Io { .. });
            assert!(broken, "{stage:?} {trouble:?}: {error}");
        }
    }
    let mut client = doors.admin(doors.sql).await;
    wire(&doors, Stage::WithinAnswer, Trouble::Dribble, 1);
    assert_eq!(text(&mut client, "SELECT N'slow but whole'").await, "slow but whole");
}

#[tokio::test]
async fn what_cannot_happen_is_refused_with_the_reason() {
    let doors = Doors::open().await;
    let refused = |fault| {
        doors.world.with(|world| world.fault(fault)).expect_err("it cannot happen").to_string()
    };
    let at = |stage, trouble, ms| {
        let instance = SQL.to_owned();
        Fault::Wire { instance, stage, trouble, ms, times: 1 }
    };
    let told = refused(at(Stage::Accept, Trouble::Dribble, None));
    assert!(told.contains("stall, eof and reset"), "{told}");
    let told = refused(at(Stage::Tls, Trouble::Stall, Some(600_001)));
    assert!(told.contains("600000 at most"), "{told}");
    let (instance, arm) = (Party::Instance(SQL.to_owned()), Party::Arm);
    let told = refused(Fault::Throttle { from: arm, to: instance, kb_per_s: 5 });
    assert!(told.contains("nothing is carried between arm and sql01"), "{told}");
    let told = refused(Fault::Throttle { from: Party::Agent, to: Party::Operator, kb_per_s: 5 });
    assert!(told.contains("throttle the path between two instances"), "{told}");
}

#[tokio::test]
async fn logins_fail_with_the_error_that_is_asked_for() {
    let doors = Doors::open().await;
    for (number, state) in [
        (18_456, Some(38)),
        (18_470, None),
        (4_060, None),
        (40_613, None),
        (40_197, Some(4)),
        (49_918, None),
        (10_928, None),
    ] {
        let instance = SQL.to_owned();
        let fault = Fault::FailLogin { instance, number, state, times: 2 };
        doors.world.with(|world| world.fault(fault)).expect("it can happen");
        let told = doors.world.with(|world| world.lasting_faults());
        assert_eq!(told, [format!("fail the next 2 logins at sql01 with {number}")]);
        for _ in 0..2 {
            match connect(doors.config(doors.sql, "sa", "S3cret!")).await.map(drop) {
                Err(tiberius::error::Error::Server(error)) => {
                    assert_eq!((error.code(), error.state()), (number, state.unwrap_or(1)));
                }
                other => panic!("not from the server: {other:?}"),
            }
        }
        doors.admin(doors.sql).await;
    }
    let entries = doors
        .world
        .with(|world| world.entries().filter_map(|entry| entry.refused).collect::<Vec<_>>());
    assert_eq!(entries.len(), 14);
    assert_eq!(entries[0], 18_456);
}

#[tokio::test]
async fn a_narrow_path_delays_what_is_long() {
    let doors = Doors::open().await;
    let (from, to) = (Party::Agent, Party::Instance(SQL.to_owned()));
    let mut client = doors.admin(doors.sql).await;
    // 1 KB/s: 40 KB need 40 s of the world, 4 s here.
    let fault = Fault::Throttle { from: from.clone(), to: to.clone(), kb_per_s: 1 };
    doors.world.with(|world| world.fault(fault)).expect("it can happen");
    let long = "SELECT REPLICATE(CAST(N'x' AS nvarchar(max)), 20000)";
    let before = doors.world.now();
    let answer = tokio::time::timeout(PATIENCE, text(&mut client, long)).await.expect("it comes");
    assert_eq!(answer.len(), 20_000);
    let needed = doors.world.now().duration_since(before);
    assert!(needed.as_secs() >= 40, "bytes need their time: {needed}");
    let fault = Fault::Heal { from, to };
    doors.world.with(|world| world.fault(fault)).expect("it can happen");
    assert_eq!(number(&mut client, "SELECT 5").await, 5);
}

const SPEC: &str = r#"
    [[instances]]
    name = "sql01"
    kind = "sql_server"
    server_name = "SQL01"
    door = { attention = "twice", redirect = "mi-dr" }

    [[instances]]
    name = "mi-dr"
    kind = "managed_instance"
    server_name = "mi-dr.0a1b2c3d4e5f.database.windows.net"
    product_version = "12.0.2000.8"
    [instances.door]
    faults = [{ stage = "login", trouble = "eof" }]
"#;

#[tokio::test]
async fn a_file_says_how_doors_behave() {
    let spec: WorldSpec = toml::from_str(SPEC).expect("it is read");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let options = TwinOptions { spec, seed: 3, speed: 10.0, directory: path };
    let twin = Twin::start(options).await.expect("it starts");
    let told = twin.world.with(|world| world.lasting_faults());
    assert_eq!(told, ["wire of mi-dr: eof at login, the next 1 times"]);
    let config = |at: &str| {
        let door = &twin.endpoints.instances[at];
        let mut config = tiberius::Config::new();
        config.host("localhost");
        config.port(door.port);
        config.authentication(tiberius::AuthMethod::sql_server(&door.user, &door.password));
        config.trust_cert_ca(twin.endpoints.ca.display());
        config
    };
    let to = match connect(config(SQL)).await.map(drop) {
        Err(tiberius::error::Error::Routing { port, .. }) => port,
        other => panic!("it is sent elsewhere: {other:?}"),
    };
    assert_eq!(to, twin.endpoints.instances[MI].port);
    let cut = connect(config(MI)).await.map(drop).expect_err("the login is cut");
    assert!(cut.code().is_none(), "{cut}");
    connect(config(MI)).await.map(drop).expect("the second comes in");
    let own = Some(SQL.to_owned());
    let door = Setting::Door {
        instance: SQL.to_owned(),
        encryption: None,
        attention: None,
        redirect: own,
    };
    twin.world.with(|world| world.set(door)).expect("it can be set");
    let mut here = connect(config(SQL)).await.expect("nobody is sent elsewhere now");
    assert_eq!(text(&mut here, "SELECT @@SERVERNAME").await, "SQL01");
    let wrong = rows(&mut here, "SELECT nothing").await;
    assert_eq!(code(wrong), 207);
}

#[test]
fn a_file_that_names_nobody_is_refused() {
    for (wrong, said) in [
        (SPEC.replace("\"mi-dr\" }", "\"mi-x\" }"), "redirect names no instance"),
        (SPEC.replace("stage = \"login\"", "stage = \"accept\", ms = 700000"), "600000 at most"),
    ] {
        let spec: WorldSpec = toml::from_str(&wrong).expect("it is read");
        let start = "2026-03-02T10:00:00Z".parse().expect("a time");
        let error = twin::world::World::new(&spec, 7, start).expect_err("wrong");
        assert!(error.to_string().contains(said), "{error}");
    }
}
