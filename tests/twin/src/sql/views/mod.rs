//! System views: their columns, and the rows that the world gives them.
//!
//! `catalog.txt` holds names, types and order of the columns. A column that the world knows
//! nothing of has the value that a fresh default installation shows, or is NULL, or zero if it can
//! not be NULL.

mod activity;
mod backups;
mod cluster;
mod databases;
pub(crate) mod error_log;
mod files;
mod groups;
mod jobs;
mod log;
mod messages;
mod performance;
pub(crate) mod principals;
mod replicas;
mod rights;
mod security;
mod seeding;
mod server;
mod settings;
mod tables;
mod text;
mod users;
mod volumes;

use std::sync::OnceLock;

use super::decimal::Numeric;
use super::env::Env;
use super::error::{Error, Result};
use super::ir::Column;
use super::moment;
use super::session::Permission;
use super::types::{Length, Type, parse_type};
use super::value::Value;
pub(crate) use backups::{file_list, headers};
pub(crate) use files::log_spaces;
pub(crate) use messages::message;
pub(crate) use security::{certificate_of, number_of as certificate_id};
pub(crate) use settings::{CONFIGURATIONS, Configuration, SHOW_ADVANCED};

/// The values of a row, in the order of its columns.
pub type Row = Vec<Value>;

/// A view or table of the system catalog.
#[derive(Debug)]
pub(crate) struct View {
    /// The database that it is in; none for `sys` views, which are in every database.
    pub(crate) database: Option<&'static str>,
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
    /// Only there on managed instances, or only on SQL Server.
    managed: Option<bool>,
    access: Access,
    produce: Producer,
}

/// Who may see what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Public,
    /// Refused without this permission.
    Needs(Permission),
    /// Without VIEW ANY DEFINITION there are no rows.
    Definition,
    /// Without the state permission one sees oneself.
    Own,
}

impl PartialEq for View {
    /// Views live once, in the catalog.
    fn eq(&self, other: &View) -> bool {
        std::ptr::eq(self, other)
    }
}

type Rows = fn(&Env<'_>, &View) -> Vec<Row>;
type Called = fn(&Env<'_>, &View, &[Value]) -> Result<Vec<Row>>;

/// What reads the rows from the world.
#[derive(Clone, Copy, Debug)]
enum Producer {
    Rows(Rows),
    /// A function, with the types of its parameters.
    Called(&'static [Type], Called),
}

/// The view of that name on an engine of that major version; names compare without case.
pub(crate) fn find(
    (major, managed): (u8, bool),
    database: Option<&str>,
    schema: &str,
    name: &str,
) -> Option<&'static View> {
    catalog(major).iter().find(|view| {
        let is_view = matches!(view.produce, Producer::Rows(_));
        let in_database = match (view.database, database) {
            (None, _) => true,
            (Some(own), Some(asked)) => own.eq_ignore_ascii_case(asked),
            (Some(_), None) => false,
        };
        is_view
            && in_database
            && view.managed.is_none_or(|only| only == managed)
            && view.schema.eq_ignore_ascii_case(schema)
            && view.name.eq_ignore_ascii_case(name)
    })
}

/// The function of `sys` that gives rows and has that name, and the types of its parameters.
pub(crate) fn find_function(
    (major, managed): (u8, bool),
    name: &str,
) -> Option<(&'static View, &'static [Type])> {
    catalog(major).iter().find_map(|function| match function.produce {
        Producer::Called(parameters, _)
            if function.name.eq_ignore_ascii_case(name)
                && function.managed.is_none_or(|only| only == managed) =>
        {
            Some((function, parameters))
        }
        Producer::Called(..) | Producer::Rows(_) => None,
    })
}

/// The rows that a session sees of a database's view.
pub(crate) fn rows(view: &View, database: &str, env: &Env<'_>) -> Result<Vec<Row>> {
    env.catalog.replace(database.to_owned());
    called(view, env, &[])
}

/// The rows that a function gives a session.
pub(crate) fn called(view: &View, env: &Env<'_>, arguments: &[Value]) -> Result<Vec<Row>> {
    match view.access {
        Access::Public | Access::Own => {}
        Access::Needs(permission) => {
            if !env.session.may(permission) {
                return Err(denied(permission, view));
            }
        }
        Access::Definition => {
            if !env.session.may(Permission::ViewAnyDefinition) {
                return Ok(Vec::new());
            }
        }
    }
    match view.produce {
        Producer::Rows(rows) => Ok(rows(env, view)),
        Producer::Called(_, called) => called(env, view, arguments),
    }
}

/// What a view shows of this row; see [`RowBuilder`].
fn row(view: &View) -> RowBuilder<'_> {
    let values = view
        .columns
        .iter()
        .map(|column| if column.nullable { Value::Null } else { zero(column.ty) });
    RowBuilder { view, values: values.collect() }
}

fn zero(ty: Type) -> Value {
    match ty {
        Type::Bit => Value::Bit(false),
        Type::TinyInt | Type::SmallInt | Type::Int | Type::BigInt => Value::Int(0),
        Type::Numeric { scale, .. } => Value::Numeric(Numeric::new(0, scale)),
        Type::Money | Type::SmallMoney => Value::Numeric(Numeric::new(0, 4)),
        Type::Real | Type::Float => Value::Float(0.0),
        Type::Date | Type::SmallDateTime | Type::DateTime | Type::DateTime2(_) => {
            Value::Moment(moment::DAYS_TO_1900 * moment::TICKS_PER_DAY)
        }
        Type::Time(_) => Value::Time(0),
        Type::DateTimeOffset(_) => Value::Zoned { utc: 0, offset: 0 },
        Type::UniqueIdentifier => Value::Guid(0),
        Type::Char(_) | Type::VarChar(_) | Type::NChar(_) | Type::NVarChar(_) => Value::text(""),
        Type::Binary(_) | Type::VarBinary(_) => Value::Bytes(Vec::new()),
        Type::Variant => Value::Null,
    }
}

struct RowBuilder<'v> {
    view: &'v View,
    values: Row,
}

impl RowBuilder<'_> {
    fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let place = self.view.columns.iter().position(|column| column.name == name);
        // A column may be absent in an older version, but not be misspelt.
        debug_assert!(
            place.is_some()
                || catalog(u8::MAX).iter().any(|view| view.name == self.view.name
                    && view.columns.iter().any(|column| column.name == name)),
            "{} has no column {name}",
            self.view.name
        );
        if let Some(slot) = place.and_then(|place| self.values.get_mut(place)) {
            *slot = value.into();
        }
        self
    }

    /// A code and the word for it, in `name` and `name_desc`.
    fn coded(self, name: &str, code: u8, word: &str) -> Self {
        self.set(name, i32::from(code)).set(&format!("{name}_desc"), word)
    }

    /// All of these, which are on or off.
    fn flags(self, value: bool, names: &[&str]) -> Self {
        names.iter().fold(self, |row, name| row.set(name, value))
    }

    /// Whether the view has such a column in this version.
    fn has(&self, name: &str) -> bool {
        self.view.columns.iter().any(|column| column.name == name)
    }

    fn done(self) -> Row {
        self.values
    }
}

fn denied(permission: Permission, view: &View) -> Error {
    match permission {
        Permission::ReadMsdb => Error::new(
            229,
            14,
            format!(
                "The SELECT permission was denied on the object '{}', database '{}', schema '{}'.",
                view.name,
                view.database.unwrap_or("master"),
                view.schema
            ),
        )
        .state(5),
        _ => Error::new(
            300,
            14,
            format!(
                "{} permission was denied on object 'server', database 'master'.",
                permission.name()
            ),
        ),
    }
}

/// What reads a view's rows from the world.
fn producer(name: &str) -> Option<Producer> {
    view_rows(name).map(Producer::Rows).or_else(|| function_rows(name))
}

/// The functions that give rows.
fn function_rows(name: &str) -> Option<Producer> {
    const TEXT: Type = Type::NVarChar(Length::Of(4000));
    Some(match name {
        "sys.dm_db_log_info" => Producer::Called(&[Type::Int], log::info),
        "sys.dm_db_log_stats" => Producer::Called(&[Type::Int], log::stats),
        "sys.dm_exec_input_buffer" => Producer::Called(&[Type::SmallInt, Type::Int], text::input),
        "sys.dm_exec_sql_text" => {
            Producer::Called(&[Type::VarBinary(Length::Of(64))], text::of_handle)
        }
        "sys.dm_io_virtual_file_stats" => {
            Producer::Called(&[Type::Int, Type::Int], volumes::file_stats)
        }
        "sys.dm_os_volume_stats" => Producer::Called(&[Type::Int, Type::Int], volumes::volumes),
        "sys.fn_my_permissions" => Producer::Called(&[TEXT, TEXT], rights::mine),
        _ => return None,
    })
}

fn view_rows(name: &str) -> Option<Rows> {
    Some(match name {
        "sys.availability_groups" => groups::availability_groups,
        "sys.availability_replicas" => groups::availability_replicas,
        "sys.availability_databases_cluster" => groups::availability_databases_cluster,
        "sys.dm_hadr_availability_group_states" => groups::availability_group_states,
        "sys.dm_hadr_availability_replica_states" => replicas::replica_states,
        "sys.dm_hadr_availability_replica_cluster_states" => replicas::replica_cluster_states,
        "sys.dm_hadr_database_replica_states" => replicas::database_replica_states,
        "sys.dm_hadr_database_replica_cluster_states" => replicas::database_replica_cluster_states,
        "sys.dm_hadr_automatic_seeding" => seeding::automatic,
        "sys.dm_hadr_physical_seeding_stats" => seeding::physical,
        "sys.schemas" => tables::schemas,
        "sys.objects" => tables::objects,
        "sys.tables" => tables::tables,
        "sys.columns" => tables::columns,
        "sys.databases" => databases::databases,
        "sys.dm_exec_sessions" => activity::sessions,
        "sys.dm_exec_requests" => activity::requests,
        "sys.dm_exec_connections" => activity::connections,
        "sys.dm_tran_session_transactions" => activity::session_transactions,
        "sys.dm_tran_active_transactions" => activity::active_transactions,
        "sys.dm_tran_database_transactions" => activity::database_transactions,
        "sys.dm_os_performance_counters" => performance::counters,
        "msdb.dbo.backupset" => backups::backupset,
        "msdb.dbo.backupmediafamily" => backups::families,
        "msdb.dbo.backupmediaset" => backups::media,
        "msdb.dbo.restorehistory" => backups::restores,
        "msdb.dbo.sysjobs" => jobs::jobs,
        "msdb.dbo.sysjobsteps" => jobs::steps,
        "msdb.dbo.sysjobschedules" => jobs::job_schedules,
        "msdb.dbo.sysschedules" => jobs::schedules,
        "msdb.dbo.sysjobhistory" => jobs::history,
        "sys.dm_server_services" => jobs::services,
        "sys.dm_os_sys_info" => server::sys_info,
        "sys.dm_os_host_info" => server::host_info,
        "sys.servers" => server::servers,
        "sys.time_zone_info" => server::time_zones,
        "sys.database_mirroring_endpoints" => security::mirroring_endpoints,
        "sys.tcp_endpoints" => security::tcp_endpoints,
        "sys.certificates" => security::certificates,
        "sys.symmetric_keys" => security::symmetric_keys,
        "sys.endpoints" => security::endpoints,
        "sys.master_files" => files::master,
        "sys.database_files" => files::own,
        "sys.dm_db_log_space_usage" => files::log_space,
        "sys.server_principals" => principals::server,
        "sys.sql_logins" => principals::sql,
        "sys.server_role_members" => principals::members,
        "sys.server_permissions" => principals::permissions,
        "sys.credentials" => principals::credentials,
        "sys.database_principals" => users::users,
        "sys.database_role_members" => users::members,
        "sys.dm_tcp_listener_states" => security::listeners,
        "sys.messages" => messages::messages,
        "sys.configurations" => settings::configurations,
        "sys.types" => settings::types,
        "sys.dm_os_wait_stats" => settings::waits,
        "sys.server_resource_stats" => settings::resources,
        "sys.availability_group_listeners" => cluster::listeners,
        "sys.dm_hadr_cluster" => cluster::cluster,
        "sys.dm_hadr_cluster_members" => cluster::members,
        "sys.dm_hadr_availability_replica_cluster_nodes" => cluster::replica_nodes,
        "sys.dm_hadr_instance_node_map" => cluster::node_map,
        "sys.dm_hadr_name_id_map" => cluster::names,
        "sys.dm_hadr_fabric_config_parameters" => cluster::fabric,
        // Neither does the twin encrypt databases nor does a page of its disks go bad.
        "sys.dm_database_encryption_keys" | "sys.dm_hadr_auto_page_repair" => cluster::nothing,
        _ => return None,
    })
}

fn catalog(major: u8) -> &'static [View] {
    /// SQL Server 2016 to 2025, major versions 13 to 17.
    static RELEASES: [OnceLock<Vec<View>>; 5] = [const { OnceLock::new() }; 5];
    let major = major.clamp(13, 17);
    let slot = &RELEASES[usize::from(major - 13)];
    slot.get_or_init(|| read_catalog(include_str!("catalog.txt"), major))
}

fn read_catalog(text: &'static str, major: u8) -> Vec<View> {
    let mut views: Vec<View> = Vec::new();
    // Columns of a view that this version does not have are read over.
    let mut known = false;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let since = words.iter().find_map(|word| word.strip_prefix('>'));
        let present = since.and_then(|v| v.parse().ok()).is_none_or(|since: u8| major >= since);
        if line.starts_with(' ') {
            let column = Column {
                name: words[0].to_owned(),
                ty: parse_type(words[1]).unwrap_or(super::types::SYSNAME),
                nullable: !words.contains(&"!"),
            };
            if let (Some(view), true) = (views.last_mut(), present && known) {
                view.columns.push(column);
            }
            continue;
        }
        let parts: Vec<&str> = words[0].split('.').collect();
        let (database, schema, name) = match parts[..] {
            [database, schema, name] => (Some(database), schema, name),
            [schema, name] => (None, schema, name),
            _ => continue,
        };
        let access = match words[1] {
            "state" => Access::Needs(Permission::ViewServerPerformanceState),
            "security" => Access::Needs(Permission::ViewServerSecurityState),
            "read" => Access::Needs(Permission::ReadMsdb),
            "definition" => Access::Definition,
            "own" => Access::Own,
            _ => Access::Public,
        };
        known = false;
        if let Some(produce) = producer(words[0]).filter(|_| present) {
            known = true;
            let managed = if words.contains(&"boxed") {
                Some(false)
            } else {
                words.contains(&"managed").then_some(true)
            };
            let columns = Vec::new();
            views.push(View { database, schema, name, columns, managed, access, produce });
        }
    }
    views
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_of_the_catalog_has_rows_and_every_type_is_known() {
        for line in include_str!("catalog.txt").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if line.starts_with('#') || words.is_empty() {
                continue;
            }
            if line.starts_with(' ') {
                assert!(parse_type(words[1]).is_some(), "unknown type in {line:?}");
            } else {
                assert!(producer(words[0]).is_some(), "nothing produces {}", words[0]);
            }
        }
    }

    #[test]
    fn a_newer_engine_has_more_columns() {
        let width =
            |major| find((major, false), None, "sys", "databases").map(|view| view.columns.len());
        assert!((13..17).all(|major| width(major + 1) > width(major) || major == 13));
        let host = |major| find((major, false), None, "sys", "dm_os_host_info");
        assert!(host(13).is_none() && host(14).is_some());
        assert!(find((16, false), None, "SYS", "Availability_Groups").is_some());
        assert!(find((16, false), Some("master"), "dbo", "backupset").is_none());
        assert!(find((16, false), Some("MSDB"), "dbo", "backupset").is_some());
    }
}
