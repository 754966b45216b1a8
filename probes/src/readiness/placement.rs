//! What dies together: the agent, its broker, its journal and the way to its approvers, when the
//! primary's host, site or network is lost. Placement is never wrong by itself, so these are warnings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::{
    finding::{Check, Finding, How, Stage, Verdict},
    sites::{Sites, Together},
};

/// Has the verdict a second witness?
pub const WITNESS: Check = Check {
    id: "placement.witness",
    stage: Stage::Placement,
    question: "Do agent and managed instance reach SQL Server by ways that do not fail together?",
    source: "links.agent_domain and links.managed_instance_domain",
};
/// The same of a primary in Azure.
pub const WITNESS_OF_AZURE: Check = Check {
    id: "placement.witness_of_azure",
    question: "Do agent and SQL Server reach the managed instance by ways that do not fail together?",
    source: "links.agent_azure_domain and links.managed_instance_domain",
    ..WITNESS
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
    question: "Does it live on when the host or site of SQL Server is lost?",
    source: "its addresses against those of SQL Server, and the networks of placement.sites",
    ..WITNESS
};
/// Has anybody said where it is?
pub const STATED: Check = Check {
    id: "placement.stated",
    question: "Has anybody said where it is?",
    source: "the section [placement]",
    ..WITNESS
};
/// Can approvers reach the agent from elsewhere?
pub const APPROVERS: Check = Check {
    id: "placement.approvers",
    question: "Can approvers reach the agent from elsewhere?",
    source: "http.listen",
    ..WITNESS
};
/// Does the paper runbook survive the agent?
pub const PAPER: Check = Check {
    id: "placement.runbook",
    question: "Is there a copy of the paper runbook away from this machine?",
    source: "schedule.runbook_folders by their mounts, and the webhooks that get it",
    ..WITNESS
};
/// Is nobody indispensable?
pub const ABSENCE: Check = Check {
    id: "placement.absence",
    question: "Can a forced failover be approved when one approver is away?",
    source: "approvers against quorum.forced",
    ..WITNESS
};

/// Why a place can't be compared with others.
const UNKNOWN: &str = "nobody knows its address";
/// A failure domain that nobody has named.
const UNSTATED: &str = "unstated";

/// One link by its failure domains.
#[derive(Clone, Debug)]
pub struct Domains {
    pub link: String,
    pub agent: String,
    pub managed_instance: String,
    pub agent_azure: String,
}

/// Something with addresses: a SQL Server, the broker, a receiver of alerts, a mail relay.
#[derive(Clone, Debug)]
pub struct Placed {
    /// As the findings name it.
    pub name: String,
    pub addresses: Vec<SocketAddr>,
}

/// A host that the configuration names for this question alone.
#[derive(Clone, Debug)]
pub struct Needed {
    pub placed: Placed,
    /// Where it stands in the configuration.
    pub key: &'static str,
}

/// Where copies of the paper runbook go.
#[derive(Clone, Debug)]
pub enum Paper {
    /// None are made.
    Off,
    /// Only to this machine.
    Here,
    /// To others too, in words.
    Away(String),
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct PlacementQuestion {
    pub links: Vec<Domains>,
    pub sites: Sites,
    /// Those that may be primary.
    pub servers: Vec<Placed>,
    /// Everything between the agent and people: broker, receivers of alerts.
    pub parts: Vec<Placed>,
    /// Mail relays, the ways of approvers, file servers with runbooks.
    pub needed: Vec<Needed>,
    /// What of that nobody has named, nor said that there is none; and the key for it.
    pub unsaid: Vec<(&'static str, &'static str)>,
    pub paper: Paper,
    pub listen: Option<SocketAddr>,
    pub approvers: usize,
    pub forced_quorum: usize,
    pub break_glass: bool,
}

/// From where this machine would send to an address.
type Routes<'f> = &'f dyn Fn(IpAddr) -> Option<IpAddr>;

/// Judges where everything is. The only thing asked is the routing table of this machine.
#[must_use]
pub fn placement(question: &PlacementQuestion) -> Vec<Finding> {
    judged(question, &from)
}

fn judged(question: &PlacementQuestion, from: Routes<'_>) -> Vec<Finding> {
    let mut found: Vec<_> = question.links.iter().flat_map(witnesses).collect();
    let needed = question.needed.iter().map(|needed| &needed.placed);
    for server in &question.servers {
        if server.addresses.is_empty() {
            let checks = [&AGENT_HOST, &AGENT_NETWORK, &PART];
            found.extend(checks.map(|check| check.unasked(&server.name, UNKNOWN)));
            continue;
        }
        found.extend(agent(server, &question.sites, from));
        let parts = question.parts.iter().chain(needed.clone());
        for part in parts.filter(|part| !part.addresses.is_empty()) {
            found.push(beside(part, server, &question.sites));
        }
    }
    let lost = question.parts.iter().filter(|part| part.addresses.is_empty());
    found.extend(lost.map(|part| PART.unasked(&part.name, UNKNOWN)));
    found.extend(question.unsaid.iter().map(|(what, key)| {
        STATED
            .warning(
                what,
                "nobody has said, so nothing can be said of what is lost together with it",
            )
            .mend(How::Config, *key, "its hosts; or [], if there is none and none is needed")
    }));
    let nowhere = question.needed.iter().filter(|needed| needed.placed.addresses.is_empty());
    found.extend(nowhere.map(|Needed { placed, key }| {
        let text = "a name or an address that is known where the agent runs";
        let evidence = "nobody knows its address, so nothing can be said of its place";
        PART.warning(&placed.name, evidence).mend(How::Config, *key, text)
    }));
    found.push(paper(&question.paper));
    found.extend(question.listen.map(approvers));
    found.push(absence(question));
    found
}

fn witnesses(domains: &Domains) -> [Finding; 2] {
    let Domains { link, agent, managed_instance, agent_azure } = domains;
    let of_sql = (&WITNESS, agent, "links.agent_domain", "SQL Server");
    let of_azure =
        (&WITNESS_OF_AZURE, agent_azure, "links.agent_azure_domain", "the managed instance");
    [of_sql, of_azure].map(|(check, own, key, of)| {
        let finding = witness(check, &format!("link {link}"), own, managed_instance);
        if finding.verdict == Verdict::Ok {
            return finding;
        }
        let own = format!(
            "what the agent's way to {of} shares with others (a site, a VPN, a circuit): another name than \
             managed_instance_domain, if no single failure cuts both"
        );
        let between = "what the way between managed instance and SQL Server shares with others";
        finding.mend(How::Config, key, own).mend(
            How::Config,
            "links.managed_instance_domain",
            between,
        )
    })
}

fn witness(check: &Check, subject: &str, own: &str, other: &str) -> Finding {
    if own != other && own != UNSTATED && other != UNSTATED {
        return check.ok(subject, format!("{own} and {other}"));
    }
    let evidence = if own == UNSTATED && other == UNSTATED {
        "both are unstated, so they count as one witness".to_owned()
    } else {
        format!("{own} and {other} count as one witness")
    };
    check.warning(
        subject,
        format!(
            "{evidence}: the agent never says that a primary there is down, and approvers have to attest it"
        ),
    )
}

fn agent(server: &Placed, sites: &Sites, from: Routes<'_>) -> Vec<Finding> {
    let name = &server.name;
    let ips = server.addresses.iter().map(SocketAddr::ip);
    let own = ips.filter_map(|ip| Some((if ip.is_loopback() { ip } else { from(ip)? }, ip)));
    let own: Vec<_> = own.collect();
    if own.is_empty() {
        let why = "this machine has no way to it, and so no address that could be compared";
        return [&AGENT_HOST, &AGENT_NETWORK].map(|check| check.unasked(name, why)).into();
    }
    let near: Vec<_> = own.iter().filter_map(|(own, ip)| sites.together(*own, *ip)).collect();
    let third = "at a third site, which the loss of neither side takes";
    if near.contains(&Together::Host) {
        let warning = AGENT_HOST
            .warning(
                name,
                "it is on this very machine: when the host dies, agent, journal and API die with it, and \
                 nobody proposes anything",
            )
            .mend(How::Words, "the agent", format!("run it on another host: {third}"));
        return vec![warning, AGENT_NETWORK.unasked(name, AGENT_HOST.id)];
    }
    let host = AGENT_HOST.ok(name, "it is another host");
    let network = match near.first() {
        None => AGENT_NETWORK.ok(name, "it is in another network"),
        Some(near) => AGENT_NETWORK
            .warning(
                name,
                format!(
                    "of it and this machine: {near}. What takes that takes both, and the agent with its \
                     journal is gone when it is needed"
                ),
            )
            .mend(How::Words, "the agent", format!("run it {third}")),
    };
    vec![host, network]
}

fn beside(part: &Placed, server: &Placed, sites: &Sites) -> Finding {
    let subject = format!("{} and {}", part.name, server.name);
    let mut near = part.addresses.iter().flat_map(|own| {
        let theirs = server.addresses.iter();
        theirs.filter_map(|other| sites.together(own.ip(), other.ip()))
    });
    match near.next() {
        None => PART.ok(&subject, "they are in different networks"),
        Some(near) => PART
            .warning(&subject, format!("{near}: when that is lost, it is gone when it is needed"))
            .mend(How::Words, part.name.clone(), "another host and site"),
    }
}

fn paper(paper: &Paper) -> Finding {
    let subject = "the paper runbook";
    let elsewhere =
        "a mounted folder of a host at another site, or a webhook that prints or keeps it";
    match paper {
        Paper::Off => PAPER
            .warning(subject, "none is made: people have no statements when the agent is dead")
            .mend(How::Config, "schedule.runbook", "a time of the day, such as \"0 5 6 * * *\""),
        Paper::Away(where_to) => PAPER.ok(subject, where_to.clone()),
        Paper::Here => PAPER
            .warning(subject, "all copies are on this machine: who can't log in here has none")
            .mend(How::Config, "schedule.runbook_folders", elsewhere),
    }
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

/// No packet leaves for that.
fn from(ip: IpAddr) -> Option<IpAddr> {
    let any = match ip {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let from = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((ip, 9))?;
        socket.local_addr()
    });
    from.ok().map(|from| from.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(name: &str, address: &str) -> Placed {
        Placed { name: name.into(), addresses: vec![address.parse().expect("an address")] }
    }

    fn warned(question: &PlacementQuestion) -> Vec<&'static str> {
        // Where the machine of the test is makes no difference.
        let found = judged(question, &|_| Some("203.0.113.1".parse().expect("an address")));
        let open = found.iter().filter(|finding| finding.verdict == Verdict::Warning);
        open.map(|finding| finding.check).collect()
    }

    fn apart() -> PlacementQuestion {
        PlacementQuestion {
            links: vec![domains("third-site", "vpn")],
            sites: Sites::default(),
            servers: vec![placed("SQL Server s", "192.0.2.4:1433")],
            parts: vec![placed("the broker", "198.51.100.4:5671")],
            needed: vec![Needed {
                placed: placed("the mail relay smtp", "198.51.100.25:0"),
                key: "placement.mail_relays",
            }],
            unsaid: Vec::new(),
            paper: Paper::Away("webhook print".into()),
            listen: Some("0.0.0.0:8420".parse().expect("an address")),
            approvers: 3,
            forced_quorum: 2,
            break_glass: false,
        }
    }

    fn domains(agent: &str, managed: &str) -> Domains {
        Domains {
            link: "l".into(),
            agent: agent.into(),
            managed_instance: managed.into(),
            agent_azure: "internet".into(),
        }
    }

    #[test]
    fn what_dies_together_is_warned_of() {
        assert!(warned(&apart()).is_empty());
        let together = PlacementQuestion {
            links: vec![domains("vpn", "vpn"), domains(UNSTATED, "vpn")],
            servers: vec![placed("SQL Server s", "127.0.0.1:1433")],
            parts: vec![placed("the broker", "127.0.0.9:5671")],
            paper: Paper::Here,
            listen: Some("127.0.0.1:8420".parse().expect("an address")),
            approvers: 2,
            ..apart()
        };
        let expected = [
            "placement.witness",
            "placement.witness",
            "placement.agent_host",
            "placement.part",
            "placement.runbook",
            "placement.approvers",
            "placement.absence",
        ];
        assert_eq!(warned(&together), expected);
        let mut azure = apart();
        azure.links[0].agent_azure = "vpn".into();
        assert_eq!(warned(&azure), ["placement.witness_of_azure"]);
    }

    #[test]
    fn a_site_is_more_than_a_network() {
        let mut question = apart();
        for network in ["192.0.2.0/24", "203.0.113.0/24"] {
            question.sites.add("munich", network).expect("a network");
        }
        assert_eq!(warned(&question), ["placement.agent_network"]);
        question.sites.add("munich", "198.51.100.25/32").expect("a network");
        assert_eq!(warned(&question), ["placement.agent_network", "placement.part"]);
    }

    #[test]
    fn what_nobody_has_said_or_knows_is_not_taken_for_good() {
        let silent = PlacementQuestion {
            unsaid: vec![("the mail relay", "placement.mail_relays")],
            paper: Paper::Off,
            ..apart()
        };
        assert_eq!(warned(&silent), ["placement.stated", "placement.runbook"]);

        let not_asked = |question: &PlacementQuestion, from: Routes<'_>| {
            let found = judged(question, from);
            let open = found.into_iter().filter(|finding| finding.verdict == Verdict::Unasked);
            open.map(|finding| (finding.check, finding.subject)).collect::<Vec<_>>()
        };
        let of = |check, subject: &str| (check, subject.to_owned());
        let lost = not_asked(&apart(), &|_| None);
        let host = of("placement.agent_host", "SQL Server s");
        let network = of("placement.agent_network", "SQL Server s");
        assert_eq!(lost, [host.clone(), network.clone()]);

        let mut nameless = apart();
        nameless.servers[0].addresses.clear();
        nameless.parts[0].addresses.clear();
        let server = of("placement.part", "SQL Server s");
        let broker = of("placement.part", "the broker");
        assert_eq!(not_asked(&nameless, &|_| None), [host, network, server, broker]);
    }

    #[test]
    fn a_relay_that_nobody_knows_is_told() {
        let mut question = apart();
        question.needed[0].placed.addresses.clear();
        let found = judged(&question, &|_| None);
        let told = found.iter().find(|finding| finding.subject == "the mail relay smtp");
        let told = told.expect("it is told of");
        assert_eq!(
            (told.verdict, told.fix[0].at.as_str()),
            (Verdict::Warning, "placement.mail_relays")
        );
    }
}
