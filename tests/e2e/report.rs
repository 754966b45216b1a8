//! What is left of a run: files beside the journal, and the same from the command line.

use std::{fs, path::Path};

use serde_json::Value;
use tests::harness::{ours, wait};
use twin::world::Fault;

use crate::rig::{LIMIT, Rig, SQL, Wish};

/// What `dr-agent report` says of a proposal.
fn report(id: u64, more: &[&str]) -> Value {
    let mut command = ours("dr-agent");
    command.args(["report", &id.to_string(), "--output", "json"]).args(more);
    let output = command.output().expect("it runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn offline(rig: &Rig, id: u64) -> Value {
    report(id, &["--offline", rig.data_dir().to_str().expect("UTF-8")])
}

/// The file of a run, once it is there and so.
fn file(folder: &Path, id: u64, so: impl Fn(&Value) -> bool) -> Value {
    let path = folder.join(format!("reports/run-{id:010}.json"));
    wait::until("the account of the run", LIMIT, || {
        let text = fs::read_to_string(&path).ok()?;
        let account: Value = serde_json::from_str(&text).expect("it is whole, or not there");
        so(&account).then_some(account)
    })
}

#[test]
fn each_run_leaves_its_account() {
    let mut rig = Rig::healthy(Wish::new(41));
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    let id = journal.until("proposal_opened")["seq"].as_u64().expect("a place");
    rig.approve(id, "alice");
    rig.approve(id, "bob");
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded", "{closed:#}");

    let account = file(&rig.data_dir(), id, |_| true);
    assert_eq!(account, offline(&rig, id));
    assert_eq!(
        (&account["kind"], &account["end"]),
        (&"forced_failover".into(), &"succeeded".into())
    );
    let names: Vec<_> = account["signatures"].as_array().expect("a list").iter().collect();
    assert_eq!((names[0]["approver"].as_str(), names.len()), (Some("alice"), 2));
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{account:#}"));
    let spent = &account["spent"];
    let parts = ["engine_ms", "hook_ms", "waits_ms", "away_ms", "agent_ms"];
    let parts: u64 = parts.iter().map(|part| number(&spent[part])).sum();
    assert_eq!(parts, number(&spent["whole_ms"]), "{account:#}");
    assert!(number(&account["recovery"]["whole_ms"]) > number(&spent["engine_ms"]));

    let page = rig.data_dir().join(format!("reports/run-{id:010}.html"));
    let page = wait::until("the page", LIMIT, || fs::read_to_string(&page).ok());
    for words in ["<svg", "Recovery time", "FORCE_FAILOVER_ALLOW_DATA_LOSS", "alice"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    for foreign in ["<script", "src=", "href=", "http://", "https://"] {
        assert!(!page.contains(foreign), "the page needs nothing else: {foreign}");
    }

    // The old primary comes back: now it can be said what was lost.
    rig.fault(&Fault::Start { instance: SQL.to_owned() });
    rig.wait_health("split_brain");
    let because = |account: &Value| {
        let measured = account["loss"]["measured"].clone();
        let words = measured["because"].as_str().unwrap_or_default().to_owned();
        measured["measured"] == "commits" || words.contains("since its return")
    };
    let account = file(&rig.data_dir(), id, because);
    assert_eq!(account, offline(&rig, id));

    assert!(rig.process().terminate(LIMIT).success());
    let nobody = ours("dr-agent")
        .args(["report", "1", "--offline"])
        .arg(rig.data_dir())
        .output()
        .expect("it runs");
    let words = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(!nobody.status.success() && words.contains("no entry 1"), "{words}");
}
