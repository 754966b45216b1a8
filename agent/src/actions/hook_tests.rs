//! Real programs: they hang, they do not want to die, they leave others behind.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use agent_core::{Action, InstanceId, LinkId, Quiet, StepRef};
use jiff::Timestamp;

use super::*;

const LONG: Duration = Duration::from_secs(60);

struct Script {
    folder: tempfile::TempDir,
    hook: Hook,
}

/// A hook that is run with `verb`.
fn script(text: &str, verb: &str) -> Script {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hook");
    write(&path, text);
    let sha256 = fingerprint(&path).expect("fit");
    let command = vec![path.display().to_string(), verb.to_owned()];
    Script { hook: Hook { command, sha256, within_ms: 10_000 }, folder }
}

fn write(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("mode set");
}

impl Script {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn plain(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "DIR")
    }

    async fn sent(&self) -> String {
        self.plain(&format!("{:?}", send(&self.hook, &work(), LONG).await))
    }
}

fn work() -> Work {
    let (instance, group, database) =
        (InstanceId::new("sql").expect("a name"), "dag".into(), "shop".into());
    let quiet = Quiet { for_ms: 1, log_kb: 1 };
    Work {
        link: LinkId::new("link").expect("a name"),
        step: StepRef { proposal: 17, lane: 0, step: 1, attempt: 2, undo: false },
        action: Action::Quiesced { instance, group, database, status: None, quiet },
        route: None,
        started_at: Timestamp::UNIX_EPOCH,
        deadline: Timestamp::MAX,
        sent: false,
        operation: None,
        overdue: false,
        turned_at: None,
    }
}

/// Whether a process is there and not just waiting to be counted as dead.
fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn it_is_told_what_for_and_nothing_else() {
    let hook = script(
        "echo \"$@\" > \"${0%/*}/out\"; env >> \"${0%/*}/out\"; cat >> \"${0%/*}/out\"",
        "stop",
    );
    assert_eq!(hook.sent().await, "Accepted { operation: None }");
    let out = fs::read_to_string(hook.file("out")).expect("written");
    let mut lines: Vec<&str> = out.lines().filter(|line| !line.starts_with("PWD=")).collect();
    lines.sort_unstable();
    expect_test::expect![[r#"
        [
            "DR_AGENT_DATABASE=shop",
            "DR_AGENT_INSTANCE=sql",
            "DR_AGENT_LINK=link",
            "DR_AGENT_PROPOSAL=17",
            "DR_AGENT_STEP=17/0/1",
            "LANG=C.UTF-8",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "stop",
        ]
    "#]]
    .assert_debug_eq(&lines);
}

#[tokio::test]
async fn what_its_end_means() {
    let hook = script("echo doing; echo no such service >&2; exit 5", "stop");
    assert_eq!(
        hook.sent().await,
        "Refused { why: \"DIR/hook stop ended with exit code 5: no such service\", again: SameRoute }"
    );
    let hook = script("kill -SEGV $$", "stop");
    assert!(hook.sent().await.contains("SameRoute"));
    for (text, verdict) in [
        ("exit 0", "Ok(Running)"),
        ("exit 3", "Ok(Stopped)"),
        (
            "printf 'is it\\007 there?\\n\\n' ; exit 4",
            "Err(\"DIR/hook status ended with exit code 4, which is neither 0 (running) nor 3 (stopped): is it  there?\")",
        ),
    ] {
        let hook = script(text, "status");
        let status = status(&hook.hook, &work()).await;
        assert_eq!(hook.plain(&format!("{status:?}")), verdict);
    }
}

#[tokio::test]
async fn another_file_is_not_run() {
    let hook = script("exit 0", "stop");
    write(&hook.file("hook"), "touch \"${0%/*}/ran\"");
    let sent = hook.sent().await;
    assert!(sent.contains("DIR/hook is not the file that was signed") && sent.contains("Never"));
    assert!(!hook.file("ran").exists());
    assert!(status(&hook.hook, &work()).await.is_err());
    fs::set_permissions(hook.file("hook"), fs::Permissions::from_mode(0o777)).expect("mode set");
    let sent = hook.sent().await;
    assert!(sent.contains("can be written by others") && sent.contains("Never"), "{sent}");
    fs::remove_file(hook.file("hook")).expect("removed");
    assert!(hook.sent().await.contains("Never"));
}

#[tokio::test]
async fn what_does_not_want_to_die_is_killed_with_its_children() {
    let mut hook = script(
        "trap '' TERM; sh -c \"trap '' TERM; echo \\$\\$ > '${0%/*}/child'; while :; do sleep 1; done\" &\n\
         echo waiting; while :; do sleep 1; done",
        "stop",
    );
    hook.hook.within_ms = 3_000;
    let sent = hook.sent().await;
    assert_eq!(
        sent,
        "Refused { why: \"DIR/hook stop was ended after 3000 ms: waiting\", again: SameRoute }"
    );
    let child = fs::read_to_string(hook.file("child")).expect("written");
    assert!(!alive(&child), "the child is gone too");
}

#[tokio::test]
async fn what_it_leaves_behind_is_not_waited_for() {
    let hook = script("sleep 300 & echo $! > \"${0%/*}/child\"; echo started", "start");
    assert_eq!(hook.sent().await, "Accepted { operation: None }");
    let child = fs::read_to_string(hook.file("child")).expect("written");
    assert!(alive(&child), "it goes on with the pipe open, and nobody has waited for it");
    let killed = std::process::Command::new("kill").args(["-9", child.trim()]).status();
    assert!(killed.expect("kill is there").success());
}

#[tokio::test]
async fn megabytes_of_output_are_read_and_forgotten() {
    let hook =
        script("head -c 5000000 /dev/zero | tr '\\0' 'x'; echo; echo the end; exit 1", "stop");
    let sent = hook.sent().await;
    assert!(sent.contains("exit code 1: the end"), "{sent}");
    let hook = script("head -c 5000000 /dev/zero | tr '\\0' 'x'; exit 1", "stop");
    let sent = hook.sent().await;
    assert!(sent.len() < 400, "{} characters", sent.len());
}
