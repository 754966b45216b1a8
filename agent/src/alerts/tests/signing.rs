//! Whether a receiver can know that a message is ours.

use agent_core::{from_hex, to_hex};
use sha2::{Digest as _, Sha256};

use super::{
    play::{Play, Scene},
    receiver::{Manner, Receiver},
    stage::{SECRET, Stage, webhook},
};

#[tokio::test]
async fn the_signature_is_what_anybody_computes() {
    let mut play = Play::new();
    play.see(Scene::Healthy, 10);
    play.see(Scene::Lost, 10);
    let mut stage = Stage::new();
    stage.write(&play.entries[..1]);
    let receiver = Receiver::start(&[Manner::Answer(500, None)]).await;
    let sink = stage.begin(webhook(receiver.url("/hook")));
    sink.told().await;
    stage.write(&play.entries);
    receiver.until_taken(2).await;
    sink.stop().await;
    let seen = receiver.seen();
    assert_eq!(seen[0].header("dr-agent-id"), seen[1].header("dr-agent-id"), "tried again");
    for request in seen {
        let at = request.header("dr-agent-timestamp");
        assert_eq!(at, stage.clock.now().as_second().to_string());
        let signed = [at.as_bytes(), b".", &request.body].concat();
        let expected = format!("v1={}", to_hex(&hmac(SECRET.as_bytes(), &signed)));
        assert_eq!(request.header("dr-agent-signature"), expected);
        assert_eq!(request.header("dr-agent-id"), request.json()["id"]);
    }
}

#[test]
fn our_own_hmac_is_one() {
    // RFC 4231, test case 2.
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let found = hmac(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(from_hex(expected).expect("hex"), found);
}

/// RFC 2104 by hand.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64, "a longer one would be hashed first");
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha256::digest([&pad(0x36), text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}
