//! A logged-in session: who it is, what it may do, and what it has set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::world::{Origin, Party, World, setup::LoginSetup};

use super::error::Error;
use super::types::Type;
use super::value::Value;
use crate::tables::Table;

/// A login of an instance: what it must say to come in, and what it may do then.
#[derive(Clone)]
pub struct Login {
    /// The name; compared without case.
    pub name: String,
    /// The password.
    pub password: String,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// The database that it starts in, if LOGIN7 names none.
    pub default_database: String,
    /// Who uses it; a program name of the form `app:NAME` wins.
    pub party: Party,
    /// Who says that somebody is it, if not the instance itself by the password.
    pub external: Option<External>,
    /// The groups, by lower-case name, on which it was granted ALTER, or denied it.
    pub groups: BTreeMap<String, bool>,
}

/// Who knows a login that is none of the instance's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum External {
    /// The Windows domain; the login's name is the account's, with the domain.
    Windows,
    /// Entra: an application or a managed identity, by its client id.
    Application(String),
}

/// A permission that the twin asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Member of `sysadmin`: everything.
    ControlServer,
    /// VIEW SERVER PERFORMANCE STATE, which VIEW SERVER STATE implies.
    ViewServerPerformanceState,
    /// VIEW SERVER SECURITY STATE, which VIEW SERVER STATE implies.
    ViewServerSecurityState,
    /// VIEW ANY DEFINITION: without it, catalog views of groups have no rows.
    ViewAnyDefinition,
    /// ALTER ANY AVAILABILITY GROUP; [`Login::groups`] has who may alter just one.
    AlterAvailabilityGroup,
    /// ALTER on the databases: `SET HADR`.
    AlterAnyDatabase,
    /// CONNECT ANY DATABASE: a user in every database.
    ConnectAnyDatabase,
    /// SELECT on the tables of msdb.
    ReadMsdb,
    /// ALTER ANY CONNECTION: `KILL`.
    AlterAnyConnection,
    /// ALTER ANY LOGIN: to disable and enable logins, and to set passwords.
    AlterAnyLogin,
    /// Member of `db_backupoperator` in every database: BACKUP DATABASE and BACKUP LOG.
    BackupDatabase,
    /// CREATE ANY DATABASE: to look into backups.
    CreateAnyDatabase,
    /// Member of `SQLAgentOperatorRole`: to start, enable and disable jobs.
    OperateJobs,
}

impl Permission {
    /// All that are granted by name, beside membership of sysadmin.
    const NAMED: [Permission; 9] = [
        Permission::ViewServerPerformanceState,
        Permission::ViewServerSecurityState,
        Permission::ViewAnyDefinition,
        Permission::AlterAvailabilityGroup,
        Permission::AlterAnyDatabase,
        Permission::AlterAnyConnection,
        Permission::AlterAnyLogin,
        Permission::ConnectAnyDatabase,
        Permission::ReadMsdb,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Permission::ControlServer => "CONTROL SERVER",
            Permission::ViewServerPerformanceState => "VIEW SERVER PERFORMANCE STATE",
            Permission::ViewServerSecurityState => "VIEW SERVER SECURITY STATE",
            Permission::ViewAnyDefinition => "VIEW ANY DEFINITION",
            Permission::AlterAvailabilityGroup => "ALTER ANY AVAILABILITY GROUP",
            Permission::AlterAnyDatabase => "ALTER ANY DATABASE",
            Permission::ConnectAnyDatabase => "CONNECT ANY DATABASE",
            Permission::ReadMsdb => "SELECT",
            Permission::AlterAnyConnection => "ALTER ANY CONNECTION",
            Permission::AlterAnyLogin => "ALTER ANY LOGIN",
            Permission::BackupDatabase => "BACKUP DATABASE",
            Permission::CreateAnyDatabase => "CREATE ANY DATABASE",
            Permission::OperateJobs => "EXECUTE",
        }
    }
}

impl Login {
    /// A member of `sysadmin`.
    #[must_use]
    pub fn sysadmin(name: &str, password: &str) -> Login {
        Login::with(name, password, [Permission::ControlServer])
    }

    /// A login that may watch and fail over, and nothing else: VIEW SERVER STATE, VIEW ANY
    /// DEFINITION, CONNECT ANY DATABASE, ALTER on the group, and SELECT in msdb.
    #[must_use]
    pub fn least_privileged(name: &str, password: &str) -> Login {
        let granted = [
            Permission::ViewServerPerformanceState,
            Permission::ViewServerSecurityState,
            Permission::ViewAnyDefinition,
            Permission::ConnectAnyDatabase,
            Permission::AlterAvailabilityGroup,
            Permission::ReadMsdb,
        ];
        Login::with(name, password, granted)
    }

    /// A login with just these permissions.
    #[must_use]
    pub fn with(
        name: &str,
        password: &str,
        permissions: impl IntoIterator<Item = Permission>,
    ) -> Login {
        Login {
            name: name.to_owned(),
            password: password.to_owned(),
            permissions: permissions.into_iter().collect(),
            default_database: "master".to_owned(),
            party: Party::Agent,
            external: None,
            groups: BTreeMap::new(),
        }
    }

    /// One that may watch and nothing else: VIEW SERVER STATE and VIEW ANY DEFINITION.
    #[must_use]
    pub fn watching(name: &str, password: &str) -> Login {
        let granted = [
            Permission::ViewServerPerformanceState,
            Permission::ViewServerSecurityState,
            Permission::ViewAnyDefinition,
        ];
        Login::with(name, password, granted)
    }

    /// The same rights for somebody whom another authority knows.
    #[must_use]
    pub fn known_by(self, external: External) -> Login {
        Login { password: String::new(), external: Some(external), ..self }
    }
}

impl Login {
    /// What administrators have made of it.
    pub(crate) fn as_set_up(&self, setup: &LoginSetup) -> Login {
        let mut login = self.clone();
        if let Some(password) = &setup.password {
            login.password.clone_from(password);
        }
        login.groups.clone_from(&setup.groups);
        for permission in Permission::NAMED {
            let server_state = matches!(
                permission,
                Permission::ViewServerPerformanceState | Permission::ViewServerSecurityState
            );
            let both = server_state && setup.with.contains("VIEW SERVER STATE");
            if both || setup.with.contains(permission.name()) {
                login.permissions.insert(permission);
            }
        }
        if !setup.without.is_empty() {
            if login.permissions.contains(&Permission::ControlServer) {
                login.permissions = BTreeSet::from(Permission::NAMED);
            }
            login.permissions.retain(|permission| {
                let implied = match permission {
                    Permission::ViewServerPerformanceState
                    | Permission::ViewServerSecurityState => "VIEW SERVER STATE",
                    Permission::ReadMsdb => "SELECT",
                    Permission::ControlServer
                    | Permission::ViewAnyDefinition
                    | Permission::AlterAvailabilityGroup
                    | Permission::AlterAnyDatabase
                    | Permission::AlterAnyConnection
                    | Permission::AlterAnyLogin
                    | Permission::BackupDatabase
                    | Permission::CreateAnyDatabase
                    | Permission::OperateJobs
                    | Permission::ConnectAnyDatabase => "",
                };
                let taken = |name: &str| setup.without.contains(name);
                !taken(permission.name()) && !taken(implied)
            });
        }
        login
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("name", &self.name)
            .field("permissions", &self.permissions)
            .finish_non_exhaustive()
    }
}

/// A language of messages; texts stay English.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Language {
    /// `@@LANGID`
    pub(crate) id: u8,
    pub(crate) name: &'static str,
    alias: &'static str,
    date_first: u8,
    date_format: &'static str,
}

impl Language {
    /// Whether it is called so.
    pub(crate) fn is(&self, asked: &str) -> bool {
        [self.name, self.alias].iter().any(|own| own.to_lowercase() == asked.to_lowercase())
    }
}

/// Some of the languages of a server, its own first.
pub(crate) const LANGUAGES: &[Language] = &[
    Language { id: 0, name: "us_english", alias: "English", date_first: 7, date_format: "mdy" },
    Language { id: 1, name: "Deutsch", alias: "German", date_first: 1, date_format: "dmy" },
    Language { id: 2, name: "Français", alias: "French", date_first: 1, date_format: "dmy" },
    Language { id: 5, name: "Español", alias: "Spanish", date_first: 1, date_format: "dmy" },
    Language { id: 6, name: "Italiano", alias: "Italian", date_first: 1, date_format: "dmy" },
    Language { id: 7, name: "Nederlands", alias: "Dutch", date_first: 1, date_format: "dmy" },
    Language {
        id: 23,
        name: "British",
        alias: "British English",
        date_first: 1,
        date_format: "dmy",
    },
];

/// What a session knows between its requests.
#[derive(Clone, Debug)]
pub struct Session {
    /// `@@SPID`.
    pub id: u16,
    /// The login name.
    pub login: String,
    /// What it may do.
    pub permissions: BTreeSet<Permission>,
    /// The groups, by lower-case name, on which it was granted ALTER, or denied it.
    pub(crate) groups: BTreeMap<String, bool>,
    /// The program name of LOGIN7.
    pub program: String,
    /// The client's host name of LOGIN7.
    pub host: String,
    /// The current database.
    pub database: String,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Which end of a network path the client is.
    pub party: Party,
    /// Where its connection comes from, if it came over one.
    pub address: Option<SocketAddr>,
    pub(crate) initial_database: String,
    pub(crate) no_count: bool,
    pub(crate) transactions: u32,
    pub(crate) row_count: i64,
    pub(crate) error: i32,
    pub(crate) variables: BTreeMap<String, (Type, Value)>,
    /// Table variables of the batch.
    pub(crate) table_variables: Tables,
    /// `#t`, which live as long as the session.
    pub(crate) temporary: Tables,
    /// Temporary tables as they were at BEGIN and at each save point, with its name.
    pub(crate) saved: Vec<(Option<String>, Tables)>,
    /// What the CATCH blocks around the current statement have caught, the innermost last.
    pub(crate) caught: Vec<Error>,
    /// The transaction can only be rolled back.
    pub(crate) doomed: bool,
    pub(crate) abort: bool,
    pub(crate) implicit: bool,
    /// READ UNCOMMITTED
    pub(crate) dirty: bool,
    /// Whether the client has said that it only reads (ApplicationIntent).
    pub(crate) read_only: bool,
    /// The first day of the week, Monday is 1.
    pub(crate) date_first: u8,
    /// In which order dates are read: shown, for texts of that form are read as month, day, year.
    pub(crate) date_format: &'static str,
    pub(crate) language: &'static Language,
    /// In bytes.
    pub(crate) text_size: i64,
    /// In ms; negative: for ever.
    pub(crate) lock_timeout: i64,
    /// The last value of an identity column that this session has made.
    pub(crate) identity: Value,
    /// Where identity columns take what is given: SET IDENTITY_INSERT.
    pub(crate) identity_insert: Option<String>,
}

/// Tables by lower-case name.
pub(crate) type Tables = BTreeMap<String, Arc<Table>>;

impl Session {
    /// A session that has just logged in.
    #[must_use]
    pub fn new(id: u16, login: &Login, program: &str, host: &str, database: &str) -> Session {
        Session {
            id,
            login: login.name.clone(),
            permissions: login.permissions.clone(),
            groups: login.groups.clone(),
            program: program.to_owned(),
            host: host.to_owned(),
            database: database.to_owned(),
            encrypted: false,
            party: match program.strip_prefix("app:") {
                Some(name) => Party::Application(name.to_owned()),
                None => login.party.clone(),
            },
            address: None,
            no_count: false,
            initial_database: database.to_owned(),
            transactions: 0,
            row_count: 0,
            error: 0,
            variables: BTreeMap::new(),
            table_variables: Tables::new(),
            temporary: Tables::new(),
            saved: Vec::new(),
            caught: Vec::new(),
            doomed: false,
            abort: false,
            implicit: false,
            dirty: false,
            read_only: false,
            date_first: 7,
            date_format: "mdy",
            language: &LANGUAGES[0],
            text_size: 2_147_483_647,
            lock_timeout: -1,
            identity: Value::Null,
            identity_insert: None,
        }
    }

    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&Permission::ControlServer)
            || self.permissions.contains(&permission)
    }

    /// Whether it may alter this group; what is denied for one group holds against what is granted
    /// for all of them.
    pub(crate) fn may_alter_group(&self, group: &str) -> bool {
        let all = self.may(Permission::AlterAvailabilityGroup);
        let one = self.groups.get(&group.to_lowercase()).copied().unwrap_or(all);
        one || self.permissions.contains(&Permission::ControlServer)
    }

    /// Goes back to what it was after the login; what is open is undone, or stays if told so.
    pub(crate) fn start_over(&mut self, keep_transaction: bool, world: &mut World, at: &str) {
        let depth = if keep_transaction { self.transactions } else { 0 };
        world.set_isolation(at, self.id, 2);
        if !keep_transaction {
            world.discard_work(at, self.id);
        }
        self.transactions = depth;
        self.reset();
        world.note_transactions(at, self.id, depth);
        world.use_database(at, self.id, &self.database);
    }

    /// SET of an option.
    pub(crate) fn switch(&mut self, option: &str, on: bool) {
        match option {
            "NOCOUNT" => self.no_count = on,
            "XACT_ABORT" => self.abort = on,
            "IMPLICIT_TRANSACTIONS" => self.implicit = on,
            // The others change nothing that the twin does.
            _ => {}
        }
    }

    /// SET LANGUAGE, which sets what is usual there too.
    pub(crate) fn speak(&mut self, language: &'static Language) {
        self.language = language;
        (self.date_first, self.date_format) = (language.date_first, language.date_format);
    }

    /// What DBCC USEROPTIONS shows.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![
            ("textsize", self.text_size.to_string()),
            ("language", self.language.name.to_owned()),
            ("dateformat", self.date_format.to_owned()),
            ("datefirst", self.date_first.to_string()),
            ("lock_timeout", self.lock_timeout.to_string()),
        ];
        let set = [
            ("nocount", self.no_count),
            ("quoted_identifier", true),
            ("implicit_transactions", self.implicit),
            ("ansi_null_dflt_on", true),
            ("ansi_warnings", true),
            ("ansi_padding", true),
            ("ansi_nulls", true),
            ("concat_null_yields_null", true),
            ("xact_abort", self.abort),
        ];
        let on = set.into_iter().filter(|(_, on)| *on);
        options.extend(on.map(|(name, _)| (name, "SET".to_owned())));
        let level = if self.dirty { "read uncommitted" } else { "read committed" };
        options.push(("isolation level", level.to_owned()));
        options
    }

    /// Whether it reads what others have not committed.
    pub(crate) fn read_uncommitted(&mut self, dirty: bool) {
        self.dirty = dirty;
    }

    fn reset(&mut self) {
        self.database = self.initial_database.clone();
        self.no_count = false;
        self.row_count = 0;
        self.error = 0;
        self.variables.clear();
        self.table_variables.clear();
        self.temporary.clear();
        self.saved.clear();
        self.caught.clear();
        (self.doomed, self.abort, self.implicit, self.dirty) = (false, false, false, false);
        self.speak(&LANGUAGES[0]);
        self.text_size = 2_147_483_647;
        self.lock_timeout = -1;
        self.identity = Value::Null;
        self.identity_insert = None;
    }

    /// Who asks, for the world's record.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            party: self.party.clone(),
            login: self.login.clone(),
            program: self.program.clone(),
            session: Some(self.id),
            address: self.address,
        }
    }

    /// A variable's name without case.
    pub(crate) fn key(name: &str) -> String {
        name.to_lowercase()
    }
}
