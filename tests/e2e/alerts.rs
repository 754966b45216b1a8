//! Alerts of the real agent: killed and begun again while those who are told are away, it tells all
//! of an episode once, in order, and as one page.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::Value;
use tests::harness::wait;
use toml::{Table, Value as Setting};

use crate::rig::{APPROVERS, LIMIT, Rig, SQL, Wish};

/// Takes what is posted, or says that it can't at present.
struct Receiver {
    url: String,
    taken: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<usize>>,
    away: Arc<AtomicBool>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (taken, refused) = (Arc::default(), Arc::default());
        let receiver = Self { url, taken, refused, away: Arc::default() };
        let (taken, refused, away) = (
            Arc::clone(&receiver.taken),
            Arc::clone(&receiver.refused),
            Arc::clone(&receiver.away),
        );
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let away = away.load(Ordering::SeqCst);
                let Some(body) = serve(stream, away) else { continue };
                if away {
                    *refused.lock().expect("no panic") += 1;
                } else {
                    taken.lock().expect("no panic").push(body);
                }
            }
        });
        receiver
    }

    fn taken(&self) -> Vec<Value> {
        self.taken.lock().expect("no panic").clone()
    }

    fn refused(&self) -> usize {
        *self.refused.lock().expect("no panic")
    }

    fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }
}

/// Reads one request and answers it.
fn serve(mut stream: TcpStream, away: bool) -> Option<Value> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length?.trim().parse().ok()?;
            if bytes.len() >= head + 4 + length {
                let status = if away { "503 Service Unavailable" } else { "200 OK" };
                let answer =
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).ok()?;
                return serde_json::from_slice(&bytes[head + 4..]).ok();
            }
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn receiver(name: &str, url: &str) -> Table {
    let pairs = [("name", name.to_owned()), ("url", url.to_owned())];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), Setting::from(value))).collect()
}

/// Whether a message is of this event.
fn is(message: &Value, event: &str) -> bool {
    message["event"] == event
}

#[test]
fn killed_while_nobody_listens_it_tells_all_of_the_episode_once() {
    let (pager, alertmanager) = (Receiver::start(), Receiver::start());
    let mut hook = receiver("pager", &pager.url);
    // The token of the API lies there, and signs as well as anything else.
    let secret = Table::from_iter([("file".to_owned(), Setting::from("token"))]);
    hook.insert("secret".to_owned(), Setting::from(secret));
    let mut main = receiver("main", &alertmanager.url);
    main.insert("repeat_every".to_owned(), Setting::from("1s"));
    let wish = Wish::new(71)
        .set("alerts.webhooks", vec![Setting::from(hook)])
        .set("alerts.alertmanagers", vec![Setting::from(main)]);
    let mut rig = Rig::healthy(wish);

    let mut stream = rig.follow(0);
    rig.stop(SQL);
    let proposal = stream.until("proposal_opened")["seq"].as_u64().expect("a number");
    wait::until("the page", LIMIT, || {
        pager.taken().iter().any(|told| is(told, "proposal_opened")).then_some(())
    });

    // Nobody listens while the plan is approved and carried out, and the agent is killed.
    pager.away(true);
    alertmanager.away(true);
    for who in APPROVERS {
        rig.approve(proposal, who);
    }
    stream.until("proposal_closed");
    wait::until("a try", LIMIT, || (pager.refused() > 0).then_some(()));
    rig.kill();
    rig.start();
    pager.away(false);
    alertmanager.away(false);
    let told = wait::until("the end", LIMIT, || {
        let told = pager.taken();
        told.iter().any(|told| is(told, "proposal_closed")).then_some(told)
    });

    let episode = &told[0]["episode"];
    assert!(told.iter().all(|message| message["episode"] == *episode), "{told:#?}");
    let numbers: Vec<u64> =
        told.iter().filter_map(|message| message["sequence"].as_u64()).collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "each once, in order: {told:#?}");
    for event in ["health_changed", "ballot_received", "proposal_approved", "step_done"] {
        assert!(told.iter().any(|message| is(message, event)), "{event} is missing: {told:#?}");
    }
    let digest = &rig.proposal(proposal).digest;
    let opened = told.iter().find(|message| is(message, "proposal_opened")).expect("it is there");
    assert_eq!(opened["proposal"]["digest"], digest.as_str());
    assert_eq!(opened["commands"][0], format!("dr-agent show {proposal}"));

    // All that the Alertmanager ever heard of is one page and one warning, however often.
    let identities = wait::until("the state after all", LIMIT, || {
        let pushed = alertmanager.taken();
        let alerts = || pushed.iter().flat_map(|push| push.as_array().into_iter().flatten());
        let closed = |alert: &Value| {
            alert["annotations"]["description"]
                .as_str()
                .is_some_and(|text| text.contains("succeeded"))
        };
        let labels = |alert: &Value| alert["labels"].to_string();
        alerts().any(closed).then(|| alerts().map(labels).collect::<BTreeSet<String>>())
    });
    assert_eq!(identities.len(), 2, "{identities:#?}");

    let metrics = rig.agent.metrics().expect("a scrape");
    for kind in ["webhook\",name=\"pager", "alertmanager\",name=\"main"] {
        let lag = format!("dr_agent_alerts_lag_seconds{{kind=\"{kind}\"}}");
        assert!(metrics.contains(&lag), "{lag}: {metrics}");
    }
}
