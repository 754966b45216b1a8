//! Whoever started the agent and waits for a word from it: systemd's notify socket, as sd_notify(3)
//! and sd_watchdog_enabled(3) describe it. Without one nothing is told and nothing is different.

use std::{
    env,
    ffi::OsStr,
    future::pending,
    io,
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::turn::Inbox;

/// Fractions of the watchdog's time between two words to it: one may be late.
const PER_TIMEOUT: u32 = 3;

/// A line to the supervisor; copies share it.
#[derive(Clone, Debug)]
pub(super) struct Supervisor {
    line: Option<Arc<Line>>,
    /// Kills the agent if it says nothing for so long.
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    to: SocketAddr,
}

impl Supervisor {
    /// Who this process was started by, as its environment tells.
    pub(super) fn of_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self { line: None, watchdog: None };
        };
        let number = |name| env::var_os(name)?.to_str()?.parse::<u64>().ok();
        // Meant for another process if it names one.
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|span| ours && *span > 0);
        Self::behind(&name, watchdog.map(Duration::from_micros))
    }

    fn behind(name: &OsStr, watchdog: Option<Duration>) -> Self {
        let line = Line::open(name).inspect_err(|error| {
            tracing::warn!(%error, "the socket that NOTIFY_SOCKET names can't be used");
        });
        Self { line: line.ok().map(Arc::new), watchdog }
    }

    /// The agent does what it is there for.
    pub(super) fn ready(&self, url: &str) {
        self.tell(&format!("READY=1\nSTATUS=answers at {url}\n"));
    }

    /// The agent has been told to stop.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping\n");
    }

    /// Says that all is well for as long as the loop that decides answers; None if nobody waits for
    /// it.
    pub(super) fn watch(
        &self,
        inbox: Inbox,
        stop: CancellationToken,
    ) -> Option<impl Future<Output = ()> + Send + 'static + use<>> {
        let pause = self.watchdog.filter(|_| self.line.is_some())? / PER_TIMEOUT;
        let this = self.clone();
        Some(async move {
            let watching = async {
                // A loop that hangs is not answered for. What it means that it ended is told elsewhere.
                while inbox.ask(|_, _| ()).await.is_ok() {
                    this.tell("WATCHDOG=1\n");
                    sleep(pause).await;
                }
                pending::<()>().await;
            };
            stop.run_until_cancelled(watching).await;
        })
    }

    fn tell(&self, words: &str) {
        let Some(line) = &self.line else { return };
        if let Err(error) = line.socket.send_to_addr(words.as_bytes(), &line.to) {
            tracing::warn!(%error, "the supervisor can't be told");
        }
    }
}

impl Line {
    /// The name of a socket in the file system, or behind an `@` in the abstract namespace.
    fn open(name: &OsStr) -> io::Result<Self> {
        let to = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            [b'@', rest @ ..] => hidden(rest)?,
            _ => return Err(io::Error::from(io::ErrorKind::Unsupported)),
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read must not hold up anything.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, to })
    }
}

#[cfg(target_os = "linux")]
fn hidden(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn hidden(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use agent_core::{Estate, Roster, StormBrake};

    use super::*;
    use crate::{
        clock::Clock,
        journal::Journal,
        turn::{self, Turn},
    };

    const SOON: Duration = Duration::from_secs(20);
    const WATCHDOG: Duration = Duration::from_millis(90);

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut words = [0; 256];
        let many = socket.recv(&mut words).ok()?;
        Some(String::from_utf8_lossy(&words[..many]).into_owned())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_watchdog_hears_of_a_loop_that_answers_and_of_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("a limit");
        let journal = Journal::open(&folder.path().join("journal.db")).expect("a journal");
        let roster = Roster {
            approvers: Vec::new(),
            planned_quorum: 1,
            forced_quorum: 1,
            break_glass: None,
        };
        let mut estate = Estate::new(Vec::new(), roster, StormBrake::default());
        let (head, term) = journal.fold(&mut estate).expect("an empty journal");
        let turn = Turn::new(estate, journal, head, term);
        let (inbox, _told, _thread) = turn::spawn(turn, Clock::start(None)).expect("a thread");

        let supervisor = Supervisor::behind(path.as_os_str(), Some(WATCHDOG));
        let stop = CancellationToken::new();
        let watch = supervisor.watch(inbox.clone(), stop.clone()).expect("somebody waits");
        let watch = tokio::spawn(watch);
        for _ in 0..3 {
            assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1\n"));
        }
        let (go_on, wait) = mpsc::channel::<()>();
        let held = inbox.clone();
        let (begun, hangs) = mpsc::channel();
        let hang = tokio::spawn(async move {
            let hang = move |_: &Estate, _| {
                begun.send(()).expect("the test waits");
                // Until the other end is dropped.
                let _ = wait.recv();
            };
            held.ask(hang).await
        });
        hangs.recv_timeout(SOON).expect("the loop hangs");
        // One word may have been on its way; after that there is silence for longer than it takes.
        socket.set_read_timeout(Some(WATCHDOG * 3)).expect("a limit");
        while heard(&socket).is_some() {}
        drop(go_on);
        hang.await.expect("no panic").expect("the loop answers again");
        socket.set_read_timeout(Some(SOON)).expect("a limit");
        assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1\n"));
        stop.cancel();
        watch.await.expect("it ends");
    }

    #[test]
    fn a_name_may_be_hidden_and_a_wrong_one_is_no_harm() {
        let name = format!("dr-agent-test-{}", std::process::id());
        let hidden = hidden(name.as_bytes()).expect("a name");
        let socket = UnixDatagram::bind_addr(&hidden).expect("a socket");
        socket.set_read_timeout(Some(SOON)).expect("a limit");
        let supervisor = Supervisor::behind(OsStr::new(&format!("@{name}")), None);
        supervisor.ready("http://127.0.0.1:8420");
        supervisor.stopping();
        let ready = "READY=1\nSTATUS=answers at http://127.0.0.1:8420\n";
        assert_eq!(heard(&socket).as_deref(), Some(ready));
        assert_eq!(heard(&socket).as_deref(), Some("STOPPING=1\nSTATUS=stopping\n"));
        for wrong in ["relative", "vsock:2:1234", "/there/is/none"] {
            Supervisor::behind(OsStr::new(wrong), None).ready("");
        }
    }
}
