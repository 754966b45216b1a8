//! The journal as a stream of events, from any place on. It says only what is durable, in order and
//! without gaps: it is read from the journal, and the loop's word that there is more only wakes it.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use agent_core::Seq;
use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    App,
    extract::{After, Query},
    problem::Problem,
};
use crate::journal::{Stored, redact};

/// Entries that a stream holds at the most; a slow reader makes its own stream wait.
const PAGE: usize = 64;
/// Something is sent at least this often, so that a dead connection is found.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Streams what comes behind `Last-Event-ID`, else behind `?after=`, else from now on.
pub(super) async fn events(
    State(app): State<App>,
    Query(query): Query<After>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let mut woken = app.parts.head.clone();
    let head = *woken.borrow_and_update();
    let cursor = last_event_id(&headers)?.or(query.after).unwrap_or(head);
    if cursor > head {
        return Err(Problem::bad_request(format!(
            "the journal ends with entry {head}, so {cursor} is a place in another one"
        )));
    }
    let permit = app.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::busy("too many event streams at once"))?;
    let tail = Tail { app, woken, cursor, page: VecDeque::new(), _permit: permit };
    let events = stream::unfold(tail, |mut tail| async {
        let event = tail.next().await?;
        Some((Ok(event), tail))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The header wins: a client that lost its connection asks the same address again and says where
/// it was.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok());
    seq.map(Some)
        .ok_or_else(|| Problem::bad_request("`Last-Event-ID` is not the place of an entry"))
}

struct Tail {
    app: App,
    woken: watch::Receiver<Seq>,
    /// The newest entry that was read.
    cursor: Seq,
    page: VecDeque<Stored>,
    _permit: OwnedSemaphorePermit,
}

impl Tail {
    /// The next event; None ends the stream: the agent stops, or the journal can't be read.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.app.parts.stop.is_cancelled() {
                return None;
            }
            if let Some(stored) = self.page.pop_front() {
                return Some(event(&stored));
            }
            if *self.woken.borrow_and_update() > self.cursor {
                self.read().await?;
            }
            if self.page.is_empty() {
                tokio::select! {
                    biased;
                    () = self.app.parts.stop.cancelled() => return None,
                    changed = self.woken.changed() => changed.ok()?,
                }
            }
        }
    }

    async fn read(&mut self) -> Option<()> {
        let cursor = self.cursor;
        let page = self.app.read(move |reader| reader.read_after(cursor, PAGE)).await;
        self.page = page.ok()?.into();
        self.cursor = self.page.back().map_or(cursor, |newest| newest.entry.seq);
        Some(())
    }
}

fn event(stored: &Stored) -> Event {
    let entry = redact(&stored.entry);
    Event::default()
        .id(entry.seq.to_string())
        .event(entry.event.name())
        .data(agent_core::write(&entry))
}
