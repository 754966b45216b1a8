//! The control door: faults, repointing, state and truth, over HTTP on loopback. [`client`] is the
//! same as subcommands.

pub mod azure;
pub mod client;
mod report;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    serve::SharedWorld,
    world::{DirectoryChange, Fault, Setting, UnknownName, setup::Change},
};

/// What `POST /workload` changes; what is left out stays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadChange {
    /// The workload.
    pub name: String,
    /// The instance that its connection string names from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Its commits per second from now on; at 0 its sessions stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits_per_s: Option<f64>,
    /// Whether it runs: a stopped application has no sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<bool>,
}

/// What `POST /snapshot` and `POST /restore` name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The snapshot.
    pub name: String,
}

/// What `POST /setup` changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetupChange {
    /// The instance.
    pub instance: String,
    /// What about it.
    pub change: Change,
}

/// The routes of the control door.
pub fn router(world: SharedWorld, renew: Renew) -> Router {
    let certificates = Router::new().route("/certificates", post(certificates)).with_state(renew);
    Router::new()
        .route("/state", get(state))
        .route("/truth", get(truth))
        .route("/truth/commits/{link}/{from}", get(commits))
        .route("/fault", post(fault))
        .route("/workload", post(workload))
        .route("/set", post(set))
        .route("/setup", post(set_up))
        .route("/directory", post(directory))
        .route("/snapshot", post(snapshot))
        .route("/restore", post(restore))
        .with_state(world)
        .merge(certificates)
}

/// Makes another authority and another certificate for all doors, and writes the first.
pub type Renew = Arc<dyn Fn() -> anyhow::Result<()> + Send + Sync>;

async fn state(State(world): State<SharedWorld>) -> Response {
    Json(world.with(|world| report::state(world))).into_response()
}

async fn truth(State(world): State<SharedWorld>) -> Response {
    Json(world.with(|world| report::truth(world))).into_response()
}

async fn commits(
    State(world): State<SharedWorld>,
    Path((link, from)): Path<(String, u32)>,
) -> Result<Response, Response> {
    let told = world.with(|world| report::commits(world, &link, from));
    told.map(|told| Json(told).into_response()).ok_or_else(|| {
        let text = format!("there is no link {link:?}");
        (StatusCode::BAD_REQUEST, text).into_response()
    })
}

async fn fault(
    State(world): State<SharedWorld>,
    Json(fault): Json<Fault>,
) -> Result<StatusCode, Response> {
    world.with(|world| world.fault(fault)).map_err(|error| wrong(&error))?;
    world.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn set(
    State(world): State<SharedWorld>,
    Json(setting): Json<Setting>,
) -> Result<StatusCode, Response> {
    world.with(|world| world.set(setting)).map_err(|error| wrong(&error))?;
    world.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn set_up(
    State(world): State<SharedWorld>,
    Json(asked): Json<SetupChange>,
) -> Result<StatusCode, Response> {
    let SetupChange { instance, change } = asked;
    world.with(|world| world.set_up(&instance, change)).map_err(|error| wrong(&error))?;
    world.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn directory(
    State(world): State<SharedWorld>,
    Json(change): Json<DirectoryChange>,
) -> Result<StatusCode, Response> {
    world.with(|world| world.change_directory(change)).map_err(|error| wrong(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn snapshot(
    State(world): State<SharedWorld>,
    Json(Named { name }): Json<Named>,
) -> Result<StatusCode, Response> {
    world.snapshot(&name).map_err(|error| wrong(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

async fn restore(
    State(world): State<SharedWorld>,
    Json(Named { name }): Json<Named>,
) -> Result<StatusCode, Response> {
    world.restore(&name).map_err(|error| wrong(&error))?;
    world.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn certificates(State(renew): State<Renew>) -> Result<StatusCode, Response> {
    let renewed = tokio::task::spawn_blocking(move || renew()).await;
    let renewed = renewed.unwrap_or_else(|error| Err(error.into()));
    renewed.map(|()| StatusCode::NO_CONTENT).map_err(|error| {
        let body = json!({ "error": format!("{error:#}") });
        (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response()
    })
}

async fn workload(
    State(world): State<SharedWorld>,
    Json(change): Json<WorkloadChange>,
) -> Result<StatusCode, Response> {
    if change.commits_per_s.is_some_and(|rate| !(0.0..=100_000.0).contains(&rate)) {
        let body = json!({ "error": "commits_per_s must lie between 0 and 100000" });
        return Err((StatusCode::BAD_REQUEST, Json(body)).into_response());
    }
    let changed = world.with(|world| {
        if let Some(target) = &change.target {
            world.repoint(&change.name, target)?;
        }
        if let Some(rate) = change.commits_per_s {
            world.set_rate(&change.name, rate)?;
        }
        if let Some(running) = change.running {
            world.set_running(&change.name, running)?;
        }
        Ok(())
    });
    changed.map_err(|error: UnknownName| wrong(&error))?;
    world.wake();
    Ok(StatusCode::NO_CONTENT)
}

fn wrong(error: &dyn std::error::Error) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error.to_string() }))).into_response()
}
