//! One connection to the broker, with a deadline for everything and a way to end it for certain.
//!
//! lapin reads and writes on a thread of its own and has no deadline for connecting: against a peer
//! that accepts and says nothing, both the call and the thread would stay for ever. So we make the
//! socket ourselves and keep a second handle to it: shutting that down ends the thread, whatever it
//! is waiting for.

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{Stream, future};
use lapin::{
    AsyncTcpStream, Channel, Confirmation, Connection, ConnectionProperties, Event, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    tcp::{RustlsConnector, RustlsConnectorConfig},
    types::{FieldTable, ShortString},
    uri::AMQPUri,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::{BrokerUrl, BusError, BusSettings, message::Message};

/// Messages on their way at once. One to a channel: lapin attaches a returned message to whichever
/// confirmation of its channel comes next, so with two of them it could not be told which one no
/// queue wanted.
pub(super) const CHANNELS: usize = 8;
/// Both sides say at least so often that they are there, in seconds.
const HEARTBEAT: u16 = 10;
/// How long an orderly end may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Dropped, the connection ends at once.
pub(super) struct Session {
    connection: Connection,
    channels: Vec<Channel>,
    pub(super) events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    _plug: Plug,
}

/// See [`look`].
pub(super) struct Look {
    connection: Connection,
    _plug: Plug,
}

/// What the broker said to one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is on the disk of a queue.
    Taken,
    /// No queue wanted it.
    Returned { reason: String },
    /// The broker could not take charge of it.
    Nacked,
}

/// Makes a connection with channels that confirm, and the exchange if it is not there.
pub(super) async fn connect(settings: &BusSettings) -> Result<Session, BusError> {
    let plug = Plug::default();
    let wire = Wire::clone(&plug.0);
    match timeout(settings.connect_within, open(settings, wire)).await {
        Ok(Ok((connection, channels))) => {
            let events = Box::pin(connection.events_listener());
            Ok(Session { connection, channels, events, _plug: plug })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(BusError::TimedOut { doing: "connect", after: settings.connect_within }),
    }
}

/// A connection on which nothing has been declared yet, for looking; dropped, it ends at once.
pub(super) async fn look(settings: &BusSettings) -> Result<Look, BusError> {
    let plug = Plug::default();
    let wire = Wire::clone(&plug.0);
    match timeout(settings.connect_within, dial(settings, wire)).await {
        Ok(Ok(connection)) => Ok(Look { connection, _plug: plug }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(BusError::TimedOut { doing: "connect", after: settings.connect_within }),
    }
}

impl Look {
    /// A channel of its own for each question: one that is answered with an error is closed.
    pub(super) async fn channel(&self) -> Result<Channel, BusError> {
        channel(&self.connection).await
    }
}

impl Session {
    pub(super) fn channels(&self) -> Vec<Channel> {
        self.channels.clone()
    }

    /// Says good-bye. The broker knows then that nothing more comes.
    pub(super) async fn close(self) {
        // Whether it answers in time or not, the socket is closed when this returns.
        drop(timeout(CLOSE_WITHIN, self.connection.close(200, "stopping".into())).await);
    }
}

/// Sends a message and waits until the broker has answered for it.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    message: Message,
    within: Duration,
) -> Result<Answer, BusError> {
    let id = message.properties.message_id().clone();
    let exchange = short(exchange)?;
    let key = short(&message.key)?;
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let published = async {
        channel
            .basic_publish(exchange, key, options, &message.body, message.properties)
            .await?
            .await
    };
    let answered = timeout(within, published);
    let confirmation = match answered.await {
        Ok(confirmation) => confirmation.map_err(failed("publish"))?,
        Err(_) => return Err(BusError::TimedOut { doing: "publish", after: within }),
    };
    let (taken, returned) = match confirmation {
        Confirmation::Ack(returned) => (true, returned),
        Confirmation::Nack(returned) => (false, returned),
        Confirmation::NotRequested => return Err(BusError::Confused("it does not confirm")),
    };
    match returned {
        Some(returned) if *returned.properties.message_id() != id => {
            Err(BusError::Confused("it returned another message than the one it answers for"))
        }
        Some(returned) => Ok(Answer::Returned {
            reason: format!("{} {}", returned.reply_code, returned.reply_text),
        }),
        None if taken => Ok(Answer::Taken),
        None => Ok(Answer::Nacked),
    }
}

async fn open(settings: &BusSettings, wire: Wire) -> Result<(Connection, Vec<Channel>), BusError> {
    let exchange = short(&settings.exchange)?;
    let connection = dial(settings, wire).await?;
    let channels = future::try_join_all((0..CHANNELS).map(|_| channel(&connection))).await?;
    if let Some(channel) = channels.first() {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange, ExchangeKind::Topic, durable, FieldTable::default())
            .await
            .map_err(failed("declare the exchange"))?;
    }
    Ok((connection, channels))
}

/// A connection and nothing on it yet.
async fn dial(settings: &BusSettings, wire: Wire) -> Result<Connection, BusError> {
    let url = address(settings).await;
    let authorities = match &settings.ca {
        Some(ca) => Some(ca.now().await),
        None => None,
    };
    let authorities = authorities.as_ref().map(|pem| pem.expose_secret());
    let connector = url.tls().then(|| tls(authorities)).transpose()?;
    let within = settings.connect_within;
    let mut uri: AMQPUri = url.uri().clone();
    uri.query.heartbeat.get_or_insert(HEARTBEAT);
    let name = format!("dr-agent {}", settings.source);
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = lapin::runtime::default_runtime().map_err(failed("connect"))?;
    let connecting = Connection::connector(
        uri,
        runtime,
        async move |uri: AMQPUri, runtime| {
            // This runs on lapin's thread, which must not outlive its use.
            let connected = timeout(within, async {
                let (host, port) = (uri.authority.host.clone(), uri.authority.port);
                let addresses = runtime.to_socket_addrs((host, port));
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(socket) = &stream {
                    wire.open(socket.get_ref().as_fd().try_clone_to_owned()?.into())?;
                }
                match &connector {
                    Some(connector) => stream.into_rustls(connector, &uri.authority.host).await,
                    None => Ok(stream),
                }
            });
            let connected = connected.await.unwrap_or_else(|late| Err(late.into()));
            connected.map_err(lapin::Error::from)
        },
        properties,
    );
    connecting.await.map_err(failed("connect"))
}

/// The address as it is kept now, or what was right at the start if that is none.
async fn address(settings: &BusSettings) -> BrokerUrl {
    let Some(kept) = &settings.kept_url else { return settings.url.clone() };
    kept.now().await.expose_secret().parse().unwrap_or_else(|why: String| {
        tracing::warn!("{why}; the address from the start is used further");
        settings.url.clone()
    })
}

async fn channel(connection: &Connection) -> Result<Channel, BusError> {
    let channel = connection.create_channel().await.map_err(failed("open a channel"))?;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
    confirms.map_err(failed("ask for confirms"))?;
    Ok(channel)
}

/// Believes the given authorities and no others, or those of the operating system.
fn tls(ca_pem: Option<&str>) -> Result<RustlsConnector, BusError> {
    let config = match ca_pem {
        None => RustlsConnectorConfig::new_with_platform_verifier(),
        Some(pem) => {
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
                .collect::<Result<_, _>>()
                .map_err(|error| BusError::Authority(error.to_string()))?;
            if certificates.is_empty() {
                return Err(BusError::Authority("it has no certificate".to_owned()));
            }
            RustlsConnectorConfig::default().with_parsable_certificates(certificates)
        }
    };
    config.connector_with_no_client_auth().map_err(|error| BusError::Authority(error.to_string()))
}

fn short(text: &str) -> Result<ShortString, BusError> {
    ShortString::try_new(text).map_err(|_| BusError::TooLong { text: text.to_owned() })
}

fn failed(doing: &'static str) -> impl Fn(lapin::Error) -> BusError {
    move |source| BusError::Failed { doing, source }
}

/// Ends the connection when it is dropped, at whatever stage that is.
#[derive(Default)]
struct Plug(Wire);

#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Socket>>);

#[derive(Default)]
enum Socket {
    #[default]
    None,
    Open(TcpStream),
    Pulled,
}

impl Wire {
    fn open(&self, socket: TcpStream) -> io::Result<()> {
        let mut wire = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*wire, Socket::Pulled) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        *wire = Socket::Open(socket);
        Ok(())
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        let mut wire = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Socket::Open(socket) = &*wire {
            // It fails if the peer has hung up already, which is just as well.
            drop(socket.shutdown(Shutdown::Both));
        }
        *wire = Socket::Pulled;
    }
}
