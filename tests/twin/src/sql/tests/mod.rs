//! Batches against the default world, and what comes back, as text.

mod activity;
mod administration;
mod backup;
mod flow;
mod functions;
mod grants;
mod groups;
mod hadr;
mod language;
mod money;
mod mutations;
mod options;
mod procedures;
mod record;
mod recursion;
mod refusals;
mod relations;
mod restore;
mod rowsets;
mod schema;
mod statements;
mod tables;
mod transactions;

use jiff::Timestamp;

use super::convert::text_of;
use super::{Login, Output, Run, Session, Step, Transaction};
use crate::world::{NewSession, World, WorldSpec};

/// A world, one of its instances, and a session there.
pub(super) struct Bench {
    pub(super) world: World,
    pub(super) at: String,
    pub(super) session: Session,
}

impl Bench {
    pub(super) fn new(at: &str, login: &Login) -> Bench {
        Bench::with(&WorldSpec::default(), at, login)
    }

    /// A member of sysadmin in a world of its own.
    pub(super) fn in_world(spec: &WorldSpec, at: &str) -> Bench {
        Bench::with(spec, at, &Login::sysadmin("sa", "secret"))
    }

    fn with(spec: &WorldSpec, at: &str, login: &Login) -> Bench {
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().expect("a time");
        let mut world = World::new(spec, 7, start).expect("the world is right");
        world.advance("2026-03-02T10:01:00.25Z".parse().expect("a time"));
        let id = world.open_session(at, newcomer(&login.name)).expect("it is up");
        let session = Session::new(id, login, "bench", "host", "master");
        Bench { world, at: at.to_owned(), session }
    }

    pub(super) fn admin(at: &str) -> Bench {
        Bench::new(at, &Login::sysadmin("sa", "secret"))
    }

    /// A second session at the same instance.
    pub(super) fn another(&mut self) -> Session {
        let new = newcomer(&self.session.login);
        let id = self.world.open_session(&self.at, new).expect("it is up");
        Session::new(id, &Login::sysadmin("sa", ""), "bench", "host", &self.session.database)
    }

    /// Runs a batch in another session.
    pub(super) fn run_in(&mut self, session: &mut Session, text: &str) -> String {
        std::mem::swap(&mut self.session, session);
        let said = self.run(text);
        std::mem::swap(&mut self.session, session);
        said
    }

    /// Logs in at another instance.
    pub(super) fn go(&mut self, at: &str) {
        let new = newcomer(&self.session.login);
        self.session.id = self.world.open_session(at, new).expect("it is up");
        self.at = at.to_owned();
    }

    /// Runs a batch to its end, moving the world's time where it waits.
    pub(super) fn run(&mut self, text: &str) -> String {
        let mut run = match Run::batch(text, Vec::new(), &mut self.session) {
            Ok(run) => run,
            Err(error) => return format!("{error}\n"),
        };
        let mut shown = String::new();
        for _ in 0..10_000 {
            match run.next(&mut self.world, &self.at, &mut self.session) {
                Step::Send(outputs) => outputs.iter().for_each(|o| shown += &show(o)),
                Step::Wait(_) => {
                    let next = self.world.now() + jiff::SignedDuration::from_millis(100);
                    self.world.advance(next);
                }
                Step::Silence => return shown + "(silence)\n",
                Step::Close => return shown + "(closed)\n",
                Step::Done => return shown,
            }
        }
        shown + "(never ends)\n"
    }
}

fn newcomer(login: &str) -> NewSession {
    NewSession {
        login: login.to_owned(),
        program: "bench".to_owned(),
        host: "host".to_owned(),
        database: "master".to_owned(),
        ..NewSession::default()
    }
}

/// What a batch says on the SQL Server of the default world.
pub(super) fn run(text: &str) -> String {
    Bench::admin("sql01").run(text)
}

fn show(output: &Output) -> String {
    match output {
        Output::Rows { columns, rows } => {
            let heads = columns.iter().map(|column| {
                let null = if column.nullable { "" } else { " not null" };
                format!("{} {}{null}", column.name, column.ty)
            });
            let mut shown = heads.collect::<Vec<_>>().join(" | ") + "\n";
            for row in rows {
                let values = row.iter().zip(columns).map(|(value, column)| {
                    if value.is_null() {
                        "NULL".to_owned()
                    } else {
                        text_of(value, column.ty, 121).expect("every value has a text")
                    }
                });
                shown += &(values.collect::<Vec<_>>().join(" | ") + "\n");
            }
            shown
        }
        Output::Done { failed: true, .. } | Output::Done { count: Some(_), .. } => String::new(),
        Output::Done { .. } => "done\n".to_owned(),
        Output::Info(info) => format!("info {}: {}\n", info.number, info.message),
        Output::Error(error) => format!("{error}\n"),
        Output::Database { old, new } => format!("database {old} -> {new}\n"),
        Output::Transaction(Transaction::Begun) => "begun\n".to_owned(),
        Output::Transaction(Transaction::Committed) => "committed\n".to_owned(),
        Output::Transaction(Transaction::RolledBack) => "rolled back\n".to_owned(),
    }
}
