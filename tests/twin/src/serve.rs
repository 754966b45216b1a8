//! A clock behind the world, and all its doors.
//!
//! The TDS door of an instance is
//! `tds::serve(listener: tokio::net::TcpListener, world: SharedWorld, instance: String,
//! tls: Arc<rustls::ServerConfig>, logins: Arc<[sql::Login]>) -> anyhow::Result<()>`, an async function.
//! It is dropped when the instance stops or refuses, which must close its listener and every
//! connection (tasks of its own belong into a `JoinSet`), and called again on the same port when
//! the instance is back.

mod browser;
mod doors;
mod endpoints;
mod people;
mod shared;
mod tls;
mod twin;

pub use endpoints::{
    ArmEndpoint, ControlEndpoint, Endpoints, IdentityEndpoint, LoginEndpoint, MachineEndpoint,
    SqlEndpoint,
};
pub use shared::SharedWorld;
pub use twin::{Twin, TwinOptions};
