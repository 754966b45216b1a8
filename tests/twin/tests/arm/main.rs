//! The ARM door against what is real: recorded traffic, and Microsoft's own client.

mod difference;
mod recordings;
mod replay;
mod sdk;
#[path = "../shared/clients.rs"]
mod shared;
