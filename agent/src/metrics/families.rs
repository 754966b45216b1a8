//! Every gauge by name, help and labels.

/// Name, help and labels of one metric.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

pub(super) const BUILD_INFO: Family = Family {
    name: "dr_agent_build_info",
    help: "Always 1; the version that runs.",
    labels: &["version"],
};
pub(super) const STARTED: Family = Family {
    name: "dr_agent_started_timestamp_seconds",
    help: "When this process began, by its own clock.",
    labels: &[],
};
pub(super) const CLOCK_OFFSET: Family = Family {
    name: "dr_agent_clock_offset_seconds",
    help: "How far the agent's clock is ahead of the machine's wall clock; negative if behind.",
    labels: &[],
};
pub(super) const TURN_ANSWERS: Family = Family {
    name: "dr_agent_turn_answers",
    help: "Whether the loop that decides answered this scrape; without it there is nothing to show.",
    labels: &[],
};
pub(super) const LAST_SEQ: Family = Family {
    name: "dr_agent_journal_last_seq",
    help: "Place of the newest entry of the journal.",
    labels: &[],
};
pub(super) const JOURNAL_READABLE: Family = Family {
    name: "dr_agent_journal_readable",
    help: "Whether the journal could be read for this scrape.",
    labels: &[],
};
pub(super) const JOURNAL_SIZE: Family = Family {
    name: "dr_agent_journal_size_bytes",
    help: "Size of the journal on disk, its write-ahead log included.",
    labels: &[],
};
pub(super) const DISK_FREE: Family = Family {
    name: "dr_agent_data_dir_free_bytes",
    help: "What the agent may still write to the file system of its journal.",
    labels: &[],
};
pub(super) const HEALTH: Family = Family {
    name: "dr_agent_link_health",
    help: "1 for the health that the link is in, 0 for each other one.",
    labels: &["link", "health"],
};
pub(super) const HEALTH_SINCE: Family = Family {
    name: "dr_agent_link_health_since_timestamp_seconds",
    help: "Since when the link is in its health.",
    labels: &["link"],
};
pub(super) const PRIMARY: Family = Family {
    name: "dr_agent_link_primary",
    help: "1 for the side that was primary when one was last seen, by the journal.",
    labels: &["link", "side"],
};
pub(super) const EPISODE: Family = Family {
    name: "dr_agent_link_episode",
    help: "1 from the first sign of trouble until the link is healthy again.",
    labels: &["link"],
};
pub(super) const UNACKNOWLEDGED: Family = Family {
    name: "dr_agent_link_unacknowledged",
    help: "1 if the newest proposal is closed and no human has acknowledged how it ended.",
    labels: &["link"],
};
pub(super) const GUARD: Family = Family {
    name: "dr_agent_link_return_guard",
    help: "1 while the return guard for a side that was left unfenced is armed.",
    labels: &["link"],
};
pub(super) const ROLE: Family = Family {
    name: "dr_agent_link_role",
    help: "1 for the role that a side showed in the newest look; no sample while it is silent.",
    labels: &["link", "side", "role"],
};
pub(super) const REPLICA: Family = Family {
    name: "dr_agent_replica_role",
    help: "1 for the role that a server of a side showed in the side's own availability group in \
           the newest look at which any of them answered; all 0 for one that did not.",
    labels: &["link", "side", "replica", "role"],
};
pub(super) const SERVING: Family = Family {
    name: "dr_agent_link_serving",
    help: "Whether a side was primary with its database taking writes in the newest look.",
    labels: &["link", "side"],
};
pub(super) const AGE: Family = Family {
    name: "dr_agent_observation_age_seconds",
    help: "Age of the newest look of a vantage, silence included.",
    labels: &["link", "vantage"],
};
pub(super) const SILENT: Family = Family {
    name: "dr_agent_observation_silent",
    help: "Whether the newest look of a vantage was met with silence.",
    labels: &["link", "vantage"],
};
pub(super) const LAST_COMMIT: Family = Family {
    name: "dr_agent_link_last_commit_timestamp_seconds",
    help: "Last commit on a side by that side's own clock.",
    labels: &["link", "side"],
};
pub(super) const SIDE_CLOCK: Family = Family {
    name: "dr_agent_side_clock_offset_seconds",
    help: "How far a side's clock is ahead of the agent's, give or take half of a look; negative if behind.",
    labels: &["link", "side"],
};
pub(super) const SECONDARY_LAG: Family = Family {
    name: "dr_agent_link_secondary_lag_seconds",
    help: "How far the secondary is behind, as the primary tells; 0 while suspended.",
    labels: &["link"],
};
pub(super) const SEND_QUEUE: Family = Family {
    name: "dr_agent_link_log_send_queue_bytes",
    help: "Log that the primary has not yet sent.",
    labels: &["link"],
};
pub(super) const REDO_QUEUE: Family = Family {
    name: "dr_agent_link_redo_queue_bytes",
    help: "Log that a side has received and not yet redone, by its own word.",
    labels: &["link", "side"],
};
pub(super) const LOSS: Family = Family {
    name: "dr_agent_forecast_loss_seconds",
    help: "Commits that a forced failover now would lose, at the least and at the most.",
    labels: &["link", "edge"],
};
pub(super) const LOSS_UNKNOWN: Family = Family {
    name: "dr_agent_forecast_unknown",
    help: "1 if nobody can say what a forced failover now would lose.",
    labels: &["link"],
};
pub(super) const RECOVERY: Family = Family {
    name: "dr_agent_forecast_recovery_seconds",
    help: "Time from the command until the new primary takes writes.",
    labels: &["link", "edge"],
};
pub(super) const WOULD_PROPOSE: Family = Family {
    name: "dr_agent_link_would_propose",
    help: "Whether the agent would propose a failover of the link now.",
    labels: &["link"],
};
pub(super) const OPEN: Family = Family {
    name: "dr_agent_proposal_open",
    help: "1 while a proposal waits for approvers.",
    labels: &["link"],
};
pub(super) const APPROVED: Family = Family {
    name: "dr_agent_proposal_approved",
    help: "1 while an approved plan is being carried out.",
    labels: &["link"],
};
pub(super) const APPROVALS: Family = Family {
    name: "dr_agent_proposal_approvals",
    help: "Valid approvals of the live proposal so far.",
    labels: &["link"],
};
pub(super) const NEEDED: Family = Family {
    name: "dr_agent_proposal_approvals_needed",
    help: "Approvals that the live proposal takes.",
    labels: &["link"],
};
pub(super) const EXPIRES: Family = Family {
    name: "dr_agent_proposal_expires_timestamp_seconds",
    help: "When the clock that runs for the live proposal ends: to approve it, or to begin steps.",
    labels: &["link"],
};
pub(super) const STEPS: Family = Family {
    name: "dr_agent_run_steps",
    help: "Steps of the live proposal's plan.",
    labels: &["link"],
};
pub(super) const STEPS_DONE: Family = Family {
    name: "dr_agent_run_steps_done",
    help: "Steps of the live proposal's plan that are done.",
    labels: &["link"],
};
pub(super) const ATTEMPTS: Family = Family {
    name: "dr_agent_run_step_attempts",
    help: "Tries of the step that is next or under way.",
    labels: &["link", "lane"],
};
pub(super) const STEP_UNKNOWN: Family = Family {
    name: "dr_agent_run_step_unknown",
    help: "1 while nobody can tell whether the command of the step under way took effect.",
    labels: &["link", "lane"],
};
pub(super) const STUCK: Family = Family {
    name: "dr_agent_run_stuck",
    help: "1 if the newest proposal ended stuck and no human has acknowledged it.",
    labels: &["link"],
};
pub(super) const BUS_CONNECTED: Family = Family {
    name: "dr_agent_bus_connected",
    help: "Whether there is a connection to the broker.",
    labels: &[],
};
pub(super) const BUS_CONFIRMED: Family = Family {
    name: "dr_agent_bus_confirmed_seq",
    help: "Place of the newest entry that the broker has confirmed.",
    labels: &[],
};
pub(super) const BUS_LAG_ENTRIES: Family = Family {
    name: "dr_agent_bus_lag_entries",
    help: "Entries of the journal that the broker has not confirmed.",
    labels: &[],
};
pub(super) const BUS_LAG: Family = Family {
    name: "dr_agent_bus_lag_seconds",
    help: "Age of the oldest entry that the broker has not confirmed; 0 if there is none.",
    labels: &[],
};
