//! A whole outage on real processes, decided once more from what the flight recorder kept.

use std::{fs, path::Path};

use serde_json::Value;
use tests::harness::{ours, wait};
use twin::world::Fault;

use crate::rig::{LIMIT, Rig, SQL, Wish};

/// What `dr-agent replay` says, and how it ended.
fn replay(folder: &Path, more: &[&str]) -> (i32, Value) {
    let mut command = ours("dr-agent");
    command.args(["replay", "--output", "json", "--data-dir"]).arg(folder).args(more);
    let output = command.output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}\n{complaint}"));
    (output.status.code().expect("it was not killed"), report)
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report:#}"))
}

/// Entries that could not be decided again.
fn missing(report: &Value) -> u64 {
    let gaps = report["gaps"].as_array().expect("a list").iter();
    gaps.map(|gap| number(gap, "to") - number(gap, "after")).sum()
}

/// The place of the entry that closes its plan.
fn outage(rig: &Rig) -> u64 {
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    let id = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");
    closed["seq"].as_u64().expect("a place")
}

#[test]
fn an_outage_is_decided_again_to_the_byte() {
    let mut rig = Rig::healthy(Wish::new(31));
    let closed = outage(&rig);
    // While the agent runs and goes on looking.
    let (code, report) = replay(&rig.data_dir(), &[]);
    assert_eq!(code, 0, "{report:#}");
    assert!(number(&report, "same") + missing(&report) > 10, "{report:#}");
    rig.fault(&Fault::Start { instance: SQL.to_owned() });
    rig.wait_health("split_brain");
    let metrics = rig.agent.metrics().expect("the agent has metrics");
    assert!(metrics.contains("\ndr_agent_recorder_dropped_turns_total 0\n"), "{metrics}");

    let status = rig.process().terminate(LIMIT);
    assert!(status.success(), "{status}\n{}", rig.log());
    let head = rig.reader().head().expect("a head").seq;
    let (code, report) = replay(&rig.data_dir(), &[]);
    assert_eq!((code, number(&report, "same")), (0, head), "{report:#}");
    assert_eq!(report["gaps"], Value::Array(Vec::new()), "{report:#}");

    // Afterwards: why did it do that?
    let mut command = ours("dr-agent");
    command.args(["replay", "--explain", "--data-dir"]).arg(rig.data_dir());
    let said = String::from_utf8(command.output().expect("it runs").stdout).expect("UTF-8");
    let opened = said.split("proposal_opened [primary_lost]").nth(1).expect("it is explained");
    let until = opened.find("ballot_received").expect("the next entry");
    for words in ["SQL Server", "before: no answer:", "managed instance", "has not answered"] {
        assert!(opened[..until].contains(words), "{words}: {}", &opened[..until]);
    }
    assert!(!said.contains("&s="), "the signature of an operation is shown");

    // A copy of the folder is as good; and one with another journal is not.
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(&rig.data_dir(), copy.path());
    assert_eq!(replay(copy.path(), &["--from", "4"]).0, 0);
    let db = rusqlite::Connection::open(copy.path().join("journal.db")).expect("the copy");
    let kept = i64::try_from(closed - 1).expect("few");
    db.execute("DELETE FROM entry WHERE seq > ?1", [kept]).expect("the end is cut off");
    drop(db);
    let (code, report) = replay(copy.path(), &[]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(number(&report["difference"], "seq"), closed, "{report:#}");
}

#[test]
fn killed_in_the_middle_both_lives_are_decided_again() {
    let mut rig = Rig::healthy(Wish::new(32));
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    let id = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    rig.approve(id, "alice");
    rig.kill();
    rig.start();
    let mut journal = rig.follow(0);
    wait::until("the second ballot", LIMIT, || {
        let answer = rig.cast(id, "bob", crate::rig::approval());
        (answer.status == 201).then_some(())
    });
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");
    assert!(rig.process().terminate(LIMIT).success());
    let head = rig.reader().head().expect("a head").seq;
    let (code, report) = replay(&rig.data_dir(), &[]);
    assert_eq!((code, number(&report, "lives")), (0, 2), "{report:#}");
    // What the first one had not written when it was killed is told.
    assert_eq!(number(&report, "same") + missing(&report), head, "{report:#}");
    assert!(missing(&report) <= 2, "{report:#}");

    // A byte of the recording changes: it is found, and what can still be decided is.
    let folder = rig.data_dir().join("recorder");
    let segment = fs::read_dir(&folder).expect("a folder").next().expect("a segment");
    let segment = segment.expect("it can be listed").path();
    let mut bytes = fs::read(&segment).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("it can be written");
    let (code, report) = replay(&rig.data_dir(), &[]);
    assert_eq!((code, report["damages"].as_array().map(Vec::len)), (1, Some(1)), "{report:#}");
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &name);
        } else {
            fs::copy(&path, &name).expect("copied");
        }
    }
}
