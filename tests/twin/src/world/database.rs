//! Databases made, dropped, renamed and fenced: ALTER DATABASE … SET, with who else is in them.
//!
//! Sources: Microsoft's pages on ALTER DATABASE SET options (what needs exclusive access, what a
//! managed instance does not have) and S1 for the numbers.

use jiff::Timestamp;

use super::{DatabaseOption, Origin, OwnDatabase, SqlError, World};

/// What a statement about a whole database asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseCommand {
    /// `CREATE DATABASE`
    Create,
    /// `DROP DATABASE`
    Drop,
    /// `ALTER DATABASE … MODIFY NAME`
    Rename(String),
    /// `SET READ_ONLY`, or READ_WRITE
    ReadOnly(bool),
    /// `SET MULTI_USER`, RESTRICTED_USER or SINGLE_USER
    Users(Users),
    /// `SET OFFLINE`, or ONLINE
    Offline(bool),
    /// `SET` of an option that `sys.databases` shows.
    Set(DatabaseOption),
}

/// `user_access` of `sys.databases`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Users {
    /// MULTI_USER
    #[default]
    All,
    /// SINGLE_USER
    One,
    /// RESTRICTED_USER
    Owners,
}

/// What becomes of others who are in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// They are waited for.
    WaitedFor,
    /// `NO_WAIT`: the statement fails.
    Respected,
    /// `ROLLBACK IMMEDIATE`, or after a while: they are ended.
    Ended,
}

/// Databases of one instance at most.
const MOST: usize = 32_767;

impl World {
    /// Carries out a statement about a database; `Some` is a session that has to leave first.
    ///
    /// # Errors
    /// What the engine refuses, with its number; 5069 follows those of ALTER DATABASE.
    pub fn change_database(
        &mut self,
        at: &str,
        (who, session): (&Origin, u16),
        name: &str,
        command: &DatabaseCommand,
        others: Others,
    ) -> Result<Option<u16>, SqlError> {
        let outcome = self.do_change(at, session, name, command, others);
        if !matches!(outcome, Ok(Some(_))) {
            let told = outcome.as_ref().map(|_| ());
            self.note_command(at, who.clone(), command.words(name), told);
            self.note_writers();
        }
        outcome
    }

    /// 924 where a database takes one session and has it.
    ///
    /// # Errors
    /// As said.
    pub fn lets_in(&self, at: &str, database: &str, session: u16) -> Result<(), SqlError> {
        let made = self.instance(at).map(|found| found.setup().database(database));
        let only = made.filter(|made| made.single_user).and_then(|made| made.only);
        let held = only.filter(|only| *only != session && self.has_session(at, *only));
        if held.is_none() {
            return Ok(());
        }
        let text =
            format!("Database '{database}' is already open and can only have one user at a time.");
        Err(SqlError { class: 14, ..SqlError::new(924, &text) })
    }

    /// SHUTDOWN: the process ends, as it does when somebody stops the service.
    ///
    /// # Errors
    /// 41906 on a managed instance.
    pub fn shut_down(&mut self, at: &str, who: &Origin) -> Result<(), SqlError> {
        let managed = self.instance(at).is_some_and(super::Instance::is_managed);
        let refused = managed.then(|| {
            let text = "Statement 'SHUTDOWN' is not supported in SQL Database Managed Instance.";
            SqlError::new(41_906, text)
        });
        let told = refused.as_ref().map_or(Ok(()), Err);
        self.note_command(at, who.clone(), "SHUTDOWN".to_owned(), told);
        match refused {
            Some(error) => Err(error),
            None => {
                self.stop(at);
                Ok(())
            }
        }
    }

    fn do_change(
        &mut self,
        at: &str,
        session: u16,
        name: &str,
        command: &DatabaseCommand,
        others: Others,
    ) -> Result<Option<u16>, SqlError> {
        let managed = self.instance(at).is_some_and(super::Instance::is_managed);
        let known = self.databases(at);
        let found = known.iter().find(|known| known.name.eq_ignore_ascii_case(name));
        if *command == DatabaseCommand::Create {
            if found.is_some() || known.len() >= MOST {
                let text =
                    format!("Database '{name}' already exists. Choose a different database name.");
                return Err(SqlError { state: 3, ..SqlError::new(1_801, &text) });
            }
            self.create_database(at, name);
            return Ok(None);
        }
        let Some(found) = found else { return Err(command.missing(name)) };
        let name = found.name.clone();
        if found.database_id <= 4 {
            return Err(command.of_system(&name));
        }
        if managed && command.is_boxed() {
            let text = "One or more of the options are not supported for this statement in SQL \
                        Database Managed Instance. Review the documentation for supported options.";
            return Err(SqlError::new(41_901, text));
        }
        let updateable = found.updateable;
        self.check_option(at, &name, command, updateable)?;
        if self.in_group(at, &name) && !command.is_for_groups() {
            return Err(command.in_group(&name));
        }
        let busy = self.active.iter().filter_map(|id| self.operations.get(id));
        let restored = self.is_restoring(at, &name)
            && busy.into_iter().any(|operation| operation.restores(at, &name));
        if restored {
            let text = format!("Cannot drop database \"{name}\" because it is currently in use.");
            return Err(SqlError::new(3_702, &text));
        }
        if command.needs_it_alone()
            && let Some(other) = self.somebody_in(at, &name, session)
        {
            match others {
                Others::Ended => self.end_others(at, &name, session),
                Others::Respected => return Err(command.in_use(&name)),
                Others::WaitedFor if command.never_waits() => return Err(command.in_use(&name)),
                Others::WaitedFor => return Ok(Some(other)),
            }
        } else if others == Others::Ended && *command == DatabaseCommand::Users(Users::Owners) {
            self.end_others(at, &name, session);
        }
        self.apply_to_database(at, &name, session, command);
        Ok(None)
    }

    /// Whether an option can be set here, in a database that takes changes.
    fn check_option(
        &self,
        at: &str,
        name: &str,
        command: &DatabaseCommand,
        updateable: bool,
    ) -> Result<(), SqlError> {
        let DatabaseCommand::Set(option) = command else { return Ok(()) };
        if let Some(instance) = self.instance(at) {
            option.check(instance)?;
        }
        if updateable {
            return Ok(());
        }
        let text =
            format!("Failed to update database \"{name}\" because the database is read-only.");
        Err(SqlError::new(3_906, &text))
    }

    fn apply_to_database(&mut self, at: &str, name: &str, session: u16, command: &DatabaseCommand) {
        match command {
            DatabaseCommand::Create => {}
            DatabaseCommand::Drop => self.forget_database(at, name),
            DatabaseCommand::Rename(new) => self.rename_database(at, name, new),
            DatabaseCommand::ReadOnly(on) => self.database_setup(at, name, |it| it.read_only = *on),
            DatabaseCommand::Users(users) => self.database_setup(at, name, |it| {
                it.single_user = *users == Users::One;
                it.restricted = *users == Users::Owners;
                it.only = (*users == Users::One).then_some(session);
            }),
            DatabaseCommand::Offline(on) => self.database_setup(at, name, |it| it.offline = *on),
            DatabaseCommand::Set(option) => {
                // It is logged: the other side of a link has it too.
                for instance in self.with_copies(at, name) {
                    self.database_setup(&instance, name, |it| option.apply(it));
                }
            }
        }
    }

    /// The instances that have a copy of a database of this one.
    fn with_copies(&self, at: &str, name: &str) -> Vec<String> {
        let mut found = vec![at.to_owned()];
        for (link, side) in self.memberships(at) {
            if link.place_on(side, name).is_some() {
                let member = link.member(side.other());
                found.push(member.instance.clone());
                let local = link.member(super::Side::SqlServer).local();
                let replicas = local.map(super::LocalGroup::replicas).unwrap_or_default();
                found.extend(replicas.iter().map(|replica| replica.instance.clone()));
            }
        }
        found
    }

    fn database_setup(
        &mut self,
        at: &str,
        name: &str,
        change: impl FnOnce(&mut super::setup::DatabaseSetup),
    ) {
        if let Some(instance) = self.instances.get_mut(at) {
            change(instance.setup.database_mut(name));
        }
    }

    fn create_database(&mut self, at: &str, name: &str) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(at) else { return };
        let database_id = instance.next_database_id;
        instance.next_database_id += 1;
        let name = name.to_owned();
        instance.resource.databases.push(OwnDatabase { name, created: now, database_id });
    }

    /// Whether it belongs to an availability group here.
    pub(super) fn in_group(&self, at: &str, database: &str) -> bool {
        let facts = self.databases(at);
        let found = facts.iter().find(|facts| facts.name.eq_ignore_ascii_case(database));
        found.is_some_and(|found| found.replica_id.is_some())
    }

    /// Somebody else whose session is in a database.
    fn somebody_in(&self, at: &str, database: &str, session: u16) -> Option<u16> {
        let inside = |found: &super::SessionFacts| {
            found.user && found.id != session && found.database.eq_ignore_ascii_case(database)
        };
        self.session_facts(at).iter().find(|found| inside(found)).map(|found| found.id)
    }

    fn end_others(&mut self, at: &str, database: &str, session: u16) {
        // Each turn ends one of them; there are not more than numbers for them.
        for _ in 0..=u16::MAX {
            let Some(other) = self.somebody_in(at, database, session) else { return };
            if self.kill(at, session, i64::from(other)).is_err() {
                return;
            }
        }
    }

    /// The database is gone from an instance; what its link had here has moved on.
    pub(super) fn forget_database(&mut self, at: &str, name: &str) {
        for link in self.links.values_mut() {
            let Some(side) = link.side_of(at) else { continue };
            if let Some(place) = link.place_on(side, name).filter(|_| link.left_by(side)) {
                link.member_mut(side).copies[place].gone = true;
            }
        }
        let key = name.to_lowercase();
        let Some(instance) = self.instances.get_mut(at) else { return };
        instance.resource.databases.retain(|own| !own.name.eq_ignore_ascii_case(name));
        instance.contents.remove(&key);
        instance.restoring.remove(&key);
        instance.moved_files.remove(&key);
        *instance.setup.database_mut(name) = super::setup::DatabaseSetup::default();
    }

    fn rename_database(&mut self, at: &str, name: &str, new: &str) {
        let facts = self.databases(at);
        let Some(found) = facts.iter().find(|facts| facts.name == name) else { return };
        let (database_id, created): (u32, Timestamp) = (found.database_id, found.create_date);
        let contents = self.contents_of(at, name);
        let files = self.files(at);
        let mut own = files.iter().filter(|file| file.database == name).map(|f| f.path.clone());
        let paths = [own.next(), own.next()];
        let Some(instance) = self.instances.get(at) else { return };
        let (setup, key) = (instance.setup.database(name), new.to_lowercase());
        self.forget_database(at, name);
        let Some(instance) = self.instances.get_mut(at) else { return };
        let own = OwnDatabase { name: new.to_owned(), created, database_id };
        instance.resource.databases.push(own);
        if let Some(contents) = contents {
            instance.contents.insert(key.clone(), contents);
        }
        instance.moved_files.insert(key, paths);
        *instance.setup.database_mut(new) = setup;
    }
}

impl DatabaseCommand {
    /// Whether a managed instance does not have it.
    fn is_boxed(&self) -> bool {
        match self {
            DatabaseCommand::Create
            | DatabaseCommand::Drop
            | DatabaseCommand::Rename(_)
            | DatabaseCommand::Set(_) => false,
            DatabaseCommand::ReadOnly(_)
            | DatabaseCommand::Users(_)
            | DatabaseCommand::Offline(_) => true,
        }
    }

    fn needs_it_alone(&self) -> bool {
        match self {
            DatabaseCommand::Users(users) => *users == Users::One,
            DatabaseCommand::Offline(on) => *on,
            DatabaseCommand::Set(option) => option.needs_it_alone(),
            DatabaseCommand::Create => false,
            DatabaseCommand::Drop | DatabaseCommand::Rename(_) | DatabaseCommand::ReadOnly(_) => {
                true
            }
        }
    }

    /// Whether a database of an availability group takes it.
    fn is_for_groups(&self) -> bool {
        match self {
            DatabaseCommand::Users(users) => *users == Users::All,
            DatabaseCommand::Set(option) => option.is_for_groups(),
            DatabaseCommand::Create
            | DatabaseCommand::Drop
            | DatabaseCommand::Rename(_)
            | DatabaseCommand::ReadOnly(_)
            | DatabaseCommand::Offline(_) => false,
        }
    }

    fn never_waits(&self) -> bool {
        matches!(self, DatabaseCommand::Drop | DatabaseCommand::Rename(_))
    }

    fn missing(&self, name: &str) -> SqlError {
        if *self == DatabaseCommand::Drop {
            let text = format!(
                "Cannot drop the database '{name}', because it does not exist or you do not have \
                 permission."
            );
            return SqlError { class: 11, ..SqlError::new(3_701, &text) };
        }
        let text = format!(
            "User does not have permission to alter database '{name}', the database does not exist, \
             or the database is not in a state that allows access checks."
        );
        SqlError { class: 14, state: 5, ..SqlError::new(5_011, &text) }
    }

    fn of_system(&self, name: &str) -> SqlError {
        if *self == DatabaseCommand::Drop {
            let text =
                format!("Cannot drop the database '{name}' because it is a system database.");
            return SqlError::new(3_708, &text);
        }
        let text = format!("Option '{}' cannot be set in database '{name}'.", self.option());
        SqlError::new(5_058, &text)
    }

    fn in_group(&self, name: &str) -> SqlError {
        if *self == DatabaseCommand::Drop {
            let text = format!(
                "The database '{name}' is currently joined to an availability group.  Before you \
                 can drop the database, you need to remove it from the availability group."
            );
            return SqlError::new(3_752, &text);
        }
        let text = format!(
            "The operation cannot be performed on database \"{name}\" because it is involved in a \
             database mirroring session or an availability group. Some operations are not allowed \
             on a database that is participating in a database mirroring session or in an \
             availability group."
        );
        SqlError::new(1_468, &text)
    }

    fn in_use(&self, name: &str) -> SqlError {
        match self {
            DatabaseCommand::Drop => SqlError {
                state: 3,
                ..SqlError::new(
                    3_702,
                    &format!("Cannot drop database \"{name}\" because it is currently in use."),
                )
            },
            DatabaseCommand::Rename(_) => SqlError::new(
                5_030,
                "The database could not be exclusively locked to perform the operation.",
            ),
            DatabaseCommand::Create
            | DatabaseCommand::ReadOnly(_)
            | DatabaseCommand::Users(_)
            | DatabaseCommand::Set(_)
            | DatabaseCommand::Offline(_) => SqlError::new(
                5_070,
                &format!(
                    "Database state cannot be changed while other users are using the database \
                     '{name}'"
                ),
            ),
        }
    }

    fn option(&self) -> String {
        let word = match self {
            DatabaseCommand::Set(option) => return option.words(),
            DatabaseCommand::Create | DatabaseCommand::Drop => "",
            DatabaseCommand::Rename(_) => "NAME",
            DatabaseCommand::ReadOnly(true) => "READ_ONLY",
            DatabaseCommand::ReadOnly(false) => "READ_WRITE",
            DatabaseCommand::Users(Users::All) => "MULTI_USER",
            DatabaseCommand::Users(Users::One) => "SINGLE_USER",
            DatabaseCommand::Users(Users::Owners) => "RESTRICTED_USER",
            DatabaseCommand::Offline(true) => "OFFLINE",
            DatabaseCommand::Offline(false) => "ONLINE",
        };
        word.to_owned()
    }

    /// The statement in words.
    #[must_use]
    pub fn words(&self, name: &str) -> String {
        match self {
            DatabaseCommand::Create => format!("CREATE DATABASE [{name}]"),
            DatabaseCommand::Drop => format!("DROP DATABASE [{name}]"),
            DatabaseCommand::Rename(new) => {
                format!("ALTER DATABASE [{name}] MODIFY NAME = [{new}]")
            }
            DatabaseCommand::ReadOnly(_)
            | DatabaseCommand::Users(_)
            | DatabaseCommand::Set(_)
            | DatabaseCommand::Offline(_) => {
                format!("ALTER DATABASE [{name}] SET {}", self.option())
            }
        }
    }
}
