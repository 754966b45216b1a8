//! The tree as text: which files there are, what of them ships, how long functions are.
//!
//! Works on lines, for everything here is formatted by rustfmt.

use std::path::Path;

/// A text file of the repository.
pub(crate) struct Source {
    /// Relative to the top, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) executable: bool,
}

/// A function and how many lines of code it has, from its signature to its closing brace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// All text files below `top`, in order of path; not what cargo or git keep for themselves.
pub(crate) fn tree(top: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    collect(top, top, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// What of a Rust file ships: all before its module of tests.
pub(crate) fn shipped(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end])
}

/// Whether a line is neither blank nor only a comment.
pub(crate) fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with("//")
}

/// The functions of a Rust file, nested ones and those of traits without a body left out.
pub(crate) fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(name) = function_name(lines[at]) else {
            at += 1;
            continue;
        };
        let last = closing_line(&lines, at);
        let length = lines[at..=last].iter().filter(|line| is_code(line)).count();
        found.push(Function { name, line: at + 1, lines: length });
        at = last + 1;
    }
    found
}

/// The words of a text, identifiers split at underscores and capitals, in lower case.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in line.chars() {
        let starts = letter.is_uppercase() && before.is_lowercase();
        if starts || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric() {
            words.last_mut().expect("never empty").extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The modules that a file names as `crate::NAME` or `crate::{NAME, ..}`.
pub(crate) fn crate_modules(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(first_names(group)),
            None => found.push(identifier(rest)),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn collect(top: &Path, folder: &Path, found: &mut Vec<Source>) {
    use std::os::unix::fs::PermissionsExt;

    let entries = std::fs::read_dir(folder).expect("a folder of the tree can be read");
    for entry in entries {
        let path = entry.expect("a folder of the tree can be read").path();
        let relative = path.strip_prefix(top).expect("it is below the top");
        let name = relative.to_str().expect("paths of the tree are UTF-8").to_owned();
        if path.is_symlink() || ["target", ".git", ".work"].contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(top, &path, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let mode = path.metadata().expect("it was just read").permissions().mode();
            found.push(Source { path: name, text, executable: mode & 0o111 != 0 });
        }
    }
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    if rest.starts_with("pub(") {
        rest = rest.split_once(") ")?.1;
    }
    for word in ["pub ", "default ", "const ", "async ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let name = identifier(rest.strip_prefix("fn ")?);
    (!name.is_empty()).then_some(name)
}

/// The line on which the function that begins on line `at` ends.
fn closing_line(lines: &[&str], at: usize) -> usize {
    let indent = lines[at].len() - lines[at].trim_start().len();
    let ends_here = |line: &&str| line.ends_with(['{', ';', '}']);
    let Some(head) = lines[at..].iter().position(ends_here).map(|n| at + n) else {
        return lines.len() - 1;
    };
    if !lines[head].ends_with('{') {
        return head;
    }
    let closes = |line: &&str| line.trim_end() == format!("{}}}", &lines[at][..indent]);
    lines[head + 1..].iter().position(closes).map_or(lines.len() - 1, |n| head + 1 + n)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first name of each element of a group of imports, `group` beginning behind its brace.
fn first_names(group: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut expects_name = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects_name = true,
            _ if letter.is_whitespace() => {}
            _ if expects_name => {
                names.push(identifier(&group[at..]));
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_functions_and_their_length() {
        let text = "pub(crate) async fn a<T>(\n    x: T,\n) -> T {\n    // why\n\n    x\n}\n\n\
                    impl X {\n    fn b(&self) -> [u8; 2];\n    pub fn c() {}\n    fn d() {\n        \
                    if x {\n        }\n    }\n}\n";
        let found: Vec<_> =
            functions(text).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        assert_eq!(found, [("a", 1, 5), ("b", 10, 1), ("c", 11, 1), ("d", 12, 4)]);
    }

    #[test]
    fn tests_do_not_ship() {
        assert_eq!(shipped("a\n\n#[cfg(test)]\nmod tests {\n}\n"), "a\n");
        let with_helper = "#[cfg(test)]\nuse x;\nb\n";
        assert_eq!(shipped(with_helper), with_helper);
    }

    #[test]
    fn splits_words() {
        assert_eq!(words("struct FooBar_baz; // Qux."), ["struct", "foo", "bar", "baz", "qux"]);
    }

    #[test]
    fn finds_modules_in_every_form() {
        let text = "use crate::a::B;\nuse crate::{c, d::{E, F}, g};\ncrate::h(); other_crate::i();";
        assert_eq!(crate_modules(text), ["a", "c", "d", "g", "h"]);
    }
}
