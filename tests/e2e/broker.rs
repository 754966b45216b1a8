//! The harness's RabbitMQ is a real one: it keeps what it confirmed, and speaks TLS.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::tcp::OwnedTLSConfig;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use std::time::Duration;
use tests::harness::{Broker, Consumer, QueueKind, Topology, wait};

const LIMIT: Duration = Duration::from_secs(30);
/// A broker that says nothing for so long says nothing now.
const SILENT: Duration = Duration::from_secs(2);

fn topology(kind: QueueKind) -> Topology {
    Topology {
        exchange: "events".to_owned(),
        queue: "everything".to_owned(),
        kind,
        binding: "#".to_owned(),
    }
}

async fn connect(url: &str, ca: Option<String>) -> lapin::Result<(Connection, Channel)> {
    // The first to be installed stays, be it by another test of this process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = OwnedTLSConfig { cert_chain: ca, ..OwnedTLSConfig::default() };
    let connecting = Connection::connect_with_config(
        url,
        ConnectionProperties::default(),
        config,
        lapin::runtime::default_runtime()?,
    );
    let connection = tokio::time::timeout(LIMIT, connecting).await.expect("the broker greets")?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// Whether the broker has confirmed it within the time and routed it to a queue.
async fn publish(channel: &Channel, id: u32, within: Duration) -> bool {
    let properties = BasicProperties::default()
        .with_message_id(ShortString::from(id.to_string()))
        .with_content_type("text/plain".into())
        .with_delivery_mode(2);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let body = format!("event {id}");
    let sending = channel.basic_publish(
        "events".into(),
        "link.a".into(),
        options,
        body.as_bytes(),
        properties,
    );
    let confirmed = async { sending.await?.await };
    match tokio::time::timeout(within, confirmed).await {
        Ok(Ok(Confirmation::Ack(returned))) => returned.is_none(),
        Ok(Ok(Confirmation::Nack(_) | Confirmation::NotRequested) | Err(_)) | Err(_) => false,
    }
}

async fn publish_all(broker: &Broker, ids: std::ops::Range<u32>) {
    let (_connection, channel) = connect(&broker.url(), None).await.expect("the broker is up");
    for id in ids {
        // A quorum queue may still be electing its leader.
        wait::until_async("a confirm", LIMIT, async || {
            publish(&channel, id, SILENT).await.then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_stop_and_start() {
    let mut broker = Broker::start(&topology(QueueKind::Quorum));
    publish_all(&broker, 0..5).await;
    broker.stop();
    assert!(connect(&broker.url(), None).await.is_err(), "nobody listens after the stop");
    broker.restart();

    let mut consumer = Consumer::start(&broker, "everything");
    let records = consumer.wait_for_ids(5, LIMIT);
    for (id, record) in (0..5).zip(&records) {
        assert_eq!(record.message_id.as_deref(), Some(id.to_string().as_str()));
        assert_eq!(record.routing_key, "link.a");
        assert_eq!(record.content_type.as_deref(), Some("text/plain"));
        assert!(record.persistent);
        assert_eq!(record.body, format!("event {id}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_survives_a_kill_and_the_consumer_comes_back() {
    let mut broker = Broker::start(&topology(QueueKind::Classic));
    publish_all(&broker, 0..3).await;
    broker.kill();
    broker.restart();
    let mut consumer = Consumer::start(&broker, "everything");
    consumer.wait_for_ids(3, LIMIT);
    broker.kill();
    broker.restart();
    publish_all(&broker, 3..6).await;
    consumer.wait_for_ids(6, LIMIT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_tls_and_confirms_nothing_while_it_is_frozen() {
    let mut broker = Broker::start(&topology(QueueKind::Classic));
    let stranger = connect(&broker.tls_url(), None).await;
    assert!(stranger.is_err(), "who does not know the authority refuses");
    let ca = std::fs::read_to_string(broker.ca()).expect("the authority's file is there");
    let (_connection, channel) =
        connect(&broker.tls_url(), Some(ca)).await.expect("TLS with its own authority");
    assert!(publish(&channel, 1, LIMIT).await);

    broker.freeze();
    assert!(!publish(&channel, 2, SILENT).await);
    broker.thaw();
    let mut consumer = Consumer::start(&broker, "everything");
    consumer.wait_for_ids(2, LIMIT);
}
