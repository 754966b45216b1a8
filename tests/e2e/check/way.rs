//! Names, ports and certificates.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use tests::harness::{Authority, free_ports};
use toml::{Table, Value};

use super::{
    alerts::expired,
    bench::{Bench, Case, Mend},
};

const SQL: &str = "SQL Server sql01";
const MI: &str = "managed instance mi-dr";

pub(super) const CASES: &[Case] = &[
    Case {
        id: "reach.name",
        subject: SQL,
        words: "no-such-host.invalid",
        broken: |bench| bench.set("sql_servers.0.host", "no-such-host.invalid"),
        mend: Mend::Config,
    },
    Case {
        id: "reach.port",
        subject: SQL,
        words: "refused",
        broken: |bench| closed(bench, "sql_servers.0.port"),
        mend: Mend::Config,
    },
    Case {
        id: "reach.port",
        subject: SQL,
        words: "no answer within",
        broken: |bench| {
            let port = silent(bench);
            elsewhere(bench, port);
        },
        mend: Mend::Hand(back),
    },
    Case {
        id: "reach.tls",
        subject: SQL,
        words: "no TDS there",
        broken: |bench| {
            // HTTP, in clear.
            let port = port_of(&bench.twin.endpoints.control.base_url);
            bench.set("sql_servers.0.port", port);
        },
        mend: Mend::Config,
    },
    Case {
        id: "reach.tls",
        subject: SQL,
        words: "nobody who is believed here has signed",
        broken: |bench| {
            let stranger = stranger(bench);
            bench.set("sql_servers.0.trust.ca", stranger);
        },
        mend: Mend::Config,
    },
    Case {
        id: "reach.tls",
        subject: MI,
        words: "another certificate than the pinned one",
        broken: |bench| {
            let pin = ["ab"; 32].join(":");
            let trust: Table = [("fingerprint".to_owned(), Value::from(pin))].into_iter().collect();
            bench.set("managed_instances.0.trust", trust);
        },
        mend: Mend::Config,
    },
    Case {
        id: "reach.tls",
        subject: MI,
        words: "for another name",
        broken: |bench| bench.set("managed_instances.0.trust.name", "mi-other.example.com"),
        mend: Mend::Config,
    },
    Case {
        id: "sql.engine",
        subject: SQL,
        words: "a managed instance",
        broken: |bench| {
            let port = i64::from(bench.twin.endpoints.managed_instance.port);
            elsewhere(bench, port);
        },
        mend: Mend::Hand(back),
    },
    Case {
        id: "reach.port",
        subject: "Azure Resource Manager",
        words: "refused",
        broken: |bench| {
            let [port] = free_ports();
            bench.set("managed_instances.0.arm.base_url", format!("https://localhost:{port}"));
        },
        mend: Mend::Config,
    },
    Case {
        id: "reach.tls",
        subject: "Azure Resource Manager",
        words: "nobody who is believed here has signed",
        broken: |bench| {
            let stranger = stranger(bench);
            bench.set("managed_instances.0.arm.ca", stranger);
        },
        mend: Mend::Config,
    },
    Case {
        id: "reach.tls",
        subject: "Azure Resource Manager",
        words: "the certificate has expired",
        broken: |bench| {
            let (address, ca) = expired(bench);
            bench.set("managed_instances.0.arm.base_url", format!("https://{address}"));
            bench.set("managed_instances.0.arm.ca", ca);
        },
        mend: Mend::Hand(|bench| {
            for key in ["managed_instances.0.arm.base_url", "managed_instances.0.arm.ca"] {
                let good = bench.good(key);
                bench.set(key, good);
            }
        }),
    },
    Case {
        id: "reach.name",
        subject: "the token service",
        words: "no-such-authority.invalid",
        broken: |bench| {
            let key = "managed_instances.0.arm.credential.authority";
            bench.set(key, "https://no-such-authority.invalid");
        },
        mend: Mend::Config,
    },
];

fn closed(bench: &mut Bench, key: &str) {
    let [port] = free_ports();
    bench.set(key, i64::from(port));
}

/// Has SQL Server looked for behind another port of this machine: an address is a host and a port.
fn elsewhere(bench: &mut Bench, port: i64) {
    bench.set("sql_servers.0.port", port);
    bench.set("sql_servers.0.host", "127.0.0.1");
}

fn back(bench: &mut Bench) {
    let door = bench.twin.endpoints.sql_server.clone();
    bench.set("sql_servers.0.host", door.host);
    bench.set("sql_servers.0.port", i64::from(door.port));
}

/// A port whose queue is full, so that whoever knocks gets no answer. The queue of the standard
/// library has 128 places.
fn silent(bench: &mut Bench) -> i64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let knock = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let waiting: Vec<_> = std::iter::from_fn(knock).take(10_000).collect();
    assert!(knock().is_none(), "the queue is full");
    bench.held.push(Box::new((listener, waiting)));
    i64::from(address.port())
}

/// The file of an authority that has signed nothing here.
fn stranger(bench: &Bench) -> String {
    let path = bench.path("stranger.pem");
    std::fs::write(&path, Authority::new("a stranger").pem()).expect("a file is written");
    path.display().to_string()
}

fn port_of(url: &str) -> i64 {
    let port = url.rsplit_once(':').map(|(_, port)| port.trim_end_matches('/'));
    port.and_then(|port| port.parse().ok()).expect("a URL with a port")
}
