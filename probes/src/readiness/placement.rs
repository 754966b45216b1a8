//! What dies together: the agent, its broker, its journal and the way to its approvers, when the
//! primary's host, site or network is lost. Placement is never wrong by itself, so these are warnings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::finding::{Check, Finding, How, Stage};

/// Has the verdict a second witness?
pub const WITNESS: Check = Check {
    id: "placement.witness",
    stage: Stage::Placement,
    question: "Do agent and managed instance reach SQL Server by ways that do not fail together?",
    source: "links.agent_domain and links.managed_instance_domain",
};
/// Does the agent survive the host of SQL Server?
pub const AGENT_HOST: Check = Check {
    id: "placement.agent_host",
    question: "Does the agent live on when the host of SQL Server dies?",
    source: "the addresses of SQL Server against those of this machine",
    ..WITNESS
};
/// Does it survive the network of SQL Server?
pub const AGENT_NETWORK: Check = Check {
    id: "placement.agent_network",
    question: "Does the agent live on when the network of SQL Server is lost?",
    ..AGENT_HOST
};
/// Do other parts of the way to people survive?
pub const PART: Check = Check {
    id: "placement.part",
    question: "Does it live on when the host or network of SQL Server is lost?",
    source: "its addresses against those of SQL Server",
    ..WITNESS
};
/// Can approvers reach the agent from elsewhere?
pub const APPROVERS: Check = Check {
    id: "placement.approvers",
    question: "Can approvers reach the agent from elsewhere?",
    source: "http.listen",
    ..WITNESS
};
/// Is nobody indispensable?
pub const ABSENCE: Check = Check {
    id: "placement.absence",
    question: "Can a forced failover be approved when one approver is away?",
    source: "approvers against quorum.forced",
    ..WITNESS
};

/// A failure domain that nobody has named.
const UNSTATED: &str = "unstated";

/// One link by its failure domains.
#[derive(Clone, Debug)]
pub struct Domains {
    pub link: String,
    pub agent: String,
    pub managed_instance: String,
}

/// Something with addresses: a SQL Server, the broker, a receiver of alerts.
#[derive(Clone, Debug)]
pub struct Placed {
    /// As the findings name it.
    pub name: String,
    pub addresses: Vec<SocketAddr>,
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub struct PlacementQuestion {
    pub links: Vec<Domains>,
    /// Those that are SQL Servers.
    pub servers: Vec<Placed>,
    /// Everything between the agent and people: broker, receivers of alerts.
    pub parts: Vec<Placed>,
    pub listen: Option<SocketAddr>,
    pub approvers: usize,
    pub forced_quorum: usize,
    pub break_glass: bool,
}

/// How close an address is to this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    /// It is one of its own.
    Self_,
    /// It is in the same small network.
    Network,
    Far,
}

/// Judges where everything is. The only thing asked is the routing table of this machine.
#[must_use]
pub fn placement(question: &PlacementQuestion) -> Vec<Finding> {
    judged(question, near)
}

fn judged(question: &PlacementQuestion, near: impl Fn(IpAddr) -> Near) -> Vec<Finding> {
    let mut found: Vec<_> = question.links.iter().map(witness).collect();
    for server in question.servers.iter().filter(|server| !server.addresses.is_empty()) {
        let near = server.addresses.iter().map(|address| near(address.ip()));
        found.extend(agent(&server.name, near.fold(Near::Far, closer)));
        for part in question.parts.iter().filter(|part| !part.addresses.is_empty()) {
            found.push(beside(part, server));
        }
    }
    found.extend(question.listen.map(approvers));
    found.push(absence(question));
    found
}

fn witness(domains: &Domains) -> Finding {
    let Domains { link, agent, managed_instance } = domains;
    let subject = format!("link {link}");
    if agent != managed_instance && agent != UNSTATED && managed_instance != UNSTATED {
        return WITNESS.ok(&subject, format!("{agent} and {managed_instance}"));
    }
    let evidence = if agent == UNSTATED && managed_instance == UNSTATED {
        "both are unstated, so they count as one witness".to_owned()
    } else {
        format!("{agent} and {managed_instance} count as one witness")
    };
    WITNESS
        .warning(
            &subject,
            format!("{evidence}: the agent never says that the primary is down, and approvers have to attest it"),
        )
        .mend(
            How::Config,
            "links.agent_domain",
            "what the agent's way to SQL Server shares with others (a site, a VPN, a circuit): another \
             name than managed_instance_domain, if no single failure cuts both",
        )
        .mend(
            How::Config,
            "links.managed_instance_domain",
            "what the managed instance's way to SQL Server shares with others",
        )
}

fn agent(server: &str, near: Near) -> Vec<Finding> {
    match near {
        Near::Far => vec![
            AGENT_HOST.ok(server, "it is another host"),
            AGENT_NETWORK.ok(server, "it is in another network"),
        ],
        Near::Network => vec![
            AGENT_HOST.ok(server, "it is another host"),
            AGENT_NETWORK
                .warning(
                    server,
                    "it is in the network of this machine: a switch, a firewall or a site takes both, and the \
                     agent with its journal is gone when it is needed",
                )
                .mend(How::Words, "the agent", "run it at a third site, or in Azure beside the managed instance"),
        ],
        Near::Self_ => vec![
            AGENT_HOST
                .warning(
                    server,
                    "it is on this very machine: when the host dies, agent, journal and API die with it, and \
                     nobody proposes anything",
                )
                .mend(How::Words, "the agent", "run it on another host: at a third site, or in Azure beside the managed instance"),
            AGENT_NETWORK.unasked(server, AGENT_HOST.id),
        ],
    }
}

fn beside(part: &Placed, server: &Placed) -> Finding {
    let ips = |placed: &Placed| placed.addresses.iter().map(SocketAddr::ip).collect::<Vec<_>>();
    let (own, theirs) = (ips(part), ips(server));
    let subject = format!("{} and {}", part.name, server.name);
    let mend = |finding: Finding| {
        let text = "another host and network, so that people are told when this one is lost";
        finding.mend(How::Words, part.name.clone(), text)
    };
    if own.iter().any(|ip| theirs.contains(ip)) {
        let evidence = "they share an address: when that host dies, nobody hears of it this way";
        return mend(PART.warning(&subject, evidence));
    }
    if own.iter().any(|ip| theirs.iter().any(|other| same_network(*ip, *other))) {
        let evidence = "they are in the same network: when it is lost, nobody hears of it this way";
        return mend(PART.warning(&subject, evidence));
    }
    PART.ok(&subject, "they are in different networks")
}

fn approvers(listen: SocketAddr) -> Finding {
    let subject = "the agent's API";
    if !listen.ip().is_loopback() {
        return APPROVERS.ok(subject, format!("it listens on {listen}"));
    }
    APPROVERS
        .warning(
            subject,
            format!("it listens on {listen} alone: approvers need a way onto this machine, or have to carry files"),
        )
        .mend(
            How::Config,
            "http.listen",
            "an address that approvers reach, with tls_cert and tls_key; or make sure that they can log in here \
             when the primary's site is lost",
        )
}

fn absence(question: &PlacementQuestion) -> Finding {
    let (people, quorum) = (question.approvers, question.forced_quorum);
    let subject = "the approvers";
    let evidence = format!("{people} approvers, and {quorum} have to sign");
    if people > quorum {
        return ABSENCE.ok(subject, evidence);
    }
    let glass = if question.break_glass { "; only breaking the glass is left then" } else { "" };
    ABSENCE.warning(subject, format!("{evidence}: one who is asleep stops it{glass}")).mend(
        How::Config,
        "approvers",
        "at least one more than quorum.forced, each with a key of their own",
    )
}

fn closer(one: Near, other: Near) -> Near {
    match (one, other) {
        (Near::Self_, _) | (_, Near::Self_) => Near::Self_,
        (Near::Network, _) | (_, Near::Network) => Near::Network,
        (Near::Far, Near::Far) => Near::Far,
    }
}

/// From where this machine would send to an address: to one of its own it sends from that address
/// itself. No packet leaves for that.
fn near(ip: IpAddr) -> Near {
    let any = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    match from {
        Ok(from) if from.ip() == ip || ip.is_loopback() => Near::Self_,
        Ok(from) if same_network(from.ip(), ip) => Near::Network,
        Ok(_) | Err(_) => Near::Far,
    }
}

/// A /24, or a /64: what is most often one switch.
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
    use crate::readiness::Verdict;

    fn placed(name: &str, address: &str) -> Placed {
        Placed { name: name.into(), addresses: vec![address.parse().expect("an address")] }
    }

    fn warned(question: &PlacementQuestion) -> Vec<&'static str> {
        // Where the machine of the test is makes no difference.
        let near = |ip: IpAddr| if ip.is_loopback() { Near::Self_ } else { Near::Far };
        let found = judged(question, near);
        let open = found.iter().filter(|finding| finding.verdict == Verdict::Warning);
        open.map(|finding| finding.check).collect()
    }

    #[test]
    fn what_dies_together_is_warned_of() {
        let domains = |agent: &str, managed: &str| Domains {
            link: "l".into(),
            agent: agent.into(),
            managed_instance: managed.into(),
        };
        let apart = PlacementQuestion {
            links: vec![domains("third-site", "vpn")],
            servers: vec![placed("SQL Server s", "192.0.2.4:1433")],
            parts: vec![placed("the broker", "198.51.100.4:5671")],
            listen: Some("0.0.0.0:8420".parse().expect("an address")),
            approvers: 3,
            forced_quorum: 2,
            break_glass: false,
        };
        assert!(warned(&apart).is_empty());
        let together = PlacementQuestion {
            links: vec![domains("vpn", "vpn"), domains(UNSTATED, "vpn")],
            servers: vec![placed("SQL Server s", "127.0.0.1:1433")],
            parts: vec![placed("the broker", "127.0.0.9:5671")],
            listen: Some("127.0.0.1:8420".parse().expect("an address")),
            approvers: 2,
            ..apart
        };
        let expected = [
            "placement.witness",
            "placement.witness",
            "placement.agent_host",
            "placement.part",
            "placement.approvers",
            "placement.absence",
        ];
        assert_eq!(warned(&together), expected);
    }
}
