//! The whole loop on real parts: Prometheus scrapes the agent, a shipped rule fires, Alertmanager
//! hands it to the agent, which proposes and tells the approvers by the same Alertmanager.
//!
//! Everything is configured by what `deploy/prometheus` ships; only addresses are put in, mail
//! becomes a listener, and nobody waits for minutes.

use std::collections::BTreeSet;

use agent_core::Origin;
use serde_json::Value;
use tests::harness::{Alertmanager, Listener, Prometheus, wait};
use toml::{Table, Value as Setting};

use crate::rig::{APPROVERS, LIMIT, MI, Rig, SQL, Wish};

const RULES: &str = include_str!("../../deploy/prometheus/dr-agent.rules.yml");
const PROMETHEUS: &str = include_str!("../../deploy/prometheus/prometheus.yml");
const ALERTMANAGER: &str = include_str!("../../deploy/prometheus/alertmanager.yml");

/// What may hand in alerts, and may not read the API.
const TOKEN: &str = "0b6d1f7c9a5e48d2b3c7f1a2d4e6f8091a2b3c4d5e6f708192a3b4c5d6e7f809";
const NOBODY: &str = "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n";

/// Agent, Prometheus and Alertmanager, and the inbox of the approvers.
struct Loop {
    rig: Rig,
    inbox: Listener,
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Loop {
    /// The agent itself would wait for ten minutes: what is proposed before is by the alert.
    fn start(seed: u64) -> Self {
        let alertmanager = Alertmanager::start(NOBODY, &[]);
        let inbox = Listener::start();
        let main = table(&[
            ("name", "main".into()),
            ("url", format!("http://{}", alertmanager.address()).into()),
            ("repeat_every", "1s".into()),
        ]);
        let rule = table(&[
            ("name", "primary-down".into()),
            ("match", table(&[("alertname", "DrLinkPrimaryDown".into())])),
            ("link_label", "link".into()),
            ("kind", "forced_failover".into()),
            ("lost_for", "500ms".into()),
        ]);
        let wish = Wish::new(seed)
            .set("policy.propose_after", "10m")
            .set("policy.withdraw_after", "10m")
            .set("alerts.alertmanagers", vec![main])
            .set("alert_rules", vec![rule])
            .set("http.webhook_token_files", vec![Setting::from("webhook-token")]);
        let mut rig = Rig::cold(wish);
        rig.secret("webhook-token", TOKEN);
        rig.start();
        rig.wait_health("healthy");
        let agent = format!("127.0.0.1:{}", rig.port());
        alertmanager.configure(&routes(&agent, &inbox.url()), &[("dr-agent.token", TOKEN)]);
        let scrapes = changed(PROMETHEUS, "127.0.0.1:8420", &agent);
        let scrapes = changed(&scrapes, "127.0.0.1:9093", &alertmanager.address());
        let scrapes = changed(&scrapes, "interval: 15s", "interval: 1s");
        let rules = [("dr-agent.rules.yml", &*at_once(RULES))];
        let prometheus = Prometheus::start(&scrapes, &rules);
        wait::until("a scrape", LIMIT, || {
            let up = prometheus.query("up{job=\"dr-agent\"} == 1");
            (!up.is_empty()).then_some(())
        });
        Self { rig, inbox, prometheus, alertmanager }
    }

    /// Waits until so many alerts that came in had this outcome.
    #[track_caller]
    fn outcome(&self, word: &str) {
        let line = format!("dr_agent_alerts_received_total{{outcome=\"{word}\"}}");
        let come = || {
            let metrics = self.rig.agent.metrics().ok()?;
            let line = metrics.lines().find(|found| found.starts_with(&line))?.to_owned();
            (!line.ends_with(" 0")).then_some(())
        };
        if wait::try_until(LIMIT, come).is_none() {
            let known = self.alertmanager.alerts();
            panic!("no {word}: {known:#?}\n{}\n{}", self.prometheus.log(), self.alertmanager.log());
        }
    }
}

/// The agent's own page, as the approvers are told of it.
fn page(told: &Value) -> Option<&Value> {
    let alerts = told["alerts"].as_array()?;
    let own = |alert: &&Value| alert["labels"]["alertname"] == "DrAgentEpisode";
    alerts.iter().find(|alert| own(alert) && alert["labels"]["severity"] == "page")
}

#[test]
fn from_a_metric_to_a_failover_that_approvers_signed() {
    let all = Loop::start(601);
    let rig = &all.rig;
    let mut journal = rig.follow(0);
    rig.stop(SQL);
    let opened = journal.until("proposal_opened");
    let id = opened["seq"].as_u64().expect("a number");
    all.outcome("proposed");
    let proposal = rig.proposal(id);
    let origin = &proposal.terms.origin;
    assert!(
        matches!(origin, Origin::Alert { rule, alertname, .. }
            if rule == "primary-down" && alertname == "DrLinkPrimaryDown"),
        "{origin:?}"
    );

    // The approvers are told by the Alertmanager of what they are to sign, with its digest.
    let digest = proposal.digest;
    let told = all.inbox.wait_for("the page", LIMIT, |told| {
        page(told).filter(|page| page["annotations"]["digest"] == digest.as_str()).cloned()
    });
    assert_eq!(told["labels"]["link"], rig.link());
    for who in APPROVERS {
        rig.approve(id, who);
    }
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "succeeded");
    rig.assert_one_failover();
    let state = rig.twin.state().expect("the twin shows its state");
    assert_eq!(state["links"][0]["managed_instance"]["role"], "PRIMARY");

    // The metric is well again, so the rule resolves, and there is nothing to take back.
    all.outcome("nothing_to_withdraw");
    // The rule's alert and the agent's own are one message, not two pages.
    let heard = all.inbox.heard();
    let groups: BTreeSet<String> = heard.iter().map(|told| told["groupKey"].to_string()).collect();
    assert_eq!(groups.len(), 1, "{heard:#?}");
}

#[test]
fn an_alert_that_resolves_takes_its_proposal_back() {
    let all = Loop::start(602);
    let rig = &all.rig;
    let mut journal = rig.follow(0);
    rig.cut("agent", SQL);
    rig.cut(SQL, MI);
    let opened = journal.until("proposal_opened");
    all.inbox.wait_for("the page", LIMIT, |told| {
        page(told).filter(|page| page["annotations"]["proposal"].is_string()).map(drop)
    });
    rig.heal("agent", SQL);
    rig.heal(SQL, MI);
    let closed = journal.until("proposal_closed");
    assert_eq!(closed["event"]["end"], "withdrawn", "{opened:#}");
    assert!(rig.failovers().is_empty());
    all.inbox.wait_for("the end of the page", LIMIT, |told| {
        page(told).filter(|page| page["status"] == "resolved").map(drop)
    });
}

fn table(pairs: &[(&str, Setting)]) -> Setting {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    Setting::from(pairs.collect::<Table>())
}

/// The text with something else in it, which has to be there.
#[track_caller]
fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}

/// The shipped rules without their patience.
fn at_once(rules: &str) -> String {
    let waits = ["for", "keep_firing_for"];
    let line = |line: &str| {
        let key = line.trim_start().split_once(": ").map_or("", |(key, _)| key);
        match waits.contains(&key) {
            true => format!("        {key}: 0s\n"),
            false => format!("{line}\n"),
        }
    };
    rules.lines().map(line).collect()
}

/// The shipped routes with the agent and the inbox in them.
fn routes(agent: &str, inbox: &str) -> String {
    let text = changed(ALERTMANAGER, "127.0.0.1:8420", agent);
    let text = changed(&text, "/etc/alertmanager/dr-agent.token", "dr-agent.token");
    let text = changed(&text, "group_interval: 10s", "group_interval: 1s");
    let text = changed(&text, "group_interval: 30s", "group_interval: 1s");
    let text = changed(&text, "group_wait: 5s", "group_wait: 0s");
    let (head, mail) = text.split_once("  # Whatever wakes people").expect("the mail receivers");
    assert!(mail.contains("name: approvers") && mail.contains("name: team"), "{mail}");
    let approvers = format!("webhook_configs: [{{ url: '{inbox}' }}]");
    format!("{head}  - name: approvers\n    {approvers}\n  - name: team\n")
}
