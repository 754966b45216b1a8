//! A ballot is signed without a network and checked without one; what was altered is refused.

use std::{collections::BTreeMap, fs, path::PathBuf};

use agent_core::{Ballot, Decision, Proposal};
use ed25519_dalek::VerifyingKey;
use expect_test::{Expect, expect};

use super::{
    super::{exit, files, sign::sign, verify::verify},
    at, cold, key, lost, masked, name, run,
};
use crate::keys;

const APPROVE: Decision =
    Decision::Approve { break_glass: false, forecast_unknown: false, attestation: None };

fn known() -> BTreeMap<String, VerifyingKey> {
    let of = |text: &str, of| (text.to_owned(), key(of).verifying_key());
    BTreeMap::from([of("alice", 1), of("bob", 2)])
}

fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    (folder, move |name: &str| path.join(name))
}

#[test]
fn a_ballot_goes_from_hand_to_hand() {
    let (_folder, path) = folder();
    let text = |name: &str| path(name).to_str().expect("UTF-8").to_owned();
    keys::write_new(&path("alice.pem"), &key(1)).expect("written");
    fs::write(path("proposal.json"), files::export(&lost()).expect("text")).expect("written");
    let (key, proposal, ballot) = (text("alice.pem"), text("proposal.json"), text("ballot.json"));
    let approve = ["approve", "--file", &proposal, "--key", &key, "--approver", "alice", "--yes"];
    let out = ["--out", &ballot];
    assert_eq!(run(&[&approve[..], &out[..]].concat()), exit::OK);
    let public = format!("alice={}", keys::show_public(&known()["alice"]));
    let check = ["verify", &proposal, &ballot, "--public-key", &public];
    assert_eq!(run(&check), exit::OK);
    // Somebody else's key, and a ballot that is there already.
    let other = format!("alice={}", keys::show_public(&known()["bob"]));
    assert_eq!(run(&["verify", &proposal, &ballot, "--public-key", &other]), exit::REFUSED);
    assert_eq!(run(&[&approve[..], &out[..]].concat()), exit::CONFIG);
    // Without --yes there has to be a terminal to ask on, or nothing is signed.
    assert!(!path("again.json").exists());
}

#[test]
fn two_ballots_make_a_quorum_and_one_twice_does_not() {
    let proposal = lost();
    let ballot =
        |approver, of| sign(&proposal, name(approver), APPROVE, at(100), &key(of)).expect("signed");
    let (alice, bob) = (ballot("alice", 1), ballot("bob", 2));
    let twice = verify(&proposal, &[alice.clone(), alice.clone()], &known());
    assert_eq!((twice.approvals, twice.quorum), (1, 2));
    let both = verify(&proposal, &[alice, bob], &known());
    assert_eq!((both.approvals, both.quorum), (2, 2));
}

#[test]
fn an_altered_file_is_refused() {
    let exported = files::export(&lost()).expect("text");
    let (_folder, path) = folder();
    let check = |from: &str, to: &str, expected: &Expect| {
        assert!(exported.contains(from), "{from} is not in it");
        let file = path("altered.json");
        fs::write(&file, exported.replace(from, to)).expect("written");
        let shown = files::read_proposal(&file).expect_err("altered").to_string();
        expected.assert_eq(&masked(&shown.replace(file.to_str().expect("UTF-8"), "FILE")));
    };
    check(
        "FORCE_FAILOVER_ALLOW_DATA_LOSS",
        "FAILOVER",
        &expect![
            "FILE has been altered: the plan is not the one that the terms name: its digest is sha256:DIGEST, theirs sha256:DIGEST"
        ],
    );
    check(
        "\\\"attempts\\\":20",
        "\\\"attempts\\\":21",
        &expect!["FILE has been altered: its digest is sha256:DIGEST, and it says sha256:DIGEST"],
    );
    check(
        "proposal v1",
        "proposal v2",
        &expect![[
            r#"FILE is "dr-agent proposal v2", and this version of dr-agent knows "dr-agent proposal v1""#
        ]],
    );
    check(
        "\"texts\"",
        "\"text\"",
        &expect![
            "FILE is not a proposal as `dr-agent show --export` writes it: unknown field `text`, expected one of `format`, `digest`, `texts` at line 4 column 8"
        ],
    );
}

#[test]
fn an_altered_ballot_is_not_valid() {
    let proposal = cold();
    let decision = Decision::Approve {
        break_glass: false,
        forecast_unknown: true,
        attestation: Some("the rack is off".into()),
    };
    let signed = sign(&proposal, name("alice"), decision, at(10), &key(1)).expect("signed");
    let check = |alter: &dyn Fn(&mut Ballot), proposal: &Proposal, expected: &Expect| {
        let mut ballot = signed.clone();
        alter(&mut ballot);
        let verdict = verify(proposal, &[ballot], &known());
        let wrong = verdict.ballots[0].wrong.clone();
        assert_eq!(verdict.approvals, usize::from(wrong.is_none()));
        expected.assert_eq(&wrong.unwrap_or_else(|| "valid".into()));
    };
    check(&|_| {}, &proposal, &expect!["valid"]);
    check(
        &|ballot| ballot.approver = name("bob"),
        &proposal,
        &expect!["the signature is not by this approver's key"],
    );
    check(
        &|ballot| ballot.approver = name("eve"),
        &proposal,
        &expect!["the approver is not among those of the proposal"],
    );
    check(
        &|ballot| ballot.signed_at = at(11),
        &proposal,
        &expect!["the signature is not by this approver's key"],
    );
    check(
        &|ballot| ballot.signature.truncate(120),
        &proposal,
        &expect!["the signature is not by this approver's key"],
    );
    check(
        &|ballot| {
            let attestation = Some("the rack is off\nsigned at: never".into());
            let (break_glass, forecast_unknown) = (false, true);
            ballot.decision = Decision::Approve { break_glass, forecast_unknown, attestation };
        },
        &proposal,
        &expect!["the statement has a line break or another control character in its words"],
    );
    check(&|_| {}, &lost(), &expect!["it is about proposal 1 of link orders"]);
}

#[test]
fn what_the_agent_would_refuse_is_not_signed() {
    let check = |proposal: Proposal, approver: &str, decision: Decision, expected: &Expect| {
        let error = sign(&proposal, name(approver), decision, at(1), &key(1)).expect_err("refused");
        assert_eq!(error.json()["error"]["code"], "refused");
        expected.assert_eq(&error.to_string());
    };
    let approve = |break_glass, forecast_unknown, attestation: Option<&str>| Decision::Approve {
        break_glass,
        forecast_unknown,
        attestation: attestation.map(Into::into),
    };
    check(
        lost(),
        "eve",
        APPROVE,
        &expect!["eve was not on the roster when this proposal was opened"],
    );
    check(
        cold(),
        "alice",
        APPROVE,
        &expect![[r#"
        nobody independent confirms that the primary is gone; sign again and attest how writes there were stopped
          hint: --attest TEXT"#]],
    );
    check(
        cold(),
        "alice",
        approve(false, false, Some("off")),
        &expect![[r#"
        the forecast is unknown; sign again and accept it in these words
          hint: --accept-unknown-forecast"#]],
    );
    check(
        cold(),
        "alice",
        approve(true, true, Some("off")),
        &expect!["this proposal has no break-glass rule; it was not configured beforehand"],
    );
    check(
        cold(),
        "alice",
        approve(false, true, Some("a\nb")),
        &expect!["the statement has a line break or another control character in its words"],
    );
    check(
        lost(),
        "alice",
        Decision::Reject { reason: " ".into() },
        &expect!["the words of the statement are empty"],
    );
}
