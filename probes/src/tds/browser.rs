//! The port of a named instance, as SQL Server Browser tells it ([MC-SQLR]).
//!
//! Its answer is not authenticated: whoever forges one can lead the agent astray, but not to a
//! server whose certificate it believes, nor to another instance of the same machine (PRELOGIN
//! asks for the name once more).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{UdpSocket, lookup_host},
    time::timeout,
};

use super::error::{Stage, TdsError};
use crate::text::plain;

/// The port of SQL Server Browser.
pub const BROWSER_PORT: u16 = 1434;

/// Requests that are sent before the browser is given up; UDP may lose one.
const TRIES: u32 = 3;
const CLNT_UCAST_INST: u8 = 0x04;
const SVR_RESP: u8 = 0x05;
/// The largest answer about one instance ([MC-SQLR] 2.2.5), and its head.
const LARGEST: usize = 1024;
const HEAD: usize = 3;
/// Addresses of one name that are asked.
const ADDRESSES: usize = 8;

/// How the port of an instance is known.
#[derive(Clone, Debug)]
pub enum Port {
    Number(u16),
    Named(NamedInstance),
}

/// An instance whose port is asked for at each connection.
#[derive(Clone, Debug)]
pub struct NamedInstance {
    name: String,
    browser_port: u16,
    /// The port that was told last, or 0: it serves where the browser is silent, which says
    /// nothing about the instance.
    last: Arc<AtomicU16>,
}

impl Port {
    /// The instance `name`, of which the browser at `browser_port` ([`BROWSER_PORT`] in the
    /// ordinary case) of the same host knows the port.
    #[must_use]
    pub fn of_instance(name: &str, browser_port: u16) -> Self {
        let last = Arc::new(AtomicU16::new(0));
        Self::Named(NamedInstance { name: name.to_owned(), browser_port, last })
    }

    /// The name of the instance, if it has one.
    pub(crate) fn instance(&self) -> Option<&str> {
        match self {
            Self::Number(_) => None,
            Self::Named(named) => Some(&named.name),
        }
    }

    /// The port at this moment; takes `within` at most.
    pub(crate) async fn find(&self, host: &str, within: Duration) -> Result<u16, TdsError> {
        let named = match self {
            Self::Number(port) => return Ok(*port),
            Self::Named(named) => named,
        };
        match named.ask(host, within).await {
            Ok(port) => {
                named.last.store(port, Ordering::Relaxed);
                Ok(port)
            }
            Err(error) => match named.last.load(Ordering::Relaxed) {
                0 => Err(error),
                port => {
                    tracing::debug!(%error, port, "the port that was told before is used");
                    Ok(port)
                }
            },
        }
    }
}

impl NamedInstance {
    async fn ask(&self, host: &str, within: Duration) -> Result<u16, TdsError> {
        let failed = |error: std::io::Error| TdsError::from_io(Stage::Connecting, &error);
        let silent = TdsError::TimedOut { stage: Stage::Connecting };
        let asking = async {
            let mut error = silent.clone();
            let each = within / TRIES;
            let addresses = lookup_host((host, self.browser_port)).await.map_err(failed)?;
            for address in addresses.take(ADDRESSES) {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any).await.map_err(failed)?;
                socket.connect(address).await.map_err(failed)?;
                for _ in 0..TRIES {
                    socket.send(&request(&self.name)).await.map_err(failed)?;
                    match timeout(each, self.answer(&socket)).await {
                        Ok(Ok(port)) => return Ok(port),
                        Ok(Err(refused @ TdsError::Refused { .. })) => {
                            error = refused;
                            break;
                        }
                        Ok(Err(other)) => return Err(other),
                        Err(_) => {}
                    }
                }
            }
            Err(error)
        };
        timeout(within, asking).await.unwrap_or(Err(silent))
    }

    async fn answer(&self, socket: &UdpSocket) -> Result<u16, TdsError> {
        let mut buffer = [0; HEAD + LARGEST + 1];
        let read = socket.recv(&mut buffer).await;
        let read = read.map_err(|error| TdsError::from_io(Stage::Connecting, &error))?;
        port_of(&buffer[..read], &self.name).map_err(|what| {
            let detail = format!("SQL Server Browser {what}");
            TdsError::Garbled { stage: Stage::Connecting, detail }
        })
    }
}

fn request(instance: &str) -> Vec<u8> {
    [&[CLNT_UCAST_INST], instance.as_bytes(), &[0]].concat()
}

/// Reads `ServerName;A;InstanceName;B;IsClustered;No;Version;16.0.1;tcp;1433;;`.
fn port_of(answer: &[u8], instance: &str) -> Result<u16, String> {
    let odd = || "gave an answer that is none".to_owned();
    let [SVR_RESP, low, high, text @ ..] = answer else { return Err(odd()) };
    let length = usize::from(u16::from_le_bytes([*low, *high]));
    if length > LARGEST || length != text.len() {
        return Err(odd());
    }
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split(';');
    let (mut named, mut port) = (false, None);
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        match key {
            "InstanceName" => named = value.eq_ignore_ascii_case(instance),
            "tcp" => port = value.parse().ok().filter(|port| *port != 0),
            _ => {}
        }
    }
    if !named {
        return Err(format!("spoke of another instance: {}", plain(&text)));
    }
    port.ok_or_else(|| format!("named no TCP port: {}", plain(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn answer(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).expect("short").to_le_bytes();
        [&[SVR_RESP], &length[..], text.as_bytes()].concat()
    }

    const TOLD: &str =
        "ServerName;SQL1;InstanceName;DR;IsClustered;No;Version;16.0.4125.3;tcp;51433;;";

    #[test]
    fn the_port_is_read_from_what_the_browser_says() {
        assert_eq!(port_of(&answer(TOLD), "dr"), Ok(51_433));
        let other = port_of(&answer(TOLD), "PROD").expect_err("another one");
        assert!(other.starts_with("spoke of another instance"), "{other}");
        let pipes = TOLD.replace("tcp;51433", "np;\\\\SQL1\\pipe\\sql");
        assert!(port_of(&answer(&pipes), "DR").is_err());
        for bad in [&b""[..], b"\x05", b"\x05\xFF\xFFx", b"\x04\x01\x00x", b"\x05\x02\x00x"] {
            assert!(port_of(bad, "DR").is_err(), "{bad:?}");
        }
        assert!(port_of(&answer(&TOLD.replace("51433", "0")), "DR").is_err());
    }

    #[tokio::test]
    async fn a_lost_request_is_repeated_and_a_silent_browser_costs_the_instance_nothing() {
        let browser = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let port = Port::of_instance("DR", browser.local_addr().expect("bound").port());
        let serve = async {
            let mut heard = [0; 64];
            browser.recv_from(&mut heard).await.expect("the first, which is lost");
            let (read, from) = browser.recv_from(&mut heard).await.expect("the second");
            assert_eq!(&heard[..read], b"\x04DR\0");
            browser.send_to(&answer(TOLD), from).await.expect("told");
        };
        let (found, ()) = tokio::join!(port.find("127.0.0.1", Duration::from_secs(3)), serve);
        assert_eq!(found, Ok(51_433));
        // The browser is gone: a refusal, and the port from before.
        drop(browser);
        assert_eq!(port.find("127.0.0.1", LONG).await, Ok(51_433));
        let Port::Named(named) = &port else { panic!("it has a name") };
        let fresh = Port::of_instance("DR", named.browser_port);
        let error = fresh.find("127.0.0.1", LONG).await.expect_err("nobody there");
        assert!(matches!(error, TdsError::Refused { .. }), "{error}");
    }
}
