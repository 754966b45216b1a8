//! The way to an endpoint: does its name resolve, does its port answer, is it TLS that we trust.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::finding::{Check, Finding, How, Stage};
use crate::{Now, text::plain};

/// Does the name of the endpoint lead to an address?
pub const NAME: Check = Check {
    id: "reach.name",
    stage: Stage::Name,
    question: "Does the name resolve?",
    source: "the resolver of this machine",
};
/// Does anything take connections there?
pub const PORT: Check = Check {
    id: "reach.port",
    stage: Stage::Port,
    question: "Does the port take connections?",
    source: "a TCP connection from this machine",
};
/// Is it encrypted, and by whom we believe?
pub const TLS: Check = Check {
    id: "reach.tls",
    stage: Stage::Tls,
    question: "Is the connection encrypted, and the certificate one that is believed here?",
    source: "a TLS handshake with the trust of the configuration",
};

/// Addresses of one name that are tried, all at once.
const ADDRESSES: usize = 8;

/// What is at the other end: it decides what is likely wrong, and who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    SqlServer,
    ManagedInstance,
    /// Azure Resource Manager.
    Azure,
    /// Where its tokens come from; its section of the configuration is that of the credential.
    TokenService,
    /// A RabbitMQ broker.
    Broker,
    /// An Alertmanager or a webhook.
    Receiver,
}

/// An endpoint as the configuration has it.
#[derive(Clone, Debug)]
pub struct Door<'a> {
    pub subject: &'a str,
    pub peer: Peer,
    pub host: &'a str,
    pub port: u16,
    /// The section of the configuration that names it, as `sql_servers[0]`.
    pub key: &'a str,
}

/// How one attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knock {
    Open,
    Refused,
    Silent,
    NoWay,
}

/// Resolves the name and knocks at every address of it; `within` is for each of the two. Returns
/// the addresses, and whether any of them is open.
pub async fn reach(
    door: &Door<'_>,
    within: Duration,
    now: &Now,
    found: &mut Vec<Finding>,
) -> (Vec<SocketAddr>, bool) {
    let addresses = match timeout(within, lookup_host((door.host, door.port))).await {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES).collect::<Vec<_>>(),
        Ok(Err(error)) => return (unresolved(door, &error.to_string(), found), false),
        Err(_) => {
            let detail = format!("the resolver does not answer within {within:?}");
            return (unresolved(door, &detail, found), false);
        }
    };
    if addresses.is_empty() {
        return (unresolved(door, "it has no address", found), false);
    }
    let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let evidence = format!("{} is {}", plain(door.host), shown.join(", "));
    found.push(NAME.ok(door.subject, evidence));

    let begun = now();
    let attempts = addresses.iter().map(|address| knock(*address, within));
    let knocks = join_all(attempts).await;
    let took_ms = now().duration_since(begun).as_millis();
    let open = knocks.iter().filter(|knock| **knock == Knock::Open).count();
    if open > 0 {
        let evidence = format!(
            "{open} of {} addresses open at port {}, in {took_ms} ms",
            knocks.len(),
            door.port
        );
        found.push(PORT.ok(door.subject, evidence));
        return (addresses, true);
    }
    found.push(closed(door, &addresses, &knocks, within));
    (addresses, false)
}

/// The words for a handshake that failed, and who can mend it.
#[must_use]
pub fn tls_failed(door: &Door<'_>, detail: &str) -> Finding {
    let key = door.key;
    let evidence = |words: &str| format!("{words}: {}", plain(detail));
    let has = |word: &str| detail.contains(word);
    if has("expired") {
        return expired(door, &evidence("the certificate has expired"));
    }
    if has("NotValidYet") || has("not valid yet") || has("not yet valid") {
        return TLS.wrong(door.subject, evidence("the certificate is not valid yet")).mend(
            How::Words,
            "this machine",
            "set the clock: `timedatectl` shows it, and whether it is synchronised",
        );
    }
    if has("not valid for name") || has("NotValidForName") {
        let text = name_fix(door, detail);
        return TLS.wrong(door.subject, evidence("the certificate is for another name")).mend(
            How::Config,
            text.0,
            text.1,
        );
    }
    if has("UnknownIssuer") {
        let at = trust_key(door, "ca");
        let text = match door.peer {
            Peer::ManagedInstance | Peer::Azure | Peer::TokenService => {
                "leave it out, so that the authorities of the operating system count (Azure's are \
                 among them), or name the PEM file of the authority that signed it"
            }
            Peer::SqlServer => {
                "name the PEM file of the authority that signed it; for the certificate that SQL \
                 Server made for itself use `trust.certificate` or `trust.fingerprint` instead"
            }
            Peer::Broker | Peer::Receiver => "name the PEM file of the authority that signed it",
        };
        return TLS
            .wrong(door.subject, evidence("nobody who is believed here has signed the certificate"))
            .mend(How::Config, at, text);
    }
    if has("ApplicationVerificationFailure") {
        return TLS
            .wrong(door.subject, evidence("it is another certificate than the pinned one"))
            .mend(
                How::Config,
                trust_key(door, "fingerprint"),
                "the SHA-256 of the new certificate, once somebody has said that it was changed on \
                 purpose: `openssl x509 -noout -fingerprint -sha256 -in CERTIFICATE`",
            );
    }
    if has("does not offer encryption") {
        return TLS.wrong(door.subject, evidence("it does not encrypt")).mend(
            How::Words,
            door.host,
            "give SQL Server a certificate and let it encrypt: there is no way to log in unencrypted",
        );
    }
    not_tls(door, &evidence("the handshake failed"), key)
}

/// Something answers, and it is not what it should be.
#[must_use]
pub fn not_tls(door: &Door<'_>, evidence: &str, key: &str) -> Finding {
    let text = match door.peer {
        Peer::SqlServer => format!(
            "the port of the Database Engine (1433 in the ordinary case); what listens at {} is \
             something else, or something on the way answers in its place",
            door.port
        ),
        Peer::ManagedInstance => {
            "1433: the VNet-local endpoint; the public one (3342) can't be used for a link"
                .to_owned()
        }
        Peer::TokenService => "https:// and the host that tokens come from".to_owned(),
        Peer::Azure => {
            "https:// and the host of Azure Resource Manager, or of its proxy".to_owned()
        }
        Peer::Broker => {
            "amqps:// with the port of the TLS listener (5671), or amqp:// with the plain \
                         one (5672)"
                .to_owned()
        }
        Peer::Receiver => "https:// or http://, as it listens at that port".to_owned(),
    };
    let at = match door.peer {
        Peer::SqlServer | Peer::ManagedInstance => format!("{key}.port"),
        Peer::Azure => format!("{key}.base_url"),
        Peer::TokenService => format!("{key}.authority"),
        Peer::Broker | Peer::Receiver => format!("{key}.url"),
    };
    TLS.wrong(door.subject, evidence).mend(How::Config, at, text)
}

fn expired(door: &Door<'_>, evidence: &str) -> Finding {
    let text = match door.peer {
        Peer::SqlServer => {
            "give SQL Server a certificate that is valid (SQL Server Configuration Manager, \
             Protocols, Certificate) and restart it; meanwhile nobody can verify it"
        }
        Peer::ManagedInstance | Peer::Azure | Peer::TokenService => {
            "Azure renews its certificates by itself: look at the clock of this machine, and at \
             what on the way presents a certificate of its own"
        }
        Peer::Broker => "give RabbitMQ a certificate that is valid and restart its listener",
        Peer::Receiver => "give the receiver a certificate that is valid",
    };
    TLS.wrong(door.subject, evidence).mend(How::Words, door.host, text)
}

async fn knock(address: SocketAddr, within: Duration) -> Knock {
    match timeout(within, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Knock::Open,
        Err(_) => Knock::Silent,
        Ok(Err(error)) => {
            let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
            if is(&[io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset]) {
                Knock::Refused
            } else if is(&[io::ErrorKind::TimedOut]) {
                Knock::Silent
            } else {
                // Everything else is a network that has no way there.
                Knock::NoWay
            }
        }
    }
}

fn unresolved(door: &Door<'_>, detail: &str, found: &mut Vec<Finding>) -> Vec<SocketAddr> {
    let host = plain(door.host);
    let at = match door.peer {
        Peer::SqlServer | Peer::ManagedInstance => format!("{}.host", door.key),
        Peer::Azure => format!("{}.base_url", door.key),
        Peer::TokenService => format!("{}.authority", door.key),
        Peer::Broker | Peer::Receiver => format!("{}.url", door.key),
    };
    let right = match door.peer {
        Peer::ManagedInstance => {
            "the whole name of the managed instance, NAME.ZONE.database.windows.net; it resolves to a \
             private address only where its virtual network's DNS is asked"
        }
        Peer::SqlServer | Peer::Azure | Peer::TokenService | Peer::Broker | Peer::Receiver => {
            "a name that this machine can resolve"
        }
    };
    let finding = NAME
        .wrong(door.subject, format!("{host} does not resolve: {}", plain(detail)))
        .mend(How::Config, at, right)
        .mend(How::Shell, "this machine", format!("getent ahosts {host}"));
    found.push(finding);
    Vec::new()
}

fn closed(
    door: &Door<'_>,
    addresses: &[SocketAddr],
    knocks: &[Knock],
    within: Duration,
) -> Finding {
    let each = addresses.iter().zip(knocks).map(|(address, knock)| {
        let words = match knock {
            Knock::Open => "open".to_owned(),
            Knock::Refused => "connection refused".to_owned(),
            Knock::Silent => format!("no answer within {within:?}"),
            Knock::NoWay => "no route to it".to_owned(),
        };
        format!("{address}: {words}")
    });
    let evidence = each.collect::<Vec<_>>().join("; ");
    let finding = PORT.wrong(door.subject, evidence);
    // What refuses is alive, which says more than silence.
    if knocks.contains(&Knock::Refused) {
        let text = match door.peer {
            Peer::SqlServer => {
                "the host is alive and nothing listens there: start the service, enable TCP/IP for it \
                 (SQL Server Configuration Manager), and compare the port with its error log"
            }
            Peer::ManagedInstance => {
                "something on the way refuses: look at the firewall and the network security group, \
                 and whether the instance is stopped (`az sql mi show`)"
            }
            Peer::Azure | Peer::TokenService => {
                "a proxy or firewall on the way refuses: let this machine reach Azure"
            }
            Peer::Broker => {
                "the host is alive and no broker listens there: start it, or mend the port"
            }
            Peer::Receiver => {
                "the host is alive and nothing listens there: start it, or mend the port"
            }
        };
        return finding.mend(How::Words, format!("{}:{}", door.host, door.port), text).mend(
            How::Config,
            format!("{}.{}", door.key, place_of_port(door.peer)),
            "the port that it listens on",
        );
    }
    let text = match door.peer {
        Peer::SqlServer | Peer::Broker | Peer::Receiver => {
            "nobody answers: a firewall drops it, or the host is down, or the address is another \
             machine's"
        }
        Peer::ManagedInstance => {
            "nobody answers: the network security group of its subnet has to let this machine in at \
             1433 and 11000-11999, and the route (VPN, ExpressRoute, peering) has to be there"
        }
        Peer::Azure | Peer::TokenService => {
            "nobody answers: let this machine reach Azure by 443, directly or by a proxy"
        }
    };
    finding.mend(How::Words, format!("the way to {}:{}", door.host, door.port), text)
}

/// SQL Server Browser does not tell the port of a named instance.
pub(crate) fn browser(door: &Door<'_>, why: &str) -> Finding {
    PORT.wrong(door.subject, format!("the port of the instance is not told: {why}"))
        .mend(
            How::Words,
            door.host,
            "start SQL Server Browser there and let UDP 1434 through, and look whether the instance \
             runs and listens on TCP",
        )
        .mend(
            How::Config,
            format!("{}.port", door.key),
            "in place of `instance`: the port, if it is a fixed one",
        )
}

fn place_of_port(peer: Peer) -> &'static str {
    match peer {
        Peer::SqlServer | Peer::ManagedInstance => "port",
        Peer::Azure => "base_url",
        Peer::TokenService => "authority",
        Peer::Broker | Peer::Receiver => "url",
    }
}

fn trust_key(door: &Door<'_>, name: &str) -> String {
    match door.peer {
        Peer::SqlServer | Peer::ManagedInstance => format!("{}.trust.{name}", door.key),
        Peer::Azure | Peer::Broker | Peer::Receiver => format!("{}.ca", door.key),
        // It is believed by the same authorities as Azure Resource Manager.
        Peer::TokenService => format!("{}.ca", door.key.trim_end_matches(".credential")),
    }
}

/// Where to name another name, and which ones the certificate carries, if that is told.
fn name_fix(door: &Door<'_>, detail: &str) -> (String, String) {
    let names = detail.split_once("only valid for ").map(|(_, names)| plain(names));
    let names = names.unwrap_or_else(|| "shown by `openssl s_client`".to_owned());
    match door.peer {
        Peer::SqlServer | Peer::ManagedInstance => (
            format!("{}.trust.name", door.key),
            format!(
                "the name that the certificate carries, if the host is really that one: {names}"
            ),
        ),
        Peer::TokenService => (
            format!("{}.authority", door.key),
            format!("a host that the certificate carries: {names}"),
        ),
        Peer::Azure => (
            format!("{}.base_url", door.key),
            format!("a host that the certificate carries: {names}"),
        ),
        Peer::Broker | Peer::Receiver => {
            (format!("{}.url", door.key), format!("a host that the certificate carries: {names}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use jiff::Timestamp;

    use super::*;
    use crate::readiness::Verdict;

    fn door(host: &str, port: u16) -> Door<'_> {
        Door { subject: "SQL Server s", peer: Peer::SqlServer, host, port, key: "sql_servers[0]" }
    }

    fn now() -> Now {
        Arc::new(|| Timestamp::UNIX_EPOCH)
    }

    #[tokio::test]
    async fn an_open_and_a_closed_port_are_told_apart() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let mut found = Vec::new();
        let within = Duration::from_secs(10);
        let (addresses, open) = reach(&door("127.0.0.1", port), within, &now(), &mut found).await;
        assert!(open && addresses.len() == 1, "{found:?}");
        drop(listener);

        let mut found = Vec::new();
        let (_, open) = reach(&door("127.0.0.1", port), within, &now(), &mut found).await;
        assert!(!open);
        let last = found.last().expect("two findings");
        assert_eq!((last.check, last.verdict), ("reach.port", Verdict::Wrong));
        assert!(last.evidence.contains("connection refused"), "{last:?}");
    }

    #[tokio::test]
    async fn a_name_that_is_none_is_told_with_its_key() {
        let mut found = Vec::new();
        let within = Duration::from_secs(20);
        reach(&door("no-such-host.invalid", 1433), within, &now(), &mut found).await;
        let [finding] = found.as_slice() else { panic!("one finding: {found:?}") };
        assert_eq!((finding.check, finding.verdict), ("reach.name", Verdict::Wrong));
        assert_eq!(finding.fix[0].at, "sql_servers[0].host");
    }

    #[test]
    fn each_failure_of_tls_names_its_mend() {
        let cases = [
            ("invalid peer certificate: certificate expired: verified at", "has expired", None),
            (
                "certificate not valid for name \"a\"; certificate is only valid for DnsName(\"b\")",
                "another name",
                Some("sql_servers[0].trust.name"),
            ),
            ("invalid peer certificate: UnknownIssuer", "nobody", Some("sql_servers[0].trust.ca")),
            (
                "invalid peer certificate: ApplicationVerificationFailure",
                "pinned",
                Some("sql_servers[0].trust.fingerprint"),
            ),
            ("received corrupt message", "handshake failed", Some("sql_servers[0].port")),
        ];
        for (detail, words, key) in cases {
            let finding = tls_failed(&door("h", 1433), detail);
            assert!(finding.evidence.contains(words), "{detail}: {finding:?}");
            if let Some(key) = key {
                assert_eq!(finding.fix[0].at, key, "{detail}");
            }
        }
    }
}
