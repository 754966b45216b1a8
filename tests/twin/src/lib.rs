//! A model of SQL Server, managed instance, the link between them and the control plane.
//!
//! [`world`] is pure: no socket, thread, clock or SQL text; `tables` is what its databases hold. The doors serve it: [`tds`] (with the
//! T-SQL evaluator in [`sql`]), [`arm`] and [`control`]; [`serve`] puts a clock behind the world
//! and opens them all. Nothing here knows the agent, so that it can contradict it.

pub mod arm;
pub mod cli;
pub mod control;
mod der;
pub mod serve;
pub mod sql;
mod tables;
pub mod tds;
pub mod world;
