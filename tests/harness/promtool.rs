//! Prometheus' own opinion of our metrics.

use std::io::Write;
use std::process::{Command, Stdio};

/// Has the real `promtool check metrics` read a scrape; its words if it finds fault.
///
/// # Errors
/// What promtool complains about: the format, and names or help texts against its conventions.
///
/// # Panics
/// When promtool is not installed.
pub fn promtool_check_metrics(scrape: &str) -> Result<(), String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: tests/run --install");
    // It reads to the end before it says anything; the pipe closes at the end of the statement.
    let written =
        promtool.stdin.take().expect("standard input is a pipe").write_all(scrape.as_bytes());
    let output =
        promtool.wait_with_output().map_err(|error| format!("promtool is gone: {error}"))?;
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    match written {
        Err(error) => Err(format!("promtool stopped reading: {error}; {words}")),
        Ok(()) if output.status.success() && words.is_empty() => Ok(()),
        Ok(()) => Err(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_metrics_pass() {
        let scrape = "# HELP link_lag_seconds How far behind.\n\
                      # TYPE link_lag_seconds gauge\n\
                      link_lag_seconds{link=\"a\"} 1.5\n";
        assert_eq!(promtool_check_metrics(scrape), Ok(()));
    }

    #[test]
    fn bad_ones_do_not() {
        let no_help = promtool_check_metrics("looks_total 1\n");
        assert!(no_help.as_ref().is_err_and(|words| words.contains("no help text")), "{no_help:?}");
        assert!(promtool_check_metrics("no metric at all {\n").is_err());
    }
}
