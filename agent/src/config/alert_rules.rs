//! Which of the alerts that come in ask for a proposal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use agent_core::{LinkId, PlanKind};
use serde::{Deserialize, Serialize};

use super::{
    alerts::name,
    check::{Findings, positive},
    file::File,
    locate::{Key, listed, nearest},
    span::Span,
};

/// Which alert asks for which proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRule {
    pub name: String,
    /// Each label has to have one of its values.
    pub matchers: BTreeMap<String, Vec<String>>,
    pub link: AlertLink,
    pub kind: PlanKind,
    /// An alert that began earlier than this ago asks for nothing.
    pub age_most: Duration,
    /// After the newest proposal of the link was closed this long has to go by.
    pub cooldown: Duration,
    /// How long the link has to have been in trouble; if left out `propose_after` of the link, or twice that.
    pub lost_for: Option<Duration>,
}

/// Which link an alert is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertLink {
    Fixed(LinkId),
    /// The label that names it.
    Label(String),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    name: String,
    #[serde(rename = "match")]
    matchers: BTreeMap<String, Values>,
    link: Option<String>,
    link_label: Option<String>,
    kind: PlanKind,
    #[serde(default = "fifteen_minutes")]
    age_most: Span,
    #[serde(default = "an_hour")]
    cooldown: Span,
    lost_for: Option<Span>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "it takes a text in quotes, or a list of them")]
enum Values {
    One(String),
    AnyOf(Vec<String>),
}

/// What has to hold beyond the form.
pub(super) fn check(file: &File, found: &mut Findings) {
    let mut names = BTreeSet::new();
    for (place, rule) in file.alert_rules.iter().enumerate() {
        let key = Key::new("alert_rules").nth(place);
        name(&rule.name, &key, found);
        let only_people = match rule.kind {
            PlanKind::Repair => Some("a repair takes data from a side: only people ask for one"),
            PlanKind::Cutover => Some("a cutover ends the link: only people ask for one"),
            PlanKind::Deletion => Some("a deletion ends the link: only people ask for one"),
            PlanKind::ForcedFailover | PlanKind::PlannedFailover | PlanKind::ReturnGuard => None,
        };
        if let Some(what) = only_people {
            found.add(&key.at("kind"), what, "`forced_failover` or `planned_failover`");
        }
        if !names.insert(&rule.name) {
            let what = format!("another rule is named `{}` too", rule.name);
            found.add(&key.at("name"), what, "a name of its own for each rule");
        }
        if rule.matchers.is_empty() {
            let right = "at least one label, such as `match = { alertname = \"OrdersDown\" }`";
            found.add(&key.at("match"), "every alert would match", right);
        }
        for (label, values) in &rule.matchers {
            if values.all().is_empty() {
                found.add(&key.at("match").at(label), "no value matches", "at least one value");
            }
        }
        positive(&key.at("age_most"), Some(rule.age_most), found);
        if rule.cooldown < rule.age_most {
            found.add(
                &key.at("cooldown"),
                format!(
                    "after {} one and the same alert would ask again, for it may be {} old",
                    rule.cooldown, rule.age_most
                ),
                "at least `age_most`",
            );
        }
        which_link(file, rule, &key, found);
    }
    if !file.alert_rules.is_empty() && file.http.webhook_token_files.is_empty() {
        found.add(
            &Key::new("alert_rules"),
            "nobody can hand in an alert: there is no token for it",
            "a file with a token in it in `http.webhook_token_files`",
        );
    }
}

/// The rules by which alerts that come in ask for proposals.
pub(super) fn settings(file: &File) -> Vec<AlertRule> {
    let rule = |rule: &Rule| {
        let link = match (&rule.link, &rule.link_label) {
            (Some(link), None) => AlertLink::Fixed(LinkId::new(link).ok()?),
            (None, Some(label)) => AlertLink::Label(label.clone()),
            // That it has to be one of them has been told.
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let values = |(label, values): (&String, &Values)| {
            (label.clone(), values.all().iter().map(ToString::to_string).collect())
        };
        Some(AlertRule {
            name: rule.name.clone(),
            matchers: rule.matchers.iter().map(values).collect(),
            link,
            kind: rule.kind,
            age_most: rule.age_most.0,
            cooldown: rule.cooldown.0,
            lost_for: rule.lost_for.map(|span| span.0),
        })
    };
    file.alert_rules.iter().filter_map(rule).collect()
}

impl Values {
    fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::AnyOf(values) => values,
        }
    }
}

fn which_link(file: &File, rule: &Rule, key: &Key, found: &mut Findings) {
    let wanted = match (&rule.link, &rule.link_label) {
        (Some(link), None) => link,
        (None, Some(_)) => return,
        (Some(_), Some(_)) | (None, None) => {
            let what = "it has to be clear which link an alert is about";
            found.add(&key.at("link"), what, "one of `link` and `link_label`");
            return;
        }
    };
    let names: Vec<&str> = file.links.iter().map(|link| link.name.as_str()).collect();
    if !names.contains(&wanted.as_str()) {
        let right = match nearest(wanted, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", listed(&names)),
        };
        found.add(&key.at("link"), format!("there is no link named `{wanted}`"), right);
    }
}

fn fifteen_minutes() -> Span {
    Span::secs(15 * 60)
}

fn an_hour() -> Span {
    Span::secs(60 * 60)
}
