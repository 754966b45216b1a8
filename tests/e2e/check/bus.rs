//! The bus, against a real broker.

use lapin::{
    Connection, ConnectionProperties, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use tests::harness::{Broker, QueueKind, Topology, free_ports};
use tokio::runtime::Builder;

use super::bench::Bench;

const EXCHANGE: &str = "dr-agent";
const QUEUE: &str = "dr-agent";

#[test]
fn what_is_wrong_with_the_bus() {
    let broker = Broker::start(&Topology {
        exchange: EXCHANGE.to_owned(),
        queue: QUEUE.to_owned(),
        kind: QueueKind::Classic,
        binding: "#".to_owned(),
    });
    let mut bench = Bench::new();
    bench.set("bus.exchange", EXCHANGE);
    let good = broker.url();
    let check = |bench: &mut Bench, url: &str, arguments: &[&str]| {
        bench.write_secret("bus-url", url);
        bench.check_with(arguments)
    };
    let told = |bench: &mut Bench, url: &str, id: &str, words: &str, mend: &str| {
        let report = check(bench, url, &["--bus-message"]);
        let finding = report.finding(id, "the bus").unwrap_or_else(|| panic!("{id} is told"));
        assert_eq!(finding["verdict"], "wrong", "{finding:#}");
        let evidence = finding["evidence"].as_str().unwrap_or_default();
        assert!(evidence.contains(words), "{id}: {evidence}");
        let fixes = finding["fix"].to_string();
        assert!(fixes.contains(mend), "{id}: {fixes}");
        assert_eq!(report.code, 1);
    };
    bench.write_secret("bus-url", &good);
    let file: toml::Table = [("file".to_owned(), "bus-url".into())].into_iter().collect();
    bench.set("bus.url", file);
    let clean = |bench: &mut Bench| {
        let report = check(bench, &good, &["--bus-message"]);
        assert_eq!(report.wrong(), Vec::<String>::new());
        assert_eq!(report.finding("bus.bound", "the bus").expect("asked")["verdict"], "ok");
    };
    clean(&mut bench);

    let [closed] = free_ports();
    let elsewhere = good.replace(&format!(":{}/", broker.port()), &format!(":{closed}/"));
    told(&mut bench, &elsewhere, "reach.port", "refused", "bus.url");
    let plain_to_tls = good.replace("amqp://", "amqps://").replace("127.0.0.1", "localhost");
    told(&mut bench, &plain_to_tls, "reach.tls", "", "5671");
    let wrong = good.replace(broker.password(), "not-this-one");
    told(&mut bench, &wrong, "bus.login", "ACCESS", "change_password tester");
    let vhost = good.replace("%2f", "nowhere");
    told(&mut bench, &vhost, "bus.vhost", "nowhere", "add_vhost nowhere");
    clean(&mut bench);

    bench.set("bus.exchange", "amq.fanout");
    told(&mut bench, &good, "bus.exchange", "", "bus.exchange");
    bench.set("bus.exchange", EXCHANGE);
    clean(&mut bench);

    on_broker(&good, async |channel| {
        let options = QueueDeleteOptions::default();
        channel.queue_delete(QUEUE.into(), options).await.map(|_| ())
    });
    told(&mut bench, &good, "bus.bound", "came back", "declare queue name=dr-agent");
    // What `rabbitmqadmin` would do.
    on_broker(&good, async |channel| {
        let durable = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await?;
        let binding = lapin::options::QueueBindOptions::default();
        let (queue, exchange) = (QUEUE.into(), EXCHANGE.into());
        channel.queue_bind(queue, exchange, "#".into(), binding, FieldTable::default()).await
    });
    clean(&mut bench);
    on_broker(&good, async |channel| {
        let options = ExchangeDeclareOptions::default();
        let (name, kind) = ("passing".into(), ExchangeKind::Direct);
        channel.exchange_declare(name, kind, options, FieldTable::default()).await
    });
    bench.set("bus.exchange", "passing");
    told(&mut bench, &good, "bus.exchange", "PRECONDITION", "delete exchange name=passing");
}

fn on_broker(url: &str, act: impl AsyncFnOnce(&lapin::Channel) -> lapin::Result<()>) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = runtime.block_on(async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        act(&channel).await?;
        connection.close(200, "done".into()).await
    });
    done.expect("the broker does it");
}
