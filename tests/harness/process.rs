//! Processes that a test starts, watches, signals and ends.

use super::wait;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running process. Its output goes to `NAME.out` and `NAME.err` in the folder given; a second
/// process of the same name appends. Dropped, it is killed.
pub struct Process {
    name: String,
    child: Child,
    guardian: Guardian,
    stdout: Output,
    stderr: Output,
    ended: Option<ExitStatus>,
}

/// The command for a binary of this workspace (`dr-agent`, `twin`, `lab`), looked for beside the
/// test executable. `cargo build --workspace --bins` makes it; `tests/run` has done so.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn ours(name: &str) -> Command {
    // target/debug/deps/e2e-0123456789abcdef -> target/debug/NAME
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests run from target/*/deps");
    let binary = folder.join(name);
    assert!(
        binary.is_file(),
        "{} is not there: run `cargo build --workspace --bins` first",
        binary.display()
    );
    Command::new(binary)
}

impl Process {
    /// Starts `command` with no standard input, its output captured in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let stdout = Output::open(folder.join(format!("{name}.out")));
        let stderr = Output::open(folder.join(format!("{name}.err")));
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.writer())
            .stderr(stderr.writer())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let guardian = Guardian::over(child.id());
        Self { name: name.to_owned(), child, guardian, stdout, stderr, ended: None }
    }

    /// The process id; of nobody else as long as this value lives.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What this process has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.read()
    }

    /// What this process has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.read()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("a child of ours can be waited for");
        }
        self.ended
    }

    /// Looks until `look` gives something.
    ///
    /// # Panics
    /// When `limit` passes or the process ends first, with the end of its output.
    #[track_caller]
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Self) -> Option<T>,
    ) -> T {
        let found = wait::try_until(limit, || {
            // In this order, so that what it wrote before it ended is still seen.
            let ended = self.ended();
            match (look(self), ended) {
                (Some(found), _) => Some(Ok(found)),
                (None, Some(status)) => Some(Err(status)),
                (None, None) => None,
            }
        });
        match found {
            Some(Ok(found)) => found,
            Some(Err(status)) => {
                panic!("{} ended ({status}) before {what}\n{}", self.name, self.tail())
            }
            None => {
                panic!("waited {limit:?} in vain for {what} of {}\n{}", self.name, self.tail())
            }
        }
    }

    /// The first line of standard output or standard error that contains `needle`.
    ///
    /// # Panics
    /// As [`Process::wait_until`].
    #[track_caller]
    pub fn wait_for_line(&mut self, needle: &str, limit: Duration) -> String {
        self.wait_until(&format!("a line with {needle:?}"), limit, |process| {
            [process.stdout(), process.stderr()].iter().find_map(|text| {
                // A line that is still being written is not a line yet.
                let whole = &text[..=text.rfind('\n')?];
                whole.lines().find(|line| line.contains(needle)).map(str::to_owned)
            })
        })
    }

    /// Waits for it to end by itself.
    ///
    /// # Panics
    /// When it has not after `limit`.
    #[track_caller]
    pub fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        match wait::try_until(limit, || self.ended()) {
            Some(status) => status,
            None => panic!("{} has not ended after {limit:?}\n{}", self.name, self.tail()),
        }
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// When it has not after `limit`.
    #[track_caller]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_end(limit)
    }

    /// Ends it without asking (`kill -9`) and waits until it is gone.
    pub fn kill9(&mut self) -> ExitStatus {
        self.signal("KILL");
        self.wait_for_end(Duration::from_secs(10))
    }

    /// Stops it from running (SIGSTOP): its connections stay open and say nothing.
    pub fn freeze(&mut self) {
        self.signal("STOP");
    }

    /// Lets a frozen process run on (SIGCONT).
    pub fn thaw(&mut self) {
        self.signal("CONT");
    }

    fn signal(&mut self, signal: &str) {
        // Ended and waited for, the id could be somebody else's by now.
        if self.ended().is_none() {
            send(signal, self.pid());
        }
    }

    fn tail(&self) -> String {
        let last = |text: String| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        format!("--- stdout\n{}\n--- stderr\n{}", last(self.stdout()), last(self.stderr()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            // Also ends one that is frozen. It may have ended meanwhile: nothing to do then.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.guardian.release();
    }
}

/// A shell that kills a process when the test that started it dies without cleaning up, be it by
/// `kill -9`: the pipe to the guardian's standard input closes then.
struct Guardian {
    shell: Child,
}

impl Guardian {
    fn over(pid: u32) -> Self {
        let shell = Command::new("sh")
            .args(["-c", r#"read -r _ || kill -s KILL "$1""#, "sh", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own, so that a signal to the test's group leaves it alive.
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        Self { shell }
    }

    fn release(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // It can only be gone if somebody killed it.
            let _ = pipe.write_all(b"released\n");
        }
        let _ = self.shell.wait();
    }
}

/// A file that a process writes to, and where in it this process began.
struct Output {
    path: PathBuf,
    from: u64,
}

impl Output {
    fn open(path: PathBuf) -> Self {
        let from = std::fs::metadata(&path).map_or(0, |found| found.len());
        Self { path, from }
    }

    fn writer(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", self.path.display()))
    }

    fn read(&self) -> String {
        let mut bytes = Vec::new();
        let mut file = File::open(&self.path).expect("the output file is there");
        file.seek(SeekFrom::Start(self.from)).expect("a file can be sought");
        file.read_to_end(&mut bytes).expect("a file can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends a signal by way of the shell's own `kill`, for a direct call would be unsafe code.
fn send(signal: &str, pid: u32) {
    let status = Command::new("sh")
        .args([
            OsStr::new("-c"),
            OsStr::new(r#"kill -s "$1" "$2""#),
            OsStr::new("sh"),
            OsStr::new(signal),
            OsStr::new(&pid.to_string()),
        ])
        .status()
        .expect("there is a shell");
    assert!(status.success(), "cannot send {signal} to process {pid}: {status}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("shell", command, folder)
    }

    #[test]
    fn shows_lines_and_the_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = shell("echo one; echo two >&2; exit 3", folder.path());
        assert_eq!(process.wait_for_line("tw", LIMIT), "two");
        assert_eq!(process.wait_for_end(LIMIT).code(), Some(3));
        assert_eq!(process.stdout(), "one\n");

        let mut second = shell("echo three", folder.path());
        second.wait_for_end(LIMIT);
        assert_eq!(second.stdout(), "three\n", "a second one does not show the first one's output");
    }

    #[test]
    #[should_panic(expected = "before a line with \"never\"")]
    fn an_early_end_is_told_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        shell("echo unhappy >&2; exit 1", folder.path()).wait_for_line("never", LIMIT);
    }

    #[test]
    fn is_terminated_or_killed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let polite = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done";
        let mut process = shell(polite, folder.path());
        process.wait_for_line("up", LIMIT);
        assert_eq!(process.terminate(LIMIT).code(), Some(0));
        assert_eq!(process.stdout(), "up\nbye\n");

        let mut process = shell(polite, folder.path());
        process.wait_for_line("up", LIMIT);
        process.freeze();
        assert_eq!(process.kill9().code(), None);
        assert_eq!(process.stdout(), "up\n");
    }

    #[test]
    fn a_guardian_kills_what_its_test_left_behind() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("there is sleep");
        let mut guardian = Guardian::over(child.id());
        drop(guardian.shell.stdin.take());
        let ended = wait::until("its end", LIMIT, || child.try_wait().expect("a child of ours"));
        assert_eq!(ended.code(), None);
        guardian.release();
    }
}
