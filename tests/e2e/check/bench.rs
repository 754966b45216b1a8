//! A twin, a configuration that fits it, and ways to break and to mend both.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use lab::{setup::Setup, twin::Twin};
use serde_json::Value;
use tempfile::TempDir;
use tests::harness::{Process, ours};
use tokio::{runtime::Builder, time::timeout};
use toml::{Table, Value as Setting};
use twin::world::setup::Change;

use super::super::{
    operator::log_in,
    rig::{APPROVERS, LIMIT, MI, SQL},
};

/// One way to break a set-up.
pub(super) struct Case {
    /// The check that has to find it.
    pub(super) id: &'static str,
    /// A part of the finding's subject.
    pub(super) subject: &'static str,
    /// What the evidence has to say.
    pub(super) words: &'static str,
    pub(super) broken: fn(&mut Bench),
    /// Which of the fixes are followed.
    pub(super) mend: Mend,
}

/// How the test does what a finding tells.
#[derive(Clone, Copy)]
pub(super) enum Mend {
    /// Runs its statements on the server that it names.
    Sql,
    /// The same, and then something that no statement does.
    SqlAnd(fn(&mut Bench)),
    /// Gives the configuration key that it names, and no other, the right value again.
    Config,
    /// Runs its command.
    Shell,
    /// Does what it says where there is no statement: a patch, the portal, another place.
    Hand(fn(&mut Bench)),
}

pub(super) struct Bench {
    pub(super) twin: Twin,
    good: Table,
    table: Table,
    config: PathBuf,
    secrets: Vec<(PathBuf, String)>,
    /// What a case holds on to until it is mended.
    pub(super) held: Vec<Box<dyn std::any::Any>>,
    _twin: Process,
    // Last, for the others write into it until they end.
    folder: TempDir,
}

pub(super) struct Report {
    pub(super) code: i32,
    body: Value,
}

impl Bench {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoints = folder.path().join("endpoints.json");
        let mut command = ours("twin");
        command.arg("run").arg("--endpoints").arg(&endpoints).args(["--seed", "7"]);
        let mut process = Process::start("twin", command, folder.path());
        process.wait_until("its doors", LIMIT, |_| endpoints.exists().then_some(()));
        let twin = Twin::open(&endpoints).expect("the twin says where its doors are");
        let mut setup = Setup::new(folder.path(), &twin.endpoints).expect("a configuration");
        for who in APPROVERS {
            let key = dr_agent::keys::generate().expect("randomness");
            let public = dr_agent::keys::show_public(&key.verifying_key());
            setup.set(&format!("approvers.{who}.public_key"), public).expect("a key is set");
        }
        // Nothing is failed over here, so there is no command that stops the applications.
        setup.unset("links.0.planned").expect("a key is taken out");
        let config = setup.write().expect("the configuration is written");
        let text = fs::read_to_string(&config).expect("it is there");
        let good: Table = text.parse().expect("it is TOML");
        let secrets = ["token", "sql-password", "mi-password", "arm-secret"].map(|name| {
            let path = folder.path().join(name);
            let secret = fs::read_to_string(&path).expect("a secret was written");
            (path, secret)
        });
        Self {
            twin,
            table: good.clone(),
            good,
            config,
            secrets: secrets.into(),
            held: Vec::new(),
            _twin: process,
            folder,
        }
    }

    /// Breaks, looks, mends, looks again.
    pub(super) fn play(&mut self, case: &Case) {
        let name = format!("{} ({}: {})", case.id, case.subject, case.words);
        (case.broken)(self);
        let report = self.check();
        let finding = report.finding(case.id, case.subject);
        let finding = finding.unwrap_or_else(|| panic!("{name} is not told: {:#}", report.body));
        let verdict = finding["verdict"].as_str().unwrap_or_default();
        assert!(matches!(verdict, "wrong" | "warning"), "{name}: {finding:#}");
        assert_eq!(report.code == 0, report.wrong().is_empty(), "{name}: the exit code");
        let evidence = finding["evidence"].as_str().unwrap_or_default();
        assert!(evidence.contains(case.words), "{name}: the evidence is {evidence:?}");
        let told = &report.body["mend"];
        let first = told.as_array().and_then(|told| told.first()).map(|first| &first["check"]);
        if verdict == "wrong" {
            assert_eq!(
                first,
                Some(&Value::from(case.id)),
                "{name} is first to be mended: {told:#}"
            );
        }
        self.mend(finding, case.mend, &name);
        let report = self.check();
        assert_eq!(report.wrong(), Vec::<String>::new(), "{name} is mended: {finding:#}");
        assert_eq!(report.code, 0, "{name} is mended");
        if let Some(after) = report.finding(case.id, case.subject) {
            assert_eq!(after["verdict"], "ok", "{name} is mended: {after:#}");
        }
    }

    /// Runs the check as a user would, without what is as it should be only where that is asked for.
    pub(super) fn check(&self) -> Report {
        self.check_with(&[])
    }

    pub(super) fn check_with(&self, arguments: &[&str]) -> Report {
        let text = toml::to_string(&self.table).expect("a configuration is TOML");
        fs::write(&self.config, text).expect("the configuration is written");
        let mut command = ours("dr-agent");
        command.args(["check", "--json", "--within", "30"]).args(arguments);
        let output = command.arg("--config").arg(&self.config).output().expect("it runs");
        let (said, complained) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        for (path, secret) in &self.secrets {
            let tells = said.contains(secret) || complained.contains(secret);
            assert!(!tells, "the secret in {} is told", path.display());
        }
        let body = serde_json::from_str(&said);
        let body = body.unwrap_or_else(|error| panic!("{error}: {said}\n{complained}"));
        Report { code: output.status.code().expect("it ends by itself"), body }
    }

    /// Sets a key of the configuration, for example `sql_servers.0.port`.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Setting>) {
        put(&mut self.table, key, Some(value.into()));
    }

    /// What is set now is how it should be.
    pub(super) fn keep(&mut self) {
        self.good = self.table.clone();
    }

    /// What a key ought to be.
    pub(super) fn good(&self, key: &str) -> Setting {
        get(&self.good, key).cloned().expect("it is set")
    }

    /// Takes a key out of it.
    pub(super) fn unset(&mut self, key: &str) {
        put(&mut self.table, key, None);
    }

    pub(super) fn change(&self, instance: &str, change: Change) {
        self.twin.set_up(instance, change).expect("the twin changes its set-up");
    }

    /// Overwrites a secret's file, or makes it, for its owner alone.
    pub(super) fn write_secret(&self, name: &str, secret: &str) {
        let path = self.path(name);
        fs::write(&path, secret).expect("a secret is written");
        set_mode(&path, 0o600);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a statement as the operator.
    pub(super) fn sql(&self, instance: &str, sql: &str) {
        self.try_sql(instance, sql).unwrap_or_else(|error| panic!("{instance}: {sql}: {error}"));
    }

    fn try_sql(&self, instance: &str, sql: &str) -> Result<(), String> {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let asked =
            runtime.block_on(async { timeout(LIMIT, operator(&self.twin, instance, sql)).await });
        asked.expect("an answer").map_err(|error| error.to_string())
    }

    /// The same, and once more where the finding says that it takes that.
    fn sql_as_told(&self, instance: &str, sql: &str, words: &[(String, String)]) {
        let again = words.iter().any(|(_, text)| text.contains("41104"));
        match self.try_sql(instance, sql) {
            Err(error) if again && error.contains("41104") => self.sql(instance, sql),
            Err(error) => panic!("{instance}: {sql}: {error}"),
            Ok(()) => {}
        }
    }

    fn mend(&mut self, finding: &Value, mend: Mend, name: &str) {
        let followed = |how: &str| -> Vec<(String, String)> {
            let fixes = finding["fix"].as_array().into_iter().flatten();
            let fixes = fixes.filter(|fix| fix["how"] == how);
            let text = |fix: &Value, key: &str| fix[key].as_str().unwrap_or_default().to_owned();
            fixes.map(|fix| (text(fix, "at"), text(fix, "text"))).collect()
        };
        let some = |how: &str| {
            let fixes = followed(how);
            assert!(!fixes.is_empty(), "{name} has a fix of the kind {how}: {finding:#}");
            fixes
        };
        match mend {
            Mend::Sql | Mend::SqlAnd(_) => {
                let subject = finding["subject"].as_str().unwrap_or_default();
                let instance = if subject.contains(MI) { MI } else { SQL };
                for (_, text) in some("sql") {
                    self.sql_as_told(instance, &filled(&text), &followed("words"));
                }
            }
            Mend::Config => {
                for (at, _) in some("config") {
                    self.restore(&at, name);
                }
            }
            Mend::Shell => {
                for (_, text) in some("shell") {
                    let done = Command::new("sh").args(["-c", &text]).status().expect("a shell");
                    assert!(done.success(), "{name}: {text}");
                }
            }
            Mend::Hand(_) => {
                let told = finding["fix"].as_array().is_some_and(|fixes| !fixes.is_empty());
                assert!(told, "{name} says what to do: {finding:#}");
            }
        }
        if let Mend::Hand(act) | Mend::SqlAnd(act) = mend {
            act(self);
        }
    }

    /// Gives one key its right value again; a secret's file is part of its key.
    fn restore(&mut self, at: &str, name: &str) {
        let mut key = at.replace('[', ".").replace(']', "");
        // There is exactly one way to trust a server: it is one value.
        if let Some((section, _)) = key.split_once(".trust.") {
            key = format!("{section}.trust");
        }
        let good = get(&self.good, &key).cloned();
        let file = good.as_ref().and_then(|good| good.get("file")).and_then(Setting::as_str);
        if let Some(file) = file {
            let path = self.folder.path().join(file);
            let secret = self.secrets.iter().find(|(of, _)| *of == path);
            let (_, secret) = secret.unwrap_or_else(|| panic!("{name}: {at} has a secret"));
            fs::write(&path, secret).expect("a secret is written");
        }
        put(&mut self.table, &key, good);
    }
}

impl Report {
    /// The first finding of a check that is not as it should be, else the first at all.
    pub(super) fn finding(&self, id: &str, subject: &str) -> Option<&Value> {
        let findings = self.body["findings"].as_array().into_iter().flatten();
        let mut found: Vec<_> = findings
            .filter(|finding| finding["check"] == id)
            .filter(|finding| finding["subject"].as_str().is_some_and(|of| of.contains(subject)))
            .collect();
        found.sort_by_key(|finding| {
            !matches!(finding["verdict"].as_str(), Some("wrong" | "warning"))
        });
        found.into_iter().next()
    }

    /// Everything that is wrong, in words.
    pub(super) fn wrong(&self) -> Vec<String> {
        let findings = self.body["findings"].as_array().into_iter().flatten();
        let wrong = findings.filter(|finding| finding["verdict"] == "wrong");
        let words = |finding: &Value| {
            format!("{} {}: {}", finding["check"], finding["subject"], finding["evidence"])
        };
        wrong.map(words).collect()
    }
}

/// Puts what an administrator would where a fix has a placeholder.
fn filled(text: &str) -> String {
    let mut text = text.to_owned();
    let known = [
        ("<certificate>", "Cert_SQL01_endpoint"),
        ("<years ahead>", "2036-12-31"),
        ("<path>", "D:\\backup\\sales"),
    ];
    for (placeholder, value) in known {
        text = text.replace(placeholder, value);
    }
    while let Some((before, rest)) = text.split_once('<') {
        let (placeholder, after) = rest.split_once('>').expect("a placeholder ends");
        let value = if placeholder.starts_with("0x") { "0x3082019A" } else { NEW_PASSWORD };
        text = format!("{before}{value}{after}");
    }
    text
}

/// Where a fix wants a new password.
pub(super) const NEW_PASSWORD: &str = "Quite-new-0815";

async fn operator(twin: &Twin, instance: &str, sql: &str) -> Result<(), tiberius::error::Error> {
    let mut client = log_in(twin, instance).await?;
    client.simple_query(sql).await?.into_results().await?;
    Ok(())
}

/// A file that is nobody else's to read.
pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is our file");
}

fn get<'t>(table: &'t Table, key: &str) -> Option<&'t Setting> {
    let mut steps = key.split('.');
    let mut found = table.get(steps.next()?)?;
    for step in steps {
        found = match found.as_array() {
            None => found.get(step)?,
            Some(list) => match step.parse::<usize>() {
                Ok(place) => list.get(place)?,
                // Without a number it is about the first one.
                Err(_) => list.first()?.get(step)?,
            },
        };
    }
    Some(found)
}

fn put(table: &mut Table, key: &str, value: Option<Setting>) {
    let (way, last) = key.rsplit_once('.').unwrap_or(("", key));
    let mut at = table;
    let mut steps = way.split('.').filter(|step| !step.is_empty()).peekable();
    while let Some(step) = steps.next() {
        let mut found = at.entry(step).or_insert_with(|| Setting::Table(Table::new()));
        if found.is_array() {
            let place = steps.peek().and_then(|step| step.parse::<usize>().ok());
            if place.is_some() {
                steps.next();
            }
            found = &mut found[place.unwrap_or(0)];
        }
        at = found.as_table_mut().unwrap_or_else(|| panic!("{key}: {step} is no table"));
    }
    match value {
        Some(value) => drop(at.insert(last.to_owned(), value)),
        None => drop(at.remove(last)),
    }
}
