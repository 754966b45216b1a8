//! The usual pair of servers, asked in T-SQL and over Azure's interface.

use jiff::{SignedDuration, Timestamp};
use twin::{
    sql::{Login, Output, Run, Session, Step, Value},
    world::{
        ArmCommand, ArmError, AzureCommand, AzureLink, DatabaseState, FailoverType, Fault,
        JobStatus, NewSession, Origin, Party, UpdatePolicy, World, WorldSpec,
    },
};

pub(crate) const SQL: &str = "sql01";
pub(crate) const MI: &str = "mi-dr";
pub(crate) const LINK: &str = "LinkSales";

/// Both servers, Azure, and the time that passes.
pub(crate) struct Site {
    pub(crate) world: World,
}

/// The rows of a batch, each value as text, or the number of the first error.
pub(crate) type Answer = Result<Vec<Vec<String>>, i32>;

impl Site {
    /// The usual world, half a minute old.
    pub(crate) fn new() -> Site {
        Site::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut WorldSpec)) -> Site {
        let mut spec = WorldSpec::default();
        change(&mut spec);
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().expect("a time");
        let world = World::new(&spec, 7, start).expect("a sound world");
        let mut site = Site { world };
        site.wait(30);
        site
    }

    /// With a SQL Server of this build, and a managed instance that takes its databases.
    pub(crate) fn of_build(build: &str) -> Site {
        Site::with(|spec| {
            spec.instances[0].product_version = build.to_owned();
            if build.starts_with("17.") {
                spec.instances[1].update_policy = UpdatePolicy::SQLServer2025;
            }
        })
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        let to = self.world.now() + SignedDuration::from_secs(seconds);
        self.world.advance(to);
    }

    /// Runs a batch as `sa`, and waits for its end.
    pub(crate) fn sql(&mut self, at: &str, batch: &str) -> Answer {
        let new = NewSession {
            login: "sa".to_owned(),
            program: "sqlcmd".to_owned(),
            host: "desk".to_owned(),
            database: "master".to_owned(),
            ..NewSession::default()
        };
        let id = self.world.open_session(at, new).expect("it is up");
        let mut session =
            Session::new(id, &Login::sysadmin("sa", "S3cret!"), "sqlcmd", "desk", "master");
        let answer = self.run(at, batch, &mut session);
        self.world.close_session(at, id);
        answer
    }

    fn run(&mut self, at: &str, batch: &str, session: &mut Session) -> Answer {
        let mut run = Run::batch(batch, Vec::new(), session).map_err(|error| error.number)?;
        let mut all = Vec::new();
        for _ in 0..2_000 {
            match run.next(&mut self.world, at, session) {
                Step::Send(outputs) => {
                    for output in outputs {
                        match output {
                            Output::Error(error) => return Err(error.number),
                            Output::Rows { rows, .. } => all.extend(rows.iter().map(|r| words(r))),
                            Output::Done { .. }
                            | Output::Info(_)
                            | Output::Database { .. }
                            | Output::Transaction(_) => {}
                        }
                    }
                }
                Step::Wait(_) => {
                    let to = self.world.now() + SignedDuration::from_millis(100);
                    self.world.advance(to);
                }
                Step::Silence | Step::Close => return Err(0),
                Step::Done => return Ok(all),
            }
        }
        panic!("{batch} never ends");
    }

    /// Runs a batch until it waits for something, and lets nothing of its answer arrive from then on.
    pub(crate) fn unheard(&mut self, at: &str, batch: &str) {
        let new = NewSession { login: "sa".to_owned(), ..NewSession::default() };
        let id = self.world.open_session(at, new).expect("it is up");
        let login = Login::sysadmin("sa", "S3cret!");
        let mut session = Session::new(id, &login, "sqlcmd", "desk", "master");
        let mut run = Run::batch(batch, Vec::new(), &mut session).expect("it can be read");
        for _ in 0..100 {
            if let Step::Wait(_) = run.next(&mut self.world, at, &mut session) {
                let from = Party::Instance(at.to_owned());
                self.fault(Fault::Cut { from, to: session.party.clone(), one_way: true });
                return;
            }
        }
        panic!("{batch} does not wait");
    }

    /// Makes an old primary secondary: the statement, as often as it needs.
    pub(crate) fn demote(&mut self, at: &str) {
        for _ in 0..5 {
            match self.sql(at, &alter("SET (ROLE = SECONDARY)")) {
                Ok(_) => return,
                Err(number) => assert_eq!(number, 41_104),
            }
            self.wait(10);
        }
        panic!("it never becomes secondary");
    }

    /// Stops an instance, starts it again and waits until it has recovered.
    pub(crate) fn restart(&mut self, instance: &str) {
        self.fault(Fault::Stop { instance: instance.to_owned() });
        self.wait(5);
        self.fault(Fault::Start { instance: instance.to_owned() });
        self.wait(60);
    }

    /// The state of the database, as an instance shows it.
    pub(crate) fn state(&self, at: &str) -> DatabaseState {
        let databases = self.world.databases(at);
        databases.iter().find(|database| database.name == "Sales").expect("it is there").state
    }

    /// The only value of a query.
    pub(crate) fn value(&mut self, at: &str, query: &str) -> String {
        let rows = self.sql(at, query).expect("it answers");
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{query}: {rows:?}");
        rows[0][0].clone()
    }

    /// The role of a side, by Microsoft's query for split brain.
    pub(crate) fn role(&mut self, at: &str) -> String {
        let query = format!(
            "SELECT rs.role_desc FROM sys.availability_groups ag
             JOIN sys.dm_hadr_availability_replica_states rs ON ag.group_id = rs.group_id
             WHERE rs.is_local = 1 AND ag.is_distributed = 1 AND ag.name = N'{LINK}'"
        );
        self.value(at, &query)
    }

    pub(crate) fn roles(&mut self) -> (String, String) {
        (self.role(SQL), self.role(MI))
    }

    /// Who could take writes now: SQL Server, the managed instance.
    pub(crate) fn writers(&self) -> (bool, bool) {
        let last = self.world.ledger().intervals(LINK).last().expect("an interval").writers;
        (last.sql_server, last.managed_instance)
    }

    /// `POST .../failover`, and how its operation ends.
    pub(crate) fn failover(&mut self, kind: FailoverType) -> Result<JobStatus, ArmError> {
        let command = ArmCommand::Failover { instance: MI.to_owned(), link: LINK.to_owned(), kind };
        let accepted = self.world.arm(&dba(), command)?;
        let guid = self.world.operation(accepted.operation).expect("it").guid.to_string();
        for _ in 0..120 {
            self.wait(1);
            let told = self.world.azure_operation(&guid).expect("it is known").status;
            if told != JobStatus::InProgress {
                return Ok(told);
            }
        }
        panic!("the operation never ends");
    }

    /// Deletes the link in Azure, and waits until that is done.
    pub(crate) fn delete_link(&mut self) {
        let command = AzureCommand::DeleteLink(LINK.to_owned());
        self.world.azure(&dba(), MI, command).expect("taken");
        self.wait(30);
        assert!(self.world.azure_link(MI, LINK).is_none(), "it is gone");
    }

    /// `replicaState` of the link's first database.
    pub(crate) fn replica_state(&self) -> String {
        match self.world.azure_link(MI, LINK).expect("the link") {
            AzureLink::Made { link, .. } => link.databases[0].replica_state.clone(),
            AzureLink::Making { databases, .. } => {
                databases.expect("they are listed")[0].replica_state.to_owned()
            }
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.world.fault(fault).expect("it names what exists");
    }

    /// Cuts or mends the network between the two servers.
    pub(crate) fn network(&mut self, open: bool) {
        let [from, to] = [SQL, MI].map(|name| Party::Instance(name.to_owned()));
        self.fault(if open {
            Fault::Heal { from, to }
        } else {
            Fault::Cut { from, to, one_way: false }
        });
    }
}

pub(crate) fn dba() -> Origin {
    Origin::new(Party::Operator, "dba", "portal")
}

/// The statement on the link's distributed group.
pub(crate) fn alter(what: &str) -> String {
    format!("ALTER AVAILABILITY GROUP [{LINK}] {what}")
}

fn words(row: &[Value]) -> Vec<String> {
    row.iter().map(word).collect()
}

fn word(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Bit(bit) => u8::from(*bit).to_string(),
        Value::Variant(inner) => word(&inner.1),
        Value::Numeric(_)
        | Value::Float(_)
        | Value::Bytes(_)
        | Value::Guid(_)
        | Value::Moment(_)
        | Value::Time(_)
        | Value::Zoned { .. } => format!("{value:?}"),
    }
}
