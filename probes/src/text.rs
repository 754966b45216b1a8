//! Texts from the other side of the wire, made fit for logs, evidence and signed snapshots.

/// Characters of a foreign text that are kept.
const LIMIT: usize = 240;

/// One line without control characters, cut at a length that evidence can carry.
pub(crate) fn plain(text: &str) -> String {
    let mut line = String::new();
    let mut kept = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        if kept > 0 {
            line.push(' ');
            kept += 1;
        }
        for c in word.chars() {
            if kept >= LIMIT {
                line.push('…');
                return line;
            }
            line.push(c);
            kept += 1;
        }
    }
    line
}

/// An error with all its causes, outermost first; many libraries hide what happened in the last one.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    // A chain of causes is short; the bound is against one that bites its own tail.
    for _ in 0..16 {
        let Some(cause) = next else { break };
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    plain(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(plain("Login failed\r\n for\u{1b}[31m user"), "Login failed for [31m user");
        assert_eq!(plain(&"x".repeat(10_000)).chars().count(), LIMIT + 1);
    }

    #[test]
    fn the_innermost_cause_is_told() {
        let inner = std::io::Error::other("name or service not known");
        let outer = std::io::Error::other(inner);
        assert_eq!(causes(&outer), "name or service not known");
    }
}
