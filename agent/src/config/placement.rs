//! Where people and machines are, as far as only an operator can say.

use std::collections::BTreeMap;

use probes::readiness::Sites;
use serde::{Deserialize, Serialize};

use super::{PlacementSettings, build::Builder, check::Findings, file::File, locate::Key};

/// Hosts of a kind, and networks of all sites, at the most: each is resolved or compared each time.
const HOSTS: usize = 16;
const NETWORKS: usize = 256;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Placement {
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_relays: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approver_access: Option<Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    sites: BTreeMap<String, Vec<String>>,
}

pub(super) fn check(file: &File, found: &mut Findings) {
    let Placement { mail_relays, approver_access, sites } = &file.placement;
    let key = Key::new("placement");
    for (name, hosts) in [("mail_relays", mail_relays), ("approver_access", approver_access)] {
        let (key, hosts) = (key.at(name), hosts.as_deref().unwrap_or_default());
        if hosts.len() > HOSTS {
            found.add(&key, "these are too many hosts", format!("{HOSTS} at the most"));
        }
        for (place, host) in hosts.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.', ':'].contains(&c);
            if host.is_empty() || !host.chars().all(plain) {
                let right = "a name or an address, without scheme, port or path";
                found.add(&key.nth(place), format!("`{host}` is no host"), right);
            }
        }
    }
    if sites.values().map(Vec::len).sum::<usize>() > NETWORKS {
        let right = format!("{NETWORKS} at the most; wider networks take fewer");
        found.add(&key.at("sites"), "these are too many networks", right);
    }
}

impl Builder<'_> {
    pub(super) fn placement(&mut self, file: &File) -> PlacementSettings {
        let Placement { mail_relays, approver_access, sites } = &file.placement;
        let mut known = Sites::default();
        for (site, networks) in sites {
            let key = Key::new("placement").at("sites").at(site);
            for (place, network) in networks.iter().enumerate() {
                if let Err(error) = known.add(site, network) {
                    let right = "a network such as 10.1.0.0/16 or fd00:1::/48";
                    self.found.add(&key.nth(place), format!("`{network}`: {error}"), right);
                }
            }
        }
        PlacementSettings {
            mail_relays: mail_relays.clone(),
            approver_access: approver_access.clone(),
            sites: known,
        }
    }
}
