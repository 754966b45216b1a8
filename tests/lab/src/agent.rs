//! The agent's API as a client sees it: JSON as it comes, so that what is checked is the wire.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use crate::{
    wait,
    wire::{Answer, Events, Http},
};

/// Entries of one page of the journal.
const PAGE: usize = 500;

/// A running agent.
#[derive(Clone, Debug)]
pub struct Agent {
    http: Http,
}

impl Agent {
    /// The agent whose API listens on `port` of loopback.
    ///
    /// # Errors
    /// None in practice: the address is made here.
    pub fn new(port: u16, token: &str) -> Result<Self> {
        let http = Http::new(&format!("http://127.0.0.1:{port}"), Some(token.to_owned()))?;
        Ok(Self { http })
    }

    /// The client for paths that have no method here.
    #[must_use]
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Whether it says that it is ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.http.get("/readyz").is_ok_and(|answer| answer.status == 200)
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// It is not after `limit`; with what it says.
    pub fn wait_ready(&self, limit: Duration) -> Result<()> {
        wait::until(limit, || self.ready().then_some(())).ok_or_else(|| {
            let word = self.http.get("/readyz").map(|answer| answer.body);
            anyhow!("the agent is not ready after {limit:?}: {word:?}")
        })
    }

    /// `GET /api/v1/status`
    ///
    /// # Errors
    /// It does not answer so.
    pub fn status(&self) -> Result<Value> {
        self.http.get("/api/v1/status")?.json()
    }

    /// What the status says of one link.
    ///
    /// # Errors
    /// There is none.
    pub fn link(&self, link: &str) -> Result<Value> {
        let status = self.status()?;
        let links = status["links"].as_array().context("the status has no links")?;
        let found = links.iter().find(|found| found["link"] == link).cloned();
        found.ok_or_else(|| anyhow!("the status has no link {link}"))
    }

    /// `GET /api/v1/links/LINK/explain`
    ///
    /// # Errors
    /// It does not answer so.
    pub fn explain(&self, link: &str) -> Result<Value> {
        self.http.get(&format!("/api/v1/links/{link}/explain"))?.json()
    }

    /// `GET /api/v1/proposals/ID`
    ///
    /// # Errors
    /// It does not answer so.
    pub fn proposal(&self, id: u64) -> Result<Value> {
        self.http.get(&format!("/api/v1/proposals/{id}"))?.json()
    }

    /// Asks for a forced failover.
    ///
    /// # Errors
    /// Nobody answers; a refusal is an answer.
    pub fn propose(&self, link: &str, by: &str) -> Result<Answer> {
        let body = json!({ "kind": "forced_failover", "by": by });
        self.http.post(&format!("/api/v1/links/{link}/proposals"), &body)
    }

    /// Asks for a planned failover to the side that is not the primary.
    ///
    /// # Errors
    /// Nobody answers; a refusal is an answer.
    pub fn propose_planned(&self, link: &str, by: &str) -> Result<Answer> {
        let body = json!({ "kind": "planned_failover", "by": by });
        self.http.post(&format!("/api/v1/links/{link}/proposals"), &body)
    }

    /// Asks for the repair of a split brain; None keeps what the side has that the agent made primary.
    ///
    /// # Errors
    /// Nobody answers; a refusal is an answer.
    pub fn propose_repair(&self, link: &str, by: &str, winner: Option<&str>) -> Result<Answer> {
        let body = json!({ "kind": "repair", "by": by, "winner": winner });
        self.http.post(&format!("/api/v1/links/{link}/proposals"), &body)
    }

    /// Asks for a plan of any other kind.
    ///
    /// # Errors
    /// Nobody answers; a refusal is an answer.
    pub fn propose_kind(&self, link: &str, by: &str, kind: &str) -> Result<Answer> {
        let body = json!({ "kind": kind, "by": by });
        self.http.post(&format!("/api/v1/links/{link}/proposals"), &body)
    }

    /// Hands in a signed ballot.
    ///
    /// # Errors
    /// Nobody answers; a refusal is an answer.
    pub fn cast(&self, ballot: &Value) -> Result<Answer> {
        self.http.post("/api/v1/ballots", ballot)
    }

    /// Says that a human has seen how it went.
    ///
    /// # Errors
    /// Nobody answers; a refusal is an answer.
    pub fn acknowledge(&self, link: &str, by: &str, note: &str) -> Result<Answer> {
        let body = json!({ "by": by, "note": note });
        self.http.post(&format!("/api/v1/links/{link}/acknowledge"), &body)
    }

    /// All entries behind `after`, as they are shown.
    ///
    /// # Errors
    /// A page is not answered so.
    pub fn journal(&self, after: u64) -> Result<Vec<Value>> {
        let mut entries: Vec<Value> = Vec::new();
        let mut at = after;
        loop {
            let page =
                self.http.get(&format!("/api/v1/journal?after={at}&limit={PAGE}"))?.json()?;
            let kept = page["entries"].as_array().context("the page has no entries")?;
            entries.extend(kept.iter().map(|kept| kept["entry"].clone()));
            at = kept.last().and_then(|last| last["seq"].as_u64()).unwrap_or(at);
            if kept.is_empty() || page["head"].as_u64().is_none_or(|head| head <= at) {
                return Ok(entries);
            }
        }
    }

    /// Follows the journal from behind `after`.
    ///
    /// # Errors
    /// It does not answer with a stream.
    pub fn events(&self, after: u64) -> Result<Events> {
        self.http.events(&format!("/api/v1/events?after={after}"))
    }

    /// `GET /metrics`
    ///
    /// # Errors
    /// It does not answer so.
    pub fn metrics(&self) -> Result<String> {
        let answer = self.http.get("/metrics")?;
        if answer.status != 200 {
            return Err(anyhow!("/metrics is answered with {}: {}", answer.status, answer.body));
        }
        Ok(answer.body)
    }
}

/// The name of an entry's event.
#[must_use]
pub fn name(entry: &Value) -> &str {
    entry["event"]["type"].as_str().unwrap_or_default()
}
