//! What the core knows, in words for people.

use agent_core::{
    ControlReading, DatabaseReading, Decision, Entry, Event, Forecast, Health, Loss,
    PartnerReading, Proposal, Seen, SideReading, StateReport, StepRef, Subject, SyncHealth, Texts,
    seconds,
};

use super::text::{Page, lasting, time};

/// One look, in a line.
pub(super) fn seen(seen: &Seen) -> String {
    match seen {
        Seen::Side(reading) => side(reading),
        Seen::Control(reading) => control(reading),
        Seen::Silence(silence) if silence.detail.is_empty() => {
            format!("no answer: {:?}", silence.kind)
        }
        Seen::Silence(silence) => format!("no answer: {:?} ({})", silence.kind, silence.detail),
    }
}

/// Expected loss and time, in columns.
pub(super) fn forecast(page: &mut Page, forecast: &Forecast) {
    let loss = match &forecast.loss {
        Loss::Within { most_ms: 0, .. } => "no commits".to_owned(),
        Loss::Within { least_ms, most_ms, .. } => {
            format!("between {} and {} of commits", seconds(*least_ms), seconds(*most_ms))
        }
        Loss::Unknown { because } => format!("FORECAST UNKNOWN: {because}"),
    };
    page.pair(1, "expected loss", loss);
    let least = lasting(forecast.recovery_least_ms);
    let recovery = match forecast.recovery_most_ms {
        Some(most) => format!("{least} to {} from the command until writes", lasting(most)),
        None => format!("{least} or more from the command until writes; how much is not known"),
    };
    page.pair(1, "recovery", recovery);
}

/// An entry, in a line.
pub(super) fn entry(entry: &Entry) -> String {
    let subject = match &entry.subject {
        Subject::Agent => "agent".to_owned(),
        Subject::Instance(instance) => instance.to_string(),
        Subject::Link(link) => link.to_string(),
    };
    let rule = entry.rule.as_ref().map(|rule| format!(" [{rule}]")).unwrap_or_default();
    let name = entry.event.name();
    let at = time(entry.at);
    format!("{:>6}  {at}  {subject}  {name}{rule}: {}", entry.seq, event(&entry.event))
}

/// Milliseconds since, as a person says it.
pub(super) fn ago(ms: u64) -> String {
    format!("{} ago", lasting(ms))
}

/// A decision, in a line.
pub(super) fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Approve { break_glass, forecast_unknown, attestation } => {
            let mut words = "approves".to_owned();
            if *break_glass {
                words.push_str(", breaking the glass");
            }
            if *forecast_unknown {
                words.push_str(", accepting: forecast unknown");
            }
            if let Some(text) = attestation {
                words.push_str(&format!(", attesting: {text}"));
            }
            words
        }
        Decision::Reject { reason } => format!("rejects: {reason}"),
    }
}

fn event(event: &Event) -> String {
    match event {
        Event::AgentStarted { version, config_digest } => {
            format!("version {version}, configuration {config_digest}")
        }
        Event::HealthChanged { from, to, reasons, .. } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("{from} -> {to}: {}", reasons.join("; "))
        }
        Event::ProposalOpened { texts } => opened(texts),
        Event::BallotReceived { ballot } => {
            let words = decision(&ballot.decision);
            format!("{} {words} on proposal {}", ballot.approver, ballot.proposal)
        }
        Event::ProposalApproved { proposal, break_glass, execute_by } => {
            let how = if *break_glass { "by breaking the glass" } else { "by its quorum" };
            format!("proposal {proposal}, {how}; steps may start until {}", time(*execute_by))
        }
        Event::ProposalClosed { proposal, end, why } => format!("proposal {proposal} {end}: {why}"),
        Event::StepStarted { step, route } => format!("{}, route {}", place(step), route + 1),
        Event::StepSending { step } => format!("{}, the command leaves", place(step)),
        Event::StepNoted { step, operation } => format!("{}, operation {operation}", place(step)),
        Event::StepDone { step, seen, engine_ms, warning } => {
            let engine = lasting(*engine_ms);
            let missing = warning.as_ref().map_or(String::new(), |w| format!(". Missing: {w}"));
            format!("{}, seen: {seen} (engine {engine}){missing}", place(step))
        }
        Event::StepNotDone { step, why, .. } => format!("{}, without effect: {why}", place(step)),
        Event::StepUnknown { step, why } => format!("{}, nobody can tell: {why}", place(step)),
        Event::UndoStarted { proposal, why } => format!("proposal {proposal} is taken back: {why}"),
        Event::GuardLifted { by, note } => format!("{by} lifts the return guard: {note}"),
        Event::EpisodeAcknowledged { by, note } => format!("{by}: {note}"),
        Event::StateReported { report } => reported(report),
        Event::RunbookIssued { runbook } => {
            let places = if runbook.places.is_empty() {
                "nowhere else".to_owned()
            } else {
                runbook.places.join(", ")
            };
            format!("{} bytes, {}, kept in {places}", runbook.bytes, runbook.digest)
        }
    }
}

fn reported(report: &StateReport) -> String {
    let StateReport { missed, happened, links, more_links, placement, since: _ } = report;
    let well = links.iter().filter(|link| link.health == Health::Healthy).count();
    let all = links.len() + more_links;
    let mut words = format!("{} of {all} links are healthy", well + more_links);
    for link in links.iter().filter(|link| link.health != Health::Healthy).take(3) {
        words.push_str(&format!(", {} is {}", link.link, link.health));
    }
    let open = links.iter().filter(|link| link.proposal.is_some()).count();
    words.push_str(&format!(
        "; {open} proposals are open; since the last report {} episodes and {} proposals",
        happened.episodes, happened.proposals
    ));
    if *missed > 0 {
        words.push_str(&format!("; {missed} reports were missed"));
    }
    if !placement.is_empty() {
        words.push_str(&format!("; {} warnings of placement", placement.len()));
    }
    words
}

fn opened(texts: &Texts) -> String {
    match Proposal::read(texts.clone()) {
        Ok(Proposal { terms, digest, .. }) => {
            format!("{} of {}, {}, digest {digest}", terms.kind, terms.link, terms.forecast.loss)
        }
        Err(why) => format!("it can't be read: {why}"),
    }
}

fn place(step: &StepRef) -> String {
    let lane = if step.lane == 0 { String::new() } else { format!("lane {} ", step.lane + 1) };
    let back = if step.undo { "taking back " } else { "" };
    let StepRef { proposal, attempt, .. } = step;
    format!("proposal {proposal} {lane}{back}step {} try {attempt}", step.step + 1)
}

fn side(reading: &SideReading) -> String {
    let mut parts = vec![reading.role.to_string()];
    match &reading.database {
        Some(database) => parts.push(self::database(database)),
        None => parts.push("no such database".to_owned()),
    }
    match reading.connected {
        Some(true) => parts.push("hears its partner".to_owned()),
        Some(false) => parts.push("does not hear its partner".to_owned()),
        None => {}
    }
    parts.extend(reading.sync_health.map(|health| sync(health).to_owned()));
    parts.extend(reading.partner.as_ref().map(partner));
    parts.push(format!("version {}", reading.product_version));
    parts.join(", ")
}

fn database(database: &DatabaseReading) -> String {
    let writes = if database.read_write { "takes writes" } else { "read only" };
    let mut words = format!("database {:?} ({writes})", database.state);
    if database.suspended {
        let why = database.suspend_reason.as_deref().unwrap_or("no reason given");
        words.push_str(&format!(", SUSPENDED ({why})"));
    }
    if let Some(state) = database.synchronization {
        words.push_str(&format!(", {state:?}"));
    }
    if let Some(at) = database.last_commit_at {
        words.push_str(&format!(", last commit {}", time(at)));
    }
    if let Some(kb) = database.redo_queue_kb {
        words.push_str(&format!(", redo queue {kb} KB"));
    }
    words
}

fn partner(partner: &PartnerReading) -> String {
    let mut parts = Vec::new();
    parts.extend(partner.log_send_queue_kb.map(|kb| format!("{kb} KB to send")));
    parts.extend(partner.lag_s.map(|lag| format!("lag {lag} s")));
    if partner.suspended == Some(true) {
        parts.push("SUSPENDED".to_owned());
    }
    if parts.is_empty() {
        parts.push("nothing known".to_owned());
    }
    format!("of its partner: {}", parts.join(", "))
}

fn control(reading: &ControlReading) -> String {
    let ControlReading { instance_state, database_format, link } = reading;
    let instance = format!("instance {instance_state}, update policy {database_format}");
    let Some(link) = link else { return format!("{instance}, no such link") };
    let heard = match link.connected {
        Some(true) => ", connected",
        Some(false) => ", not connected",
        None => "",
    };
    let state = link.replica_state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
    format!(
        "{instance}, link: instance {}, partner said to be {}{heard}{state}",
        link.instance_role, link.partner_role
    )
}

fn sync(health: SyncHealth) -> &'static str {
    match health {
        SyncHealth::NotHealthy => "synchronisation not healthy",
        SyncHealth::PartiallyHealthy => "synchronisation partially healthy",
        SyncHealth::Healthy => "synchronisation healthy",
    }
}
