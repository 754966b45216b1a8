//! Free ports on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use tokio::net::TcpSocket;

/// Below the range from which Linux takes the ports of outgoing connections: a server that goes
/// away and comes back on its port must not find somebody's connection there.
const FIRST: u16 = 12_000;
const PORTS: u16 = 20_000;

/// Sockets that are bound and never listen: their ports are this process' as long as it runs.
static KEPT: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// `N` different ports of 127.0.0.1 that nobody listens on, and that nobody else gets here. A server
/// that shares its address, as servers do, can listen on them.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    // Each process begins elsewhere, so that tests that run together rarely ask for the same.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(PORTS)).unwrap_or(0);
    [(); N].map(|()| {
        (0..PORTS)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
                keep(FIRST + (begin + step) % PORTS)
            })
            .expect("loopback has a free port")
    })
}

/// Takes the port if nobody has it; only then may a server have it beside this.
fn keep(port: u16) -> Option<u16> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok()?;
    socket.set_reuseaddr(true).ok()?;
    KEPT.lock().expect("nobody panics in here").push(socket);
    Some(port)
}
