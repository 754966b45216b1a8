//! The API that the command line uses. Each write is one input and its verdict.

use std::sync::Arc;

use agent_core::{
    Ballot, Entry, Explanation, Input, LinkId, PlanKind, ProposalId, Side, WORDS, runbook::Sheet,
};
use axum::{extract::State, http::StatusCode};
use serde::Deserialize;

use super::{
    App,
    extract::{Json, Page, Path, Query, words},
    problem::Problem,
    view::{self, Detail, JournalPage, Kept, Proposals, RunbookPage, Runbooks, Status},
};
use crate::journal::redact;

/// Entries of one page of the journal, at the most and if nobody says.
const PAGE_MOST: usize = 1000;
const PAGE: usize = 100;
/// Characters of a name that comes to stand in the journal.
const NAME: usize = 128;

type Answer<T> = Result<axum::Json<T>, Problem>;
type Taken = Result<(StatusCode, axum::Json<Entry>), Problem>;

/// Who asks for a plan, and for which.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Propose {
    kind: PlanKind,
    by: String,
    /// Whose data a repair keeps.
    winner: Option<Side>,
}

/// Who has seen how the newest proposal ended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acknowledge {
    by: String,
    note: String,
}

pub(super) async fn status(State(app): State<App>) -> Answer<Status> {
    let (now, last_seq, links) =
        app.ask(|estate, now| (now, estate.last_seq(), view::links(estate, now))).await?;
    Ok(axum::Json(Status {
        version: app.parts.version.to_owned(),
        started_at: app.parts.started_at,
        now,
        last_seq,
        links,
        bus: app.bus(),
        alerts: (app.parts.alerts)(),
    }))
}

pub(super) async fn explain(
    State(app): State<App>,
    Path(link): Path<LinkId>,
) -> Answer<Explanation> {
    let asked = link.clone();
    let found = app.ask(move |estate, now| estate.explain(&asked, now)).await?;
    let missing = || Problem::not_found(format!("the configuration has no link {link}"));
    Ok(axum::Json(found.ok_or_else(missing)?))
}

/// Of which link; of all if nobody says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfLink {
    link: Option<LinkId>,
}

/// The pages are written here, each from a copy of what the loop knows of its link.
pub(super) async fn runbook(State(app): State<App>, Query(of): Query<OfLink>) -> Answer<Runbooks> {
    let links = match of.link {
        Some(link) => vec![link],
        None => app.ask(|estate, _| view::configured(estate)).await?,
    };
    let places = Arc::clone(&app.parts.places);
    let mut runbooks = Vec::new();
    for link in links {
        let sheet = app.ask(move |estate, now| Sheet::of(estate, &link, now)).await?;
        let missing = || Problem::not_found("the configuration has no such link");
        runbooks.push(RunbookPage::write(&sheet.ok_or_else(missing)?, &places));
    }
    Ok(axum::Json(Runbooks { runbooks }))
}

pub(super) async fn proposals(State(app): State<App>) -> Answer<Proposals> {
    Ok(axum::Json(app.ask(|estate, _| view::proposals(estate)).await?))
}

pub(super) async fn proposal(State(app): State<App>, Path(id): Path<ProposalId>) -> Answer<Detail> {
    let found = app.ask(move |estate, _| view::proposal(estate, id)).await?;
    let missing = || {
        Problem::not_found(format!(
            "{id} is not the newest proposal of any link; an older one is in the journal, from entry {id} on"
        ))
    };
    Ok(axum::Json(found.ok_or_else(missing)?))
}

pub(super) async fn propose(
    State(app): State<App>,
    Path(link): Path<LinkId>,
    Json(body): Json<Propose>,
) -> Taken {
    let by = words("`by`", &body.by, NAME)?;
    taken(app.input(Input::Propose { link, kind: body.kind, by, winner: body.winner }).await?)
}

pub(super) async fn cast(State(app): State<App>, Json(ballot): Json<Ballot>) -> Taken {
    taken(app.input(Input::Cast { ballot }).await?)
}

pub(super) async fn acknowledge(
    State(app): State<App>,
    Path(link): Path<LinkId>,
    Json(body): Json<Acknowledge>,
) -> Taken {
    let by = words("`by`", &body.by, NAME)?;
    let note = words("`note`", &body.note, WORDS)?;
    taken(app.input(Input::Acknowledge { link, by, note }).await?)
}

pub(super) async fn lift_guard(
    State(app): State<App>,
    Path(link): Path<LinkId>,
    Json(body): Json<Acknowledge>,
) -> Taken {
    let by = words("`by`", &body.by, NAME)?;
    let note = words("`note`", &body.note, WORDS)?;
    taken(app.input(Input::LiftGuard { link, by, note }).await?)
}

pub(super) async fn journal(
    State(app): State<App>,
    Query(page): Query<Page>,
) -> Answer<JournalPage> {
    let limit = page.limit.unwrap_or(PAGE);
    if limit == 0 || limit > PAGE_MOST {
        let message = format!("`limit` is {limit}: it takes 1 to {PAGE_MOST}");
        return Err(Problem::bad_request(message));
    }
    let (head, stored) = app
        .read(move |reader| Ok((reader.head()?.seq, reader.read_after(page.after, limit)?)))
        .await?;
    let entries = stored.iter().map(|stored| Kept {
        seq: stored.entry.seq,
        hash: stored.hash.to_string(),
        entry: redact(&stored.entry),
    });
    Ok(axum::Json(JournalPage { entries: entries.collect(), head }))
}

fn taken(entry: Entry) -> Taken {
    Ok((StatusCode::CREATED, axum::Json(redact(&entry))))
}
