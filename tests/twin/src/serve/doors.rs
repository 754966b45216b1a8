//! Sockets: TDS listeners that go away and come back with their instance, HTTPS and HTTP.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::SharedWorld;
use crate::sql::Login;

/// An instance that starts listens within this time, or its door is given up.
const LISTEN_TRIES: u32 = 200;
const LISTEN_PAUSE: Duration = Duration::from_millis(25);
/// How long HTTP connections may finish what they do at the end.
const GRACE: Duration = Duration::from_millis(200);

/// Takes a free port on loopback.
pub(super) fn bind() -> anyhow::Result<(StdListener, u16)> {
    let listener = listener((Ipv4Addr::LOCALHOST, 0).into())?;
    let port = listener.local_addr().context("a listener has no address")?.port();
    Ok((listener, port))
}

fn listener(address: SocketAddr) -> anyhow::Result<StdListener> {
    let listener =
        StdListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true).context("cannot make a listener non-blocking")?;
    Ok(listener)
}

/// A port of loopback that is ours for as long as this lives, also while nobody listens on it: who
/// connects then is refused by it, and is not let in by whoever took it meanwhile.
pub(super) struct Place {
    address: SocketAddr,
    /// Bound, and never listening.
    _kept: TcpSocket,
}

impl Place {
    /// Takes a free port.
    pub(super) fn take() -> anyhow::Result<Place> {
        let kept = TcpSocket::new_v4().context("there is no socket")?;
        // Nobody else has the port; only then may a listener of ours have it beside this.
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        kept.bind(any).context("cannot take a port of 127.0.0.1")?;
        kept.set_reuseaddr(true).context("cannot share a port")?;
        let address = kept.local_addr().context("a socket has no address")?;
        Ok(Place { address, _kept: kept })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Listens on it.
    pub(super) fn open(&self) -> anyhow::Result<StdListener> {
        listener(self.address)
    }
}

/// The same for datagrams.
pub(super) fn bind_udp() -> anyhow::Result<(std::net::UdpSocket, u16)> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .context("cannot listen on 127.0.0.1 by UDP")?;
    socket.set_nonblocking(true).context("cannot make a socket non-blocking")?;
    let port = socket.local_addr().context("a socket has no address")?.port();
    Ok((socket, port))
}

/// What a TDS door opens to.
pub(super) enum Behind {
    /// One instance.
    Instance(String),
    /// Whichever replica is primary behind a listener.
    Listener(String),
}

impl Behind {
    pub(super) fn name(&self) -> &str {
        match self {
            Behind::Instance(name) | Behind::Listener(name) => name,
        }
    }
}

/// What a TDS door needs.
pub(super) struct TdsDoor {
    pub(super) world: SharedWorld,
    pub(super) behind: Behind,
    pub(super) tls: Arc<ServerConfig>,
    pub(super) logins: Arc<[Login]>,
}

/// Serves an instance for as long as it listens, and again when it does so again. Behind a listener
/// it is another one from time to time; connections end with each change, and without a primary
/// replica there the port refuses.
pub(super) async fn tds(
    door: TdsDoor,
    place: Place,
    first: StdListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut first = Some(TcpListener::from_std(first).context("a listener is not usable")?);
    loop {
        if door.instance().is_none() {
            first = None;
        }
        let Some(Some(instance)) = changed(&door, None, &stop).await else { return Ok(()) };
        let open = match first.take() {
            Some(open) => open,
            None => listen(place.address, door.behind.name()).await?,
        };
        let serve = crate::tds::serve(
            open,
            door.world.clone(),
            instance.clone(),
            door.tls.clone(),
            door.logins.clone(),
        );
        tokio::select! {
            ended = serve => {
                ended.with_context(|| format!("the TDS door of {} fell", door.behind.name()))?;
            }
            to = changed(&door, Some(&instance), &stop) => if to.is_none() { return Ok(()) },
        }
    }
}

/// Serves a router over TLS until told to stop.
pub(super) async fn https(
    router: Router,
    listener: StdListener,
    tls: Arc<ServerConfig>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let handle: Handle<SocketAddr> = Handle::new();
    let serve = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls))
        .context("cannot serve HTTPS")?
        .handle(handle.clone())
        .serve(router.into_make_service());
    tokio::select! {
        ended = serve => ended.context("the HTTPS door fell"),
        () = stop.cancelled() => {
            handle.graceful_shutdown(Some(GRACE));
            Ok(())
        }
    }
}

/// Serves a router in clear until told to stop.
pub(super) async fn http(
    router: Router,
    listener: StdListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener).context("a listener is not usable")?;
    tokio::select! {
        ended = axum::serve(listener, router).into_future() => ended.context("the HTTP door fell"),
        () = stop.cancelled() => Ok(()),
    }
}

/// Drives the world and wakes whoever waits for it, until told to stop.
pub(super) async fn tick(world: SharedWorld, stop: CancellationToken) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                world.with(|_| ());
                world.wake();
            }
            () = stop.cancelled() => return Ok(()),
        }
    }
}

/// Ends all tasks when the first of them fails.
pub(super) async fn watch(mut tasks: JoinSet<anyhow::Result<()>>, stop: CancellationToken) {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{error:#}"),
            Err(error) => tracing::error!("a door panicked: {error}"),
        }
        stop.cancel();
    }
}

impl TdsDoor {
    /// The instance that it opens to now, if that listens.
    fn instance(&self) -> Option<String> {
        self.world.with(|world| {
            let name = match &self.behind {
                Behind::Instance(name) => Some(name.as_str()),
                Behind::Listener(name) => world.behind(name),
            };
            let found = name.and_then(|name| world.instance(name));
            found.filter(|found| found.listens()).map(|found| found.name.clone())
        })
    }
}

/// Waits until the door opens to something else than `from`, and says to what; none if told to
/// stop meanwhile.
async fn changed(
    door: &TdsDoor,
    from: Option<&str>,
    stop: &CancellationToken,
) -> Option<Option<String>> {
    let mut ticks = door.world.ticks();
    loop {
        let now = door.instance();
        if now.as_deref() != from {
            return Some(now);
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            changed = ticks.changed() => if changed.is_err() { return None },
        }
    }
}

async fn listen(address: SocketAddr, instance: &str) -> anyhow::Result<TcpListener> {
    let mut last = None;
    for _ in 0..LISTEN_TRIES {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(LISTEN_PAUSE).await;
    }
    let error = last.map_or_else(|| anyhow::anyhow!("no try"), anyhow::Error::from);
    Err(error.context(format!("cannot listen on {address} for {instance}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_ours_while_nobody_listens() {
        let place = Place::take().expect("a port");
        for _ in 0..2 {
            let refused = tokio::net::TcpStream::connect(place.address).await;
            let kind = refused.expect_err("nobody listens").kind();
            assert_eq!(kind, std::io::ErrorKind::ConnectionRefused);
            let other = TcpSocket::new_v4().expect("a socket");
            let kind = other.bind(place.address).expect_err("it is taken").kind();
            assert_eq!(kind, std::io::ErrorKind::AddrInUse);

            let open = listen(place.address, "sql01").await.expect("it is ours");
            let (one, other) = tokio::join!(open.accept(), async {
                tokio::net::TcpStream::connect(place.address).await
            });
            one.and(other).expect("somebody listens");
        }
    }
}
