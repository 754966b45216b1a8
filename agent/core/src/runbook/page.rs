//! A page of Markdown that reads as plain text: 78 columns, printable on A4.

use alloc::{
    format,
    string::{String, ToString},
};

use jiff::Timestamp;

/// Columns of a page.
const WIDTH: usize = 78;
/// Columns of a label.
const LABEL: usize = 18;

#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn title(&mut self, level: usize, title: &str) {
        self.gap();
        self.text.push_str(&format!("{} {}\n\n", "#".repeat(level), plain(title)));
    }

    /// A paragraph.
    pub(super) fn text(&mut self, words: &str) {
        self.gap();
        self.wrapped("", "", words);
    }

    /// An item of a list.
    pub(super) fn item(&mut self, words: &str) {
        self.gap_unless("* ");
        self.wrapped("* ", "  ", words);
    }

    /// A box to tick, for what is done one after the other.
    pub(super) fn step(&mut self, words: &str) {
        self.gap();
        self.wrapped("[ ] ", "    ", words);
    }

    /// A label and what goes with it. Two spaces at the end keep Markdown from joining the lines.
    pub(super) fn pair(&mut self, label: &str, words: &str) {
        let first = format!("    {label:<LABEL$}");
        let rest = " ".repeat(4 + LABEL);
        self.gap_unless("    ");
        self.wrapped(&first, &rest, words);
    }

    /// One line, never broken.
    pub(super) fn line(&mut self, words: &str) {
        self.gap();
        self.text.push_str(&plain(words));
        self.text.push('\n');
    }

    /// Something to be typed as it stands.
    pub(super) fn code(&mut self, language: &str, lines: &str) {
        self.gap();
        let lines: String = lines.lines().map(|line| plain(line) + "\n").collect();
        self.text.push_str(&format!("```{language}\n{lines}```\n"));
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// An empty line, unless there is one or nothing yet.
    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// The same, unless the last line belongs to a block that begins like this.
    fn gap_unless(&mut self, begin: &str) {
        let last = self.text.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
        let inside = last.starts_with(begin) || last.starts_with(&" ".repeat(begin.len()));
        if !inside || self.text.ends_with("\n\n") {
            self.gap();
        }
    }

    fn wrapped(&mut self, first: &str, rest: &str, words: &str) {
        let words = plain(words);
        let (mut line, mut empty) = (first.to_string(), true);
        for word in words.split(' ').filter(|word| !word.is_empty()) {
            let width = line.chars().count() + usize::from(!empty) + word.chars().count();
            if !empty && width > WIDTH {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                (line, empty) = (rest.to_string(), true);
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// Without what paper can't show and a terminal would obey.
fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A time, to the second.
pub(super) fn time(at: Timestamp) -> String {
    let text = format!("{at:.0}");
    text.trim_end_matches('Z').replacen('T', " ", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_wide_as_paper() {
        let mut page = Page::default();
        page.title(1, "One\u{1b}[2J");
        page.text(&"word ".repeat(30));
        page.item(&"item ".repeat(20));
        page.item("short");
        page.pair("Label", &"pair ".repeat(20));
        page.pair("", "next");
        page.step("done");
        page.code("sql", "SELECT 1;\nGO");
        let text = page.finish();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("* short\n\n    Label"), "{text}");
        assert!(text.contains("next\n\n[ ] done\n\n```sql\nSELECT 1;\nGO\n```\n"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains("\n\n\n"), "{text}");
    }
}
