//! The TDS door, asked by a real client over real sockets and TLS.

mod audit;
mod backup;
mod door;
mod encryption;
mod faults;
mod link;
mod local;
mod logins;
mod planned;
mod raw;
mod types;
mod wire;
