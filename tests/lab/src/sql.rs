//! A client of the twin's TDS doors that shares nothing with the agent: what an application sees.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use lab::twin::Twin;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::{net::TcpStream, runtime::Builder, time::timeout};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt as _};
use twin::serve::SqlEndpoint;

/// For connecting, login and the answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Logs in to the managed instance with the application's login and asks whether the database takes
/// writes: its `Updateability`.
pub(crate) fn updateability(twin: &Twin) -> Result<String> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { timeout(LIMIT, ask(twin)).await });
    asked.map_err(|_| anyhow!("no answer within {LIMIT:?}"))?
}

/// An open connection of the application.
pub(crate) type Connection = Client<Compat<TcpStream>>;

/// Logs in with the application's login.
pub(crate) async fn connect(twin: &Twin, door: &SqlEndpoint) -> Result<Connection> {
    let login = twin.endpoints.logins.get("app:shop").context("the twin has an application")?;
    let mut config = Config::new();
    config.host(&door.host);
    config.port(door.port);
    config.authentication(AuthMethod::sql_server(&login.user, &login.password));
    config.encryption(EncryptionLevel::Required);
    config.trust_cert_ca(twin.endpoints.ca.display());
    config.application_name("app:shop");
    let stream = TcpStream::connect((door.host.as_str(), door.port)).await?;
    Ok(Client::connect(config, stream.compat_write()).await?)
}

async fn ask(twin: &Twin) -> Result<String> {
    let door = &twin.endpoints.managed_instance;
    let mut client = connect(twin, door).await?;
    let question = format!(
        "SELECT CAST(DATABASEPROPERTYEX(N'{}', 'Updateability') AS nvarchar(60)) AS answer",
        door.database
    );
    let row = client.simple_query(question).await?.into_row().await?;
    let answer: Option<&str> = row.as_ref().and_then(|row| row.get(0));
    Ok(answer.context("the server gave no row")?.to_owned())
}
