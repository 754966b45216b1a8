//! Settings that make everything happen soon.

/// Keys of the configuration, with how long each of them is.
pub(super) const QUICK: [(&str, &str); 25] = [
    ("sql_servers.0.probe.every", "200ms"),
    ("sql_servers.0.probe.deadline", "1s"),
    ("sql_servers.0.probe.connect_within", "1s"),
    ("managed_instances.0.probe.every", "200ms"),
    ("managed_instances.0.probe.deadline", "1500ms"),
    ("managed_instances.0.probe.connect_within", "1500ms"),
    ("managed_instances.0.arm.every", "500ms"),
    ("managed_instances.0.arm.deadline", "2s"),
    ("policy.miss_spacing", "150ms"),
    ("policy.stale_after", "4s"),
    ("policy.propose_after", "500ms"),
    ("policy.withdraw_after", "3s"),
    ("policy.approve_within", "5m"),
    ("policy.execute_within", "2m"),
    ("policy.reopen_after", "5s"),
    ("policy.step_deadline", "40s"),
    ("policy.stuck_after", "20s"),
    ("policy.retry_after", "500ms"),
    ("policy.loss_margin", "2s"),
    ("links.0.planned.quiesce_within", "30s"),
    ("links.0.planned.quiet_for", "1s"),
    ("links.0.planned.catch_up_within", "30s"),
    ("links.0.planned.hand_over_within", "40s"),
    // At six in the morning too nothing happens that a test does not ask for.
    ("schedule.daily_report", "off"),
    ("schedule.runbook", "off"),
];
