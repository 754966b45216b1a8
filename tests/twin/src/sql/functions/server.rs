//! Functions of the server, its databases, and the session.

use crate::sql::convert::guid_text;
use crate::sql::decimal::Numeric;
use crate::sql::env::{Env, version_of};
use crate::sql::session::{Permission, Session};
use crate::sql::types::{Length, SYSNAME, Type};
use crate::sql::value::Value;
use crate::sql::{moment, views};
use crate::world::{Edition, Instance, InstanceKind};

use super::{Function, Part, as_int, as_text, permission};

pub(super) fn evaluate(function: Function, arguments: &[(Type, Value)], env: &Env<'_>) -> Value {
    let text = |n: usize| arguments.get(n).map_or("", |argument| as_text(&argument.1));
    let session = env.session;
    match function {
        Function::ServerProperty => server_property(text(0), env),
        Function::DatabasePropertyEx => database_property(text(0), text(1), env),
        Function::ConnectionProperty => connection_property(text(0)),
        Function::DbId => {
            let name = if arguments.is_empty() { session.database.as_str() } else { text(0) };
            let wanted = |found: &str| found.eq_ignore_ascii_case(name.trim_end());
            let databases = env.world.databases(env.at());
            let found = databases.iter().find(|database| wanted(&database.name));
            found.map(|database| i64::from(database.database_id)).into()
        }
        Function::DbName => match arguments.first() {
            None => session.database.clone().into(),
            Some((_, id)) => {
                let id = as_int(id);
                let databases = env.world.databases(env.at());
                let found = databases.into_iter().find(|d| i64::from(d.database_id) == id);
                found.map(|database| database.name).into()
            }
        },
        Function::CertId => views::certificate_id(env, text(0)).unwrap_or(Value::Null),
        Function::CertEncoded => {
            let id = arguments.first().map_or(0, |(_, id)| as_int(id));
            let blob = views::certificate_of(env, id).and_then(|found| found.blob.clone());
            blob.map_or(Value::Null, Value::Bytes)
        }
        Function::HasPermsByName => permission::by_name(arguments, env),
        Function::HadrIsPrimaryReplica => {
            let states = env.world.database_replica_states(env.at());
            let mut own = states
                .iter()
                .filter(|row| row.is_local && row.database.eq_ignore_ascii_case(text(0)))
                .peekable();
            if own.peek().is_none() {
                return Value::Null;
            }
            // On the secondary of a link the local group calls itself primary, but the database
            // is not; what the function says there is not documented.
            Value::Bit(own.all(|row| row.is_primary_replica))
        }
        Function::HadrBackupIsPreferredReplica => {
            Value::Bit(env.world.is_preferred_for_backups(env.at(), text(0)))
        }
        Function::FileName | Function::FileId => file(function, arguments, env),
        Function::ObjectId => object_id(text(0), env),
        Function::ObjectName => {
            let id = arguments.first().map_or(0, |(_, id)| as_int(id));
            let tables = env.world.tables(env.at(), session.id, &session.database);
            let found = tables.iter().find(|table| i64::from(table.id) == id);
            found.map(|table| table.name.clone()).into()
        }
        Function::Fixed(_, value) => Value::Int(i64::from(value)),
        Function::NewId => new_id(env),
        Function::ServerName => env.instance.server_name.clone().into(),
        Function::Version => version_text(env).into(),
        Function::ServiceName => "MSSQLSERVER".into(),
        Function::MicrosoftVersion => {
            let (major, minor, build) = version_of(env.instance);
            Value::Int(i64::from(major) << 24 | i64::from(minor) << 16 | i64::from(build))
        }
        _ => of_session(function, arguments, env),
    }
}

/// Of the session: who it is, what it has set and what it has done.
fn of_session(function: Function, arguments: &[(Type, Value)], env: &Env<'_>) -> Value {
    let text = |n: usize| arguments.get(n).map_or("", |argument| as_text(&argument.1));
    let session = env.session;
    match function {
        Function::SuserSname => match arguments.first() {
            None => session.login.clone().into(),
            Some(_) => Value::Null,
        },
        Function::UserId => {
            let own = arguments.is_empty();
            let named = match own {
                true if session.may(Permission::ControlServer) => "dbo",
                true => session.login.as_str(),
                false => text(0),
            };
            views::principals::user_id(env, named).map_or(Value::Null, Value::Int)
        }
        Function::IsSrvRoleMember => {
            let other = arguments.len() > 1 && !text(1).eq_ignore_ascii_case(&session.login);
            match text(0).to_ascii_lowercase().as_str() {
                _ if other => Value::Null,
                "public" => Value::Int(1),
                "sysadmin" => Value::from(i64::from(session.may(Permission::ControlServer))),
                "processadmin" => {
                    Value::from(i64::from(session.may(Permission::AlterAnyConnection)))
                }
                "dbcreator" => Value::from(i64::from(session.may(Permission::CreateAnyDatabase))),
                "serveradmin" | "securityadmin" | "setupadmin" | "bulkadmin" | "diskadmin" => {
                    Value::Int(0)
                }
                _ => Value::Null,
            }
        }
        Function::HostName => session.host.clone().into(),
        Function::AppName => session.program.clone().into(),
        Function::XactState => Value::Int(match (session.transactions, session.doomed) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }),
        Function::Identity => match session.identity {
            Value::Int(n) => Value::Numeric(Numeric::new(i128::from(n), 0)),
            _ => Value::Null,
        },
        Function::UserName => match session.may(Permission::ControlServer) {
            true => "dbo".into(),
            false => session.login.clone().into(),
        },
        Function::Language => session.language.name.into(),
        Function::LanguageId => Value::Int(i64::from(session.language.id)),
        Function::DateFirst => Value::Int(i64::from(session.date_first)),
        Function::TextSize => Value::Int(session.text_size),
        Function::Options => Value::Int(options(session)),
        Function::LockTimeout => Value::Int(session.lock_timeout),
        Function::Caught(part) => session.caught.last().map_or(Value::Null, |error| match part {
            Part::Number => Value::from(error.number),
            Part::Severity => Value::Int(i64::from(error.class)),
            Part::State => Value::Int(i64::from(error.state)),
            Part::Line => Value::Int(i64::from(error.line)),
            Part::Message => error.message.clone().into(),
            Part::Procedure => Value::Null,
        }),
        Function::Spid => Value::from(i32::from(session.id)),
        Function::TranCount => Value::Int(i64::from(session.transactions)),
        Function::RowCount => Value::Int(session.row_count),
        Function::Error => Value::from(session.error),
        _ => Value::Null,
    }
}

/// `@@OPTIONS`: what each session has from its login on, and what it has set.
fn options(session: &Session) -> i64 {
    /// ANSI_WARNINGS, ANSI_PADDING, ANSI_NULLS, QUOTED_IDENTIFIER, ANSI_NULL_DFLT_ON and
    /// CONCAT_NULL_YIELDS_NULL.
    const FROM_LOGIN: i64 = 8 + 16 + 32 + 256 + 1024 + 4096;
    let set = [(session.implicit, 2), (session.no_count, 512), (session.abort, 16_384)];
    FROM_LOGIN + set.iter().filter(|(on, _)| *on).map(|(_, bit)| bit).sum::<i64>()
}

fn server_property(name: &str, env: &Env<'_>) -> Value {
    let instance = env.instance;
    let managed = env.is_managed();
    let text = |value: &str| Value::variant(SYSNAME, value.into());
    let int = |value: i32| Value::variant(Type::Int, value.into());
    let machine = instance.server_name.split(['\\', '.']).next().unwrap_or_default();
    let (edition, edition_id, engine_edition) = edition(instance.kind);
    match name.trim_end().to_ascii_lowercase().as_str() {
        "collation" => text(&instance.collation),
        "computernamephysicalnetbios" | "machinename" => text(machine),
        "edition" => text(instance.setup().edition.as_deref().unwrap_or(edition)),
        "editionid" => Value::variant(Type::BigInt, Value::Int(edition_id)),
        "engineedition" => int(engine_edition),
        "hadrmanagerstatus" => int(if instance.setup().hadr { 1 } else { 2 }),
        "ishadrenabled" => int(i32::from(instance.setup().hadr)),
        "instancename" => match instance.server_name.split_once('\\') {
            Some((_, name)) => text(name),
            None => Value::Null,
        },
        "isclustered"
        | "issingleuser"
        | "isintegratedsecurityonly"
        | "islocaldb"
        | "isadvancedanalyticsinstalled"
        | "ispolybaseinstalled"
        | "isbigdatacluster"
        | "isexternalauthenticationonly"
        | "isserversuspendedforsnapshotbackup"
        | "suspendeddatabasecount"
        | "filestreamconfiguredlevel"
        | "filestreameffectivelevel" => int(0),
        "isfulltextinstalled" | "isxtpsupported" => int(1),
        "lcid" => int(1033),
        "collationid" => int(872_468_488),
        "comparisonstyle" => int(196_609),
        "sqlcharset" => Value::variant(Type::TinyInt, Value::Int(1)),
        "sqlcharsetname" => text("iso_1"),
        "sqlsortorder" => Value::variant(Type::TinyInt, Value::Int(52)),
        "sqlsortordername" => text("nocase_iso"),
        "licensetype" => text("DISABLED"),
        "pathseparator" => text(if instance.on_linux() { "/" } else { "\\" }),
        "processid" => int(4_312),
        "buildclrversion" => text("v4.0.30319"),
        "productversion" => text(&instance.product_version),
        "productmajorversion" => text(&version_of(env.instance).0.to_string()),
        "productminorversion" => text(&version_of(env.instance).1.to_string()),
        "productbuild" => text(&version_of(env.instance).2.to_string()),
        "productlevel" => text(if managed { "RTM" } else { instance.build().release().level }),
        "productupdatelevel" => update_level(env).map_or(Value::Null, |level| text(&level)),
        "productupdatetype" => text(if managed { "Continuous" } else { "CU" }),
        "resourceversion" => {
            let [major, minor, build, _] = instance.build().0;
            text(&format!("{major}.{minor:02}.{build}"))
        }
        "resourcelastupdatedatetime" => {
            Value::variant(Type::DateTime, env.datetime(instance.started()))
        }
        "servername" => text(&instance.server_name),
        "instancedefaultdatapath" | "instancedefaultlogpath" if !managed => {
            text(&folder(instance, "DATA\\", "data/"))
        }
        "instancedefaultbackuppath" if !managed => text(&folder(instance, "Backup", "data")),
        _ => Value::Null,
    }
}

/// Where a default installation keeps something.
fn folder(instance: &Instance, windows: &str, linux: &str) -> String {
    if instance.on_linux() {
        return format!("/var/opt/mssql/{linux}");
    }
    let major = instance.build().0[0];
    let at = r"C:\Program Files\Microsoft SQL Server";
    format!(r"{at}\MSSQL{major}.MSSQLSERVER\MSSQL\{windows}")
}

fn edition(kind: InstanceKind) -> (&'static str, i64, i32) {
    match kind {
        InstanceKind::SqlServer { edition: Edition::Developer, .. } => {
            ("Developer Edition (64-bit)", -2_117_995_310, 3)
        }
        InstanceKind::SqlServer { edition: Edition::Enterprise, .. } => {
            ("Enterprise Edition: Core-based Licensing (64-bit)", 1_872_460_670, 3)
        }
        InstanceKind::SqlServer { edition: Edition::Standard, .. } => {
            ("Standard Edition (64-bit)", -1_534_726_760, 2)
        }
        InstanceKind::ManagedInstance { .. } => ("SQL Azure", 1_674_378_470, 8),
    }
}

/// The cumulative update, from the build.
fn update_level(env: &Env<'_>) -> Option<String> {
    let build = env.instance.build();
    if env.is_managed() { None } else { build.release().update(build) }
}

fn version_text(env: &Env<'_>) -> String {
    let version = &env.instance.product_version;
    if env.is_managed() {
        return format!(
            "Microsoft SQL Azure (RTM) - {version} \n\tCopyright (C) 2022 Microsoft Corporation\n"
        );
    }
    let release = env.instance.build().release();
    let update = update_level(env).map_or_else(String::new, |level| format!("-{level}"));
    let (edition, _, _) = edition(env.instance.kind);
    let on = if env.instance.on_linux() {
        "Linux (Ubuntu 22.04.4 LTS) <X64>"
    } else {
        "Windows Server 2022 Standard 10.0 <X64> (Build 20348: ) (Hypervisor)"
    };
    let (name, level) = (release.name, release.level);
    format!(
        "Microsoft SQL Server {name} ({level}{update}) - {version} (X64) \n\tCopyright (C) \
         {name} Microsoft Corporation\n\t{edition} on {on}\n"
    )
}

fn database_property(database: &str, property: &str, env: &Env<'_>) -> Value {
    let databases = env.world.databases(env.at());
    let found = databases.iter().find(|d| d.name.eq_ignore_ascii_case(database.trim_end()));
    let Some(found) = found else { return Value::Null };
    let text = |value: &str| Value::variant(SYSNAME, value.into());
    let int = |value: i32| Value::variant(Type::Int, value.into());
    match property.trim_end().to_ascii_lowercase().as_str() {
        "status" => text(found.state.desc()),
        "updateability" => text(if found.updateable { "READ_WRITE" } else { "READ_ONLY" }),
        "recovery" => text(if found.full_recovery { "FULL" } else { "SIMPLE" }),
        "useraccess" => {
            let made = env.instance.setup().database(&found.name);
            text(match (made.single_user, made.restricted) {
                (true, _) => "SINGLE_USER",
                (false, true) => "RESTRICTED_USER",
                (false, false) => "MULTI_USER",
            })
        }
        "collation" => text(&env.instance.collation),
        "isinstandby" | "isautoclose" | "isautoshrink" | "ispublished" | "issubscribed" => int(0),
        "isautocreatestatistics" | "isautoupdatestatistics" | "isfulltextenabled" => int(1),
        "version" => int(env.instance.build().release().format),
        _ => Value::Null,
    }
}

fn connection_property(property: &str) -> Value {
    let text = |value: &str| Value::variant(Type::NVarChar(Length::Of(40)), value.into());
    match property.trim_end().to_ascii_lowercase().as_str() {
        "net_transport" | "physical_net_transport" => text("TCP"),
        "protocol_type" => text("TSQL"),
        "auth_scheme" => text("SQL"),
        _ => Value::Null,
    }
}

/// FILE_NAME and FILE_ID, of the session's database.
fn file(function: Function, arguments: &[(Type, Value)], env: &Env<'_>) -> Value {
    let (id, name) = arguments.first().map_or((0, ""), |(_, it)| (as_int(it), as_text(it)));
    let files = env.world.files(env.at()).into_iter();
    let mut own = files.filter(|file| file.database.eq_ignore_ascii_case(&env.session.database));
    if function == Function::FileName {
        return own.find(|file| i64::from(file.file_id) == id).map(|file| file.name).into();
    }
    own.find(|file| file.name.eq_ignore_ascii_case(name)).map(|file| i64::from(file.file_id)).into()
}

fn object_id(name: &str, env: &Env<'_>) -> Value {
    let parts: Vec<&str> = name.split('.').map(|part| part.trim_matches(['[', ']', ' '])).collect();
    let current = env.session.database.as_str();
    let (database, schema, object) = match parts[..] {
        [object] => (current, "dbo", object),
        [schema, object] => (current, schema, object),
        [database, schema, object] => {
            (database, if schema.is_empty() { "dbo" } else { schema }, object)
        }
        _ => return Value::Null,
    };
    let temporary = env.session.temporary.get(&object.to_lowercase());
    if let Some(table) = temporary.filter(|_| database.eq_ignore_ascii_case("tempdb")) {
        return Value::from(-table.id);
    }
    if schema.eq_ignore_ascii_case("dbo") {
        let tables = env.world.tables(env.at(), env.session.id, database);
        let found = tables.iter().find(|table| table.name.eq_ignore_ascii_case(object));
        if let Some(table) = found {
            return Value::from(table.id);
        }
    }
    let major = crate::sql::env::major(env.instance);
    let found = views::find((major, env.is_managed()), Some(database), schema, object);
    // System objects have negative ids; which one, is only the same in one build.
    found.map(|view| -hash(view.name)).into()
}

fn hash(name: &str) -> i64 {
    let sum = name.bytes().fold(5_381u32, |h, b| h.wrapping_mul(33) ^ u32::from(b));
    i64::from(sum >> 1)
}

/// Differs per session, statement and moment; no one relies on more.
fn new_id(env: &Env<'_>) -> Value {
    let seed = format!("{}/{}/{}", env.at(), env.session.id, fresh());
    let ticks = u128::try_from(moment::utc_ticks(env.now())).unwrap_or(0);
    let mixed = seed.bytes().fold(ticks ^ 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834, |h, b| {
        (h ^ u128::from(b)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B)
    });
    let version_4 = mixed & !(0xf000 << 64) & !(0xc << 60) | (0x4000 << 64) | (0x8 << 60);
    debug_assert_eq!(guid_text(version_4).len(), 36);
    Value::Guid(version_4)
}

fn fresh() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
