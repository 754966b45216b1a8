//! A connection from its first byte to the end of its login.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::sql::version_of;
use crate::world::Stage;

use super::handshake::Wrapped;
use super::identity::{instance_name, takes_tokens};
use super::line::Peer;
use super::packet::{END, HEADER, LOGIN7, Message, PRELOGIN, REPLY, invalid, packet, read_message};
use super::prelogin::{self, Cover};
use super::trouble::Mishap;
use super::{Door, Encryption, LOGIN_DEADLINE, gate, login, session};

/// How the first byte of a TLS record differs from that of a packet: strict clients begin with it.
const TLS_HANDSHAKE: u8 = 0x16;
/// How the instance without a name is called.
const DEFAULT_INSTANCE: &str = "MSSQLSERVER";

/// Serves one client until it leaves.
///
/// # Errors
/// Why the connection ended, if not by the client's leave.
pub(super) async fn run<S>(door: &Door, stream: S, peer: Peer) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let client = tokio::time::timeout(LOGIN_DEADLINE, open(door, stream, peer))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the login takes too long"))??;
    match client {
        Some((client, transport)) => session::serve(door, client, transport).await,
        None => Ok(()),
    }
}

/// A stream in clear or below TLS.
pub(super) enum Transport<S> {
    Clear(Wrapped<S>),
    Tls(Box<TlsStream<Wrapped<S>>>),
}

/// PRELOGIN, TLS and login; `None` if the login was refused, and said so.
async fn open<S>(
    door: &Door,
    mut stream: S,
    peer: Peer,
) -> io::Result<Option<(login::Client, Transport<S>)>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    gate::awake(&door.world, &door.instance).await?;
    let first = stream.read_u8().await?;
    let mut wrapped = Wrapped::new(stream, vec![first]);
    let (mut transport, opening) = if first == TLS_HANDSHAKE {
        if door.options().encryption == Encryption::NotSupported {
            return Err(invalid("TLS, where there is no certificate"));
        }
        let acceptor = TlsAcceptor::from(door.tls.strict.clone());
        let mut tls = shake(door, &peer, acceptor.accept(wrapped)).await?;
        let opening = greet(door, &mut tls, (true, peer)).await?;
        (Transport::Tls(Box::new(tls)), opening)
    } else {
        let opening = greet(door, &mut wrapped, (false, peer)).await?;
        let transport = match opening.cover {
            Cover::Closed => return Ok(None),
            Cover::Nothing => Transport::Clear(wrapped),
            Cover::LoginOnly | Cover::Everything => {
                wrapped.wrap(true);
                let acceptor = TlsAcceptor::from(door.tls.wrapped.clone());
                let mut tls = shake(door, &opening.peer, acceptor.accept(wrapped)).await?;
                tls.get_mut().0.wrap(false);
                Transport::Tls(Box::new(tls))
            }
        };
        (transport, opening)
    };
    let message = read_message(&mut transport).await?;
    if message.kind != LOGIN7 {
        return Err(unexpected(&message, "LOGIN7"));
    }
    gate::awake(&door.world, &door.instance).await?;
    if opening.cover == Cover::LoginOnly {
        // TLS ends without a word; what follows the login is in clear.
        transport = match transport {
            Transport::Tls(tls) => Transport::Clear(tls.into_inner().0),
            clear @ Transport::Clear(_) => clear,
        };
    }
    let client = login::log_in(door, &message.data, &opening, &mut transport).await?;
    Ok(client.map(|client| (client, transport)))
}

/// The TLS handshake, and what goes wrong in it.
async fn shake<T>(
    door: &Door,
    peer: &Peer,
    accept: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    if let Some(mishap) = Mishap::take(door, &peer.cable, &[Stage::Tls]) {
        peer.cable.suffer(&mishap);
    }
    let accepted = accept.await;
    peer.cable.recover();
    accepted
}

/// Reads PRELOGIN and answers it.
async fn greet<T>(
    door: &Door,
    stream: &mut T,
    (strict, peer): (bool, Peer),
) -> io::Result<login::Opening>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let message = read_message(stream).await?;
    if message.kind != PRELOGIN {
        return Err(unexpected(&message, "PRELOGIN"));
    }
    let asked = prelogin::parse(&message.data)?;
    gate::awake(&door.world, &door.instance).await?;
    let (encryption, cover) = prelogin::negotiate(asked.encryption, door.options().encryption);
    let about = door.world.with(|world| {
        let instance = world.instance(&door.instance)?;
        Some((version_of(instance), takes_tokens(instance), instance.server_name.clone()))
    });
    let (version, tokens, name) = about.ok_or_else(|| invalid("the instance is gone"))?;
    let mut nonce = [0; 32];
    fastrand::fill(&mut nonce);
    let answer = prelogin::Answer {
        encryption,
        version,
        elsewhere: is_another(asked.instance.as_deref(), &name),
        tokens,
        nonce: Some(nonce),
    };
    let reply = prelogin::reply(&asked, &answer);
    debug_assert!(reply.len() < 4096 - HEADER, "the answer to PRELOGIN fits in one packet");
    let reply = packet(REPLY, END, 0, 1, &reply);
    match Mishap::take(door, &peer.cable, &[Stage::Prelogin]) {
        Some(mishap) => mishap.send(stream, reply).await?,
        None => {
            stream.write_all(&reply).await?;
            stream.flush().await?;
        }
    }
    // In strict mode all is inside TLS already, and what was asked is ignored.
    let cover = if strict { Cover::Everything } else { cover };
    Ok(login::Opening { cover, strict, asked, tokens, nonce, peer })
}

/// Whether a client means another instance of this machine. `MSSQLServer` is what clients say that
/// were given a port and no name.
fn is_another(meant: Option<&str>, server_name: &str) -> bool {
    let own = instance_name(server_name).unwrap_or(DEFAULT_INSTANCE);
    meant.is_some_and(|meant| {
        !meant.eq_ignore_ascii_case(own) && !meant.eq_ignore_ascii_case(DEFAULT_INSTANCE)
    })
}

fn unexpected(message: &Message, wanted: &str) -> io::Error {
    invalid(format!("a message of type {:#04x} where {wanted} must be", message.kind))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_write(cx, data),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
