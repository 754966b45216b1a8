//! The program: endpoints file, subcommands, and how it ends.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
};

use tempfile::TempDir;
use twin::serve::Endpoints;

const TWIN: &str = env!("CARGO_BIN_EXE_twin");

struct Running {
    child: Child,
    endpoints: Endpoints,
    _directory: TempDir,
}

impl Running {
    /// Starts a twin and waits until it says that its doors are open; the test's own time limit
    /// bounds that.
    fn start(options: &[&str]) -> Running {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("endpoints.json");
        let mut child = Command::new(TWIN)
            .arg("run")
            .arg("--endpoints")
            .arg(&file)
            .args(options)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let open = said.by_ref().map_while(Result::ok).find(|line| line.contains("doors are open"));
        assert!(open.is_some(), "it ended instead: {:?}", child.wait());
        // What it says later must not fill the pipe.
        thread::spawn(move || said.for_each(drop));
        let endpoints = Endpoints::read(&file).expect("whole from the first moment");
        Running { child, endpoints, _directory: directory }
    }

    fn ends(&mut self) -> Option<i32> {
        self.child.wait().expect("a child").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(control: &str, words: &[&str]) -> Output {
    Command::new(TWIN).args(words).args(["--control", control]).output().expect("it runs")
}

fn told(control: &str, words: &[&str]) -> serde_json::Value {
    let output = ask(control, words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn subcommands_change_the_world_and_tell_of_it() {
    let twin = Running::start(&["--speed", "10", "--seed", "3"]);
    assert!(twin.endpoints.ca.is_absolute() && twin.endpoints.ca.exists());
    let control = twin.endpoints.control.base_url.clone();
    for words in [
        &["cut", "agent", "sql01", "--one-way"][..],
        &["slow", "agent", "arm", "5"],
        &["lose-reply", "mi-dr"],
        &["refuse", "sql01"],
        &["workload", "shop", "--target", "mi-dr"],
        &["workload", "shop", "--stop"],
        &["disk-full", "sql01", "on"],
        &["sql-agent", "sql01", "off"],
        &["job", "sql01", "DatabaseBackup - Sales - LOG", "off"],
        &["arm-unavailable", "on"],
        &["arm-poll", "unknown-word"],
        &["arm-answer", "other-host", "--times", "2"],
    ] {
        let output = ask(&control, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let state = told(&control, &["state"]);
    let faults = serde_json::json!([
        "cut agent -> sql01",
        "slow agent -> arm by 5 ms",
        "slow arm -> agent by 5 ms",
        "refuse sql01",
        "lose the next 1 replies of mi-dr",
        "arm unavailable",
        "UnknownWord to the next 1 polls",
        "OtherHost to the next 2 requests taken"
    ]);
    assert_eq!(state["faults"], faults);
    assert_eq!(state["workloads"][0]["target"], "mi-dr");
    assert_eq!(state["workloads"][0]["running"], false);
    assert!(ask(&control, &["stop", "sql01"]).status.success());
    let truth = told(&control, &["truth"]);
    assert_eq!(truth["links"][0]["writers"]["sql_server"], false);
    let wrong = ask(&control, &["stop", "sql02"]);
    assert!(!wrong.status.success());
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(text.contains("there is mi-dr, sql01"), "{text}");
}

/// What is true up to a time: who could write when, and what was commanded.
fn truth_until(control: &str, at: &str) -> (String, Vec<serde_json::Value>) {
    let before = |value: &serde_json::Value| value.as_str().is_some_and(|time| time <= at);
    for _ in 0..2_000 {
        let truth = told(control, &["truth"]);
        if !before(&truth["now"]) {
            let intervals = truth["links"][0]["intervals"].as_array().expect("a list").clone();
            let begun = intervals.into_iter().filter(|interval| before(&interval["from"]));
            // Whether the last one has ended since is no matter.
            let begun = begun.map(|it| serde_json::json!([it["from"], it["writers"]])).collect();
            return (truth["commands"].to_string(), begun);
        }
    }
    panic!("its time does not pass");
}

#[test]
fn a_restored_twin_goes_on_as_it_did_by_the_command_line() {
    let twin = Running::start(&["--speed", "200", "--seed", "5"]);
    let control = twin.endpoints.control.base_url.clone();
    let done = |words: &[&str]| assert!(ask(&control, words).status.success(), "{words:?}");
    // What is to come is in the snapshot already: the restart ends later.
    done(&["restart", "sql01", "--down-ms", "20000"]);
    done(&["snapshot", "before"]);
    let now = told(&control, &["truth"])["now"].as_str().expect("a time").to_owned();
    let until: jiff::Timestamp = now.parse().expect("a time");
    let until = (until + jiff::SignedDuration::from_secs(90)).to_string();
    let first = truth_until(&control, &until);
    assert!(first.1.len() > 2, "it stopped and went on: {first:?}");
    done(&["restore", "before"]);
    let again = told(&control, &["truth"])["now"].as_str().expect("a time").to_owned();
    assert!(again < until, "{again} is not before {until}");
    assert_eq!(truth_until(&control, &until), first);
    assert!(!ask(&control, &["restore", "after"]).status.success(), "there is none");
}

#[test]
fn it_ends_with_its_parent_if_told_to() {
    let mut twin = Running::start(&["--stdin-guard"]);
    let mut stdin = twin.child.stdin.take().expect("a pipe");
    stdin.write_all(b"still here\n").expect("written");
    assert!(twin.child.try_wait().expect("a child").is_none());
    drop(stdin);
    assert_eq!(twin.ends(), Some(0));
}

#[test]
fn it_ends_at_sigterm() {
    let mut twin = Running::start(&[]);
    let pid = twin.child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().expect("kill runs").success());
    assert_eq!(twin.ends(), Some(0));
}

#[test]
fn a_wrong_world_is_told_and_ends_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = directory.path().join("world.toml");
    std::fs::write(&world, "[[instances]]\nname = 'a'\nkind = 'oracle'\n").expect("written");
    let output = Command::new(TWIN)
        .args(["run", "--endpoints"])
        .arg(directory.path().join("e.json"))
        .arg("--world")
        .arg(&world)
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cannot understand") && text.contains("oracle"), "{text}");
    assert!(!Path::new(&directory.path().join("e.json")).exists());
}
