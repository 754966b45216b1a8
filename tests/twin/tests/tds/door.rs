//! A world behind TDS doors, and clients for it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Row};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};
use twin::serve::SharedWorld;
use twin::sql::Login;
use twin::tds::{AttentionStyle, Encryption, Options, serve_with};
use twin::world::{World, WorldSpec};

pub(crate) type Connection = Client<Compat<TcpStream>>;

pub(crate) const SQL: &str = "sql01";
pub(crate) const MI: &str = "mi-dr";
pub(crate) const LINK: &str = "LinkSales";

/// What a client waits for at most, where it must not wait for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Open doors; they close when this is dropped.
pub(crate) struct Doors {
    pub(crate) world: SharedWorld,
    pub(crate) sql: u16,
    pub(crate) mi: u16,
    directory: TempDir,
    _tasks: JoinSet<()>,
}

/// Options that the client library gets along with.
pub(crate) const USUAL: Options = Options {
    encryption: Encryption::Available,
    attention: AttentionStyle::OneMessage,
    redirect: None,
};

impl Doors {
    pub(crate) async fn open() -> Doors {
        Doors::with(USUAL).await
    }

    pub(crate) async fn with(options: Options) -> Doors {
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().expect("a time");
        let world = World::new(&WorldSpec::default(), 7, start).expect("the default is right");
        let world = SharedWorld::new(world, 10.0);
        let directory = tempfile::tempdir().expect("a directory");
        let tls = certificate(&directory);
        let logins: Arc<[Login]> = Arc::new([
            Login::sysadmin("sa", "S3cret!"),
            Login::least_privileged("agent", "päss wörd"),
            Login::with("nobody", "x", []),
        ]);
        let mut tasks = JoinSet::new();
        let mut ports = Vec::new();
        for instance in [SQL, MI] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            ports.push(listener.local_addr().expect("bound").port());
            let (world, tls, logins) = (world.clone(), tls.clone(), logins.clone());
            tasks.spawn(async move {
                let instance = instance.to_owned();
                let served = serve_with(listener, world, instance, &tls, logins, options).await;
                served.expect("the door stands");
            });
        }
        let driven = world.clone();
        tasks.spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            loop {
                ticks.tick().await;
                driven.with(|_| ());
                driven.wake();
            }
        });
        Doors { world, sql: ports[0], mi: ports[1], directory, _tasks: tasks }
    }

    pub(crate) fn config(&self, port: u16, user: &str, password: &str) -> Config {
        let mut config = Config::new();
        config.host("localhost");
        config.port(port);
        config.authentication(AuthMethod::sql_server(user, password));
        config.encryption(EncryptionLevel::Required);
        config.trust_cert_ca(self.directory.path().join("ca.pem").display());
        config.handshake_timeout(Some(PATIENCE));
        config.command_timeout(Some(PATIENCE));
        config
    }

    pub(crate) async fn admin(&self, port: u16) -> Connection {
        connect(self.config(port, "sa", "S3cret!")).await.expect("a login")
    }
}

pub(crate) async fn connect(config: Config) -> tiberius::Result<Connection> {
    let stream = TcpStream::connect(config.get_addr()).await?;
    stream.set_nodelay(true)?;
    Client::connect(config, stream.compat_write()).await
}

pub(crate) async fn rows(client: &mut Connection, text: &str) -> tiberius::Result<Vec<Row>> {
    client.simple_query(text).await?.into_first_result().await
}

/// The first value of the first row, as text.
pub(crate) async fn text(client: &mut Connection, query: &str) -> String {
    let rows = rows(client, query).await.expect("it answers");
    let row = rows.first().expect("a row");
    row.try_get::<&str, _>(0).expect("text").unwrap_or("NULL").to_owned()
}

pub(crate) async fn number(client: &mut Connection, query: &str) -> i32 {
    let rows = rows(client, query).await.expect("it answers");
    rows.first().expect("a row").try_get(0).expect("an int").expect("not NULL")
}

/// The number of the server's error.
pub(crate) fn code<T: std::fmt::Debug>(result: tiberius::Result<T>) -> u32 {
    let error = result.expect_err("an error");
    error.code().unwrap_or_else(|| panic!("not from the server: {error}"))
}

/// Asks again until the answer is right; the test's own limit bounds it.
pub(crate) async fn until(client: &mut Connection, query: &str, wanted: &str) {
    let wait = async {
        while text(client, query).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes about");
}

fn certificate(directory: &TempDir) -> Arc<rustls::ServerConfig> {
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).expect("signed").pem();
    std::fs::write(directory.path().join("ca.pem"), pem).expect("written");
    let key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    let certificate = own.signed_by(&key, &Issuer::new(authority, authority_key)).expect("signed");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("the key fits");
    Arc::new(config)
}
