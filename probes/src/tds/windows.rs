//! Logging in with a Windows account: LOGIN7 with NTLM's messages inside ([MS-TDS] 2.2.6.4 and
//! 2.2.6.10).
//!
//! The exchange is carried out here, before the client library has its turn. That then logs in
//! without saying who it is, is not heard by the server, and gets the server's answer from us.

use std::io;

use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{
    error::{Stage, TdsError},
    ntlm::{Account, Exchange},
    prelogin::{END_OF_MESSAGE, HEADER, PACKET, REPLY, Secured},
};
use crate::Secret;

const LOGIN7: u8 = 0x10;
const SSPI: u8 = 0x11;
/// The token that carries a message of NTLM.
const SSPI_TOKEN: u8 = 0xED;
/// An answer to a login has some hundred bytes.
const LONGEST: usize = 64 * 1024;

/// Who logs in, and as what it is known at the server.
pub(crate) struct Visitor<'a> {
    pub(crate) domain: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a Secret,
    pub(crate) app_name: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

/// Logs in. Whether the server agrees stands in its answer, which the client library reads.
pub(crate) async fn log_in<S>(
    secured: &mut Secured<S>,
    visitor: &Visitor<'_>,
) -> Result<(), TdsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = secured.inside();
    let service = format!("MSSQLSvc/{}:{}", visitor.host, visitor.port);
    let (exchange, first) = Exchange::begin(&Account {
        domain: visitor.domain,
        user: visitor.user,
        password: visitor.password.expose_secret(),
        service: &service,
    })
    .map_err(garbled)?;
    send(stream, LOGIN7, &login7(visitor, &first)).await?;
    let mut answer = read(stream).await?;
    if let Some(challenge) = challenge(&answer)? {
        let response = exchange.answer(&challenge).map_err(garbled)?;
        send(stream, SSPI, &response).await?;
        answer = read(stream).await?;
    }
    secured.answer_also(answer);
    Ok(())
}

/// What the server asks for, if it asks; another answer is the verdict already.
fn challenge(answer: &[u8]) -> Result<Option<Vec<u8>>, TdsError> {
    // Packets of one message, without their headers.
    let mut payload = Vec::new();
    let mut rest = answer;
    while let Some(header) = rest.first_chunk::<HEADER>() {
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        payload.extend_from_slice(rest.get(HEADER..length).unwrap_or_default());
        rest = rest.get(length.max(HEADER)..).unwrap_or_default();
    }
    let [SSPI_TOKEN, low, high, message @ ..] = payload.as_slice() else { return Ok(None) };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    let message = message.get(..length);
    message
        .map(|message| Some(message.to_vec()))
        .ok_or_else(|| garbled("the server's part of the Windows authentication is cut off".into()))
}

/// LOGIN7 with a message of NTLM and without name and password.
fn login7(visitor: &Visitor<'_>, sspi: &[u8]) -> Vec<u8> {
    const FIXED: usize = 94;
    const DATABASE: &str = "master";
    let mut head = vec![0; FIXED];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(4, &0x7400_0004_u32.to_le_bytes());
    put(8, &u32::try_from(PACKET).unwrap_or_default().to_le_bytes());
    // USE must succeed and is told; the language must succeed, and ODBC's defaults are wanted; the
    // login is integrated; a collation that is not known is no reason to fail.
    put(24, &[0x60, 0x83, 0x00, 0x08]);
    put(32, &0x0409_u32.to_le_bytes());
    let units = |text: &str| -> Vec<u8> {
        let most = text.encode_utf16().take(128);
        most.flat_map(u16::to_le_bytes).collect()
    };
    let texts = [(48, units(visitor.app_name)), (52, units(visitor.host)), (68, units(DATABASE))];
    let mut data: Vec<u8> = Vec::new();
    let mut field = |at: usize, bytes: &[u8], counted: usize| {
        let offset = u16::try_from(FIXED + data.len()).unwrap_or_default();
        let counted = u16::try_from(counted).unwrap_or_default();
        put(at, &offset.to_le_bytes());
        put(at + 2, &counted.to_le_bytes());
        data.extend_from_slice(bytes);
    };
    for at in [36, 40, 44, 56, 60, 64, 82, 86] {
        field(at, &[], 0);
    }
    for (at, text) in &texts {
        field(*at, text, text.len() / 2);
    }
    field(78, sspi, sspi.len());
    let length = u32::try_from(FIXED + data.len()).unwrap_or_default();
    head[..4].copy_from_slice(&length.to_le_bytes());
    [head, data].concat()
}

async fn send<W: AsyncWrite + Unpin>(
    stream: &mut W,
    kind: u8,
    message: &[u8],
) -> Result<(), TdsError> {
    let mut bytes = Vec::new();
    let mut chunks = message.chunks(PACKET - HEADER).peekable();
    let mut number = 1_u8;
    while let Some(chunk) = chunks.next() {
        let status = if chunks.peek().is_none() { END_OF_MESSAGE } else { 0 };
        let [high, low] = u16::try_from(HEADER + chunk.len()).unwrap_or_default().to_be_bytes();
        bytes.extend([kind, status, high, low, 0, 0, number, 0]);
        bytes.extend_from_slice(chunk);
        number = number.wrapping_add(1);
    }
    stream.write_all(&bytes).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))
}

/// A whole message with the headers of its packets.
async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Vec<u8>, TdsError> {
    let mut message = Vec::new();
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await.map_err(|error| broken(&error))?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] != REPLY || length < HEADER || message.len() + length > LONGEST {
            return Err(garbled("the login was answered with something that is not TDS".into()));
        }
        let start = message.len();
        message.extend_from_slice(&header);
        message.resize(start + length, 0);
        let payload = &mut message[start + HEADER..];
        stream.read_exact(payload).await.map_err(|error| broken(&error))?;
        if header[1] & END_OF_MESSAGE != 0 {
            return Ok(message);
        }
    }
}

fn broken(error: &io::Error) -> TdsError {
    TdsError::from_io(Stage::LoggingIn, error)
}

fn garbled(detail: String) -> TdsError {
    TdsError::Garbled { stage: Stage::LoggingIn, detail }
}
