//! `cargo lab`: the state of twin and agent, live, and a prompt. Plain text; on a terminal the
//! state stands still at its top, elsewhere it is written whenever it has changed.

mod screen;
mod words;

use std::{
    io::BufRead as _,
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use anyhow::Result;
use lab::{agent::Agent, wait};
use serde_json::Value;

use self::screen::Screen;
use crate::{
    stage::{Props, Stage},
    view::{self, say},
};

/// How often the state is looked at.
const REFRESH: Duration = Duration::from_secs(1);
/// How long the agent is left alone before its stream of events is asked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// What the console waits for.
enum Message {
    Line(String),
    /// Standard input has ended.
    End,
    /// Ctrl-C.
    Interrupted,
    Entry(Value),
}

struct Console {
    stage: Stage,
    screen: Screen,
    /// What was shown last, ages left out.
    shown: String,
}

/// Starts both, and does what is typed until `quit`.
pub(crate) fn run(props: Props) -> Result<ExitCode> {
    say("Starting twin and agent ..");
    let mut stage = Stage::set(props)?;
    stage.start_agent()?;
    let (to_console, messages) = mpsc::channel();
    listen(&stage.agent, to_console)?;
    let mut console = Console { stage, screen: Screen::new(), shown: String::new() };
    console.screen.open();
    words::welcome(&console.stage);
    console.serve(&messages);
    console.screen.close();
    Ok(ExitCode::SUCCESS)
}

impl Console {
    fn serve(&mut self, messages: &Receiver<Message>) {
        self.refresh();
        self.screen.prompt();
        loop {
            match messages.recv_timeout(REFRESH) {
                Ok(Message::Line(line)) => {
                    if !words::obey(&mut self.stage, line.trim()) {
                        return;
                    }
                    self.refresh();
                    self.screen.prompt();
                }
                Ok(Message::Entry(entry)) => {
                    self.screen.above(&view::entry(&entry));
                    self.refresh();
                }
                Err(RecvTimeoutError::Timeout) => self.refresh(),
                Ok(Message::End | Message::Interrupted) | Err(RecvTimeoutError::Disconnected) => {
                    return;
                }
            }
        }
    }

    /// Shows the state: always on a terminal, elsewhere if it is another one than before.
    fn refresh(&mut self) {
        let (lines, mark) = self.state();
        let changed = mark != self.shown;
        if self.screen.stands_still() || changed {
            self.screen.state(&lines);
        }
        self.shown = mark;
    }

    /// The lines to show, and what of them makes a difference.
    fn state(&self) -> (Vec<String>, String) {
        let status = self.stage.running.as_ref().and_then(|_| self.stage.agent.status().ok());
        let Some(status) = status else {
            let lines = vec!["The agent does not run.".to_owned(), words::hint(None)];
            return (lines.clone(), lines.concat());
        };
        let now = view::clock(status["now"].as_str().unwrap_or_default());
        let link = &status["links"][0];
        let mut lines = view::state(link, &now);
        lines.push(format!("  next              {}", words::hint(Some(link))));
        let proposal = &link["proposal"];
        let roles = |side: &str| link["sides"][side]["seen"]["side"]["role"].clone();
        let mark = format!(
            "{} {} {} {} {} {}",
            link["health"],
            roles("sql_server"),
            roles("managed_instance"),
            proposal["proposal"],
            proposal["status"],
            proposal["approvals"]
        );
        (lines, mark)
    }
}

/// Threads that wait for what can happen; they end with the process.
fn listen(agent: &Agent, to_console: Sender<Message>) -> Result<()> {
    let lines = to_console.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if lines.send(Message::Line(line)).is_err() {
                return;
            }
        }
        let _ = lines.send(Message::End);
    });
    let interrupted = to_console.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            let _ = interrupted.send(Message::Interrupted);
        }
    });
    let agent = agent.clone();
    std::thread::spawn(move || follow(&agent, &to_console));
    Ok(())
}

/// Passes every entry on, over every death of the agent, until the console has ended.
fn follow(agent: &Agent, to_console: &Sender<Message>) {
    let mut at = 0;
    loop {
        if let Ok(mut events) = agent.events(at) {
            while let Some(sent) = events.next(Duration::from_secs(3600)) {
                at = sent.id;
                if to_console.send(Message::Entry(sent.data)).is_err() {
                    return;
                }
            }
        }
        wait::rest(AGAIN);
    }
}
