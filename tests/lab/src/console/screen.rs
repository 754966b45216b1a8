//! Where things stand. A terminal keeps the state in its first lines and scrolls below them; for
//! everything else there are just lines.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
};

/// Lines at the top that do not scroll: the state, and a rule below it.
const TOP: usize = 11;

pub(super) struct Screen {
    terminal: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && !dumb;
        Self { terminal }
    }

    /// Whether the state has a place of its own, so that it can be written again and again.
    pub(super) fn stands_still(&self) -> bool {
        self.terminal
    }

    pub(super) fn open(&self) {
        if self.terminal {
            // Clear, scroll only below the top, go there.
            put(&format!("\x1b[2J\x1b[{};r\x1b[{};1H", TOP + 1, TOP + 1));
        }
    }

    pub(super) fn close(&self) {
        if self.terminal {
            // Scroll everywhere again, below what is there.
            put("\x1b7\x1b[r\x1b8\n");
        }
    }

    pub(super) fn prompt(&self) {
        put("lab> ");
    }

    /// A line between what is typed. What was typed so far stays with the terminal.
    pub(super) fn above(&self, line: &str) {
        if self.terminal {
            put(&format!("\r\x1b[K{line}\nlab> "));
        } else {
            put(&format!("\n{line}\n"));
        }
    }

    pub(super) fn state(&self, lines: &[String]) {
        if !self.terminal {
            put(&format!("\n{}\n", lines.join("\n")));
            return;
        }
        // Keep the cursor, do not wrap long lines, write over the top, go back.
        let mut text = String::from("\x1b7\x1b[?7l");
        for row in 0..TOP {
            let rule = "-".repeat(72);
            let line = match lines.get(row) {
                Some(line) => line.as_str(),
                None if row + 1 == TOP => &rule,
                None => "",
            };
            let _ = write!(text, "\x1b[{};1H\x1b[K{line}", row + 1);
        }
        text.push_str("\x1b[?7h\x1b8");
        put(&text);
    }
}

/// Nobody there to read it is no reason to stop.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
