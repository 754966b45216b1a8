//! A plain client of an administrator at one of the twin's instances.

use lab::twin::Twin;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};

/// Logs in, by name of the instance, with a login that may do everything.
pub(crate) async fn log_in(twin: &Twin, at: &str) -> tiberius::Result<Client<Compat<TcpStream>>> {
    let door = &twin.endpoints.instances[at];
    let login = &twin.endpoints.logins["operator"];
    let mut config = Config::new();
    config.host(&door.host);
    config.port(door.port);
    config.authentication(AuthMethod::sql_server(&login.user, &login.password));
    config.encryption(EncryptionLevel::Required);
    config.trust_cert_ca(twin.endpoints.ca.display());
    let stream = TcpStream::connect((door.host.as_str(), door.port)).await?;
    Client::connect(config, stream.compat_write()).await
}
