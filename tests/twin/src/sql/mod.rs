//! T-SQL, evaluated against the world.
//!
//! A query is never recognised by its text. It is parsed ([`parse`], with `sqlparser`), bound
//! ([`bind`]: names, types, conversions) to system views whose rows come from the world
//! ([`views`]), and evaluated ([`eval`]). What is outside of the subset gets SQL Server's own
//! error: 102, 156, 195, 207, 208 and so on, and nothing happens.
//!
//! The subset: SELECT with joins, APPLY, subqueries, common table expressions, grouping, ordering,
//! TOP, OFFSET/FETCH, set operators and window functions; tables of one's own ([`definition`]),
//! INSERT, UPDATE, DELETE and transactions; DECLARE, SET, IF, WHILE, TRY…CATCH, PRINT, RAISERROR,
//! THROW, WAITFOR DELAY, USE, EXEC, `sp_executesql`; ALTER AVAILABILITY GROUP, ALTER DATABASE …
//! SET, BACKUP and what else administers a link. No cursors, views, procedures or triggers.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "types and values come in two dozen kinds and sqlparser's trees in hundreds: what an \
              arm does not take ends in one refusal"
)]

mod bind;
mod convert;
mod decimal;
mod definition;
mod env;
mod error;
mod eval;
mod functions;
mod ir;
pub(crate) mod moment;
mod parse;
mod run;
mod session;
mod statement;
mod types;
mod value;
mod views;

#[cfg(test)]
mod tests;

pub(crate) use convert::{convert, guid_from_wire, guid_to_wire};
pub use decimal::Numeric;
pub(crate) use env::version_of;
pub use error::Error;
pub use ir::Column;
pub(crate) use parse::{parse_parameters, readable};
pub(crate) use run::enter;
pub use run::{Output, Run, Step, Transaction};
pub use session::{External, Login, Permission, Session};
pub use types::{Length, Type};
pub use value::Value;
pub use views::Row;
