//! dr-agent: the daemon and its command line, a thin shell around the decision core.
//!
//! `run` puts the parts together and is the only module that knows all others; `turn` is the one
//! loop that appends to the journal. Sinks (`bus`, `http`, `metrics`) read what the loop made
//! durable; `executor` carries out what the record says is due.

pub mod account;
pub mod actions;
pub mod alerts;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod config;
pub mod executor;
mod hook_file;
pub mod http;
pub mod journal;
pub mod keys;
pub mod metrics;
pub mod paper;
mod placement;
pub mod recorder;
pub mod replay;
pub mod run;
pub mod schedule;
pub mod turn;
