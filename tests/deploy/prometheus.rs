//! Alerting rules and examples, judged by promtool and amtool.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{ask, folder};

const RULES: &str = "dr-agent.rules.yml";
const TESTS: [&str; 3] = ["tests/agent.yml", "tests/link.yml", "tests/proposal.yml"];

#[test]
fn promtool_takes_the_rules_and_the_example() {
    let folder = folder("prometheus");
    let words = ask("promtool", &["check", "rules", RULES], &folder).expect("good rules");
    let rules = alerts(&read(RULES)).len();
    assert!(words.contains(&format!("{rules} rules found")), "{words}");
    ask("promtool", &["check", "config", "prometheus.yml"], &folder).expect("a good example");
}

#[test]
fn amtool_takes_the_example() {
    let words = ask("amtool", &["check-config", "alertmanager.yml"], &folder("prometheus"));
    let words = words.expect("a good example");
    assert!(words.contains("3 receivers"), "{words}");
}

#[test]
fn the_rules_say_what_their_tests_expect() {
    let mut arguments = vec!["test", "rules"];
    arguments.extend(TESTS);
    ask("promtool", &arguments, &folder("prometheus")).unwrap_or_else(|words| panic!("{words}"));
}

#[test]
fn every_rule_is_seen_to_fire_and_to_stay_quiet() {
    let mut fired = BTreeSet::new();
    let mut quiet = BTreeSet::new();
    for file in TESTS {
        let text = read(file);
        let mut of = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("alertname: ") {
                of = name;
            }
            match line {
                "exp_alerts: []" => quiet.insert(of.to_owned()),
                "exp_alerts:" => fired.insert(of.to_owned()),
                _ => continue,
            };
        }
    }
    let names: BTreeSet<String> = alerts(&read(RULES)).into_keys().collect();
    assert!(names.len() > 25, "the rules are understood: {names:?}");
    assert_eq!(fired, names, "rules against those that a test sees fire");
    assert_eq!(quiet, names, "rules against those that a test sees stay quiet");
}

#[test]
fn every_rule_says_what_to_do_and_why_it_waits() {
    let mut wrong = Vec::new();
    for (name, text) in alerts(&read(RULES)) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut need = |what: &str, holds: bool| {
            if !holds {
                wrong.push(format!("{name}: {what}"));
            }
        };
        let value = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key));
        let severity = value("severity: ");
        need("severity is page or warning", matches!(severity, Some("page" | "warning")));
        for key in ["summary: ", "description: ", "runbook: "] {
            need(key, value(key).is_some_and(|text| text.len() > 20));
        }
        need("its runbook has a command", value("runbook: ").is_some_and(|r| r.contains('`')));
        let waits = lines.iter().position(|line| line.starts_with("for: "));
        let reason = waits.and_then(|at| lines.get(at.checked_sub(1)?));
        need("`for` has its reason above it", reason.is_some_and(|line| line.starts_with("# ")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_commands_of_runbooks_are_commands_of_the_agent() {
    let rules = read(RULES);
    let quoted = rules.split('`').skip(1).step_by(2);
    let ours: BTreeSet<&str> = quoted
        .filter_map(|command| command.strip_prefix("dr-agent ")?.split(' ').next())
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect();
    assert!(ours.len() > 5, "the runbooks are understood: {ours:?}");
    for command in ours {
        let mut agent = tests::harness::ours("dr-agent");
        let help = agent.args([command, "--help"]).output().expect("it can be run");
        assert!(help.status.success(), "dr-agent {command} is no command");
    }
}

/// A rule over a metric that nobody exports stays quiet for ever.
#[test]
fn every_metric_of_the_rules_is_one_of_the_agent() {
    let rules = read(RULES);
    let names: BTreeSet<&str> = rules
        .split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .filter(|word| word.starts_with("dr_agent_"))
        .collect();
    assert!(names.len() > 25, "the rules are understood: {names:?}");
    let mut sources = String::new();
    let top = folder("prometheus");
    let top = top.ancestors().nth(2).expect("deploy/prometheus is two below the top");
    let mut folders = vec![top.join("agent/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                sources.push_str(&fs::read_to_string(&path).expect("a file of ours"));
            }
        }
    }
    let unknown: Vec<_> =
        names.iter().filter(|name| !sources.contains(&format!("\"{name}\""))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn read(file: &str) -> String {
    fs::read_to_string(folder("prometheus").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Each rule by its name, with its text.
fn alerts(rules: &str) -> BTreeMap<String, String> {
    let rules = rules.split("- alert: ").skip(1);
    rules
        .map(|rule| {
            let (name, text) = rule.split_once('\n').expect("a rule has more than a name");
            (name.to_owned(), text.to_owned())
        })
        .collect()
}
