use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::{Agent, SOON};
use crate::http::STREAMS;

/// The next event of a stream: id, name and data.
struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    async fn open(agent: &Agent, path: &str, last: Option<&str>) -> Self {
        let url = format!("{}{path}", agent.url);
        let mut request = agent.client.request(Method::GET, url).bearer_auth(super::TOKEN);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// None at the end of the stream.
    async fn next(&mut self) -> Option<(u64, String, Value)> {
        while !self.text.contains("\n\n") {
            let more = tokio::time::timeout(SOON, self.answer.chunk()).await.expect("in time");
            let more = more.expect("an orderly end")?;
            self.text.push_str(std::str::from_utf8(&more).expect("text"));
        }
        let (event, rest) = self.text.split_once("\n\n").expect("an event");
        let field = |name: &str| {
            let found = event.lines().find_map(|line| line.strip_prefix(name));
            found.expect("the field is there").to_owned()
        };
        let id = field("id: ").parse().expect("a number");
        let data = serde_json::from_str(&field("data: ")).expect("JSON");
        let found = (id, field("event: "), data);
        self.text = rest.to_owned();
        Some(found)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_where_it_was_left() {
    let agent = Agent::start().await;
    let mut all = Stream::open(&agent, "/api/v1/events?after=0", None).await;
    let (id, name, entry) = all.next().await.expect("an event");
    assert_eq!((id, name.as_str(), &entry["seq"]), (1, "agent_started", &json!(1)));
    // What comes later comes by itself.
    let mut new = Stream::open(&agent, "/api/v1/events", None).await;
    agent.look().await;
    for stream in [&mut all, &mut new] {
        let (id, name, entry) = stream.next().await.expect("an event");
        assert_eq!((id, name.as_str()), (2, "health_changed"));
        assert_eq!(entry["subject"], json!({ "link": "orders" }));
    }
    // The place that the client says wins over the one in the address.
    let mut again = Stream::open(&agent, "/api/v1/events?after=0", Some("1")).await;
    assert_eq!(again.next().await.expect("an event").0, 2);
    agent.stop.cancel();
    for mut stream in [all, new, again] {
        assert_eq!(stream.next().await, None, "stopping ends the stream in order");
    }
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_is_none_is_refused() {
    let agent = Agent::start().await;
    let (code, body) = agent.get("/api/v1/events?after=7").await;
    assert_eq!(code, 400, "{body}");
    let words = body["error"]["message"].as_str().expect("words");
    assert_eq!(words, "the journal ends with entry 1, so 7 is a place in another one");
    let odd = agent.ask(Method::GET, "/api/v1/events").header("last-event-id", "x");
    assert_eq!(odd.send().await.expect("an answer").status(), 400);
    agent.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_so_many_streams_and_no_more() {
    let agent = Agent::start().await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Stream::open(&agent, "/api/v1/events", None).await);
    }
    let answer = agent.ask(Method::GET, "/api/v1/events").send().await.expect("an answer");
    assert_eq!(answer.headers()["retry-after"], "1");
    let (code, body) = super::read(answer).await;
    assert_eq!((code, &body["error"]["code"]), (503, &json!("busy")));
    assert_eq!(agent.get("/api/v1/status").await.0, 200, "streams hold up nothing else");
    drop(streams);
    agent.stop().await;
}
