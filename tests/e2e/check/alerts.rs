//! Those who are to be told: a real Alertmanager, and a webhook.

use std::{net::TcpListener, sync::Arc};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tests::harness::{Alertmanager, Authority, Listener, free_ports};
use toml::{Table, Value};

use super::bench::{Bench, Case, Mend};

const MAIN: &str = "the receiver of alerts main";
const PAGER: &str = "the receiver of alerts pager";

#[test]
fn what_is_wrong_with_receivers_of_alerts() {
    let alertmanager =
        Alertmanager::start("route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n", &[]);
    let webhook = Listener::start();
    let mut bench = Bench::new();
    let main = [("name", "main".into()), ("url", format!("http://{}", alertmanager.address()))];
    bench.set("alerts.alertmanagers", vec![table(main)]);
    let secret = table([("file", "token".to_owned())]);
    let mut pager = table([("name", "pager".to_owned()), ("url", webhook.url())]);
    pager.as_table_mut().expect("it is one").insert("secret".to_owned(), secret);
    bench.set("alerts.webhooks", vec![pager]);
    bench.keep();
    let report = bench.check();
    assert_eq!(report.wrong(), Vec::<String>::new(), "nothing is wrong in the beginning");
    let finding = report.finding("alerts.answer", MAIN).expect("it was asked");
    let evidence = finding["evidence"].as_str().unwrap_or_default();
    assert!(evidence.starts_with("Alertmanager 0."), "{finding:#}");
    assert!(report.finding("alerts.answer", PAGER).is_some());
    assert!(webhook.heard().is_empty(), "nothing was sent: {:?}", webhook.heard());
    // Everything is on one machine here, which is what these warnings are for.
    for subject in [MAIN, PAGER] {
        let both = format!("{subject} and SQL Server sql01");
        let finding = report.finding("placement.part", &both).expect("it was judged");
        assert_eq!(finding["verdict"], "warning", "{finding:#}");
    }
    for case in CASES {
        bench.play(case);
    }
}

const CASES: &[Case] = &[
    Case {
        id: "reach.name",
        subject: MAIN,
        words: "no-such-receiver.invalid",
        broken: |bench| url(bench, "alertmanagers", "http://no-such-receiver.invalid:9093"),
        mend: Mend::Config,
    },
    Case {
        id: "reach.port",
        subject: PAGER,
        words: "refused",
        broken: |bench| {
            let [port] = free_ports();
            url(bench, "webhooks", &format!("http://127.0.0.1:{port}/"));
        },
        mend: Mend::Config,
    },
    Case {
        id: "alerts.answer",
        subject: MAIN,
        words: "which no Alertmanager does",
        broken: |bench| {
            let control = bench.twin.endpoints.control.base_url.clone();
            url(bench, "alertmanagers", &control);
        },
        mend: Mend::Config,
    },
    Case {
        id: "reach.tls",
        subject: PAGER,
        words: "the certificate has expired",
        broken: |bench| {
            let (address, ca) = expired(bench);
            url(bench, "webhooks", &format!("https://{address}/"));
            bench.set("alerts.webhooks.0.ca", ca);
        },
        mend: Mend::Hand(|bench| {
            let good = bench.good("alerts.webhooks");
            bench.set("alerts.webhooks", good);
        }),
    },
];

fn table<const N: usize>(pairs: [(&str, String); N]) -> Value {
    let pairs = pairs.map(|(key, value)| (key.to_owned(), Value::from(value)));
    Value::from(Table::from_iter(pairs))
}

fn url(bench: &mut Bench, kind: &str, to: &str) {
    bench.set(&format!("alerts.{kind}.0.url"), to);
}

/// A server whose certificate has expired: where it listens, and its authority's file.
pub(super) fn expired(bench: &Bench) -> (String, String) {
    let authority = Authority::new("an authority");
    let issued = authority.issue_expired(&["localhost"]);
    let path = bench.path("expired.pem");
    std::fs::write(&path, authority.pem()).expect("a file is written");
    let certificate = CertificateDer::from_pem_slice(issued.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
    let config =
        ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider has versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.expect("a certificate")], key)
            .expect("they belong together");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(session) = ServerConnection::new(Arc::clone(&config)) else { continue };
            let mut stream = StreamOwned::new(session, stream);
            // Nobody believes it, so there is nothing to be said.
            drop(stream.conn.complete_io(&mut stream.sock));
        }
    });
    (format!("localhost:{port}"), path.display().to_string())
}
