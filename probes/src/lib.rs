//! The eyes of the agent: they look at SQL Server, at the managed instance and at Azure Resource
//! Manager, turn what they see (silence included) into [`agent_core::Observation`]s, and change
//! nothing.
//!
//! [`watch()`] repeats a look on schedule. [`tds::InstanceLook`] and [`arm::ControlLook`] are the two
//! looks; each answers for every link of its instance at once. The clients beneath them,
//! [`tds::Session`] and [`arm::ArmClient`], are lent to the actions, and [`tds::Session::execute`]
//! and [`arm::ArmClient::failover`] are the only two functions here that can change anything.
//!
//! No clock is read here: whoever calls hands in a [`Now`].

pub mod arm;
pub mod readiness;
pub mod tds;

mod renewed;
mod secret;
mod target;
mod text;
mod watch;

pub use secret::SecretSource;
pub use target::{ControlTarget, InstanceTarget, LinkTarget, Now, Replica};
pub use watch::{Look, Schedule, watch};

/// A password or client secret; its `Debug` shows nothing, and it is wiped when dropped.
pub type Secret = secrecy::SecretString;
