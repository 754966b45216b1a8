//! The TDS door of an instance (MS-TDS 7.4, and 8.0 "strict" on the same port).
//!
//! What a client sees: PRELOGIN, TLS inside of PRELOGIN packets or around everything, SQL login,
//! NTLM, tokens of Entra,
//! batches, `sp_executesql` and prepared procedures, attention, resets. What a network or an
//! instance in trouble does to it comes from the world: the door asks before it takes a request in
//! and before it sends each part of a reply, see [`gate`].

mod bytes;
mod codepage;
mod connection;
mod decode;
mod encode;
#[cfg(test)]
mod fuzz;
mod gate;
mod handshake;
mod identity;
mod line;
mod login;
mod login7;
mod ntlm;
mod packet;
mod prelogin;
mod refusal;
mod reply;
mod request;
mod rpc;
mod session;
mod token;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::serve::SharedWorld;
use crate::sql::{External, Login, Permission};
use crate::world::{InstanceKind, Principal, PrincipalKind, World};

pub use crate::world::{AttentionStyle, Encryption};

/// Connections of one instance, logged in or not.
const MAX_CONNECTIONS: usize = 1_000;
/// From the connect to the end of the login, in real time.
const LOGIN_DEADLINE: Duration = Duration::from_secs(60);
/// After a failed `accept`, which is most often a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What may differ from instance to instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether connections are encrypted.
    pub encryption: Encryption,
    /// How a cancelled request ends.
    pub attention: AttentionStyle,
    /// The port of this host to which whoever logs in is sent, as a gateway does.
    pub redirect: Option<u16>,
}

impl Options {
    /// As the instance is now: by default, a managed instance forces encryption.
    #[must_use]
    pub fn of(world: &World, instance: &str) -> Options {
        let managed = world
            .instance(instance)
            .is_some_and(|found| matches!(found.kind, InstanceKind::ManagedInstance { .. }));
        let usual = if managed { Encryption::Forced } else { Encryption::Available };
        let door = world.door(instance);
        // Some clients of Microsoft wait for the acknowledgement as a message of its own.
        let attention = door.and_then(|door| door.attention);
        Options {
            encryption: door.and_then(|door| door.encryption).unwrap_or(usual),
            attention: attention.unwrap_or(AttentionStyle::TwoMessages),
            redirect: world.sends_to(instance),
        }
    }
}

/// Serves an instance until it is dropped, which closes the listener and all connections.
///
/// `tls` brings certificate and cryptography; versions and ALPN are the door's own.
///
/// # Errors
/// A TLS configuration that does not work. What goes wrong on a connection ends that connection.
pub async fn serve<L>(
    listener: TcpListener,
    world: SharedWorld,
    instance: String,
    tls: Arc<ServerConfig>,
    logins: Arc<[L]>,
) -> anyhow::Result<()>
where
    for<'l> Login: From<&'l L>,
{
    attend(listener, world, instance, &tls, logins, None).await
}

/// Like [`serve`], with options of one's own in place of what the world says.
///
/// # Errors
/// A TLS configuration that does not work.
pub async fn serve_with<L>(
    listener: TcpListener,
    world: SharedWorld,
    instance: String,
    tls: &ServerConfig,
    logins: Arc<[L]>,
    options: Options,
) -> anyhow::Result<()>
where
    for<'l> Login: From<&'l L>,
{
    attend(listener, world, instance, tls, logins, Some(options)).await
}

async fn attend<L>(
    listener: TcpListener,
    world: SharedWorld,
    instance: String,
    tls: &ServerConfig,
    logins: Arc<[L]>,
    fixed: Option<Options>,
) -> anyhow::Result<()>
where
    for<'l> Login: From<&'l L>,
{
    let logins: Vec<Login> = logins.iter().map(Login::from).collect();
    world.with(|world| world.know_logins(&instance, principals(&logins)));
    let tls = Tls::like(tls).context("cannot use the certificate for TDS")?;
    let door = Arc::new(Door { world, instance, logins, tls, fixed });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if connections.len() < MAX_CONNECTIONS => {
                    tracing::debug!(instance = door.instance, %peer, "a client connects");
                    // A reply is written in one go: waiting for more of it would only delay it.
                    let _ = stream.set_nodelay(true);
                    let door = door.clone();
                    connections.spawn(async move {
                        if let Err(error) = line::attend(&door, stream, peer).await {
                            tracing::debug!(instance = door.instance, %peer, "{error}");
                        }
                    });
                }
                Ok((_, peer)) => tracing::warn!(
                    instance = door.instance, %peer, "more than {MAX_CONNECTIONS} connections"
                ),
                Err(error) => {
                    tracing::warn!(instance = door.instance, "cannot accept: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => if let Err(error) = ended {
                tracing::error!(instance = door.instance, "a connection panicked: {error}");
            },
        }
    }
}

/// The logins as the catalog shows them.
fn principals(logins: &[Login]) -> Vec<Principal> {
    let of = |login: &Login| Principal {
        name: login.name.clone(),
        kind: match &login.external {
            None => PrincipalKind::Sql,
            Some(External::Windows) => PrincipalKind::Windows,
            Some(External::Application(_)) => PrincipalKind::External,
        },
        database: login.default_database.clone(),
        sysadmin: login.permissions.contains(&Permission::ControlServer),
        granted: login.permissions.iter().map(|permission| permission.name()).collect(),
    };
    logins.iter().map(of).collect()
}

/// What all connections of a door share.
struct Door {
    world: SharedWorld,
    instance: String,
    logins: Vec<Login>,
    tls: Tls,
    /// In place of what the world says.
    fixed: Option<Options>,
}

impl Door {
    fn options(&self) -> Options {
        self.fixed.unwrap_or_else(|| self.world.with(|world| Options::of(world, &self.instance)))
    }
}

struct Tls {
    /// Inside of PRELOGIN packets: with TLS 1.3, session tickets would follow the handshake in a
    /// framing that clients no longer expect, so 1.2 it is, as with the real server.
    wrapped: Arc<ServerConfig>,
    strict: Arc<ServerConfig>,
}

impl Tls {
    fn like(given: &ServerConfig) -> Result<Tls, rustls::Error> {
        let with = |versions: &[&'static rustls::SupportedProtocolVersion]| {
            let provider = given.crypto_provider().clone();
            let builder = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)?
                .with_no_client_auth();
            Ok::<_, rustls::Error>(builder.with_cert_resolver(given.cert_resolver.clone()))
        };
        let wrapped = with(&[&rustls::version::TLS12])?;
        let mut strict = with(&[&rustls::version::TLS12, &rustls::version::TLS13])?;
        strict.alpn_protocols = vec![b"tds/8.0".to_vec()];
        Ok(Tls { wrapped: Arc::new(wrapped), strict: Arc::new(strict) })
    }
}

impl From<&Login> for Login {
    fn from(login: &Login) -> Login {
        login.clone()
    }
}
