//! A server for tests that says over real sockets and real TLS whatever it is told to say. It
//! understands nothing; what it is asked only matters for the sentinel.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::prelogin::{Framed, options, packet};

const REPLY: u8 = 0x04;

/// What is said to a login or to a question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Welcome,
    Results(Vec<Table>),
    Error { number: i32, class: u8 },
    Route { port: u16 },
    Silence,
    Close,
}

/// One result: names of columns, and rows.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Cell>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Int(Option<i64>),
    Text(Option<&'static str>),
    Lsn(Option<u128>),
    /// Days since 1900 and three-hundredths of a second.
    Time(Option<(i32, u32)>),
}

/// What was heard; of a question, on which connection (counted from 1) and with which sentinel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard {
    Login,
    Question { connection: usize, nonce: i64 },
}

#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) pem: String,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    /// Listens on a free port of the loopback, with a certificate of its own for `localhost`.
    pub(crate) async fn start<S>(script: S) -> Self
    where
        S: Fn(Heard) -> Reply + Send + Sync + 'static,
    {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let acceptor = acceptor(made.cert.der().clone(), key);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (script, counter) = (Arc::new(script), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = counter.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(serve(stream, acceptor.clone(), connection, Arc::clone(&script)));
            }
        });
        Self { port, pem: made.cert.pem(), connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("TLS 1.2")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("its own certificate");
    TlsAcceptor::from(Arc::new(config))
}

/// A connection ends when the client goes, or when it is told to.
async fn serve<S>(mut stream: TcpStream, acceptor: TlsAcceptor, connection: usize, script: Arc<S>)
where
    S: Fn(Heard) -> Reply + Send + Sync + 'static,
{
    if message(&mut stream).await.is_none()
        || stream.write_all(&packet(REPLY, &options(1, &[0], None))).await.is_err()
    {
        return;
    }
    let Ok(mut inside) = acceptor.accept(Framed::new(stream)).await else { return };
    inside.get_mut().0.raw = true;
    let mut logged_in = false;
    while let Some(heard) = message(&mut inside).await {
        let heard = if logged_in {
            Heard::Question { connection, nonce: nonce(&heard) }
        } else {
            logged_in = true;
            Heard::Login
        };
        let tokens = match script(heard) {
            Reply::Welcome => welcome(),
            Reply::Results(tables) => results(&tables),
            Reply::Error { number, class } => error(number, class),
            Reply::Route { port } => [welcome_without_end(), route(port), done(0)].concat(),
            Reply::Silence => continue,
            Reply::Close => return,
        };
        let mut chunks = tokens.chunks(4088).peekable();
        while let Some(chunk) = chunks.next() {
            let mut bytes = packet(REPLY, chunk);
            bytes[1] = u8::from(chunks.peek().is_none());
            if inside.write_all(&bytes).await.is_err() {
                return;
            }
        }
        if inside.flush().await.is_err() {
            return;
        }
    }
}

async fn message<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).await.ok()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let mut payload = vec![0; length - header.len()];
        stream.read_exact(&mut payload).await.ok()?;
        all.extend(payload);
        if header[1] & 1 == 1 {
            return Some(all);
        }
    }
}

/// The value of `@P1`, a bigint; 0 in a batch, which has none.
fn nonce(request: &[u8]) -> i64 {
    let mark = [3, b'@', 0, b'P', 0, b'1', 0, 0, 0x26, 8, 8];
    let at = request.windows(mark.len()).position(|window| window == mark);
    at.and_then(|at| request.get(at + mark.len()..)?.first_chunk().copied())
        .map_or(0, i64::from_le_bytes)
}

fn welcome() -> Vec<u8> {
    [welcome_without_end(), done(0)].concat()
}

fn welcome_without_end() -> Vec<u8> {
    let body = [&[1, 0x74, 0, 0, 4][..], &short("peer"), &[16, 0, 0, 0]].concat();
    [&[0xAD][..], &length(body.len()), &body].concat()
}

fn route(port: u16) -> Vec<u8> {
    let value = [&[0][..], &port.to_le_bytes(), &long("localhost")].concat();
    let body = [&[20][..], &length(value.len()), &value, &[0, 0]].concat();
    [&[0xE3][..], &length(body.len()), &body].concat()
}

fn error(number: i32, class: u8) -> Vec<u8> {
    let body = [
        &number.to_le_bytes()[..],
        &[1, class],
        &long("told to fail"),
        &short("peer"),
        &short(""),
        &1_i32.to_le_bytes(),
    ]
    .concat();
    [&[0xAA][..], &length(body.len()), &body, &done(2)].concat()
}

fn results(tables: &[Table]) -> Vec<u8> {
    const MORE: u8 = 1;
    let mut tokens = Vec::new();
    for (at, table) in tables.iter().enumerate() {
        // The first row tells the types; of a table without rows they do not matter.
        let types = table.rows.first();
        tokens.push(0x81);
        tokens.extend(length(table.columns.len()));
        for (column, name) in table.columns.iter().enumerate() {
            tokens.extend([0, 0, 0, 0, 1, 0]);
            tokens.extend(types.map_or(Cell::Int(None).kind(), |row| row[column].kind()));
            tokens.extend(short(name));
        }
        for row in &table.rows {
            tokens.push(0xD1);
            tokens.extend(row.iter().flat_map(Cell::value));
        }
        tokens.extend(done(if at + 1 < tables.len() { MORE } else { 0 }));
    }
    if tables.is_empty() { done(0) } else { tokens }
}

impl Cell {
    fn kind(&self) -> Vec<u8> {
        match self {
            Self::Int(_) => vec![0x26, 8],
            Self::Text(_) => vec![0xE7, 0x40, 0x1F, 9, 4, 0xD0, 0, 0x34],
            Self::Lsn(_) => vec![0x6C, 13, 25, 0],
            Self::Time(_) => vec![0x6F, 8],
        }
    }

    fn value(&self) -> Vec<u8> {
        match self {
            Self::Int(Some(value)) => [&[8][..], &value.to_le_bytes()].concat(),
            Self::Text(Some(text)) => {
                let bytes = utf16(text);
                [&length(bytes.len())[..], &bytes].concat()
            }
            Self::Text(None) => vec![0xFF, 0xFF],
            Self::Lsn(Some(value)) => [&[13, 1][..], &value.to_le_bytes()[..12]].concat(),
            Self::Time(Some((days, ticks))) => {
                [&[8][..], &days.to_le_bytes(), &ticks.to_le_bytes()].concat()
            }
            Self::Int(None) | Self::Lsn(None) | Self::Time(None) => vec![0],
        }
    }
}

fn done(status: u8) -> Vec<u8> {
    let mut token = vec![0; 13];
    token[0] = 0xFD;
    token[1] = status;
    token
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("short").to_le_bytes()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")][..], &utf16(text)].concat()
}

fn long(text: &str) -> Vec<u8> {
    [&length(text.len())[..], &utf16(text)].concat()
}
