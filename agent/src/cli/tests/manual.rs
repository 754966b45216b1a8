//! What is made of the command line for shells and for `man`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::ValueEnum as _;
use clap_complete::Shell;

use super::super::{completions, man};

#[test]
fn every_command_has_a_page_and_groff_has_nothing_to_say_about_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let command = man::command();
    man::write_all(&command, folder.path()).expect("written");
    let mut expected = vec!["dr-agent".to_owned()];
    names(&command, "dr-agent", &mut expected);
    assert!(expected.contains(&"dr-agent-key-new".to_owned()), "{expected:?}");
    for name in &expected {
        let file = folder.path().join(format!("{name}.1"));
        let page = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        for part in [".TH", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(page.contains(part), "{name} has no {part}:\n{page}");
        }
        groff(&file, name);
    }
    let pages = fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(pages, expected.len(), "a page too many");
}

#[test]
fn bash_loads_its_completions_and_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("dr-agent.bash");
    let script = completions::script(Shell::Bash).expect("a script");
    fs::write(&file, script).expect("written");
    let complete = |words: &str, at: usize| {
        // The function that bash is told to call bears whatever name the script gave it.
        let ask = format!(
            "source \"$1\" && how=$(complete -p dr-agent) && how=${{how##*-F }} && \
             COMP_WORDS=({words}) COMP_CWORD={at} && \
             ${{how%% *}} dr-agent \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{at} - 1]}}\" && \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let bash = Command::new("bash")
            .args(["--norc", "--noprofile", "-u", "-c", &ask, "bash"])
            .arg(&file)
            .stdin(Stdio::null())
            .output()
            .expect("there is bash");
        let said = String::from_utf8_lossy(&bash.stderr).into_owned();
        assert!(bash.status.success() && said.is_empty(), "{words}: {said}");
        String::from_utf8(bash.stdout).expect("text")
    };
    assert_eq!(complete("dr-agent appr", 1), "approve\n");
    assert_eq!(complete("dr-agent key n", 2), "new\n");
    let options = complete("dr-agent approve --a", 2);
    assert!(options.lines().any(|option| option == "--approver"), "{options}");
}

#[test]
fn fish_loads_its_completions_and_completes() {
    let Some((folder, file)) = installed(Shell::Fish, "fish", "dr-agent.fish") else { return };
    for (words, wanted) in [("dr-agent appr", "approve\t"), ("dr-agent key n", "new\t")] {
        let ask = format!("source {}; complete -C '{words}'", file.display());
        let said = answer(Command::new("fish").args(["--no-config", "-c", &ask]), folder.path());
        assert!(said.starts_with(wanted) && said.lines().count() == 1, "{words}: {said}");
    }
}

#[test]
fn zsh_finds_and_loads_its_completions() {
    let Some((folder, _)) = installed(Shell::Zsh, "zsh", "_dr-agent") else { return };
    let ask = "fpath=($1 $fpath); autoload -U compinit && compinit -u -D && \
               autoload +X _dr-agent && print -r -- $_comps[dr-agent] ${+functions[_dr-agent]}";
    let mut zsh = Command::new("zsh");
    let said = answer(zsh.args(["-f", "-c", ask, "zsh"]).arg(folder.path()), folder.path());
    assert_eq!(said, "_dr-agent 1\n");
}

/// The shell's script in a folder; None where that shell is not installed, as the test command does.
fn installed(shell: Shell, program: &str, name: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().ok()?;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    fs::write(&file, completions::script(shell).expect("a script")).expect("written");
    Some((folder, file))
}

/// What a shell prints; it has nothing to complain of.
fn answer(shell: &mut Command, home: &Path) -> String {
    let output = shell.env("HOME", home).stdin(Stdio::null()).output().expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_shell_gets_something() {
    for shell in Shell::value_variants() {
        let script = completions::script(*shell).expect("a script");
        assert!(script.contains("acknowledge"), "{shell}");
    }
}

fn names(command: &clap::Command, before: &str, into: &mut Vec<String>) {
    for command in command.get_subcommands() {
        let name = format!("{before}-{}", command.get_name());
        names(command, &name, into);
        into.push(name);
    }
}

/// Where it is installed, the opinion of what shows the page.
fn groff(page: &Path, name: &str) {
    let groff = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(page).output();
    let Ok(groff) = groff else { return };
    let words = String::from_utf8_lossy(&groff.stderr);
    assert!(groff.status.success() && words.trim().is_empty(), "{name}: {words}");
}
