//! What stands on the wire beside rows: negotiation, flags, resets, attention, handles.

use twin::tds::{AttentionStyle, Encryption, Options};

use crate::door::{Doors, USUAL};
use crate::raw::{
    ATTENTION, Answer, BATCH, END, LOGIN7, PRELOGIN, Raw, headers, login7, login7_of, prelogin,
    units,
};

const CLEAR: Options = Options { encryption: Encryption::NotSupported, ..USUAL };
/// Status bits of a packet and of DONE.
const IGNORE: u8 = 2;
const RESET: u8 = 8;
const RESET_KEEP: u8 = 0x10;
const FAILED: u16 = 2;
const COUNTED: u16 = 0x10;
const ACKNOWLEDGED: u16 = 0x20;
const SERVER_ERROR: u16 = 0x100;

/// What becomes of a login in clear after an answer to PRELOGIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    ComesIn,
    /// It should have been TLS.
    NeedsTls,
    /// The server closes at once.
    Closed,
}

#[tokio::test]
async fn every_cell_of_the_table_of_encryption() {
    use Encryption::{Available, Forced, NotSupported, Strict};
    use Then::{Closed, ComesIn, NeedsTls};
    for (server, cells) in [
        (Available, [(0, NeedsTls), (1, NeedsTls), (2, ComesIn), (1, NeedsTls)]),
        (Forced, [(3, NeedsTls), (1, NeedsTls), (3, Closed), (1, NeedsTls)]),
        (NotSupported, [(2, ComesIn), (2, Closed), (2, ComesIn), (2, Closed)]),
        (Strict, [(3, Closed), (3, Closed), (3, Closed), (3, Closed)]),
    ] {
        let doors = Doors::with(Options { encryption: server, ..USUAL }).await;
        for (client, (answer, then)) in (0..).zip(cells) {
            let mut raw = Raw::connect(doors.sql).await;
            raw.say(PRELOGIN, &prelogin(client)).await;
            let told = raw.hear().await.expect("an answer").data;
            // VERSION, ENCRYPTION, INSTOPT, THREADID, MARS and the terminator, then the values.
            assert_eq!(told[26 + 6], answer, "{server:?}, client {client}");
            if then != Closed {
                raw.say(LOGIN7, &login7("sa", "S3cret!", 0)).await;
            }
            let heard = match then {
                ComesIn => raw.hear().await.is_ok_and(|answer| answer.holds(&[0xAD])),
                NeedsTls => raw.rest().await.map_or(true, |bytes| !bytes.contains(&0xAD)),
                Closed => raw.rest().await.is_ok_and(|bytes| bytes.is_empty()),
            };
            assert!(heard, "{server:?}, client {client}: {then:?}");
        }
    }
}

#[tokio::test]
async fn the_older_version_of_both_is_spoken() {
    let doors = Doors::with(CLEAR).await;
    for (asked, told) in [
        (0x7400_0004_u32, Some(0x7400_0004_u32)),
        (0x730A_0003, Some(0x730A_0003)),
        (0x7209_0002, Some(0x7209_0002)),
        (0x0800_0000, None),
        (0x7100_0001, None),
    ] {
        let mut raw = Raw::connect(doors.sql).await;
        raw.say(PRELOGIN, &prelogin(2)).await;
        raw.hear().await.expect("an answer");
        raw.say(LOGIN7, &login7_of(asked, "sa", "S3cret!", 0)).await;
        let Some(told) = told else {
            assert_eq!(raw.rest().await.expect("in good order"), b"", "{asked:#x}");
            continue;
        };
        let answer = raw.hear().await.expect("an answer");
        let at = answer.data.iter().position(|byte| *byte == 0xAD).expect("LOGINACK");
        assert_eq!(answer.data[at + 4..at + 8], told.to_be_bytes());
        let row = raw.ask("SELECT CAST(NULL AS int), CAST(NULL AS int)").await.expect("a row");
        assert_eq!(row.holds(&[0xD2, 0b11]), asked >= 0x730B_0003, "{asked:#x}");
    }
}

#[tokio::test]
async fn done_says_how_it_went() {
    let doors = Doors::with(CLEAR).await;
    let mut raw = Raw::open(doors.sql).await;
    for (text, wanted) in [
        ("SELECT 1 UNION ALL SELECT 2", (0xFD, COUNTED, 0xC1, 2)),
        ("SELECT 1/0", (0xFD, FAILED, 0xC1, 0)),
        ("SET NOCOUNT ON; SELECT 1; SET NOCOUNT OFF", (0xFD, 0, 0xFD, 0)),
        ("RAISERROR (N'x', 16, 1)", (0xFD, FAILED, 0xFD, 0)),
        ("PRINT N'x'", (0xFD, 0, 0xFD, 0)),
    ] {
        let answer = raw.ask(text).await.expect("an answer");
        let (token, status, command, count) = answer.last_done();
        let command = if text.contains("1/0") || text.contains("x") { wanted.2 } else { command };
        assert_eq!((token, status, command, count), wanted, "{text}");
    }
    let answer = raw.ask("RAISERROR (N'the end', 20, 1) WITH LOG").await.expect("an answer");
    assert_eq!(answer.last_done().1, FAILED | SERVER_ERROR);
    assert_eq!(raw.rest().await.expect("closed in good order"), b"");
    let mut raw = Raw::open(doors.sql).await;
    let answer = raw.call(10, &[text("RAISERROR (N'the end', 20, 1) WITH LOG")]).await;
    let (token, status, ..) = answer.last_done();
    assert_eq!((token, status), (0xFE, FAILED | SERVER_ERROR));
    assert_eq!(raw.rest().await.expect("closed in good order"), b"");
}

#[tokio::test]
async fn a_reset_comes_first_and_is_told() {
    let doors = Doors::with(CLEAR).await;
    for (flag, left) in [(RESET, 0_u8), (RESET_KEEP, 1)] {
        let mut raw = Raw::open(doors.sql).await;
        raw.ask("USE msdb; BEGIN TRANSACTION").await.expect("an answer");
        let query = [headers(), units("SELECT DB_NAME(), @@TRANCOUNT")].concat();
        raw.say_with(BATCH, END | flag, &query).await;
        let answer = raw.hear().await.expect("an answer");
        assert_eq!(answer.data[..6], [0xE3, 3, 0, 18, 0, 0]);
        assert!(answer.holds(&units("master")), "the database of the login");
        assert_eq!(last_int(&answer), i32::from(left), "{flag}");
    }
}

#[tokio::test]
async fn a_request_that_is_taken_back_has_one_answer() {
    let doors = Doors::with(CLEAR).await;
    let mut raw = Raw::open(doors.sql).await;
    raw.say_with(BATCH, 0, &[headers(), units("CREATE DATABASE half")].concat()).await;
    raw.say_with(BATCH, END | IGNORE, &units("_made")).await;
    let answer = raw.hear().await.expect("an answer");
    assert_eq!((answer.data.len(), answer.last_done().1), (13, FAILED));
    let answer = raw.ask("SELECT COUNT(*) FROM sys.databases WHERE name LIKE N'half%'").await;
    assert_eq!(last_int(&answer.expect("an answer")), 0, "nothing was made");
}

#[tokio::test]
async fn attention_is_acknowledged_in_each_style() {
    for (style, messages) in [
        (AttentionStyle::OneMessage, 1),
        (AttentionStyle::TwoMessages, 2),
        (AttentionStyle::Late, 2),
        (AttentionStyle::Twice, 3),
        (AttentionStyle::Never, 1),
    ] {
        let doors = Doors::with(Options { attention: style, ..CLEAR }).await;
        let mut raw = Raw::open(doors.sql).await;
        raw.send("WAITFOR DELAY '01:00:00'").await;
        raw.say(ATTENTION, &[]).await;
        let mut last = 0;
        for _ in 0..messages {
            last = raw.hear().await.expect("a message").last_done().1;
        }
        let acknowledged = style != AttentionStyle::Never;
        assert_eq!(last & ACKNOWLEDGED != 0, acknowledged, "{style:?}");
        assert!(raw.is_silent().await, "{style:?}: no more than that");
        let answer = raw.ask("SELECT N'next'").await.expect("an answer");
        assert!(answer.holds(&units("next")), "{style:?}");
    }
    let doors = Doors::with(CLEAR).await;
    let mut raw = Raw::open(doors.sql).await;
    raw.say(ATTENTION, &[]).await;
    let idle = raw.hear().await.expect("also where nothing runs");
    assert_eq!((idle.data.len(), idle.last_done().1), (13, ACKNOWLEDGED));
}

/// The int at the end of the last row.
fn last_int(answer: &Answer) -> i32 {
    let end = answer.data.len() - 13;
    let bytes = answer.data[end - 4..end].try_into().expect("four bytes");
    i32::from_le_bytes(bytes)
}

/// An nvarchar parameter without a name.
fn text(text: &str) -> Vec<u8> {
    let value = units(text);
    let length = u16::try_from(value.len()).expect("short").to_le_bytes();
    [&[0, 0, 0xE7, 0x40, 0x1F, 9, 4, 0xD0, 0, 0x34][..], &length, &value].concat()
}

/// An int parameter without a name; OUTPUT if it has no value.
fn int(value: Option<i32>) -> Vec<u8> {
    match value {
        Some(value) => [&[0, 0, 0x26, 4, 4][..], &value.to_le_bytes()].concat(),
        None => vec![0, 1, 0x26, 4, 0],
    }
}

fn holds_error(answer: &Answer, number: i32) -> bool {
    let at = answer.data.windows(4).position(|window| window == number.to_le_bytes());
    at.is_some_and(|at| at >= 3 && answer.data[at - 3] == 0xAA)
}

#[tokio::test]
async fn handles_come_back_only_for_what_could_be_prepared() {
    let doors = Doors::with(CLEAR).await;
    let mut raw = Raw::open(doors.sql).await;
    for (number, wrong) in [(207, "SELECT nothing FROM sys.databases"), (102, "SELECT 1 1")] {
        for procedure in [11_u8, 13] {
            let asked = [int(None), text(""), text(wrong)];
            let answer = raw.call(procedure, &asked).await;
            // Names are bound when it runs, so preparing alone does not find them.
            if procedure == 11 && number == 207 {
                assert!(answer.holds(&[0xAC]), "a handle");
                continue;
            }
            assert!(holds_error(&answer, number) && holds_error(&answer, 8_180), "{answer:?}");
            assert!(!answer.holds(&[0xAC, 0, 0]), "no handle");
        }
    }
    let made = raw.call(13, &[int(None), text(""), text("SELECT 5")]).await;
    assert!(made.holds(&[0xAC, 0, 0]), "a handle: {made:?}");
    let value = made.data.windows(6).rev().find(|w| w[..2] == [4, 4]).expect("an int");
    let handle = i32::from_le_bytes([value[2], value[3], value[4], value[5]]);
    let again = raw.call(12, &[int(Some(handle))]).await;
    assert!(again.holds(&[0xD1]), "a row: {again:?}");
    let gone = raw.call(15, &[int(Some(handle))]).await;
    assert_eq!((gone.data[0], gone.data.len()), (0x79, 5 + 13), "status and DONEPROC only");
    for procedure in [12, 15] {
        let unknown = raw.call(procedure, &[int(Some(handle))]).await;
        assert!(holds_error(&unknown, 8_179), "{unknown:?}");
        assert_eq!((unknown.last_done().0, unknown.last_done().1), (0xFE, FAILED));
    }
}
