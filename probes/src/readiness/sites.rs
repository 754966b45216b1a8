//! Which addresses are lost together: those of one host, of one site, of one small network.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// The networks of each site, as an operator tells them. Without them a small network is a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sites(Vec<(String, IpNet)>);

/// A network that can't be one of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no network")]
pub struct NoNetwork;

/// What two addresses have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Together<'s> {
    /// They are one.
    Host,
    Site(&'s str),
    /// A /24, or a /64: what is most often one switch.
    Network,
}

impl Sites {
    /// `network` as `10.1.0.0/16` or `fd00:1::/48`; the same one again, of another site, is asked
    /// first.
    ///
    /// # Errors
    ///
    /// It is written in another way.
    pub fn add(&mut self, site: &str, network: &str) -> Result<(), NoNetwork> {
        let network = IpNet::from_str(network).map_err(|_| NoNetwork)?.trunc();
        self.0.push((site.to_owned(), network));
        Ok(())
    }

    /// The site with the narrowest network that has the address.
    fn of(&self, ip: IpAddr) -> Option<&str> {
        let around = self.0.iter().filter(|(_, network)| network.contains(&ip));
        around.max_by_key(|(_, network)| network.prefix_len()).map(|(site, _)| site.as_str())
    }

    /// None: nothing that is known here takes both at once.
    pub(crate) fn together(&self, one: IpAddr, other: IpAddr) -> Option<Together<'_>> {
        if one == other {
            return Some(Together::Host);
        }
        match (self.of(one), self.of(other)) {
            (Some(one), Some(other)) if one == other => Some(Together::Site(one)),
            (Some(_), Some(_)) => None,
            (None, _) | (_, None) => same_network(one, other).then_some(Together::Network),
        }
    }
}

impl fmt::Display for Together<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("they share an address"),
            Self::Site(site) => write!(f, "both are at site {site}"),
            Self::Network => f.write_str("they are in the same network"),
        }
    }
}

fn same_network(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_what_the_operator_says() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let together = |sites: &Sites, one: &str, other: &str| {
            sites.together(ip(one), ip(other)).map(|what| what.to_string())
        };
        let mut sites = Sites::default();
        let near = Some("they are in the same network".to_owned());
        assert_eq!(together(&sites, "10.1.2.3", "10.1.2.4"), near);
        assert_eq!(together(&sites, "fd00:1::1", "fd00:1::2"), near);
        assert_eq!(together(&sites, "10.1.2.3", "10.1.3.3"), None);
        for (site, network) in [("munich", "10.1.0.0/16"), ("berlin", "10.1.2.128/25")] {
            sites.add(site, network).expect("a network");
        }
        let munich = Some("both are at site munich".to_owned());
        assert_eq!(together(&sites, "10.1.2.3", "10.1.3.3"), munich);
        assert_eq!(together(&sites, "10.1.2.3", "10.1.2.200"), None, "the narrower network");
        assert_eq!(together(&sites, "10.1.2.3", "192.0.2.1"), None);
        let host = Some("they share an address".to_owned());
        assert_eq!(together(&sites, "10.1.2.3", "10.1.2.3"), host);
        assert_eq!(sites.add("munich", "10.1.0.0/33"), Err(NoNetwork));
        assert_eq!(sites.add("munich", "10.1.0.0"), Err(NoNetwork));
    }
}
