//! The lab itself: its story with a real broker beside it, and that nothing outlives it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use tests::harness::{Broker, Consumer, Process, QueueKind, Topology, ours, wait};

use crate::rig::LIMIT;

#[test]
fn its_story_is_told_on_the_bus_too() {
    let broker = Broker::start(&Topology {
        exchange: "dr-agent".to_owned(),
        queue: "everything".to_owned(),
        kind: QueueKind::Quorum,
        binding: "#".to_owned(),
    });
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = ours("lab");
    command.arg("--script").env("DR_AGENT_LAB_AMQP", broker.url());
    let mut lab = Process::start("lab", command, folder.path());
    let status = lab.wait_for_end(Duration::from_secs(180));
    let story = lab.stdout();
    let last = story.lines().last().unwrap_or_default();
    assert!(status.success() && last.ends_with(" passed, 0 failed"), "{story}{}", lab.stderr());
    assert!(story.contains("ok   the bus has confirmed it"), "{story}");

    // What the story tells of the journal at its end is what came out of the broker.
    let told = story.lines().filter(|line| line.starts_with("       ") && is_entry(line)).count();
    let mut consumer = Consumer::start(&broker, "everything");
    let records = consumer.wait_for_ids(told, LIMIT);
    assert!(told > 10 && records.len() >= told, "{told} entries, {} records", records.len());
}

#[test]
fn what_it_started_ends_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = ours("lab");
    command.arg("--script").env("TMPDIR", folder.path());
    let mut lab = Process::start("lab", command, folder.path());
    lab.wait_for_line("ok   the agent starts and answers", LIMIT);
    let children = children(lab.pid());
    assert_eq!(children.len(), 2, "twin and agent: {children:?}");
    lab.kill9();
    wait::until("the end of its processes", LIMIT, || {
        children.iter().all(|child| state(*child).is_none_or(|state| state == 'Z')).then_some(())
    });
}

/// README's first story, typed at a terminal.
#[test]
fn a_user_at_a_terminal_goes_over_and_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut terminal = Terminal::open(folder.path());
    terminal.shows("health healthy  primary sql_server");
    for (signer, target, there) in
        [("alice", "mi", "managed_instance"), ("bob", "sql", "sql_server")]
    {
        terminal.types("propose");
        terminal.shows("is open for approvals");
        terminal.types(&format!("approve {signer}"));
        terminal.shows(&format!("by {signer} is taken"));
        terminal.shows("proposal_closed    succeeded");
        terminal.shows(&format!("health healthy  primary {there}"));
        terminal.types(&format!("workload shop --target {target} --start"));
        terminal.shows("lab> ");
    }
    terminal.types("help");
    terminal.shows("quit");
    terminal.types("quit");
    assert!(terminal.ends().success(), "{}", terminal.text());
}

/// The lab at a terminal, as `script` of util-linux makes one.
struct Terminal {
    child: Child,
    shown: PathBuf,
    /// Everything before this has been looked for.
    at: usize,
}

impl Terminal {
    fn open(folder: &Path) -> Self {
        let shown = folder.join("shown");
        let lab = ours("lab").get_program().to_str().expect("UTF-8").to_owned();
        let out = File::create(&shown).expect("a file");
        let child = Command::new("script")
            .args(["--quiet", "--flush", "--return", "--command", &lab, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(out)
            .spawn()
            .expect("util-linux is part of every Debian");
        Self { child, shown, at: 0 }
    }

    fn types(&mut self, line: &str) {
        let keys = self.child.stdin.as_mut().expect("it is a pipe");
        keys.write_all(format!("{line}\n").as_bytes()).expect("the terminal takes it");
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.shown).expect("readable")).into_owned()
    }

    /// Waits until it shows this, behind what it has shown before.
    fn shows(&mut self, words: &str) {
        let looked = wait::try_until(LIMIT, || {
            let text = self.text();
            text.get(self.at..)?.find(words).map(|place| self.at + place + words.len())
        });
        self.at = looked.unwrap_or_else(|| panic!("{words:?} is not shown: {}", self.text()));
    }

    fn ends(&mut self) -> ExitStatus {
        wait::until("the end of the lab", LIMIT, || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The lab ends with its terminal.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Whether a line of the story shows an entry: it begins with a number, then a time of day.
fn is_entry(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let number = words.next().is_some_and(|word| word.parse::<u64>().is_ok());
    number && words.next().is_some_and(|word| word.len() == 8 && word.matches(':').count() == 2)
}

/// The processes that a process has started and that have not ended.
fn children(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("there is /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let of_parent = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        rest.split_whitespace().nth(1).and_then(|word| word.parse().ok()) == Some(parent)
    };
    pids.filter(of_parent).collect()
}

/// The state of a process, if it is there; `Z` for one that has ended and waits to be counted.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}
