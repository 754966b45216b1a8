//! Looking at SQL Server and managed instance over TDS, and the connection that actions borrow.

mod activity;
mod backup;
mod browser;
mod error;
mod in_flight;
mod instance;
mod login;
mod logins;
mod ntlm;
mod prelogin;
mod reading;
mod refusal;
pub(crate) mod rows;
mod session;
mod side;
mod tls;
mod windows;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod peer;

pub use activity::activity;
pub use backup::{backup_running, backup_taken, log_backups};
pub use browser::{BROWSER_PORT, Port};
pub use error::{Stage, TdsError};
pub use in_flight::in_flight;
pub use instance::InstanceLook;
pub use login::Login;
pub use logins::login_states;
pub use prelogin::Encryption;
pub use reading::Told;
pub use session::{Session, TdsEndpoint};
pub use side::{Said, seen as side_seen};
pub use tls::{Tls, Trust, TrustError, usable_pem};

pub(crate) use login::ENTRA;
pub(crate) use tls::certificates;
