//! Text for people: readable without colour, times in UTC, and nothing in it that a terminal would
//! obey or hide.

use std::fmt::Write as _;

use jiff::Timestamp;

/// A page of text. Each line is escaped as it goes in, so no caller can forget it.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// A line that begins `indent` steps to the right.
    pub(super) fn line(&mut self, indent: usize, text: impl AsRef<str>) {
        let text = plain(text.as_ref());
        let line = format!("{:width$}{text}", "", width = indent * 2);
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A label and what goes with it, in columns.
    pub(super) fn pair(&mut self, indent: usize, label: &str, text: impl AsRef<str>) {
        self.line(indent, format!("{label:<17} {}", text.as_ref()));
    }

    /// A title, with an empty line before it unless it is the first.
    pub(super) fn title(&mut self, text: impl AsRef<str>) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(0, text);
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The text with everything escaped that a terminal would obey, or that would make it look like
/// another text.
#[must_use]
pub(super) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            // Writing to a string can't fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same for JSON, which has such characters only within its strings.
#[must_use]
pub(super) fn plain_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, those that turn the direction of text, and those that take no room.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// A time in UTC, in milliseconds.
pub(super) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// A length of time in its two largest units.
pub(super) fn lasting(ms: u64) -> String {
    const UNITS: [(&str, u64); 4] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    if ms < 10_000 {
        return agent_core::seconds(ms);
    }
    let mut rest = ms;
    let mut parts = Vec::new();
    for (name, unit_ms) in UNITS {
        if rest >= unit_ms && parts.len() < 2 {
            parts.push(format!("{} {name}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        let mut page = Page::default();
        page.line(1, "a\u{1b}[2Jb\nc\u{202e}d\u{9b}e\u{200b}f é 漢");
        let shown = "  a\\u{1b}[2Jb\\u{a}c\\u{202e}d\\u{9b}e\\u{200b}f é 漢\n";
        assert_eq!(page.finish(), shown);
        assert_eq!(plain_json("\"\u{202e}\u{9b}\"\n"), "\"\\u202e\\u009b\"\n");
        assert_eq!(plain_json("\u{e0001}"), "\\udb40\\udc01");
    }

    #[test]
    fn a_length_of_time_has_two_units() {
        for (ms, shown) in [
            (0, "0.0 s"),
            (1_500, "1.5 s"),
            (15_000, "15 s"),
            (61_000, "1 m 1 s"),
            (900_000, "15 m"),
            (3_599_000, "59 m 59 s"),
            (90_061_000, "1 d 1 h"),
        ] {
            assert_eq!(lasting(ms), shown);
        }
    }
}
