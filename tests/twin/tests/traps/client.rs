//! What a client has to take care of by itself.

use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncWriteCompatExt;
use twin::{
    serve::{Twin, TwinOptions},
    world::WorldSpec,
};

async fn login(config: Config) -> bool {
    let stream = TcpStream::connect(config.get_addr()).await.expect("the port is open");
    Client::connect(config, stream.compat_write()).await.is_ok()
}

#[tokio::test]
async fn trap_14_the_name_of_the_managed_instance_is_proven_by_its_certificate_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = TwinOptions {
        spec: WorldSpec::default(),
        seed: 3,
        speed: 1.0,
        directory: folder.path().to_owned(),
    };
    let twin = Twin::start(options).await.expect("it starts");
    let endpoints = &twin.endpoints;
    let at = &endpoints.managed_instance;
    let config = |authority: Option<&std::path::Path>| {
        let mut config = Config::new();
        config.host(&at.host);
        config.port(at.port);
        config.authentication(AuthMethod::sql_server(&at.user, &at.password));
        config.encryption(EncryptionLevel::Required);
        if let Some(authority) = authority {
            config.trust_cert_ca(authority.display());
        }
        config
    };
    assert!(!login(config(None)).await, "nobody vouches for it to a client that only encrypts");
    assert!(login(config(Some(&folder.path().join("ca.pem")))).await);
    // A wrong password is refused, and stands in no record of the commands.
    let mut wrong = config(Some(&folder.path().join("ca.pem")));
    wrong.authentication(AuthMethod::sql_server(&at.user, "S3cret-of-somebody"));
    assert!(!login(wrong).await);
    let told = twin.world.with(|world| format!("{:?}", world.ledger()));
    assert!(!told.contains("S3cret-of-somebody") && !told.contains(&at.password));
    twin.shutdown().await;
}
