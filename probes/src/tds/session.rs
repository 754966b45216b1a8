//! One connection to an instance, and the rule under which it may be used again.
//!
//! The rule is in the type: whoever asks takes the connection out, and only a complete answer puts
//! it back. After a time-out, a cancelled or dropped question, an error of any kind, there is none
//! left, and the next question opens a new one. (A tiberius client whose query was dropped hangs
//! without bound when it is used again; one that was cancelled may answer the next question with
//! zero rows.)

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use futures_util::{TryStreamExt, future::select_ok};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tiberius::{
    AuthMethod, Client, EncryptionLevel, QueryItem, QueryStream, Row, ToSql, error::Error,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tracing::instrument::WithSubscriber;

use super::{
    browser::Port,
    error::{Stage, TdsError},
    login::Login,
    prelogin::{Encryption, Hello, Secured, secure},
    refusal::{self, Refusal},
    tls::Tls,
    windows::{self, Visitor},
};
use crate::{Secret, arm::Kept, text::plain};

/// Redirections that are followed for one connection.
const REDIRECTIONS: usize = 2;
/// Addresses of one name that are tried, all at once.
const ADDRESSES: usize = 8;
/// TCP keepalive: the first probe, those after it, and how many of them go unanswered.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMES: u32 = 3;
/// Rows of one answer; no question of ours has a tenth of it.
const ROWS: usize = 10_000;
const LOGIN_FAILED: u32 = 18_456;

type Connection = Client<Compat<Secured<TcpStream>>>;

/// Where an instance is and how to log in to it.
#[derive(Clone, Debug)]
pub struct TdsEndpoint {
    /// Name or address; of a side with several replicas, its listener.
    pub host: String,
    pub port: Port,
    pub login: Login,
    pub encryption: Encryption,
    pub tls: Tls,
    /// The name that the certificate must carry, if it is not `host` (a CNAME, for example).
    pub tls_name: Option<String>,
    /// `program_name` of the session, by which it is known at the server.
    pub app_name: String,
    /// For name resolution, TCP, TLS and login together; never more than the deadline of the
    /// question that needs the connection.
    pub connect_within: Duration,
}

/// At most one open connection.
pub struct Session {
    endpoint: TdsEndpoint,
    held: Option<Held>,
    refusal: Option<Refusal>,
}

struct Held {
    connection: Connection,
    /// With which it was opened.
    token: Option<Kept>,
}

impl Session {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(endpoint: TdsEndpoint) -> Self {
        Self { endpoint, held: None, refusal: None }
    }

    #[must_use]
    pub fn endpoint(&self) -> &TdsEndpoint {
        &self.endpoint
    }

    /// Whether a connection is open and in a known state.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.held.is_some()
    }

    /// Runs one statement that changes something, on a connection of its own: one that has been
    /// idle may be dead, and then nobody could say whether the statement arrived.
    ///
    /// `limit` is for connect, login and statement together. See [`TdsError::nothing_sent`],
    /// [`TdsError::refused`] and [`TdsError::unknown`] for what a failure means.
    pub async fn execute(&mut self, statement: &str, limit: Duration) -> Result<(), TdsError> {
        self.held = None;
        self.run(Question::Batch(statement), limit, |_| Ok(())).await
    }

    /// Asks a question with parameters and has its results read, each with its rows. An answer
    /// that cannot be read closes the connection too: it may be the answer to another question.
    pub(crate) async fn ask<T>(
        &mut self,
        sql: &str,
        parameters: &[&dyn ToSql],
        limit: Duration,
        read: impl FnOnce(&[Vec<Row>]) -> Result<T, TdsError>,
    ) -> Result<T, TdsError> {
        self.run(Question::Parameters(sql, parameters), limit, read).await
    }

    async fn run<T>(
        &mut self,
        question: Question<'_>,
        limit: Duration,
        read: impl FnOnce(&[Vec<Row>]) -> Result<T, TdsError>,
    ) -> Result<T, TdsError> {
        let (endpoint, refusal) = (&self.endpoint, &mut self.refusal);
        let held = self.held.take().filter(|held| !held.is_outlived(&endpoint.login));
        let progress = Progress::default();
        let answered = timeout(limit, async {
            let mut held = match held {
                Some(held) => held,
                None => {
                    let within = endpoint.connect_within.min(limit);
                    timeout(within, open(endpoint, within, refusal, &progress))
                        .await
                        .map_err(|_| TdsError::TimedOut { stage: progress.stage() })??
                }
            };
            progress.at(Stage::Asking);
            let results = question
                .put_to(&mut held.connection)
                .await
                .map_err(|error| TdsError::from_tiberius(Stage::Asking, &error))?
                .ok_or_else(|| TdsError::garbled(format!("more than {ROWS} rows")))?;
            Ok((held, results))
        })
        .await;
        match answered {
            Ok(Ok((held, results))) => {
                let meaning = read(&results)?;
                self.held = Some(held);
                Ok(meaning)
            }
            Ok(Err(error)) => {
                let refused = matches!(error, TdsError::Login { number: LOGIN_FAILED, .. });
                if let Some(credential) = endpoint.login.credential().filter(|_| refused) {
                    credential.forget_unless_new();
                }
                Err(error)
            }
            Err(_) => Err(TdsError::TimedOut { stage: progress.stage() }),
        }
    }
}

impl Held {
    /// The token that it was opened with is about to end, and there is a newer one. Without one it
    /// serves on for as long as the server lets it.
    fn is_outlived(&self, login: &Login) -> bool {
        match (login.credential(), &self.token) {
            (Some(credential), Some(token)) => credential.replaces(token),
            (None | Some(_), _) => false,
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("endpoint", &self.endpoint)
            .field("open", &self.is_open())
            .finish()
    }
}

enum Question<'a> {
    Parameters(&'a str, &'a [&'a dyn ToSql]),
    Batch(&'a str),
}

impl Question<'_> {
    /// `None` if there are too many rows.
    async fn put_to(&self, connection: &mut Connection) -> tiberius::Result<Option<Vec<Vec<Row>>>> {
        let answer = match self {
            Self::Parameters(sql, parameters) => connection.query(*sql, parameters).await?,
            Self::Batch(sql) => connection.simple_query(*sql).await?,
        };
        collect(answer).await
    }
}

async fn collect(mut answer: QueryStream<'_>) -> tiberius::Result<Option<Vec<Vec<Row>>>> {
    let mut results: Vec<Vec<Row>> = Vec::new();
    let mut rows = 0;
    while let Some(item) = answer.try_next().await? {
        match item {
            QueryItem::Metadata(_) => results.push(Vec::new()),
            QueryItem::Row(row) => {
                rows += 1;
                if rows > ROWS {
                    return Ok(None);
                }
                if let Some(result) = results.last_mut() {
                    result.push(row);
                }
            }
        }
    }
    Ok(Some(results))
}

/// How far a connection has come, readable from outside when time is up.
#[derive(Default)]
struct Progress(AtomicU8);

impl Progress {
    fn at(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Connecting,
            1 => Stage::Securing,
            2 => Stage::LoggingIn,
            _ => Stage::Asking,
        }
    }
}

async fn open(
    endpoint: &TdsEndpoint,
    within: Duration,
    refusal: &mut Option<Refusal>,
    progress: &Progress,
) -> Result<Held, TdsError> {
    // The token is got while the way is opened, in half of the time: that there is none must not
    // look like the silence of the instance.
    let credential = endpoint.login.credential();
    let token = async {
        let credential = credential?;
        Some(timeout(within / 2, credential.current()).await)
    };
    let (way, token) = tokio::join!(way(endpoint, within, progress), token);
    let (mut host, mut port, mut secured) = way?;
    let token = match token {
        None => None,
        Some(Ok(Ok(token))) => Some(token),
        Some(Ok(Err(error))) => return Err(TdsError::NoToken { detail: plain(&error.detail) }),
        Some(Err(_)) => {
            let detail = format!("none within {:?}", within / 2);
            return Err(TdsError::NoToken { detail });
        }
    };
    let password = match endpoint.login.password() {
        Some(password) => password.now().await,
        None => Secret::default(),
    };
    for redirected in 0.. {
        progress.at(Stage::LoggingIn);
        if let Some(error) = refusal.as_mut().and_then(|refusal| refusal.again(&password)) {
            return Err(error);
        }
        let key = Key { password: &password, token: token.as_ref() };
        let ended = log_in(endpoint, &host, port, key, secured).await;
        if endpoint.login.password().is_some() {
            *refusal = refusal::after(refusal.take(), &password, &ended);
        }
        match ended? {
            LoggedIn::Here(connection) => return Ok(Held { connection, token }),
            LoggedIn::Elsewhere(..) if redirected == REDIRECTIONS => break,
            LoggedIn::Elsewhere(other, other_port) => {
                (host, port) = (other, other_port);
                secured = open_way(endpoint, &host, port, progress).await?;
            }
        }
    }
    let detail = format!("redirected more than {REDIRECTIONS} times, last to {}", plain(&host));
    Err(TdsError::Garbled { stage: Stage::LoggingIn, detail })
}

#[expect(clippy::large_enum_variant, reason = "the large variant is the ordinary one")]
enum LoggedIn {
    Here(Connection),
    /// The server knows of a better one.
    Elsewhere(String, u16),
}

/// To the instance itself, inside TLS.
async fn way(
    endpoint: &TdsEndpoint,
    within: Duration,
    progress: &Progress,
) -> Result<(String, u16, Secured<TcpStream>), TdsError> {
    progress.at(Stage::Connecting);
    let host = endpoint.host.clone();
    let port = endpoint.port.find(&host, within / 3).await?;
    let secured = open_way(endpoint, &host, port, progress).await?;
    Ok((host, port, secured))
}

async fn open_way(
    endpoint: &TdsEndpoint,
    host: &str,
    port: u16,
    progress: &Progress,
) -> Result<Secured<TcpStream>, TdsError> {
    let stream = connect(host, port, progress).await?;
    progress.at(Stage::Securing);
    let expected = endpoint.tls_name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(expected.to_owned()).map_err(|_| {
        let detail = format!("`{}` cannot be the name of a server", plain(expected));
        TdsError::Tls { detail }
    })?;
    let hello = Hello {
        encryption: endpoint.encryption,
        instance: endpoint.port.instance(),
        token: endpoint.login.credential().is_some(),
    };
    secure(stream, &endpoint.tls, name, hello).await
}

/// Of a name with several addresses, such as a listener over several subnets, the first one that
/// answers counts.
async fn connect(host: &str, port: u16, progress: &Progress) -> Result<TcpStream, TdsError> {
    progress.at(Stage::Connecting);
    let failed = |error: std::io::Error| TdsError::from_io(Stage::Connecting, &error);
    let addresses: Vec<_> =
        lookup_host((host, port)).await.map_err(failed)?.take(ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(TdsError::Unroutable { detail: format!("{} has no address", plain(host)) });
    }
    let attempts = addresses.into_iter().map(|address| Box::pin(TcpStream::connect(address)));
    let (stream, _) = select_ok(attempts).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if let Err(error) = notice_a_dead_host(&stream) {
        // That is this machine's failing and no silence of the server's; deadlines hold all the same.
        tracing::debug!(%error, host, "no TCP keepalive");
    }
    Ok(stream)
}

/// A statement may take minutes, and a host that dies meanwhile says nothing: without this, whoever
/// awaits the reply would for as long as the statement may take. Noticed after 25 s at the latest,
/// whether or not something was still to be acknowledged.
fn notice_a_dead_host(stream: &TcpStream) -> Result<(), rustix::io::Errno> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_TIMES)?;
    let whole = KEEPALIVE_IDLE + KEEPALIVE_EVERY * KEEPALIVE_TIMES;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(whole.as_millis()).unwrap_or(u32::MAX))
}

/// What opens the door; of the two the one that the login takes.
struct Key<'a> {
    password: &'a Secret,
    token: Option<&'a Kept>,
}

async fn log_in(
    endpoint: &TdsEndpoint,
    host: &str,
    port: u16,
    key: Key<'_>,
    mut secured: Secured<TcpStream>,
) -> Result<LoggedIn, TdsError> {
    let password = key.password;
    if let Login::Windows { domain, user, .. } = &endpoint.login {
        let app_name = &endpoint.app_name;
        let visitor = Visitor { domain, user, password, app_name, host, port };
        windows::log_in(&mut secured, &visitor).await?;
    }
    let mut config = tiberius::Config::new();
    config.host(host);
    config.port(port);
    config.database("master");
    config.application_name(&endpoint.app_name);
    config.authentication(match &endpoint.login {
        Login::Sql { user, .. } => AuthMethod::sql_server(user, password.expose_secret()),
        // Done; the library is not heard.
        Login::Windows { .. } => AuthMethod::None,
        Login::Entra(_) => {
            AuthMethod::aad_token(key.token.map(|kept| kept.token.secret()).unwrap_or_default())
        }
        #[cfg(feature = "kerberos")]
        Login::Kerberos => AuthMethod::Integrated,
    });
    // The stream is encrypted already.
    config.encryption(EncryptionLevel::NotSupported);
    // Deadlines are ours, and for the whole; those of tiberius are per token and by another clock.
    config.handshake_timeout(None);
    config.command_timeout(None);
    // It would warn at each login that nothing is encrypted.
    let opened = Client::connect(config, secured.compat())
        .with_subscriber(tracing::subscriber::NoSubscriber::default())
        .await;
    match opened {
        Ok(connection) => Ok(LoggedIn::Here(connection)),
        Err(Error::Routing { host, port }) => Ok(LoggedIn::Elsewhere(host, port)),
        Err(error) => Err(TdsError::from_tiberius(Stage::LoggingIn, &error)),
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
