//! A private RabbitMQ: own home, cookie, port mapper, ports and data; plain and TLS.

use super::ports::free_ports;
use super::process::Process;
use super::tls::Authority;
use super::wait;
use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Six to nine seconds on an idle machine, three times that on a busy one.
const READY: Duration = Duration::from_secs(90);
const END: Duration = Duration::from_secs(60);
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const EPMD: &str = "/usr/bin/epmd";

/// A running RabbitMQ. Dropped, it is killed together with its port mapper, and its data go.
pub struct Broker {
    // Declared before the folder: they end before it is removed.
    node: Option<Process>,
    _epmd: Process,
    ports: Ports,
    password: String,
    folder: TempDir,
}

/// What is there before anybody connects: a durable topic exchange and one durable queue bound to
/// it, so that a publisher and a consumer need not agree on who declares them.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The exchange; topic, durable.
    pub exchange: String,
    /// The queue; durable.
    pub queue: String,
    /// How the queue is kept.
    pub kind: QueueKind,
    /// What of the exchange goes into the queue, e.g. `#`.
    pub binding: String,
}

/// How a queue is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// A Raft log. Once in six, a `kill -9` a second after the first declaration left one stuck.
    Quorum,
    /// A durable queue of the old kind.
    Classic,
}

/// All on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    amqps: u16,
    dist: u16,
    epmd: u16,
}

impl Broker {
    /// Starts a new one with an empty disk and waits until it takes connections.
    ///
    /// # Panics
    /// When RabbitMQ is not installed, or is not ready within 90 s on any of three sets of ports.
    #[must_use]
    pub fn start(topology: &Topology) -> Self {
        assert!(Path::new(SERVER).exists(), "RabbitMQ is installed: tests/run --install");
        let mut failure = String::new();
        // Somebody else may take a port between our choice and its use.
        for _ in 0..3 {
            match Self::try_start(topology) {
                Ok(broker) => return broker,
                Err(why) => failure = why,
            }
        }
        panic!("RabbitMQ does not come up: {failure}");
    }

    /// The plain door, with user and password: `amqp://USER:PASSWORD@127.0.0.1:PORT/%2f`.
    #[must_use]
    pub fn url(&self) -> String {
        let (user, password, port) = (self.user(), self.password(), self.port());
        format!("amqp://{user}:{password}@127.0.0.1:{port}/%2f")
    }

    /// The door with TLS: `amqps://USER:PASSWORD@localhost:PORT/%2f`. Trust [`Broker::ca`] for it.
    #[must_use]
    pub fn tls_url(&self) -> String {
        let (user, password, port) = (self.user(), self.password(), self.tls_port());
        format!("amqps://{user}:{password}@localhost:{port}/%2f")
    }

    /// The PEM file of the authority that signed the broker's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The plain port on 127.0.0.1; the same for as long as this value lives.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The TLS port on 127.0.0.1; the same for as long as this value lives.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.ports.amqps
    }

    /// The one user, who may do everything.
    #[must_use]
    pub fn user(&self) -> &'static str {
        "tester"
    }

    /// The user's password, made up for this broker.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Ends it in an orderly way, as an operator would (SIGTERM).
    pub fn stop(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.terminate(END);
        }
    }

    /// Ends it as a power cut would (SIGKILL of the Erlang machine).
    pub fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            node.kill9();
        }
    }

    /// Starts it again on the same disk and ports, and waits until it takes connections.
    ///
    /// # Panics
    /// When it is still running, or not ready within 90 s.
    pub fn restart(&mut self) {
        assert!(self.node.is_none(), "stop or kill it first");
        let node = start_node(self.folder.path(), self.ports).unwrap_or_else(|why| panic!("{why}"));
        self.node = Some(node);
    }

    /// Stops it from running: connections stay open, nothing is confirmed, new ones hang.
    ///
    /// # Panics
    /// When it is not running.
    pub fn freeze(&mut self) {
        self.node.as_mut().expect("it is running").freeze();
    }

    /// Lets a frozen one run on.
    ///
    /// # Panics
    /// When it is not running.
    pub fn thaw(&mut self) {
        self.node.as_mut().expect("it is running").thaw();
    }

    fn try_start(topology: &Topology) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [amqp, amqps, dist, epmd] = free_ports();
        let ports = Ports { amqp, amqps, dist, epmd };
        let password = secret();
        write_files(folder.path(), ports, topology, &password);
        // In the foreground, so that it is a child of ours; the node would start one that stays.
        let mut command = Command::new(EPMD);
        command.args(["-address", "127.0.0.1", "-port", &epmd.to_string()]);
        let epmd = Process::start("epmd", command, folder.path());
        let node = start_node(folder.path(), ports)?;
        Ok(Self { node: Some(node), _epmd: epmd, ports, password, folder })
    }
}

fn start_node(folder: &Path, ports: Ports) -> Result<Process, String> {
    let path = |name: &str| folder.join(name);
    let mut command = Command::new(SERVER);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", folder)
        // Makes the script become the Erlang machine, so that our child is the broker itself.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", ports.epmd.to_string())
        .env("RABBITMQ_NODENAME", "private@localhost")
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.amqp.to_string())
        .env("RABBITMQ_DIST_PORT", ports.dist.to_string())
        .env("RABBITMQ_CONF_ENV_FILE", path("there-is-none"))
        .env("RABBITMQ_CONFIG_FILE", path("rabbitmq"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
        .env("RABBITMQ_FEATURE_FLAGS_FILE", path("feature_flags"))
        .env("RABBITMQ_GENERATED_CONFIG_DIR", path("generated"))
        .env("RABBITMQ_PLUGINS_EXPAND_DIR", path("expanded"))
        .env("RABBITMQ_MNESIA_BASE", path("mnesia"))
        .env("RABBITMQ_LOG_BASE", path("log"))
        .env("RABBITMQ_PID_FILE", path("pid"))
        // Only loopback, and no spinning while there is nothing to do.
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        );
    let mut node = Process::start("rabbitmq", command, folder);
    let ready = wait::try_until(READY, || {
        let ended = node.ended().is_some();
        let answers = || speaks_amqp(ports.amqp) && listens(ports.amqps);
        (ended || answers()).then_some(!ended)
    });
    match ready {
        Some(true) => Ok(node),
        Some(false) => Err(format!("it ended: {}{}", node.stdout(), node.stderr())),
        None => Err(format!("not ready after {READY:?}: {}{}", node.stdout(), node.stderr())),
    }
}

/// A broker greets whoever sends the protocol header with a method frame (type 1).
fn speaks_amqp(port: u16) -> bool {
    const LIMIT: Duration = Duration::from_secs(2);
    let greeted = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        let mut first = [0];
        stream.read_exact(&mut first)?;
        Ok(first[0])
    };
    greeted().is_ok_and(|first| first == 1)
}

fn listens(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(2)).is_ok()
}

fn write_files(folder: &Path, ports: Ports, topology: &Topology, password: &str) {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("the temporary folder can be written to");
    };
    let authority = Authority::new("throw-away authority of a test's broker");
    let issued = authority.issue(&["localhost", "127.0.0.1"]);
    write("ca.pem", authority.pem());
    write("server.pem", &issued.certificate);
    write("server.key", &issued.key);
    write("plugins", "[].\n");
    write("definitions.json", &definitions(topology, password).to_string());
    let at = folder.display();
    let amqps = ports.amqps;
    write(
        "rabbitmq.conf",
        &format!(
            "listeners.ssl.default = 127.0.0.1:{amqps}\n\
             ssl_options.cacertfile = {at}/ca.pem\n\
             ssl_options.certfile = {at}/server.pem\n\
             ssl_options.keyfile = {at}/server.key\n\
             ssl_options.verify = verify_none\n\
             ssl_options.fail_if_no_peer_cert = false\n\
             load_definitions = {at}/definitions.json\n\
             log.file = false\n\
             log.console = true\n\
             log.console.level = info\n\
             disk_free_limit.absolute = 10MB\n"
        ),
    );
    write(".erlang.cookie", &secret());
    let only_me = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(folder.join(".erlang.cookie"), only_me).expect("it is our file");
}

fn definitions(topology: &Topology, password: &str) -> Value {
    let Topology { exchange, queue, kind, binding } = topology;
    let kind = match kind {
        QueueKind::Quorum => "quorum",
        QueueKind::Classic => "classic",
    };
    json!({
        "vhosts": [{ "name": "/" }],
        "users": [{
            "name": "tester",
            "password_hash": password_hash(password),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"],
        }],
        "permissions": [
            { "user": "tester", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" },
        ],
        "exchanges": [{
            "name": exchange, "vhost": "/", "type": "topic",
            "durable": true, "auto_delete": false, "internal": false, "arguments": {},
        }],
        "queues": [{
            "name": queue, "vhost": "/",
            "durable": true, "auto_delete": false, "arguments": { "x-queue-type": kind },
        }],
        "bindings": [{
            "source": exchange, "vhost": "/", "destination": queue, "destination_type": "queue",
            "routing_key": binding, "arguments": {},
        }],
    })
}

/// RabbitMQ's form: base64 of a salt of four bytes and SHA-256 of salt and password.
fn password_hash(password: &str) -> String {
    let salt = fastrand::u32(..).to_be_bytes();
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    base64::engine::general_purpose::STANDARD.encode([salt.as_slice(), &digest].concat())
}

fn secret() -> String {
    (0..24).map(|_| fastrand::alphanumeric()).collect()
}
