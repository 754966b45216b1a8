//! What the identity may do in the resource group, by what Azure says of it. Deny assignments are
//! not part of that answer.

use std::time::Duration;

use serde::Deserialize;

use super::{client::ArmClient, error::ArmError};

/// Version of the provider that answers for permissions.
const API_VERSION: &str = "2022-04-01";
/// Pages that are read; an identity with more role assignments than this has them all.
const PAGES: usize = 8;

/// Role definitions, as they apply at one scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Grant>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Grant {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Page {
    value: Vec<Grant>,
    next_link: Option<String>,
}

impl Permissions {
    /// Whether the action is granted: some grant has it, and does not take it back itself.
    #[must_use]
    pub fn allow(&self, action: &str) -> bool {
        let matched = |patterns: &[String]| patterns.iter().any(|one| covers(one, action));
        self.0.iter().any(|grant| matched(&grant.actions) && !matched(&grant.not_actions))
    }
}

impl ArmClient {
    /// What the identity may do in the resource group of the instance.
    pub async fn permissions(&self, limit: Duration) -> Result<Permissions, ArmError> {
        let below = ["providers", "Microsoft.Authorization", "permissions"];
        let first = self.url_in_group(&below, API_VERSION);
        let mut next = Some(first.clone());
        let mut grants = Vec::new();
        for _ in 0..PAGES {
            let Some(url) = next else { break };
            let page: Page = self.get(url, limit).await?.json()?;
            grants.extend(page.value);
            // The token goes to this host and no other.
            let link = page.next_link.as_deref().and_then(|link| first.join(link).ok());
            next = link.filter(|link| link.origin() == first.origin());
        }
        Ok(Permissions(grants))
    }
}

/// Whether a pattern with `*` covers an action, case aside.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_lowercase(), action.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = action.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_what_they_mean() {
        let read = "Microsoft.Sql/managedInstances/read";
        let cases = [
            ("*", read, true),
            ("*/read", read, true),
            ("microsoft.sql/managedinstances/READ", read, true),
            ("Microsoft.Sql/managedInstances/*", read, true),
            ("Microsoft.Sql/*/read", read, true),
            ("Microsoft.Sql/managedInstances", read, false),
            ("*/write", read, false),
            ("Microsoft.Sql/locations/*/read", read, false),
        ];
        for (pattern, action, expected) in cases {
            assert_eq!(covers(pattern, action), expected, "{pattern} over {action}");
        }
    }

    #[test]
    fn a_grant_takes_back_only_what_is_its_own() {
        let grant = |actions: &[&str], not: &[&str]| Grant {
            actions: actions.iter().map(ToString::to_string).collect(),
            not_actions: not.iter().map(ToString::to_string).collect(),
        };
        let failover =
            "Microsoft.Sql/managedInstances/distributedAvailabilityGroups/failover/action";
        let without = grant(&["Microsoft.Sql/*"], &["*/failover/action"]);
        assert!(!Permissions(vec![without.clone()]).allow(failover));
        let other = grant(&[failover], &[]);
        assert!(Permissions(vec![without, other]).allow(failover));
        assert!(!Permissions::default().allow(failover));
    }
}
