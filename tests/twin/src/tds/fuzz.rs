//! Bytes that no client sends, against every parser and the whole door: nothing may panic or hang.

use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bytes::Bytes;
use super::line::Peer;
use super::login7::tests::{
    later, login7, login7_of_windows, login7_with_library, login7_with_token,
};
use super::ntlm::tests::{Proof, authenticate, exchange, negotiate};
use super::packet::{BATCH, END, FEDAUTH, LOGIN7, PRELOGIN, RPC, SSPI, packet};
use super::request::tests::{execute_sql, headers, units};
use super::{AttentionStyle, Door, Encryption, Options, Tls};
use super::{connection, decode, login7, prelogin, request};
use crate::arm::{Claims, TokenKey};
use crate::serve::SharedWorld;
use crate::sql::{External, Login};
use crate::world::{World, WorldSpec};

const SEED: u64 = 20_260_302;

fn prelogin_bytes() -> Vec<u8> {
    let asked = prelogin::Prelogin {
        encryption: prelogin::Wish::NotSupported,
        token: Some(true),
        nonce: Some([3; 32]),
        instance: None,
    };
    let answer = prelogin::Answer {
        encryption: prelogin::Wish::NotSupported,
        version: (11, 0, 0),
        elsewhere: false,
        tokens: true,
        nonce: Some([4; 32]),
    };
    prelogin::reply(&asked, &answer)
}

/// Changes some bytes, cuts or lengthens.
fn mutated(rng: &mut fastrand::Rng, good: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(0..bytes.len().max(1));
        match rng.u8(0..6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), rng.u8(..)),
            2 => bytes.extend((0..rng.usize(0..40)).map(|_| rng.u8(..))),
            _ => {
                let choices = [0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.u8(..)];
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = choices[rng.usize(0..choices.len())];
                }
            }
        }
    }
    bytes
}

#[test]
fn parsers_take_any_bytes() {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let batch = [headers(), units("SELECT name FROM sys.databases WHERE name LIKE N'a%'")].concat();
    let good =
        [prelogin_bytes(), login7("sa", "secret", "master"), execute_sql("SELECT @P1"), batch];
    let tokens = [login7_with_token("a.b.c"), later("a.b.c")];
    for _ in 0..20_000 {
        for whole in &good {
            let bytes = mutated(&mut rng, whole);
            let _ = prelogin::parse(&bytes);
            let _ = login7::parse(&bytes);
            let _ = request::calls(&bytes);
            let _ = request::batch(&bytes);
            let _ = request::transaction(&bytes);
            let _ = decode::typed_value(&mut Bytes::new(&bytes));
        }
        for whole in &tokens {
            let bytes = mutated(&mut rng, whole);
            let _ = login7::parse(&bytes);
            let _ = login7::later(&bytes);
        }
    }
}

/// Words that mean something to the parser, in any order.
const WORDS: [&str; 60] = [
    "SELECT",
    "FROM",
    "WHERE",
    "sys.databases",
    "d",
    "name",
    ",",
    "(",
    ")",
    "*",
    "1",
    "'a'",
    "N'b'",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "IS",
    "NULL",
    "BETWEEN",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "JOIN",
    "LEFT",
    "ON",
    "=",
    "<",
    "+",
    "-",
    "/",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "COUNT",
    "MAX",
    "TOP",
    "DISTINCT",
    "UNION",
    "ALL",
    "EXISTS",
    "CAST",
    "AS",
    "int",
    "numeric(25,0)",
    "@P1",
    "DECLARE",
    "SET",
    "IF",
    "BEGIN",
    ";",
    "[x]",
    "CROSS APPLY",
    "VALUES",
    "OVER",
    "0x0F",
    "GETDATE()",
];

fn nonsense(rng: &mut fastrand::Rng) -> String {
    let count = rng.usize(1..25);
    let words: Vec<&str> = (0..count).map(|_| WORDS[rng.usize(0..WORDS.len())]).collect();
    let text = words.join(" ");
    if rng.u8(..) < 40 { text.chars().filter(|_| rng.u8(..) > 20).collect() } else { text }
}

fn door() -> Door {
    let start: Timestamp = "2026-03-02T10:00:00Z".parse().expect("a time");
    let world = World::new(&WorldSpec::default(), SEED, start).expect("the default is right");
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let certificate = key.cert.der().clone();
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let given = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], secret.into())
        .expect("the key fits");
    Door {
        world: SharedWorld::new(world, 1.0),
        instance: "sql01".to_owned(),
        logins: vec![Login::sysadmin("sa", "secret")],
        tls: Tls::like(&given).expect("the same certificate"),
        fixed: Some(Options {
            encryption: Encryption::NotSupported,
            attention: AttentionStyle::OneMessage,
            redirect: None,
        }),
    }
}

/// Sends all bytes to a door and reads what it says, until it closes or the client is done.
async fn talk(door: &Door, bytes: &[u8]) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let serve = connection::run(door, server, Peer::default());
    let speak = async {
        // The door may have closed before the last byte.
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        let mut said = Vec::new();
        let _ = client.read_to_end(&mut said).await;
        said
    };
    let both = async { tokio::join!(serve, speak).1 };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("the door hangs")
}

#[tokio::test]
async fn the_door_takes_any_bytes() {
    let door = door();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let login = [
        packet(PRELOGIN, END, 0, 1, &prelogin_bytes()),
        packet(LOGIN7, END, 0, 1, &login7("sa", "secret", "master")),
    ]
    .concat();
    let batch = |text: &str| packet(BATCH, END, 0, 1, &[headers(), units(text)].concat());
    let said = talk(&door, &[login.clone(), batch("SELECT 1")].concat()).await;
    assert!(said.windows(5).any(|w| w == [0xD1, 1, 0, 0, 0]), "a row: {said:?}");
    for _ in 0..300 {
        let good = match rng.u8(0..4) {
            0 => login.clone(),
            1 => [login.clone(), batch("SELECT name FROM sys.databases")].concat(),
            2 => [login.clone(), packet(RPC, END, 0, 1, &execute_sql("SELECT @P1"))].concat(),
            _ => (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect(),
        };
        let bad = mutated(&mut rng, &good);
        talk(&door, &bad).await;
    }
}

/// The Windows authentication: whatever comes in its three messages, nobody is let in by it.
#[tokio::test]
async fn the_door_takes_any_bytes_for_a_proof_of_windows() {
    let door = door();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let hello = packet(PRELOGIN, END, 0, 1, &prelogin_bytes());
    let batch = packet(BATCH, END, 0, 1, &[headers(), units("SELECT 1")].concat());
    let first = packet(LOGIN7, END, 0, 1, &login7_of_windows(&negotiate()));
    let proof = authenticate(&exchange(), "joe", "x", Proof::OwnKey);
    let said = talk(&door, &[hello.clone(), first.clone()].concat()).await;
    assert!(said.windows(8).any(|w| w == b"NTLMSSP\0"), "a challenge: {said:?}");
    for round in 0..300 {
        // First the message itself, then the packets around it.
        let (one, two) = match round % 3 {
            0 => (login7_of_windows(&mutated(&mut rng, &negotiate())), proof.clone()),
            1 => (login7_of_windows(&negotiate()), mutated(&mut rng, &proof)),
            _ => (mutated(&mut rng, &login7_of_windows(&negotiate())), proof.clone()),
        };
        let kind = if rng.u8(0..8) == 0 { FEDAUTH } else { SSPI };
        let all = [
            hello.clone(),
            packet(LOGIN7, END, 0, 1, &one),
            packet(kind, END, 0, 1, &two),
            batch.clone(),
        ];
        let said = talk(&door, &all.concat()).await;
        assert!(!said.windows(5).any(|w| w == [0xD1, 1, 0, 0, 0]), "no row: {said:?}");
    }
}

/// The way of the clients that get their token themselves: the server says where, and for what.
#[tokio::test]
async fn a_token_is_asked_for_and_taken_in_the_middle_of_a_login() {
    let application = External::Application("app".to_owned());
    let mut door = door();
    door.logins.push(Login::sysadmin("agent", "").known_by(application));
    let now = door.world.wall().as_second();
    let claims = |aud: &str| Claims {
        aud: aud.to_owned(),
        iss: "https://sts.windows.net/t/".to_owned(),
        iat: now,
        nbf: now,
        exp: now + 600,
        appid: "app".to_owned(),
        tid: "t".to_owned(),
        ver: "1.0".to_owned(),
    };
    let key = door.world.with(|world| TokenKey::of(world.directory()));
    let asked = prelogin::Prelogin {
        encryption: prelogin::Wish::NotSupported,
        token: Some(true),
        nonce: None,
        instance: None,
    };
    let answer = prelogin::Answer {
        encryption: prelogin::Wish::NotSupported,
        version: (11, 0, 0),
        elsewhere: false,
        tokens: true,
        nonce: None,
    };
    let hello = packet(PRELOGIN, END, 0, 1, &prelogin::reply(&asked, &answer));
    let login = packet(LOGIN7, END, 0, 1, &login7_with_library());
    for (audience, let_in) in
        [("https://database.windows.net/", true), ("https://management.azure.com/", false)]
    {
        let token = packet(FEDAUTH, END, 0, 1, &later(&key.sign(&claims(audience))));
        let said = talk(&door, &[hello.clone(), login.clone(), token].concat()).await;
        let holds = |wanted: &[u8]| said.windows(wanted.len()).any(|window| window == wanted);
        assert!(holds(&units("https://database.windows.net/")), "for what");
        assert_eq!(holds(&units("Microsoft SQL Server")), let_in, "{audience}");
        assert_eq!(holds(&[0xAE, 2, 0, 0, 0, 0, 0xFF]), let_in, "{audience}");
        assert_eq!(holds(&units("Incorrect or invalid token.")), !let_in, "{audience}");
    }
    // What comes instead of a token ends the connection, and nobody is logged in.
    let batch = packet(BATCH, END, 0, 1, &[headers(), units("SELECT 1")].concat());
    let said = talk(&door, &[hello, login, batch].concat()).await;
    assert!(!said.windows(2).any(|w| w == [0xAD, 54]), "{said:?}");
    let told = door.world.with(|world| {
        world.entries().map(|entry| (entry.login.clone(), entry.refused)).collect::<Vec<_>>()
    });
    let nobody = "<token-identified principal>".to_owned();
    assert_eq!(told, [("agent".to_owned(), None), (nobody, Some(18_456))]);
}

#[tokio::test]
async fn the_evaluator_takes_any_words() {
    let door = door();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let login = [
        packet(PRELOGIN, END, 0, 1, &prelogin_bytes()),
        packet(LOGIN7, END, 0, 1, &login7("sa", "secret", "master")),
    ]
    .concat();
    for _ in 0..40 {
        let mut all = login.clone();
        let texts: Vec<String> = (0..50).map(|_| nonsense(&mut rng)).collect();
        for text in &texts {
            all.extend(packet(BATCH, END, 0, 1, &[headers(), units(text)].concat()));
        }
        talk(&door, &all).await;
    }
}
