//! User tables: their definitions and rows.
//!
//! What a database holds is a value, [`Contents`]: every commit makes a new one, which shares with
//! the one before whatever has not changed. So a copy of a world costs little, and what a database
//! held at any position of its log is there to be read.

mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::sql::{Type, Value};

pub(crate) use rows::{Change, Rows};

/// Rows of one table at most; beyond that the file is full (1105).
pub(crate) const MAX_ROWS: usize = 100_000;

/// All tables of a database, by lower-case name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    tables: BTreeMap<String, Arc<Table>>,
}

/// What a transaction has made of some tables; none is a table that it has dropped.
pub(crate) type Changes = BTreeMap<String, Option<Arc<Table>>>;

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// `object_id`
    pub(crate) id: i32,
    /// Its name without its schema, which is always dbo.
    pub(crate) name: String,
    pub(crate) columns: Vec<TableColumn>,
    /// The primary key first, if there is one.
    pub(crate) keys: Vec<Key>,
    pub(crate) checks: Vec<Check>,
    pub(crate) references: Vec<Reference>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) rows: Rows,
    /// The value that an identity column gets next.
    pub(crate) next_identity: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
    /// Seed and increment.
    pub(crate) identity: Option<(i64, i64)>,
    /// The constraint's name and the expression's text.
    pub(crate) default: Option<(String, String)>,
}

/// PRIMARY KEY, UNIQUE, or a unique index.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) kind: KeyKind,
    /// Places of its columns.
    pub(crate) columns: Vec<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Primary,
    Unique,
    UniqueIndex,
    /// An index that is not unique: a name, and nothing that it does.
    Index,
}

/// A CHECK constraint: its name and the condition's text.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// FOREIGN KEY: columns by their places here, and those of a key there by their names.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) columns: Vec<usize>,
    /// The other table: its lower-case name, and as it was written.
    pub(crate) table: String,
    pub(crate) shown: String,
    pub(crate) to: Vec<String>,
}

impl Contents {
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Table>> {
        self.tables.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Arc<Table>)> {
        self.tables.iter()
    }

    /// With what a transaction has made of some tables.
    pub(crate) fn changed(&self, changes: &Changes) -> Contents {
        let mut tables = self.tables.clone();
        for (key, change) in changes {
            match change {
                Some(table) => tables.insert(key.clone(), table.clone()),
                None => tables.remove(key),
            };
        }
        Contents { tables }
    }
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    pub(crate) fn identity(&self) -> Option<usize> {
        self.columns.iter().position(|column| column.identity.is_some())
    }
}

/// Bytes that a row takes in the log, about.
pub(crate) fn weight(row: &[Value]) -> u64 {
    let bytes = row.iter().map(|value| match value {
        Value::Text(text) => 2 * text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Numeric(_) | Value::Guid(_) | Value::Zoned { .. } | Value::Variant(_) => 16,
        Value::Null
        | Value::Bit(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Moment(_)
        | Value::Time(_) => 8,
    });
    100 + u64::try_from(bytes.sum::<usize>()).unwrap_or(0)
}
