//! Free ports on loopback.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which Linux takes the ports of outgoing connections: a server that goes
/// away and comes back on its port must not find somebody's connection there.
const FIRST: u16 = 12_000;
const PORTS: u16 = 20_000;

/// `N` different ports of 127.0.0.1 that nobody listens on. Somebody else may take one before it
/// is used: whoever starts a server on it looks whether it came up, and asks for others if not.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    // Each process begins elsewhere, so that tests that run together rarely ask for the same.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id().wrapping_mul(61) % u32::from(PORTS)).unwrap_or(0);
    // All are held at once, so that they differ.
    let held = [(); N].map(|()| {
        (0..PORTS)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
                let port = FIRST + (begin + step) % PORTS;
                TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
            })
            .expect("loopback has a free port")
    });
    held.map(|socket| socket.local_addr().expect("a bound socket has an address").port())
}
