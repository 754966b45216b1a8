//! User tables, their columns, and the schema that they are all in.

use crate::sql::env::Env;
use crate::sql::types::{Length, Type};
use crate::sql::value::Value;
use crate::tables::{Table, TableColumn};

use super::{Row, View, row};

/// What is in the schema dbo has this `schema_id`.
const DBO: i32 = 1;
const TABLE: &str = "U ";

pub(super) fn schemas(_: &Env<'_>, view: &View) -> Vec<Row> {
    let own = [("dbo", 1), ("guest", 2), ("INFORMATION_SCHEMA", 3), ("sys", 4)];
    let schema = |(name, id): (&str, i32)| {
        row(view).set("name", name).set("schema_id", id).set("principal_id", id).done()
    };
    own.map(schema).into()
}

pub(super) fn objects(env: &Env<'_>, view: &View) -> Vec<Row> {
    all(env).iter().map(|table| object(env, row(view), table).done()).collect()
}

pub(super) fn tables(env: &Env<'_>, view: &View) -> Vec<Row> {
    let one = |table: &std::sync::Arc<Table>| {
        object(env, row(view), table)
            .set("max_column_id_used", count(table.columns.len()))
            .set("uses_ansi_nulls", true)
            .coded("lock_escalation", 0, "TABLE")
            .coded("durability", 0, "SCHEMA_AND_DATA")
            .coded("temporal_type", 0, "NON_TEMPORAL_TABLE")
            .coded("ledger_type", 0, "NON_LEDGER_TABLE")
            .done()
    };
    all(env).iter().map(one).collect()
}

pub(super) fn columns(env: &Env<'_>, view: &View) -> Vec<Row> {
    let of = |table: &std::sync::Arc<Table>| -> Vec<Row> {
        let columns = table.columns.iter().zip(1..);
        columns.map(|(column, id)| one_column(env, view, table.id, column, id)).collect()
    };
    all(env).iter().flat_map(of).collect()
}

fn all(env: &Env<'_>) -> Vec<std::sync::Arc<Table>> {
    env.world.tables(env.at(), env.session.id, &env.catalog.borrow())
}

fn object<'v>(env: &Env<'_>, row: super::RowBuilder<'v>, table: &Table) -> super::RowBuilder<'v> {
    row.set("name", table.name.clone())
        .set("object_id", table.id)
        .set("schema_id", DBO)
        .set("parent_object_id", 0)
        .set("type", TABLE)
        .set("type_desc", "USER_TABLE")
        .set("create_date", env.datetime(table.created))
        .set("modify_date", env.datetime(table.modified))
}

fn one_column(env: &Env<'_>, view: &View, table: i32, column: &TableColumn, id: i32) -> Row {
    let (type_id, length, precision, scale) = shape(column.ty);
    let collation =
        if column.ty.is_text() { env.instance.collation.clone().into() } else { Value::Null };
    row(view)
        .set("object_id", table)
        .set("name", column.name.clone())
        .set("column_id", id)
        .set("system_type_id", type_id)
        .set("user_type_id", type_id)
        .set("max_length", length)
        .set("precision", precision)
        .set("scale", scale)
        .set("collation_name", collation)
        .set("is_nullable", column.nullable)
        .set("is_ansi_padded", column.ty.is_text() || column.ty.is_binary())
        .set("is_identity", column.identity.is_some())
        .done()
}

/// `system_type_id`, `max_length`, `precision` and `scale` of a type.
fn shape(ty: Type) -> (i32, i32, i32, i32) {
    let bytes = |length: Length, each: i32| match length {
        Length::Of(n) => i32::from(n) * each,
        Length::Max => -1,
    };
    let fraction = |scale: u8| if scale > 0 { i32::from(scale) + 1 } else { 0 };
    match ty {
        Type::Bit => (104, 1, 1, 0),
        Type::TinyInt => (48, 1, 3, 0),
        Type::SmallInt => (52, 2, 5, 0),
        Type::Int => (56, 4, 10, 0),
        Type::BigInt => (127, 8, 19, 0),
        Type::Numeric { precision, scale } => {
            let bytes = match precision {
                0..=9 => 5,
                10..=19 => 9,
                20..=28 => 13,
                _ => 17,
            };
            (108, bytes, i32::from(precision), i32::from(scale))
        }
        Type::Money => (60, 8, 19, 4),
        Type::SmallMoney => (122, 4, 10, 4),
        Type::Real => (59, 4, 24, 0),
        Type::Float => (62, 8, 53, 0),
        Type::Date => (40, 3, 10, 0),
        Type::Time(s) => (41, 3 + i32::from(s.saturating_sub(1)) / 2, 8 + fraction(s), s.into()),
        Type::SmallDateTime => (58, 4, 16, 0),
        Type::DateTime => (61, 8, 23, 3),
        Type::DateTime2(s) => {
            (42, 6 + i32::from(s.saturating_sub(1)) / 2, 19 + fraction(s), s.into())
        }
        Type::DateTimeOffset(s) => {
            (43, 8 + i32::from(s.saturating_sub(1)) / 2, 26 + fraction(s), s.into())
        }
        Type::UniqueIdentifier => (36, 16, 0, 0),
        Type::Char(n) => (175, i32::from(n), 0, 0),
        Type::VarChar(n) => (167, bytes(n, 1), 0, 0),
        Type::NChar(n) => (239, i32::from(n) * 2, 0, 0),
        Type::NVarChar(n) => (231, bytes(n, 2), 0, 0),
        Type::Binary(n) => (173, i32::from(n), 0, 0),
        Type::VarBinary(n) => (165, bytes(n, 1), 0, 0),
        Type::Variant => (98, 8016, 0, 0),
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
