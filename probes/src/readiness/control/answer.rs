//! What Azure's answers mean: which part of the configuration is wrong, which right is missing, how the
//! link fares.

use jiff::Timestamp;

use super::{ControlQuestion, FOUND, RIGHT_DELETE, RIGHT_READ, VERSION};
use crate::{
    ControlTarget, LinkTarget,
    arm::{ArmError, Link, Permissions},
    readiness::{
        finding::{Check, Finding, How},
        link,
        token::{self, TOKEN},
    },
    text::plain,
};

/// Why the instance was not answered for.
pub(super) fn missing(question: &ControlQuestion, error: &ArmError) -> Finding {
    let (subject, key) = (question.subject.as_str(), question.key.as_str());
    let target = &question.target;
    let evidence = error.to_string();
    let config = |check: &Check, name: &str, text: &str| {
        check.wrong(subject, evidence.clone()).mend(How::Config, format!("{key}.{name}"), text)
    };
    let azure = |finding: Finding, text: String| finding.mend(How::Azure, "Azure", text);
    match error {
        ArmError::NotFound { code, .. } if code == "SubscriptionNotFound" => azure(
            config(&FOUND, "subscription", "the id of the subscription that the instance is in"),
            "az account list --query \"[].{name:name,id:id}\"".to_owned(),
        ),
        ArmError::NotFound { code, .. } if code == "ResourceGroupNotFound" => azure(
            config(&FOUND, "resource_group", "the resource group that the instance is in"),
            "az sql mi list --query \"[].{name:name,group:resourceGroup}\"".to_owned(),
        ),
        ArmError::NotFound { .. } => azure(
            config(&FOUND, "instance", "the short name of the instance, as in its resource id"),
            format!("az sql mi list -g {} --query [].name", plain(&target.resource_group)),
        ),
        ArmError::Rejected { message, .. } if message.contains("api-version") || message.contains("API version") => {
            let supported = message.split_once("supported api-versions are ");
            let supported = supported.map_or_else(String::new, |(_, list)| format!(": {list}"));
            let text = format!("one that it supports, 2023-08-01 or newer for failover{supported}");
            config(&VERSION, "api_version", &text)
        }
        ArmError::Forbidden { .. } => azure(RIGHT_READ.wrong(subject, evidence.clone()), assign(question)),
        ArmError::Unauthorized { .. } => TOKEN.wrong(subject, evidence.clone()).mend(
            How::Config,
            format!("{key}.base_url"),
            "the cloud that the token is for; and the clock of this machine has to be right",
        ),
        ArmError::Credential(_)
        | ArmError::Conflict { .. }
        | ArmError::Throttled { .. }
        | ArmError::Rejected { .. }
        | ArmError::Unavailable { .. }
        | ArmError::TimedOut { .. }
        | ArmError::Io { .. }
        | ArmError::Tls { .. }
        | ArmError::Garbled { .. } => FOUND.wrong(subject, evidence.clone()).mend(
            How::Words,
            "Azure",
            "Azure Resource Manager does not answer as it should at present: ask again, and look at \
             its status page. The agent fails over by T-SQL all the same",
        ),
    }
}

/// How the identity gets what it needs.
pub(super) fn assign(question: &ControlQuestion) -> String {
    let client = token::client_id(&question.credential).unwrap_or("<principal id>");
    format!(
        "az role definition create --role-definition deploy/azure/dr-agent-role.json; az role \
         assignment create --role dr-agent --assignee {} --scope {}",
        plain(client),
        group_scope(&question.target)
    )
}

/// What the identity may do, against what it has to be allowed.
pub(super) fn right(
    check: &Check,
    subject: &str,
    actions: &[&str],
    permissions: &Permissions,
    group: &str,
    assign: &str,
) -> Finding {
    let missing: Vec<_> =
        actions.iter().filter(|action| !permissions.allow(action)).copied().collect();
    if missing.is_empty() {
        return check.ok(subject, "granted at the resource group");
    }
    let evidence = format!("not granted at {group}: {}", missing.join(", "));
    // Who wants neither of the two plans leaves it out on purpose.
    let finding = if check.id == RIGHT_DELETE.id {
        check.warning(subject, evidence)
    } else {
        check.wrong(subject, evidence)
    };
    finding.mend(How::Azure, group, assign)
}

/// What Azure says of one link.
pub(super) fn link_findings(
    subject: &str,
    target: &LinkTarget,
    link: &Link,
    now: Timestamp,
) -> Vec<Finding> {
    let properties = &link.properties;
    let own = |name: &str| name.eq_ignore_ascii_case(&target.database);
    let database = properties.databases.iter().find(|database| own(&database.database_name));
    let control = match database {
        None => {
            let names = properties.databases.iter().map(|database| plain(&database.database_name));
            let names = names.collect::<Vec<_>>().join(", ");
            link::CONTROL
                .wrong(
                    subject,
                    format!(
                        "the link has the databases {names}, and not {}",
                        plain(&target.database)
                    ),
                )
                .mend(How::Config, "links.database", format!("the linked database: {names}"))
        }
        Some(database) => {
            let state = database.replica_state.as_deref().map_or_else(String::new, plain);
            let connected = database.connected_state.as_deref().map_or_else(String::new, plain);
            let words = format!("{state}, {connected}");
            if state.contains("Error") {
                let error =
                    database.most_recent_link_error.as_deref().map_or_else(String::new, plain);
                link::CONTROL
                    .wrong(subject, format!("{words}, error {error}"))
                    .mend(How::Words, "both sides", "look the number up: 41962, 41976 and 41986 are names or network, 41973 and 41974 certificates")
            } else {
                link::CONTROL.ok(subject, words)
            }
        }
    };
    let mode = properties.failover_mode.as_deref().map(plain);
    let failover_mode = match mode.as_deref() {
        Some(mode) if mode.eq_ignore_ascii_case("None") => link::FAILOVER_MODE
            .wrong(subject, "None: a one-way link can only be deleted, which leaves two databases that take writes")
            .mend(How::Words, "the managed instance", "make the link anew with failoverMode Manual, if version and update policy allow it"),
        Some(mode) => link::FAILOVER_MODE.ok(subject, mode),
        None => link::FAILOVER_MODE.unasked(subject, "Azure does not tell it in this api-version"),
    };
    let validity = database.map(|database| &database.partner_auth_cert_validity);
    let certificate = validity.and_then(|validity| {
        let expiry: Timestamp = validity.expiry_date.as_deref()?.parse().ok()?;
        Some((validity.certificate_name.as_deref().map_or_else(String::new, plain), expiry))
    });
    let certificate = match certificate {
        None => link::MI_CERTIFICATE.unasked(subject, "Azure does not tell it"),
        Some((name, expiry)) => link::certificate(subject, &name, expiry, now),
    };
    vec![control, failover_mode, certificate]
}

pub(super) fn group_scope(target: &ControlTarget) -> String {
    format!(
        "/subscriptions/{}/resourceGroups/{}",
        plain(&target.subscription),
        plain(&target.resource_group)
    )
}

#[cfg(test)]
mod tests {
    use agent_core::LinkId;

    use super::*;
    use crate::readiness::Verdict;

    #[test]
    fn a_link_is_judged_by_what_azure_says_of_it() {
        let target = LinkTarget {
            link: LinkId::new("l").expect("a name"),
            dag: "l".into(),
            database: "Sales".into(),
        };
        let now: Timestamp = "2026-11-24T00:00:00Z".parse().expect("a time");
        let verdicts = |body: &str| {
            let link: Link = serde_json::from_str(body).expect("a link");
            let found = link_findings("s", &target, &link, now);
            found.iter().map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        let (ok, wrong, soon) = (Verdict::Ok, Verdict::Wrong, Verdict::Warning);
        let good = r#"{"properties":{"failoverMode":"Manual","databases":[{"databaseName":"sales",
            "replicaState":"LinkSynchronizing","connectedState":"CONNECTED",
            "partnerAuthCertValidity":{"certificateName":"c","expiryDate":"2027-03-06T00:00:00Z"}}]}}"#;
        assert_eq!(verdicts(good), [ok, ok, ok]);
        let bad = r#"{"properties":{"failoverMode":"None","databases":[{"databaseName":"Sales",
            "replicaState":"LinkSynchronizationError","mostRecentLinkError":"41977",
            "partnerAuthCertValidity":{"certificateName":"c","expiryDate":"2026-12-01T00:00:00Z"}}]}}"#;
        assert_eq!(verdicts(bad), [wrong, wrong, soon]);
        let other = r#"{"properties":{"failoverMode":"Manual","databases":[{"databaseName":"Crm",
            "partnerAuthCertValidity":{}}]}}"#;
        assert_eq!(verdicts(other), [wrong, ok, Verdict::Unasked]);
    }
}
