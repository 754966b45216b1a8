//! Twin and agent together, as real processes: what `cargo lab` plays and what the end-to-end
//! tests are built from.
//!
//! Nothing here reads the agent's types: the lab speaks to it as any client does, so that what is
//! checked is the wire.

pub mod agent;
pub mod process;
pub mod setup;
pub mod twin;
pub mod wait;
pub mod wire;
