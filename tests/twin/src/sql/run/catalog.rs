//! Procedures by which ODBC asks for the catalog, as text over the views that they read.

use crate::sql::error::{Error, Result};
use crate::sql::parse::parse_parameters;
use crate::sql::session::Session;
use crate::sql::statement::Argument;
use crate::sql::types::Type;
use crate::sql::value::Value;
use crate::world::World;

use super::one;

/// Names, types and values.
type Parameters = Vec<(String, Type, Value)>;

/// A procedure: its names, its parameters, which are all NULL unless they are given, and its text.
struct Procedure {
    names: &'static [&'static str],
    parameters: &'static str,
    /// With [`TYPE`] where a type's number in ODBC belongs.
    text: &'static str,
    /// What has a type's own number there.
    number: &'static str,
}

/// What stands in a procedure's text for the number that ODBC has for a type.
const TYPE: &str = "{odbc type}";
/// `system_type_id` of types, and their numbers in ODBC.
const TYPES: [(u8, i16); 25] = [
    (36, -11),
    (40, 91),
    (41, -154),
    (42, 93),
    (43, -155),
    (48, -6),
    (52, 5),
    (56, 4),
    (58, 93),
    (59, 7),
    (60, 3),
    (122, 3),
    (61, 93),
    (62, 6),
    (98, -150),
    (104, -7),
    (106, 3),
    (108, 2),
    (127, -5),
    (165, -3),
    (167, 12),
    (173, -2),
    (175, 1),
    (231, -9),
    (239, -8),
];

const PROCEDURES: [Procedure; 8] = [
    Procedure {
        names: &["sp_tables"],
        parameters: "@table_name nvarchar(384), @table_owner nvarchar(384), \
                     @table_qualifier sysname, @table_type varchar(100), @fUsePattern bit",
        text: "SELECT CAST(DB_NAME() AS sysname) AS TABLE_QUALIFIER, \
               CAST(N'dbo' AS sysname) AS TABLE_OWNER, name AS TABLE_NAME, \
               CAST('TABLE' AS varchar(32)) AS TABLE_TYPE, CAST(NULL AS varchar(254)) AS REMARKS \
               FROM sys.tables WHERE (@table_name IS NULL OR name LIKE @table_name) \
               AND (@table_owner IS NULL OR N'dbo' LIKE @table_owner) \
               AND (@table_type IS NULL OR @table_type LIKE '%''TABLE''%') ORDER BY name",
        number: "",
    },
    Procedure {
        names: &["sp_columns", "sp_columns_90", "sp_columns_100"],
        parameters: "@table_name nvarchar(384), @table_owner nvarchar(384), \
                     @table_qualifier sysname, @column_name nvarchar(384), @NameScope int, \
                     @ODBCVer int, @fUsePattern bit",
        text: include_str!("columns.sql"),
        number: "c.system_type_id",
    },
    Procedure {
        names: &["sp_datatype_info", "sp_datatype_info_90", "sp_datatype_info_100"],
        parameters: "@data_type int, @ODBCVer tinyint",
        text: include_str!("types.sql"),
        number: "y.system_type_id",
    },
    Procedure {
        names: &["sp_who"],
        parameters: "@loginame sysname",
        text: include_str!("who.sql"),
        number: "",
    },
    Procedure {
        names: &["sp_who2"],
        parameters: "@loginame sysname",
        text: include_str!("who2.sql"),
        number: "",
    },
    Procedure {
        names: &["sp_helpdb"],
        parameters: "@dbname sysname",
        text: include_str!("helpdb.sql"),
        number: "",
    },
    Procedure {
        names: &["sp_spaceused"],
        parameters: "",
        text: include_str!("spaceused.sql"),
        number: "",
    },
    Procedure {
        names: &["sp_stored_procedures"],
        parameters: "@sp_name nvarchar(390), @sp_owner nvarchar(384), @sp_qualifier sysname, \
                     @fUsePattern bit",
        text: "SELECT CAST(DB_NAME() AS sysname) AS PROCEDURE_QUALIFIER, \
               CAST(N'dbo' AS sysname) AS PROCEDURE_OWNER, \
               CAST(name AS nvarchar(134)) AS PROCEDURE_NAME, -1 AS NUM_INPUT_PARAMS, \
               -1 AS NUM_OUTPUT_PARAMS, -1 AS NUM_RESULT_SETS, CAST(NULL AS varchar(254)) AS REMARKS, \
               CAST(2 AS smallint) AS PROCEDURE_TYPE FROM sys.objects WHERE type = 'P'",
        number: "",
    },
];

/// The text of a procedure and what its parameters are for these arguments; nothing if it is
/// another one.
pub(super) fn procedure(
    bare: &str,
    arguments: &[Argument],
    world: &World,
    at: &str,
    session: &Session,
) -> Result<Option<(String, Parameters)>> {
    let named = |own: &&Procedure| own.names.iter().any(|name| name.eq_ignore_ascii_case(bare));
    let Some(found) = PROCEDURES.iter().find(named) else { return Ok(None) };
    let mut parameters = Vec::new();
    let declared = parse_parameters(found.parameters)?;
    if arguments.len() > declared.len() {
        let text = format!("Procedure or function {bare} has too many arguments specified.");
        return Err(Error::new(8144, 16, text).state(2));
    }
    for (position, (name, ty)) in declared.into_iter().enumerate() {
        let by_name = arguments.iter().find(|given| {
            given.name.as_ref().is_some_and(|given| given.eq_ignore_ascii_case(&name))
        });
        let by_place = arguments.get(position).filter(|given| given.name.is_none());
        let value = match by_name.or(by_place) {
            Some(given) => one(&given.value, ty, world, at, session)?,
            None => Value::Null,
        };
        parameters.push((name, ty, value));
    }
    Ok(Some((found.text.replace(TYPE, &numbered(found.number)), parameters)))
}

/// The number that ODBC has for a type, as an expression over the type's own.
fn numbered(own: &str) -> String {
    let cases: String =
        TYPES.iter().map(|(number, odbc)| format!(" WHEN {number} THEN {odbc}")).collect();
    format!("CASE {own}{cases} ELSE 0 END")
}
