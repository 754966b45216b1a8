//! Procedures by which administrators set options of the server, read its error log and trim the
//! history of backups.

use crate::sql::convert::text_of;
use crate::sql::env::Env;
use crate::sql::error::{Error, Result};
use crate::sql::ir::Column;
use crate::sql::session::{Permission, Session};
use crate::sql::statement::Argument;
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::sql::views::{CONFIGURATIONS, Configuration, Row, SHOW_ADVANCED, error_log};
use crate::world::{World, setup::Change};

use super::expression::{finished, sent};
use super::{Output, Step, one, with_done};

const WIDE: Type = Type::NVarChar(Length::Of(4000));

/// Runs one of these; nothing if it is another one.
pub(super) fn procedure(
    bare: &str,
    arguments: &[Argument],
    world: &mut World,
    at: &str,
    session: &mut Session,
) -> Option<Result<Step>> {
    let mut call = Call { arguments, world, at, session };
    Some(match bare.to_ascii_lowercase().as_str() {
        "sp_configure" => call.configure(),
        "sp_readerrorlog" | "xp_readerrorlog" => call.error_log(),
        "sp_delete_backuphistory" => call.forget(true),
        "sp_delete_database_backuphistory" => call.forget(false),
        _ => return None,
    })
}

struct Call<'c> {
    arguments: &'c [Argument],
    world: &'c mut World,
    at: &'c str,
    session: &'c mut Session,
}

impl Call<'_> {
    /// An argument by its place, or by its name.
    fn argument(&self, place: usize, name: &str, ty: Type) -> Result<Value> {
        let named = self.arguments.iter().find(|given| {
            given.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        });
        let placed = self.arguments.get(place).filter(|given| given.name.is_none());
        match named.or(placed) {
            Some(given) => one(&given.value, ty, self.world, self.at, self.session),
            None => Ok(Value::Null),
        }
    }

    fn text(&self, place: usize, name: &str) -> Result<Option<String>> {
        let value = self.argument(place, name, WIDE)?;
        if value.is_null() { Ok(None) } else { text_of(&value, WIDE, 0).map(Some) }
    }

    /// The options that are shown, or one of them.
    fn shown(&self, only: Option<&Configuration>) -> (Vec<Column>, Vec<Row>) {
        let column = |name: &str, ty, nullable| Column { name: name.to_owned(), ty, nullable };
        let columns = vec![
            column("name", Type::NVarChar(Length::Of(35)), false),
            column("minimum", Type::Int, true),
            column("maximum", Type::Int, true),
            column("config_value", Type::Int, true),
            column("run_value", Type::Int, true),
        ];
        let Some(instance) = self.world.instance(self.at) else { return (columns, Vec::new()) };
        let advanced =
            CONFIGURATIONS.iter().any(|own| own.id == SHOW_ADVANCED && own.values(instance).1 == 1);
        let mut listed: Vec<&Configuration> = CONFIGURATIONS
            .iter()
            .filter(|own| advanced || !own.advanced)
            .filter(|own| only.is_none_or(|only| only.id == own.id))
            .collect();
        listed.sort_by_key(|own| own.name.to_lowercase());
        let row = |own: &Configuration| -> Row {
            let (value, in_use) = own.values(instance);
            let numbers = [own.least, own.most, value, in_use].map(Value::Int);
            std::iter::once(Value::text(own.name)).chain(numbers).collect()
        };
        let rows = listed.into_iter().map(row).collect();
        (columns, rows)
    }

    /// `sp_configure [name [, value]]`
    fn configure(&mut self) -> Result<Step> {
        let Some(name) = self.text(0, "@configname")? else {
            let (columns, rows) = self.shown(None);
            return Ok(sent(self.session, columns, rows));
        };
        let value = self.argument(1, "@configvalue", Type::Int)?;
        let wanted = name.to_lowercase();
        let begins = |own: &&Configuration| own.name.to_lowercase().starts_with(&wanted);
        let exact = CONFIGURATIONS.iter().find(|own| own.name.eq_ignore_ascii_case(&name));
        let mut found = CONFIGURATIONS.iter().filter(begins);
        let (first, second) = (exact.or_else(|| found.next()), found.next());
        if exact.is_none() && second.is_some() {
            let text = format!("The configuration option '{name}' is not unique.");
            return Err(Error::new(15_124, 16, text));
        }
        let (columns, rows) = self.shown(first);
        let Some(own) = first.filter(|_| !rows.is_empty()) else {
            let text = format!(
                "The configuration option '{name}' does not exist, or it may be an advanced option."
            );
            return Err(Error::new(15_123, 16, text));
        };
        let Value::Int(value) = value else { return Ok(sent(self.session, columns, rows)) };
        if !self.session.may(Permission::ControlServer) {
            let text = "User does not have permission to perform this action.";
            return Err(Error::new(15_247, 16, text));
        }
        if !(own.least..=own.most).contains(&value) {
            let text =
                format!("'{value}' is not a valid value for configuration option '{}'.", own.name);
            return Err(Error::new(15_129, 16, text));
        }
        let before = self.world.instance(self.at).map_or(0, |instance| own.values(instance).0);
        // The instance is there: it has just been asked.
        let _ = self.world.set_up(self.at, Change::Configure { option: own.id, value });
        let text = format!(
            "Configuration option '{}' changed from {before} to {value}. Run the RECONFIGURE \
             statement to install.",
            own.name
        );
        Ok(with_done(self.session, Output::Info(Error::new(15_457, 0, text))))
    }

    /// `sp_readerrorlog [log [, kind [, text [, text]]]]`: only the newest log of the server has lines.
    fn error_log(&mut self) -> Result<Step> {
        let may = [Permission::ControlServer, Permission::AlterAnyLogin];
        if !may.iter().any(|permission| self.session.may(*permission)) {
            let text = "Only members of the securityadmin role can execute this stored procedure.";
            return Err(Error::new(15_003, 16, text));
        }
        let log = self.argument(0, "@p1", Type::Int)?;
        let kind = self.argument(1, "@p2", Type::Int)?;
        let first = self.text(2, "@p3")?;
        let second = self.text(3, "@p4")?;
        let Some(instance) = self.world.instance(self.at) else { return Ok(Step::Close) };
        let env = Env::new(self.world, instance, self.session);
        let newest = matches!(log, Value::Null | Value::Int(0));
        let of_server = matches!(kind, Value::Null | Value::Int(1));
        let lines = if newest && of_server { error_log::entries(&env) } else { Vec::new() };
        let has = |text: &str, part: &Option<String>| {
            part.as_ref().is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
        };
        let kept = lines.into_iter().filter(|(_, _, text)| has(text, &first) && has(text, &second));
        let rows = kept.map(|(at, who, text)| vec![env.datetime(at), who.into(), text.into()]);
        let rows: Vec<Row> = rows.collect();
        let column = |name: &str, ty| Column { name: name.to_owned(), ty, nullable: true };
        let columns = vec![
            column("LogDate", Type::DateTime),
            column("ProcessInfo", Type::NVarChar(Length::Of(50))),
            column("Text", Type::NVarChar(Length::Max)),
        ];
        Ok(sent(self.session, columns, rows))
    }

    /// `msdb.dbo.sp_delete_backuphistory @oldest_date`, or all of one database.
    fn forget(&mut self, by_date: bool) -> Result<Step> {
        let bare =
            if by_date { "sp_delete_backuphistory" } else { "sp_delete_database_backuphistory" };
        let parameter = if by_date { "@oldest_date" } else { "@database_name" };
        if !self.session.may(Permission::ControlServer) {
            let text = format!(
                "The EXECUTE permission was denied on the object '{bare}', database 'msdb', schema \
                 'dbo'."
            );
            return Err(Error::new(229, 14, text).state(5));
        }
        let ty = if by_date { Type::DateTime } else { WIDE };
        let value = self.argument(0, parameter, ty)?;
        let now = self.world.now();
        let change = match value {
            Value::Text(database) => {
                Change::ForgetBackups { database: Some(database), before: now }
            }
            Value::Moment(ticks) => {
                let Some(instance) = self.world.instance(self.at) else { return Ok(Step::Close) };
                let env = Env::new(self.world, instance, self.session);
                // Both are this server's wall clock.
                let Value::Moment(today) = env.datetime(now) else { return Ok(Step::Close) };
                let ago = jiff::SignedDuration::from_micros((today - ticks) / 10);
                let before = now.checked_sub(ago).unwrap_or(now);
                Change::ForgetBackups { database: None, before }
            }
            _ => {
                let text = format!(
                    "Procedure or function '{bare}' expects parameter '{parameter}', which was not \
                     supplied."
                );
                return Err(Error::new(201, 16, text).state(4));
            }
        };
        // The instance is there: it runs this.
        let _ = self.world.set_up(self.at, change);
        Ok(finished(self.session, None))
    }
}
