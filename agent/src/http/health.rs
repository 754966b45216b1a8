//! Whether the process is alive, whether it is of use, and its figures.

use std::time::Duration;

use agent_core::{Estate, Vantage};
use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{App, problem::Problem, view::SinkView};
use crate::metrics::{self, View};

/// The process answers. Says nothing about anything else, so that a supervisor does not kill an
/// agent for what it is there to watch.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// The loop answers, the journal can be read, and every vantage has been looked from. (That the
/// journal can be written has been seen at the start, and a write that fails ends the process.)
pub(super) async fn ready(State(app): State<App>) -> Result<Json<Value>, Problem> {
    let missing = app.ask(|estate, _| unseen(estate)).await?;
    app.read(|reader| reader.head()).await?;
    if missing.is_empty() {
        Ok(Json(json!({ "ready": true })))
    } else {
        Err(Problem::not_ready(missing))
    }
}

/// Everything in Prometheus' text format. If the loop does not answer it says so, with what needs
/// no answer.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let view = app.ask(View::take).await.ok();
    let of = app.parts.metrics.clone();
    // A journal that can't be read is in the log, and no reason to show nothing.
    let read = app.read(move |reader| of.read_journal(reader)).await;
    app.parts.metrics.journal_readable(read.is_ok());
    let bus = app.bus().map(|bus| metrics::Bus {
        connected: bus.connected,
        published: bus.published,
        returned: bus.returned,
        nacked: bus.nacked,
        last_confirmed_seq: bus.last_confirmed_seq,
        lag_entries: bus.lag_entries,
        lag_seconds: Duration::from_millis(bus.lag_ms).as_secs_f64(),
    });
    let alerts: Vec<metrics::Sink> = (app.parts.alerts)().into_iter().map(of_sink).collect();
    match app.parts.metrics.render(view.as_ref(), bus.as_ref(), &alerts) {
        Ok(text) => Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()),
        Err(error) => {
            Err(Problem::internal(&format!("the metrics can't be put together: {error}")))
        }
    }
}

fn of_sink(sink: SinkView) -> metrics::Sink {
    metrics::Sink {
        kind: sink.kind,
        name: sink.name,
        sent: sink.sent,
        failed: sink.failed,
        given_up: sink.given_up,
        pending_entries: sink.pending_entries,
        lag_seconds: Duration::from_millis(sink.lag_ms).as_secs_f64(),
    }
}

fn unseen(estate: &Estate) -> Vec<String> {
    let mut missing = Vec::new();
    for (link, spec, _) in estate.links() {
        let Some(spec) = spec else { continue };
        let mut wanted = vec![Vantage::SqlServer, Vantage::ManagedInstance];
        if spec.arm_path.is_some() {
            wanted.push(Vantage::ControlPlane);
        }
        let seen = estate.newest(link);
        for vantage in wanted {
            if !seen.iter().any(|look| look.vantage == vantage) {
                missing.push(format!("{link} has not yet been looked at by {vantage}"));
            }
        }
    }
    missing
}
