//! Free ports on loopback.

use std::net::TcpListener;

/// `N` different ports of 127.0.0.1 that nobody listens on. Somebody else may take one before it
/// is used: whoever starts a server on it looks whether it came up, and asks for others if not.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held at once, so that they differ.
    let held =
        [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free port"));
    held.map(|socket| socket.local_addr().expect("a bound socket has an address").port())
}
