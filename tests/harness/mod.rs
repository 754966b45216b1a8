//! Real parts for tests: processes of ours, a private RabbitMQ, a consumer that shares no code with
//! us, a private Prometheus and Alertmanager, promtool, a throw-away certificate authority.
//!
//! Everything listens on 127.0.0.1 on free ports, keeps its files in a temporary folder, and is
//! ended by its own process id: on drop, and by a guardian process if the test itself is killed.
//! What cannot be set up panics with the reason, for a test can do nothing else about it.

mod broker;
mod consumer;
mod http;
mod ports;
mod process;
mod prometheus;
mod promtool;
mod tls;
pub mod wait;

pub use broker::{Broker, QueueKind, Topology};
pub use consumer::{Consumer, Record};
pub use http::{Answer, Listener, get, post};
pub use ports::free_ports;
pub use process::{Process, ours};
pub use prometheus::{Alertmanager, Prometheus, Sample};
pub use promtool::promtool_check_metrics;
pub use tls::{Authority, Issued};
