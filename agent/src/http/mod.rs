//! The HTTP side: API, event stream, health and metrics.
//!
//! Nothing is decided here. A write is an input handed to the loop, and its verdict the answer; a
//! refusal is 409 with its words. No GET changes anything. Whatever goes wrong has one shape:
//! `{"error": {"code", "message", ...}}`.
//!
//! Limits: [`REQUESTS`] requests at once, [`STREAMS`] event streams, [`CONNECTIONS`] connections,
//! [`BODY`] bytes of a body ([`WEBHOOK_BODY`] and [`WEBHOOK_ALERTS`] of one with alerts), [`REQUEST`]
//! for a request and its answer (streams apart).

mod alert;
mod api;
mod auth;
mod events;
mod extract;
mod guard;
mod health;
mod problem;
mod serve;
pub mod view;
mod webhook;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use agent_core::{Entry, Estate, Input, Seq, runbook::Places};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use jiff::Timestamp;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

pub use self::{
    auth::{SHORTEST_TOKEN, TokenError, Tokens},
    serve::{Bound, ServeError, Settings, Tls},
    webhook::{WEBHOOK_ALERTS, WEBHOOK_BODY},
};
use self::{
    problem::Problem,
    view::{BusView, SinkView},
};
use crate::{
    config::AlertRule,
    journal::{JournalError, Reader},
    metrics::Metrics,
    turn::Inbox,
};

/// Requests that are worked on at once; one more is told to come again.
pub const REQUESTS: usize = 64;
/// Event streams at once; one more is told to come again.
pub const STREAMS: usize = 64;
/// Connections at once; one more is closed.
pub const CONNECTIONS: usize = 256;
/// Bytes of a request's body at the most. A ballot has some hundred.
pub const BODY: usize = 64 * 1024;
/// How long a request may take, from its head to the head of its answer.
pub const REQUEST: Duration = Duration::from_secs(15);
/// How long the loop may take to answer a question; a scrape goes on without it then.
const ANSWER: Duration = Duration::from_secs(2);

/// Looks at the bus, which is not known here.
pub type BusLook = Arc<dyn Fn() -> BusView + Send + Sync>;

/// Looks at the sinks for alerts, which are not known here.
pub type SinksLook = Arc<dyn Fn() -> Vec<SinkView> + Send + Sync>;

/// Everything that the handlers need. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    pub inbox: Inbox,
    /// Place of the newest durable entry.
    pub head: watch::Receiver<Seq>,
    /// The journal's file: every reader opens it for itself.
    pub journal: PathBuf,
    /// How the bus is doing; None: none is configured.
    pub bus: Option<BusLook>,
    /// How each sink for alerts is doing.
    pub alerts: SinksLook,
    pub metrics: Arc<Metrics>,
    pub tokens: Arc<Tokens>,
    /// They open the webhook for alerts, and nothing else does.
    pub webhook_tokens: Arc<Tokens>,
    /// By which alerts that come in ask for proposals, in order.
    pub alert_rules: Arc<[AlertRule]>,
    /// Scrapes need no token.
    pub metrics_open: bool,
    /// Where people get in, for the runbook.
    pub places: Arc<Places>,
    pub version: &'static str,
    pub started_at: Timestamp,
    /// Ends the event streams.
    pub stop: CancellationToken,
}

/// What is shared by all requests.
struct Shared {
    parts: Parts,
    requests: Semaphore,
    streams: Arc<Semaphore>,
}

type App = Arc<Shared>;

/// All routes with everything around them.
pub fn router(parts: Parts) -> Router {
    let app = Arc::new(Shared {
        parts,
        requests: Semaphore::new(REQUESTS),
        streams: Arc::new(Semaphore::new(STREAMS)),
    });
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/runbook", get(api::runbook))
        .route("/api/v1/links/{link}/explain", get(api::explain))
        .route("/api/v1/links/{link}/proposals", post(api::propose))
        .route("/api/v1/links/{link}/acknowledge", post(api::acknowledge))
        .route("/api/v1/links/{link}/lift-guard", post(api::lift_guard))
        .route("/api/v1/proposals", get(api::proposals))
        .route("/api/v1/proposals/{proposal}", get(api::proposal))
        .route("/api/v1/ballots", post(api::cast))
        .route("/api/v1/journal", get(api::journal))
        .route("/api/v1/events", get(events::events))
        .route(webhook::PATH, post(webhook::take).layer(DefaultBodyLimit::max(WEBHOOK_BODY)))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(guard::in_time))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), auth::known))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard::not_too_many))
        .layer(middleware::map_response(guard::headers))
        .with_state(app)
}

impl Shared {
    fn bus(&self) -> Option<BusView> {
        self.parts.bus.as_ref().map(|look| look())
    }

    /// Asks the estate something.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Estate, Timestamp) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        match tokio::time::timeout(ANSWER, self.parts.inbox.ask(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(ended)) => Err(Problem::shutting_down(ended)),
            Err(_) => {
                Err(Problem::busy("the loop that decides does not answer; is the disk slow?"))
            }
        }
    }

    /// Hands in an input and gives the entry that it became.
    async fn input(&self, input: Input) -> Result<Entry, Problem> {
        match self.parts.inbox.input(input).await {
            Ok(Ok(entry)) => Ok(entry),
            Ok(Err(refusal)) => {
                let problem = Problem::refused(refusal);
                self.parts.metrics.refused(problem.refusal_word());
                Err(problem)
            }
            Err(ended) => Err(Problem::shutting_down(ended)),
        }
    }

    /// Reads the journal on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, Problem> {
        let path = self.parts.journal.clone();
        let read = tokio::task::spawn_blocking(move || read(&Reader::open(&path)?));
        match read.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Problem::unreadable(&error)),
            Err(_) => Err(Problem::internal("the journal's reader failed")),
        }
    }
}
