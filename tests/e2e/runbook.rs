//! The paper runbook, used as people would use it: the agent is dead, and what stands on the page is
//! typed into a plain client, word for word.

use std::{cell::RefCell, collections::BTreeMap, process::Output};

use tests::harness::{ours, wait};
use tiberius::Row;
use twin::world::Fault;

use crate::{
    operator::log_in,
    planned::{handed_over, nothing_lost, wish},
    rig::{LIMIT, MI, Rig, SHOP, SQL, Wish},
};

/// What a part of the page has people do.
#[derive(Debug)]
enum Deed {
    /// A box to tick, in one line.
    Tick(String),
    /// A statement, and where it is run.
    Sql { on: String, statement: String },
    /// A command for the host of the agent.
    Shell(String),
}

struct Paper {
    text: String,
    /// Those that have a name.
    questions: BTreeMap<String, String>,
}

impl Paper {
    fn read(text: String) -> Self {
        let part = part(&text, "## 2. ");
        let mut questions = BTreeMap::new();
        for section in part.split("\n### ").skip(1) {
            let (name, rest) = section.split_once('\n').expect("a name");
            let code = rest.split_once("```sql\n").expect("a question has a statement").1;
            let code = code.split_once("```").expect("it ends").0;
            questions.insert(name.to_owned(), code.to_owned());
        }
        assert_eq!(questions.len(), 10, "{questions:#?}");
        Self { text, questions }
    }

    /// What a part, or a section of one, has people do, in order.
    fn deeds(&self, begin: &str) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let mut lines = part(&self.text, begin).lines().peekable();
        let mut on = String::new();
        while let Some(line) = lines.next() {
            if let Some(words) = line.strip_prefix("[ ] ") {
                let mut words = words.to_owned();
                while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
                    words = format!("{words} {}", more.trim());
                }
                deeds.push(Deed::Tick(words));
            } else if let Some(place) =
                line.strip_prefix("On ").filter(|_| line.ends_with("master:"))
            {
                on = place.split(' ').next().expect("a name").to_owned();
            } else if let Some(language) = line.strip_prefix("```") {
                let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                let statement = code.join("\n");
                match language {
                    "sql" => deeds.push(Deed::Sql { on: on.clone(), statement }),
                    "sh" => deeds.push(Deed::Shell(statement)),
                    _ => {}
                }
            }
        }
        assert!(!deeds.is_empty(), "{begin} is not there: {}", self.text);
        deeds
    }
}

/// From a heading to the next one of its kind.
fn part<'t>(text: &'t str, begin: &str) -> &'t str {
    let kind = begin.split(' ').next().expect("signs of a heading");
    let from = text.find(&format!("\n{begin}")).unwrap_or_else(|| panic!("{begin}: {text}")) + 1;
    let rest = &text[from..];
    let end = rest[1..].find(&format!("\n{kind} ")).map_or(rest.len(), |end| end + 2);
    &rest[..end]
}

/// Somebody with a client and the page.
struct Person<'r> {
    rig: &'r Rig,
    runtime: tokio::runtime::Runtime,
    paper: Paper,
    /// What had data movement go on, and where: one that came too early did nothing.
    resumed: RefCell<Option<(String, String)>>,
}

impl<'r> Person<'r> {
    fn new(rig: &'r Rig, text: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        Self { rig, runtime, paper: Paper::read(text), resumed: RefCell::default() }
    }

    fn run(&self, on: &str, statement: &str) -> Vec<Row> {
        if statement.contains("SET HADR RESUME") {
            *self.resumed.borrow_mut() = Some((on.to_owned(), statement.to_owned()));
        }
        // The page says of 41104: again, a few times.
        wait::until("the statement to be taken", LIMIT, || {
            match self.runtime.block_on(query(self.rig, on, statement)) {
                Ok(rows) => Some(rows),
                Err(error) if error.to_string().contains("41104") => None,
                Err(error) => panic!("{on}: {statement}: {error}"),
            }
        })
    }

    fn ask(&self, question: &str, on: &str) -> Vec<Row> {
        self.run(on, &self.paper.questions[question])
    }

    fn role(&self, on: &str) -> String {
        let rows = self.ask("ROLES", on);
        assert_eq!(rows.len(), 1, "one role on {on}");
        rows[0].get::<&str, _>("role_desc").expect("a role").to_owned()
    }

    fn writable(&self, on: &str) -> bool {
        let rows = self.ask("DATABASE", on);
        rows.iter().any(|row| {
            row.get::<&str, _>("updateability") == Some("READ_WRITE")
                && row.get::<&str, _>("state_desc") == Some("ONLINE")
        })
    }

    fn lsn(&self, on: &str, column: &str) -> Option<i128> {
        let rows = self.ask("DATABASE", on);
        let read = |row: &Row| row.get::<tiberius::numeric::Numeric, _>(column);
        rows.iter().find_map(read).map(tiberius::numeric::Numeric::value)
    }

    /// Ends whoever is named, until nobody is.
    fn end_all(&self, on: &str) {
        wait::until("an empty database", LIMIT, || {
            for row in self.ask("KILLS", on) {
                let statement = row.get::<&str, _>("statement").expect("a statement");
                // It may have gone by itself.
                let _ = self.runtime.block_on(query(self.rig, on, statement));
            }
            self.ask("SESSIONS", on).is_empty().then_some(())
        });
    }

    /// Does what a part says: looks at what it tells to look at, and types what it says. `quiet` are
    /// the shell commands that are run; the others are for another case.
    fn does(&self, begin: &str, hook: &str) {
        for deed in self.paper.deeds(begin) {
            match deed {
                Deed::Tick(words) => self.ticks(&words),
                Deed::Sql { on, statement } => {
                    self.run(&on, &statement);
                }
                Deed::Shell(command) if command.ends_with(hook) && !hook.is_empty() => {
                    let status = std::process::Command::new("sh").arg("-c").arg(&command).status();
                    assert!(status.expect("it can be run").success(), "{command}");
                }
                Deed::Shell(_) => {}
            }
        }
    }

    /// Asks what a box tells to ask, and looks at what is expected there.
    fn ticks(&self, words: &str) {
        if let Some((from, to)) = words.strip_prefix("DATABASE on ").and_then(|rest| {
            rest.split_once(": ").and_then(|(who, _)| who.split_once(", then on "))
        }) {
            wait::until("the gate", LIMIT, || {
                let end = self.lsn(from, "end_of_log_lsn").expect("the end of the log");
                (self.lsn(to, "last_hardened_lsn").expect("a position") >= end).then_some(())
            });
        } else if let Some(rest) = words.strip_prefix("ROLES on ") {
            for side in [SQL, MI] {
                for role in ["PRIMARY", "SECONDARY"] {
                    let expected = [format!("{side} {role}"), format!("{side} says {role}")];
                    if expected.iter().any(|words| rest.contains(words)) && self.answers(side) {
                        wait::until(&format!("{side} {role}"), LIMIT, || {
                            (self.role(side) == role).then_some(())
                        });
                    }
                }
            }
        } else if let Some(rest) = words.strip_prefix("DATABASE on ") {
            let (on, expected) = rest.split_once([':', '.']).expect("what is expected");
            if expected.contains("ONLINE and READ_WRITE") {
                wait::until("an open database", LIMIT, || self.writable(on).then_some(()));
            } else if expected.contains("not READ_WRITE any more") {
                assert!(!self.writable(on), "{on} takes writes");
            }
        } else if let Some(rest) = words.strip_prefix("SESSIONS on ") {
            self.end_all(rest.split(':').next().expect("a name"));
        } else if let Some(rest) = words.strip_prefix("LINK on ") {
            let on = rest.split(':').next().expect("a name");
            wait::until("the link", LIMIT, || {
                let rows = self.ask("LINK", on);
                let healthy = rows.iter().any(|row| {
                    row.get::<&str, _>("connected_state_desc") == Some("CONNECTED")
                        && row.get::<&str, _>("synchronization_health_desc") == Some("HEALTHY")
                });
                // As the page says: if that does nothing, again after some seconds.
                let resumed = self.resumed.borrow().clone();
                if let Some((on, statement)) = resumed.filter(|_| !healthy) {
                    self.run(&on, &statement);
                }
                healthy.then_some(())
            });
        } else if let Some(rest) = words.strip_prefix("FULL BACKUPS on ") {
            let on = rest.split(':').next().expect("a name");
            wait::until("a full backup", LIMIT, || {
                let rows = self.ask("FULL BACKUPS", on);
                rows.iter()
                    .any(|row| row.get::<bool, _>("is_copy_only") == Some(false))
                    .then_some(())
            });
        }
    }

    fn answers(&self, on: &str) -> bool {
        self.runtime.block_on(query(self.rig, on, "SELECT 1")).is_ok()
    }
}

async fn query(rig: &Rig, on: &str, sql: &str) -> Result<Vec<Row>, tiberius::error::Error> {
    let mut client = log_in(&rig.twin, on).await?;
    client.simple_query(sql).await?.into_first_result().await
}

/// What `dr-agent runbook` prints.
fn print(rig: &Rig, more: &[&str]) -> Output {
    let mut command = ours("dr-agent");
    command.arg("runbook").arg("--config").arg(&rig.config).args(more);
    command.output().expect("it runs")
}

fn text(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {complaint}", output.status);
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Without the line that says how old the page is.
fn timeless(text: &str) -> String {
    let (old, rest): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.starts_with("Made "));
    assert_eq!(old.len(), 1, "{old:?}");
    assert!(old[0].contains(" after entry ") && old[0].contains("last seen: "), "{old:?}");
    rest.join("\n")
}

fn with_backups(wish: Wish) -> Wish {
    wish.set("links.0.planned.backup.to", "/var/opt/mssql/backup/")
}

#[test]
fn over_and_back_by_paper_nothing_is_lost() {
    let mut rig = Rig::healthy(with_backups(wish(181, SQL)));
    rig.commits(5);
    let link = rig.link().to_owned();
    let online = text(&print(&rig, &[&link]));
    rig.kill();
    let printed = print(&rig, &[]);
    let told = String::from_utf8_lossy(&printed.stderr).into_owned();
    assert!(told.contains("can't be reached") && told.contains("made from the agent's files"));
    let offline = text(&printed);
    assert_eq!(timeless(&online), timeless(&offline));
    assert_eq!(text(&print(&rig, &["--offline", &link])).lines().count(), offline.lines().count());
    assert_eq!(print(&rig, &["--offline", "nobody"]).status.code(), Some(1));

    let person = Person::new(&rig, offline);
    person.does("## First of all", "");
    for question in ["AGENT", "REPLICAS", "LOG REUSE"] {
        person.ask(question, SQL);
    }
    assert_eq!(person.role(SQL), "PRIMARY");
    person.does("## 3. ", " stop");
    nothing_lost(&rig, MI);
    rig.twin.repoint(SHOP, MI).expect("the application is pointed elsewhere");
    assert!(rig.hook("start"), "the application is started again");
    rig.commits(10);
    person.does("## 5. ", " stop");
    nothing_lost(&rig, SQL);
    rig.twin.repoint(SHOP, SQL).expect("the application is pointed elsewhere");
    assert!(rig.hook("start"), "the application is started again");
    rig.commits(10);
    assert_eq!(handed_over(&rig), 2);
    nothing_lost(&rig, SQL);
}

#[test]
fn forced_over_by_paper_and_the_old_primary_gives_way() {
    let mut rig = Rig::healthy(with_backups(Wish::new(182)));
    rig.commits(5);
    rig.kill();
    rig.stop(SQL);
    let person = Person::new(&rig, text(&print(&rig, &["--offline"])));
    person.does("## 4. ", "");
    assert_eq!(person.role(MI), "PRIMARY");
    rig.assert_one_failover();
    rig.twin.repoint(SHOP, MI).expect("the application is pointed elsewhere");
    rig.commits(10);

    rig.fault(&Fault::Start { instance: SQL.to_owned() });
    // Nobody told it.
    wait::until("the old primary", LIMIT, || {
        (person.answers(SQL) && person.role(SQL) == "PRIMARY").then_some(())
    });
    person.does(&format!("### If {SQL} has to give way"), "");
    assert_eq!((person.role(SQL).as_str(), person.role(MI).as_str()), ("SECONDARY", "PRIMARY"));
    let loss = rig.twin.loss().expect("the twin tells the loss");
    assert_eq!(loss.surviving, "managed_instance", "{loss:?}");
    rig.commits(5);
}

#[test]
fn the_calendar_reports_and_issues_and_it_is_decided_again_to_the_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
    std::fs::write(&bad, "no folder").expect("something is in the way");
    let folders: Vec<toml::Value> =
        [&bad, &good].iter().map(|path| path.display().to_string().into()).collect();
    let wish = Wish::new(183)
        .set("schedule.daily_report", "*/10 * * * * *")
        .set("schedule.runbook", "5-55/10 * * * * *")
        .set("schedule.keep_runbooks", 1)
        .set("schedule.runbook_folders", folders);
    let mut rig = Rig::healthy(wish);
    let mut journal = rig.follow(0);
    let report = journal.until("state_reported")["event"]["report"].clone();
    assert_eq!(report["links"][0]["health"], "healthy", "{report:#}");
    assert_eq!(report["links"][0]["sides"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert!(report["placement"].to_string().contains("on this very machine"), "{report:#}");
    let runbook = journal.until("runbook_issued")["event"]["runbook"].clone();
    assert!(runbook["failed"][0].as_str().is_some_and(|why| why.contains("bad")), "{runbook:#}");
    let issued = runbook["text"].as_str().expect("the text goes out").to_owned();
    assert_eq!(runbook["digest"], agent_core::Runbook::digest(&issued));
    // One copy is kept, of this run or of the next one.
    let kept = std::fs::read_dir(&good).expect("the other folder is made");
    let kept: Vec<_> = kept.map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(timeless(&issued), timeless(&std::fs::read_to_string(&kept[0]).expect("readable")));
    let metrics = rig.agent.metrics().expect("the agent has metrics");
    for name in ["runs_total{name=\"daily_report\"}", "failures_total{name=\"runbook\"}"] {
        let value = metrics.lines().find(|line| line.contains(&format!("schedule_{name}")));
        assert!(value.is_some_and(|line| !line.ends_with(" 0")), "{name}: {metrics}");
    }
    let status = rig.process().terminate(LIMIT);
    assert!(status.success(), "{status}\n{}", rig.log());
    let mut command = ours("dr-agent");
    command.args(["replay", "--data-dir"]).arg(rig.data_dir());
    let replayed = command.output().expect("it runs");
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stdout));
}
