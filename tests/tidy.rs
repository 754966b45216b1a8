//! The rules of the house that no compiler checks: who may know whom, how long things may get,
//! which words are used, what the documents promise.

#[path = "tidy/long.rs"]
mod long;
#[path = "tidy/source.rs"]
mod source;

use long::LONG;
use serde_json::Value;
use source::{Source, crate_modules, functions, is_code, shipped, tree, words};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Lines of code, comments and blank lines not counted, tests within a file neither.
const LINES_OF_A_FILE: usize = 400;
const LINES_OF_A_FUNCTION: usize = 70;

/// The top level that the users of this project were promised, beside hidden tool files.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "agent",
    "config",
    "deploy",
    "probes",
    "tests",
];

/// Other TLS stacks, and what they are built on.
const FORBIDDEN: &[&str] = &["native-tls", "openssl", "openssl-sys", "ring"];

/// Tests that may sleep in real time, each with its reason.
const SLEEPERS: &[(&str, &str)] =
    &[("tests/harness/wait.rs", "the one loop that polls real processes, with a limit")];

/// Which packages of ours each package may name, in any kind of dependency.
const ARROWS: &[(&str, &[&str])] = &[
    ("agent-core", &[]),
    ("probes", &["agent-core"]),
    ("dr-agent", &["agent-core", "probes"]),
    ("twin", &[]),
    ("lab", &["agent-core", "dr-agent", "probes", "twin"]),
    ("tests", &["agent-core", "dr-agent", "lab", "probes", "twin"]),
];

/// What the core is made of; none of it has a clock, a socket or randomness of its own.
const CORE: &[&str] = &["ed25519-dalek", "jiff", "serde", "serde_json", "sha2"];

/// Modules of `agent/src` that carry what happened to somewhere else. They read the journal and do
/// not know each other.
const SINKS: &[&str] = &["alerts", "bus", "metrics", "recorder"];

/// Modules of `agent/src` that a sink or the executor may come to know only by way of `run.rs`.
const BENEATH: &[&str] = &["actions", "clock", "config", "executor", "journal"];

/// Modules of `agent/src` that know all the others, so nobody knows them.
const ABOVE: &[&str] = &["cli", "run"];

/// Words that have another one in the house's own dictionary, where no library or standard uses
/// them in a sense of its own.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("fake", "twin"),
    ("fleet", "estate"),
    ("incident", "proposal or episode"),
    ("mock", "twin"),
    ("ticket", "proposal"),
    ("workflow", "plan"),
];

#[test]
fn arrows_point_the_right_way() {
    let metadata = metadata();
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in members(&metadata) {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            wrong.push(format!("package {name} has no line in ARROWS: say whom it may know"));
            continue;
        };
        for other in dependencies.iter().filter(|other| ours.contains(*other)) {
            if !allowed.contains(other) {
                wrong.push(format!("{name} must not know {other}; it may know {allowed:?}"));
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for (name, dependencies) in members(&metadata()) {
        for other in dependencies.iter().filter(|_| name == "agent-core") {
            if !CORE.contains(other) && *other != "expect-test" {
                wrong.push(format!("agent-core must not depend on {other}: {CORE:?} suffice"));
            }
        }
    }
    for file in rust().iter().filter(|file| file.path.starts_with("agent/core/src/")) {
        if file.path == "agent/core/src/lib.rs" && !file.text.contains("no_std") {
            wrong.push(format!("{}: the core is #![no_std]", file.path));
        }
        for (number, line) in numbered(shipped(&file.text)) {
            if is_code(line) && line.contains("std::") && !line.contains("no_std") {
                wrong.push(format!("{}:{number}: the core knows core and alloc only", file.path));
            }
        }
    }
    report(&wrong);
}

#[test]
fn modules_of_the_agent_know_whom_they_may() {
    let mut wrong = Vec::new();
    for file in rust() {
        let Some(path) = file.path.strip_prefix("agent/src/") else { continue };
        let module = path.split(['/', '.']).next().unwrap_or(path);
        let text = shipped(&file.text);
        for other in crate_modules(text).into_iter().filter(|other| *other != module) {
            let sink = SINKS.contains(&other);
            let above = ABOVE.contains(&other) && !["main", "lib"].contains(&module);
            let stranger = match module {
                "cli" | "run" | "main" | "lib" => false,
                _ if SINKS.contains(&module) => sink || above || other == "executor",
                _ if BENEATH.contains(&module) => sink || above || other == "http",
                _ => above,
            };
            if stranger {
                wrong.push(format!("{}: {module} must not know {other}: run.rs does", file.path));
            }
        }
        let test = file.path.ends_with("tests.rs");
        if !test && !["turn", "journal"].contains(&module) && text.contains("journal.append(") {
            wrong.push(format!("{}: only turn.rs appends: send it an input", file.path));
        }
    }
    report(&wrong);
}

#[test]
fn files_and_functions_are_short() {
    let mut wrong = Vec::new();
    let mut over = BTreeSet::new();
    let mut complain = |path: &str, name: &str, complaint: String| {
        over.insert((path.to_owned(), name.to_owned()));
        if !exempt(path, name) {
            wrong.push(complaint);
        }
    };
    for Source { path, text, .. } in rust() {
        let text = shipped(&text);
        let lines = text.lines().filter(|line| is_code(line)).count();
        if lines > LINES_OF_A_FILE {
            complain(&path, "", format!("{path}: {lines} lines of code, over {LINES_OF_A_FILE}"));
        }
        for found in functions(text).iter().filter(|f| f.lines > LINES_OF_A_FUNCTION) {
            let (line, lines) = (found.line, found.lines);
            let complaint = format!("{path}:{line}: {lines} lines, over {LINES_OF_A_FUNCTION}");
            complain(&path, found.name, complaint);
        }
    }
    for (path, name, _) in LONG {
        if !over.contains(&((*path).to_owned(), (*name).to_owned())) {
            wrong.push(format!("{path} {name}: not over budget any more, take it off the list"));
        }
    }
    report(&wrong);
}

#[test]
fn nothing_is_left_for_later() {
    let mut wrong = Vec::new();
    for file in tree(top()).iter().filter(|file| is_prose_or_code(&file.path)) {
        for (number, line) in numbered(&file.text) {
            let place = format!("{}:{number}", file.path);
            for word in line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '!') {
                let word = word.trim_start_matches('!');
                if ["TODO", "FIXME", "XXX"].contains(&word.trim_end_matches('!')) {
                    wrong.push(format!("{place}: {word}: do it, or leave it out and say so"));
                }
                if ["todo!", "unimplemented!", "dbg!"].contains(&word) {
                    wrong.push(format!("{place}: {word} has no place here"));
                }
            }
            if line.contains(" /work/") || line.contains("\"/work/") || line.contains("`/work/") {
                wrong.push(format!("{place}: a path of one machine"));
            }
        }
    }
    report(&wrong);
}

#[test]
fn one_word_for_one_thing() {
    let mut wrong = Vec::new();
    for file in tree(top()).iter().filter(|file| is_prose_or_code(&file.path)) {
        for (number, line) in numbered(&file.text) {
            let place = format!("{}:{number}", file.path);
            for (word, ours) in OTHER_WORDS {
                if words(line).iter().any(|found| found == word) {
                    wrong.push(format!("{place}: {word}: the word here is {ours}"));
                }
            }
            if line.to_lowercase().contains("replication group") {
                wrong.push(format!("{place}: replication group: the word here is link"));
            }
        }
    }
    report(&wrong);
}

#[test]
fn the_top_level_is_the_given_one() {
    let given: BTreeSet<&str> = TOP.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(top()).expect("the top can be read") {
        let name = entry.expect("the top can be read").file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "target" && !given.contains(name.as_str()) {
            wrong.push(format!("{name} at the top: only {TOP:?} and hidden tool files"));
        }
        found.insert(name);
    }
    wrong.extend(
        given
            .iter()
            .filter(|name| !found.contains(**name))
            .map(|name| format!("{name} is missing at the top")),
    );
    report(&wrong);
}

#[test]
fn every_package_uses_the_lints_of_the_workspace() {
    let mut wrong = Vec::new();
    for file in tree(top()).iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let manifest: toml::Table = file.text.parse().expect("cargo has parsed it, too");
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            wrong.push(format!("{}: needs [lints] workspace = true", file.path));
        }
    }
    report(&wrong);
}

#[test]
fn there_is_one_tls_stack() {
    // For this machine's platform; the packages of others may not be here. cargo-deny looks there.
    let tree = cargo(&["tree", "--workspace", "--offline", "--prefix", "none", "--format", "{p}"]);
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(packages.contains("rustls"), "the tree is that of the workspace");
    let found = FORBIDDEN.iter().filter(|name| packages.contains(**name));
    let wrong: Vec<_> = found.map(|name| format!("{name}: see `cargo tree -i {name}`")).collect();
    report(&wrong);
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    for file in tree(top()).iter().filter(|file| file.path.ends_with(".md")) {
        let folder = top().join(&file.path).parent().expect("a file is in a folder").to_owned();
        let mut fenced = false;
        for (number, line) in numbered(&file.text) {
            fenced ^= line.trim_start().starts_with("```");
            for link in line.split("](").skip(1).filter(|_| !fenced) {
                let target = link.split([')', ' ', '#']).next().unwrap_or_default();
                let elsewhere = target.contains("://") || target.starts_with("mailto:");
                if !target.is_empty() && !elsewhere && !folder.join(target).exists() {
                    wrong.push(format!("{}:{number}: {target} is not there", file.path));
                }
            }
        }
    }
    report(&wrong);
}

#[test]
fn every_invariant_names_the_test_that_holds_it() {
    let path = "agent/ARCHITECTURE.md";
    let document =
        std::fs::read_to_string(top().join(path)).expect("agent/ARCHITECTURE.md is there");
    let mut tests = BTreeSet::new();
    for file in rust() {
        tests.extend(functions(&file.text).iter().map(|found| found.name.to_owned()));
        // Those inside of modules of tests and macros are found by their line alone.
        tests.extend(
            file.text
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split_once('(').map(|(name, _)| name.trim().to_owned())),
        );
    }
    let items = invariants(&document);
    let mut wrong = Vec::new();
    if items.is_empty() {
        wrong.push(format!("{path}: no section with `nvariants` in its heading that has a list"));
    }
    for item in items {
        let named = held_by(&item);
        if named.is_empty() {
            wrong.push(format!("{path}: \"{item}\" names no test: (held by `test_name`)"));
        }
        for name in named.iter().filter(|name| !tests.contains(**name)) {
            wrong.push(format!("{path}: \"{item}\": there is no test {name}"));
        }
    }
    report(&wrong);
}

#[test]
fn tests_are_run_and_do_not_sleep() {
    let mut wrong = Vec::new();
    for Source { path, text, .. } in rust() {
        for (number, _) in numbered(&text).filter(|(_, line)| line.trim().starts_with("#[ignore")) {
            wrong.push(format!("{path}:{number}: a test that is not run is none"));
        }
        let a_program = !path.starts_with("tests/")
            || path.starts_with("tests/twin/")
            || path.starts_with("tests/lab/");
        let all_tests = !a_program || path.ends_with("/tests.rs") || path.contains("/tests/");
        let before = if all_tests { 0 } else { shipped(&text).len() };
        // Where a test has taken the clock into its own hands, sleeping takes no time.
        let sleeps = text[before..].contains("sleep(") && !text.contains("start_paused");
        if sleeps && !SLEEPERS.iter().any(|(sleeper, _)| *sleeper == path) {
            wrong.push(format!("{path}: a test sleeps: poll with a limit (harness::wait)"));
        }
    }
    report(&wrong);
}

#[test]
fn scripts_can_be_executed() {
    let mut wrong = Vec::new();
    for file in tree(top()) {
        let script = file.text.starts_with("#!/") || file.path.ends_with(".sh");
        if script != file.executable {
            let should = if script { "be" } else { "not be" };
            wrong.push(format!("{}: should {should} executable", file.path));
        }
    }
    report(&wrong);
}

fn top() -> &'static Path {
    static TOP: OnceLock<PathBuf> = OnceLock::new();
    TOP.get_or_init(|| {
        let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where we are");
        Path::new(&package).parent().expect("this package is one below the top").to_owned()
    })
}

fn rust() -> Vec<Source> {
    let mut files = tree(top());
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(files.len() > 10, "the sources are found");
    files
}

/// This file and the tool files have to name what they forbid.
fn is_prose_or_code(path: &str) -> bool {
    let kinds = [".rs", ".md", ".toml", ".py", ".sql", ".txt", ".yml", ".yaml", "/run", ".service"];
    kinds.iter().any(|kind| path.ends_with(kind)) && path != "tests/tidy.rs"
}

fn exempt(path: &str, name: &str) -> bool {
    LONG.iter().any(|(known_path, known_name, _)| *known_path == path && *known_name == name)
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} found:\n{}", wrong.len(), wrong.join("\n"));
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(top())
        .output()
        .expect("cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// What cargo knows of the packages of the workspace.
fn metadata() -> Value {
    let arguments = ["metadata", "--format-version", "1", "--offline", "--no-deps"];
    serde_json::from_str(&cargo(&arguments)).expect("cargo writes JSON")
}

/// Packages of the workspace, each with the names of all that it depends on in any way.
fn members(metadata: &Value) -> Vec<(&str, Vec<&str>)> {
    let ids = array(metadata, "workspace_members");
    let packages =
        array(metadata, "packages").iter().filter(|package| ids.contains(&package["id"]));
    let names = |package| array(package, "dependencies").iter().map(|d| text(d, "name")).collect();
    packages.map(|package| (text(package, "name"), names(package))).collect()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is a text"))
}

/// The items of the lists in sections about invariants, each on one line.
fn invariants(document: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let (mut inside, mut in_item) = (false, false);
    for line in document.lines() {
        let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered = number.len() < line.len() && number.starts_with(". ");
        if line.starts_with('#') {
            inside = line.to_lowercase().contains("invariant");
            in_item = false;
        } else if inside && (numbered || line.starts_with("- ") || line.starts_with("* ")) {
            items.push(line.to_owned());
            in_item = true;
        } else if line.trim().is_empty() {
            in_item = false;
        } else if in_item {
            let item = items.last_mut().expect("an item is open");
            item.push(' ');
            item.push_str(line.trim());
        }
    }
    items
}

/// The tests named in `(held by `path::name`, `name`)`, without their paths.
fn held_by(item: &str) -> Vec<&str> {
    let Some((_, rest)) = item.split_once("(held by ") else { return Vec::new() };
    let inside = rest.split(')').next().unwrap_or_default();
    let quoted = inside.split('`').skip(1).step_by(2);
    quoted.map(|name| name.rsplit("::").next().unwrap_or(name)).collect()
}

#[test]
fn the_format_of_invariants_is_understood() {
    let document = "# Invariants\n\n1. One thing\n   holds (held by `a::b`, `c`).\n- Another.\n\n\
                    Prose.\n\n# Else\n- no invariant\n";
    let items = invariants(document);
    assert_eq!(items, ["1. One thing holds (held by `a::b`, `c`).", "- Another."]);
    assert_eq!(held_by(&items[0]), ["b", "c"]);
    assert!(held_by(&items[1]).is_empty());
}
