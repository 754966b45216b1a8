//! What has to hold beyond the form of a file: names that are known and told apart, thresholds that
//! do not contradict each other, doors that are not left open.

use std::collections::BTreeMap;

use agent_core::Side;

use super::{
    alert_rules, alerts,
    file::{File, Link},
    instance::Instance,
    instances, keeping,
    locate::{Document, Key, listed, nearest},
    placement,
    problem::Problem,
    span::Span,
    thresholds::thresholds,
};

/// Everything that was found to be wrong.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

#[derive(Debug)]
struct Finding {
    key: Key,
    what: String,
    right: String,
}

impl Findings {
    pub(super) fn add(&mut self, key: &Key, what: impl Into<String>, right: impl Into<String>) {
        self.0.push(Finding { key: key.clone(), what: what.into(), right: right.into() });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// With their places in the text, in its order.
    pub(super) fn problems(self, text: &str) -> Vec<Problem> {
        let document = Document::parse(text).ok();
        let problem = |finding: Finding| {
            let place = document.as_ref().and_then(|document| document.place(&finding.key));
            Problem::new(place, Some(&finding.key), finding.what, finding.right)
        };
        let mut problems: Vec<Problem> = self.0.into_iter().map(problem).collect();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }
}

/// Checks the sections one by one and then against each other.
pub(super) fn file(file: &File, found: &mut Findings) {
    http(file, found);
    approvals(file, found);
    let bounded = [
        (Key::new("agent").at("grace"), Some(file.agent.grace)),
        (Key::new("bus").at("connect_within"), file.bus.as_ref().map(|bus| bus.connect_within)),
        (Key::new("bus").at("confirm_within"), file.bus.as_ref().map(|bus| bus.confirm_within)),
    ];
    for (key, span) in bounded {
        positive(&key, span, found);
    }
    if file.storm_brake.open_proposals == 0 {
        let what = "with 0 the agent never proposes anything";
        found.add(&Key::new("storm_brake").at("open_proposals"), what, "at least 1");
    }
    keeping::check(file, found);
    placement::check(file, found);
    instances(file, found);
    links(file, found);
    alerts::check(file, found);
    alert_rules::check(file, found);
}

fn http(file: &File, found: &mut Findings) {
    let key = Key::new("http");
    let http = &file.http;
    match (&http.tls_cert, &http.tls_key) {
        (Some(_), None) => {
            found.add(&key.at("tls_cert"), "a certificate needs its key", "give `tls_key` too");
        }
        (None, Some(_)) => {
            found.add(&key.at("tls_key"), "a key needs its certificate", "give `tls_cert` too");
        }
        (None, None) if !http.listen.ip().is_loopback() => found.add(
            &key.at("listen"),
            format!("{} is not a loopback address, and there is no TLS: tokens would be read on the way", http.listen),
            "give `tls_cert` and `tls_key`, or listen on 127.0.0.1 or [::1]",
        ),
        (None | Some(_), _) => {}
    }
    if http.token_files.is_empty() {
        found.add(
            &key.at("token_files"),
            "without a token nobody can use the API",
            "at least one file with a token in it; `openssl rand -hex 32` makes one",
        );
    }
}

fn approvals(file: &File, found: &mut Findings) {
    let quorum = Key::new("quorum");
    let roster = file.approvers.len();
    for (name, wanted) in [("planned", file.quorum.planned), ("forced", file.quorum.forced)] {
        let key = quorum.at(name);
        if wanted == 0 {
            found.add(&key, "a plan that nobody signs is not a signed plan", "at least 1");
        } else if wanted > roster {
            let people = if roster == 1 { "approver is" } else { "approvers are" };
            found.add(
                &key,
                format!("it takes {wanted} signatures and {roster} {people} configured: no plan could ever be approved"),
                format!("at most {roster}, or more `[approvers.NAME]` sections"),
            );
        }
    }
    let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
    // A placeholder is no key, and is told of as that.
    let given = file.approvers.iter().filter(|(_, one)| !one.public_key.trim().starts_with('<'));
    for (name, approver) in given {
        if let Some(other) = keys.insert(approver.public_key.trim(), name) {
            found.add(
                &Key::new("approvers").at(name).at("public_key"),
                format!("this is the key of {other} too: one person would count twice"),
                "a key of each approver's own; `dr-agent key new` makes one",
            );
        }
    }
    let Some(glass) = &file.break_glass else { return };
    let key = Key::new("break_glass").at("wait");
    positive(&key, Some(glass.wait), found);
    let approve_within = file.policy.over(&agent_core::Policy::default()).approve_within;
    if glass.wait.0 >= approve_within {
        found.add(
            &key,
            format!(
                "the waiting time of {} ends after the time for approvals, {}: the glass could never be broken",
                glass.wait,
                Span(approve_within)
            ),
            "less than `policy.approve_within`",
        );
    }
}

fn instances(file: &File, found: &mut Findings) {
    let mut names: BTreeMap<&str, Key> = BTreeMap::new();
    let sides = [
        (Side::SqlServer, "sql_servers", &file.sql_servers),
        (Side::ManagedInstance, "managed_instances", &file.managed_instances),
    ];
    for (side, section, all) in sides {
        for (place, instance) in all.iter().enumerate() {
            let key = Key::new(section).nth(place);
            if let Some(first) = names.get(instance.name.as_str()) {
                let what = format!("{first} is named `{}` too", instance.name);
                found.add(&key.at("name"), what, "a name of its own for each instance");
            } else {
                names.insert(&instance.name, key.clone());
            }
            instances::instance(instance, side, &key, found);
        }
    }
}

pub(super) fn pace(
    key: &Key,
    every: Span,
    deadline: Span,
    connect_within: Span,
    found: &mut Findings,
) {
    let spans = [("every", every), ("deadline", deadline), ("connect_within", connect_within)];
    for (name, span) in spans {
        positive(&key.at(name), Some(span), found);
    }
    if connect_within > deadline {
        found.add(
            &key.at("connect_within"),
            format!("{connect_within} to connect is more than the {deadline} for everything"),
            "at most `deadline`",
        );
    }
}

fn links(file: &File, found: &mut Findings) {
    if file.links.is_empty() {
        let what = "there is no link to guard";
        found.add(&Key::new("links"), what, "at least one `[[links]]` section");
    }
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut groups: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (place, link) in file.links.iter().enumerate() {
        let key = Key::new("links").nth(place);
        if let Some(first) = names.insert(&link.name, place) {
            let what = format!("links[{first}] is named `{}` too", link.name);
            found.add(&key.at("name"), what, "a name of its own for each link");
        }
        let group = link.group.as_deref().unwrap_or(&link.name);
        if let Some(first) = groups.insert((&link.managed_instance, group), place)
            && file.links[first].name != link.name
        {
            let what = format!("links[{first}] is group `{group}` of this managed instance too");
            found.add(&key.at("group"), what, "one link for each distributed availability group");
        }
        let server = known(link, &key, Side::SqlServer, file, found);
        let managed = known(link, &key, Side::ManagedInstance, file, found);
        if let (Some(server), Some(managed)) = (server, managed) {
            thresholds(file, link, &key, [server, managed], found);
        }
    }
}

/// The instance that a link names.
fn known<'f>(
    link: &Link,
    key: &Key,
    side: Side,
    file: &'f File,
    found: &mut Findings,
) -> Option<(&'f Instance, Key)> {
    let (name, section, wanted, what, instances) = match side {
        Side::SqlServer => {
            ("sql_server", "sql_servers", &link.sql_server, "SQL Server", &file.sql_servers)
        }
        Side::ManagedInstance => {
            let (wanted, instances) = (&link.managed_instance, &file.managed_instances);
            ("managed_instance", "managed_instances", wanted, "managed instance", instances)
        }
    };
    let place = instances.iter().position(|instance| &instance.name == wanted);
    if let Some(place) = place {
        return Some((&instances[place], Key::new(section).nth(place)));
    }
    let names: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
    let right = match (nearest(wanted, &names), names.as_slice()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, []) => format!("a `[[{section}]]` section of that name"),
        (None, names) => format!("one of {}, or a `[[{section}]]` section", listed(names)),
    };
    found.add(&key.at(name), format!("there is no {what} named `{wanted}`"), right);
    None
}

pub(super) fn positive(key: &Key, span: Option<Span>, found: &mut Findings) {
    if span.is_some_and(|span| span.0.is_zero()) {
        found.add(key, "no time at all", "more than 0");
    }
}
