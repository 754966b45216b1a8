//! The door itself: where it is, who may come in at once, and how it is shut.

use std::{
    convert::Infallible,
    fs,
    future::{Ready, ready},
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use axum::Router;
use axum_server::{
    Handle, Server,
    accept::Accept,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::sync::CancellationToken;

use super::CONNECTIONS;

/// For the TLS handshake, for the first request, and for the head of each later one: a connection
/// that is idle for longer is closed.
const HEAD: Duration = Duration::from_secs(30);
/// How often the certificate's file is looked at.
const RELOAD: Duration = Duration::from_secs(60);

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Port 0 takes any free one; [`Bound::url`] says which.
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    /// The URL is written here once the door is open, and the file is taken away at the end.
    pub address_file: Option<PathBuf>,
}

/// PEM files; they are read again when they change.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Why the door can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("can't listen on {listen}: {error}")]
    Listen { listen: SocketAddr, error: io::Error },
    #[error("can't use the certificate {} with the key {}: {error}", cert.display(), key.display())]
    Tls { cert: PathBuf, key: PathBuf, error: io::Error },
    #[error("can't write the address to {}: {error}", path.display())]
    AddressFile { path: PathBuf, error: io::Error },
}

/// A door that is open: whoever connects waits until [`Bound::serve`] runs.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<(Tls, RustlsConfig)>,
    address_file: Option<PathBuf>,
}

impl Bound {
    /// Opens the door and reads the certificate.
    ///
    /// # Errors
    ///
    /// The address is taken, or the certificate is no good.
    pub async fn open(settings: Settings) -> Result<Self, ServeError> {
        let listen = settings.listen;
        let refused = |error| ServeError::Listen { listen, error };
        let listener = TcpListener::bind(listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let tls = match settings.tls {
            None => None,
            Some(tls) => {
                let read = RustlsConfig::from_pem_file(&tls.cert, &tls.key).await;
                let Tls { cert, key } = tls.clone();
                let config = read.map_err(|error| ServeError::Tls { cert, key, error })?;
                Some((tls, config))
            }
        };
        Ok(Self { listener, address, tls, address_file: settings.address_file })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stop`, then gives requests under way `grace` to end.
    ///
    /// # Errors
    ///
    /// The address can't be written to its file, or the listener broke.
    pub async fn serve(
        self,
        router: Router,
        stop: CancellationToken,
        grace: Duration,
    ) -> Result<(), ServeError> {
        let _file = AddressFile::write(self.address_file.clone(), &self.url())?;
        let (listen, handle) = (self.address, Handle::new());
        let failed = |error| ServeError::Listen { listen, error };
        let server = axum_server::from_tcp(self.listener).map_err(failed)?;
        let limited = Limited { permits: Arc::new(Semaphore::new(CONNECTIONS)) };
        let routes = router.into_make_service();
        let serving: Pin<Box<dyn Future<Output = io::Result<()>> + Send>> = match self.tls {
            None => {
                Box::pin(bounded(server.acceptor(limited)).handle(handle.clone()).serve(routes))
            }
            Some((files, config)) => {
                let tls = RustlsAcceptor::new(config.clone()).handshake_timeout(HEAD);
                let server = bounded(server.acceptor(tls.acceptor(limited)));
                let serving = server.handle(handle.clone()).serve(routes);
                Box::pin(async move {
                    tokio::select! {
                        served = serving => served,
                        never = reload(files, config) => match never {},
                    }
                })
            }
        };
        let shut = async {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(grace));
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            served = serving => served.map_err(failed),
            never = shut => match never {},
        }
    }
}

fn bounded<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server
        .first_request_timeout(HEAD)
        .accept_error_handler(|peer, error| tracing::debug!(?peer, %error, "a connection failed"));
    server.http_builder().http1().header_read_timeout(HEAD);
    server
}

/// Takes a new certificate when its files change. One that is no good leaves the old one in place.
async fn reload(files: Tls, config: RustlsConfig) -> Infallible {
    let mut known = stamp(&files);
    loop {
        tokio::time::sleep(RELOAD).await;
        let found = stamp(&files);
        if found == known {
            continue;
        }
        match config.reload_from_pem_file(&files.cert, &files.key).await {
            Ok(()) => tracing::info!(cert = %files.cert.display(), "the certificate is read anew"),
            Err(error) => tracing::error!(
                cert = %files.cert.display(), %error,
                "the new certificate is no good, the old one stays"
            ),
        }
        known = found;
    }
}

fn stamp(files: &Tls) -> [Option<(SystemTime, u64)>; 2] {
    [&files.cert, &files.key].map(|path| {
        let found = fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}

/// Lets in so many connections and no more.
#[derive(Clone)]
struct Limited {
    permits: Arc<Semaphore>,
}

impl<S> Accept<TcpStream, S> for Limited {
    type Stream = Held;
    type Service = S;
    type Future = Ready<io::Result<(Held, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Ok((Held { stream, _permit: permit }, service)),
            Err(_) => Err(io::Error::other("too many connections at once")),
        })
    }
}

/// A connection, and with it the right to be one.
struct Held {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Says where the door is for as long as it is open.
struct AddressFile(Option<PathBuf>);

impl AddressFile {
    fn write(path: Option<PathBuf>, url: &str) -> Result<Self, ServeError> {
        if let Some(path) = &path {
            let failed = |error| ServeError::AddressFile { path: path.clone(), error };
            // Whoever waits for the file must never read half of it.
            let mut new = path.clone().into_os_string();
            new.push(".new");
            fs::write(&new, format!("{url}\n")).map_err(failed)?;
            fs::rename(&new, path).map_err(failed)?;
        }
        Ok(Self(path))
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may have been taken away already.
            drop(fs::remove_file(path));
        }
    }
}
