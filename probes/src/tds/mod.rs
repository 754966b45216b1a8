//! Looking at SQL Server and managed instance over TDS, and the connection that actions borrow.

mod error;
mod in_flight;
mod instance;
mod prelogin;
mod reading;
mod rows;
mod session;
mod tls;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod peer;

pub use error::{Stage, TdsError};
pub use in_flight::in_flight;
pub use instance::InstanceLook;
pub use session::{Session, TdsEndpoint};
pub use tls::{Tls, Trust, TrustError};

pub(crate) use tls::certificates;
