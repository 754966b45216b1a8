//! What a SQL Server needs for replicating through a link: an endpoint, its certificate, the one of
//! the other side, a key that protects them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{
    finding::{Check, Finding, How, Stage},
    link::SOON,
    login::bracketed,
    questions::{Certificate, Endpoint, Keys},
    reach::Door,
};
use crate::text::plain;

/// Is there an endpoint?
pub const EXISTS: Check = Check {
    id: "sql.endpoint",
    stage: Stage::Server,
    question: "Is there an endpoint for replication?",
    source: "sys.database_mirroring_endpoints",
};
/// Is it started?
pub const STARTED: Check =
    Check { id: "sql.endpoint_started", question: "Is the endpoint started?", ..EXISTS };
/// Does it take certificates?
pub const AUTH: Check = Check {
    id: "sql.endpoint_auth",
    question: "Does the endpoint take certificates, which is all that a managed instance has?",
    ..EXISTS
};
/// Does it encrypt with AES?
pub const ENCRYPTION: Check = Check {
    id: "sql.endpoint_encryption",
    question: "Does the endpoint require encryption with AES?",
    ..EXISTS
};
/// Is its certificate valid for a while?
pub const CERTIFICATE: Check = Check {
    id: "sql.endpoint_certificate",
    question: "Is the endpoint's own certificate valid for a while?",
    source: "sys.certificates",
    ..EXISTS
};
/// Is the other side's certificate here, and valid?
pub const PARTNER: Check = Check {
    id: "sql.partner_certificate",
    question: "Is the managed instance's certificate here, under its full name, and valid for a while?",
    source: "sys.certificates; the name has to be the managed instance's full name",
    ..EXISTS
};
/// Is there a master key?
pub const MASTER_KEY: Check = Check {
    id: "sql.master_key",
    question: "Is there a master key in master, which protects the endpoint's certificate?",
    source: "sys.symmetric_keys, number 101",
    ..EXISTS
};

/// What the endpoint is like.
pub(crate) fn endpoint(
    door: &Door<'_>,
    endpoint: Option<&Endpoint>,
    now: Option<Timestamp>,
) -> Vec<Finding> {
    let Some(endpoint) = endpoint else {
        let finding = EXISTS.wrong(door.subject, "there is none").mend(
            How::Sql,
            door.host,
            "CREATE ENDPOINT database_mirroring_endpoint STATE = STARTED AS TCP (LISTENER_PORT = 5022, \
             LISTENER_IP = ALL) FOR DATABASE_MIRRORING (ROLE = ALL, AUTHENTICATION = CERTIFICATE \
             [<certificate>], ENCRYPTION = REQUIRED ALGORITHM AES);",
        );
        return vec![finding];
    };
    let name = bracketed(&endpoint.name);
    let port = endpoint.port.map_or_else(String::new, |port| format!(", port {port}"));
    let shown = format!("{}, role {}{port}", plain(&endpoint.name), plain(&endpoint.role));
    let certificate = endpoint.certificate.as_deref().unwrap_or("<certificate>");
    let settings = format!(
        "ALTER ENDPOINT {name} FOR DATABASE_MIRRORING (AUTHENTICATION = CERTIFICATE {}, ENCRYPTION = \
         REQUIRED ALGORITHM AES);",
        bracketed(certificate)
    );
    let sql = |finding: Finding, text: &str| finding.mend(How::Sql, door.host, text);
    let state = format!("it is {}", plain(&endpoint.state));
    let auth = format!("it takes {}", plain(&endpoint.auth));
    let algorithm = plain(&endpoint.algorithm);
    let encryption =
        if endpoint.encrypted { algorithm.clone() } else { "none required".to_owned() };
    vec![
        EXISTS.ok(door.subject, shown),
        if endpoint.state == "STARTED" {
            STARTED.ok(door.subject, state)
        } else {
            let text = format!("ALTER ENDPOINT {name} STATE = STARTED;");
            sql(STARTED.wrong(door.subject, format!("{state}: nothing is replicated")), &text)
        },
        if endpoint.auth.contains("CERTIFICATE") {
            AUTH.ok(door.subject, auth)
        } else {
            sql(AUTH.wrong(door.subject, auth), &settings)
        },
        if endpoint.encrypted && algorithm.contains("AES") {
            ENCRYPTION.ok(door.subject, encryption)
        } else {
            sql(ENCRYPTION.wrong(door.subject, encryption), &settings)
        },
        own_certificate(door, endpoint, now),
    ]
}

/// Master key, and the certificate of the other side; `partner` is its full name, where it is known.
pub(crate) fn keys(
    door: &Door<'_>,
    keys: &Keys,
    partner: Option<&str>,
    now: Option<Timestamp>,
) -> Vec<Finding> {
    let master_key = if keys.master_key {
        MASTER_KEY.ok(door.subject, "there is one")
    } else {
        MASTER_KEY.wrong(door.subject, "there is none").mend(
            How::Sql,
            door.host,
            "CREATE MASTER KEY ENCRYPTION BY PASSWORD = N'<a long random password>';",
        )
    };
    let Some(partner) = partner else {
        let because = "the name of the managed instance in the group is not known";
        return vec![master_key, PARTNER.unasked(door.subject, because)];
    };
    let import = format!(
        "CREATE CERTIFICATE {} FROM BINARY = <0x... as `az sql mi endpoint-cert list` prints it>;",
        bracketed(partner)
    );
    let found = keys.certificates.iter().find(|found| found.name.eq_ignore_ascii_case(partner));
    let partner = match found {
        None => PARTNER
            .wrong(door.subject, format!("there is no certificate named {}", plain(partner)))
            .mend(How::Sql, door.host, import),
        Some(Certificate { name, expiry, .. }) => {
            let again = format!("DROP CERTIFICATE {}; {import}", bracketed(name));
            let finding = valid(&PARTNER, door, name, *expiry, now);
            if finding.wants_mending() { finding.mend(How::Sql, door.host, again) } else { finding }
        }
    };
    vec![master_key, partner]
}

fn own_certificate(door: &Door<'_>, endpoint: &Endpoint, now: Option<Timestamp>) -> Finding {
    let Some(name) = endpoint.certificate.as_deref() else {
        return CERTIFICATE.unasked(door.subject, AUTH.id);
    };
    let renew = |finding: Finding| {
        let (endpoint, next) = (bracketed(&endpoint.name), bracketed(&format!("{name}_next")));
        finding
            .mend(
                How::Sql,
                door.host,
                format!(
                    "CREATE CERTIFICATE {next} WITH SUBJECT = N'{}', EXPIRY_DATE = '<years ahead>';",
                    plain(name).replace('\'', "''")
                ),
            )
            .mend(
                How::Azure,
                "the managed instance",
                "az sql mi partner-cert create -g <group> --mi <instance> -n <name> --public-blob \
                 <0x... of the new certificate's public key>",
            )
            .mend(
                How::Sql,
                door.host,
                format!(
                    "ALTER ENDPOINT {endpoint} FOR DATABASE_MIRRORING (AUTHENTICATION = CERTIFICATE \
                     {next}, ENCRYPTION = REQUIRED ALGORITHM AES);"
                ),
            )
    };
    let finding = valid(&CERTIFICATE, door, name, endpoint.expiry, now);
    if finding.wants_mending() { renew(finding) } else { finding }
}

/// The finding on a certificate's end.
fn valid(
    check: &Check,
    door: &Door<'_>,
    name: &str,
    expiry: Option<Timestamp>,
    now: Option<Timestamp>,
) -> Finding {
    let name = plain(name);
    let (Some(expiry), Some(now)) = (expiry, now) else {
        return check.ok(door.subject, format!("{name}; its end is not told"));
    };
    let left = expiry.duration_since(now);
    let day = expiry.strftime("%Y-%m-%d");
    if left <= SignedDuration::ZERO {
        return check.wrong(door.subject, format!("{name} has expired on {day}"));
    }
    let days = Duration::try_from(left).unwrap_or_default().as_secs() / 86_400;
    if left < SOON {
        return check.warning(door.subject, format!("{name} expires on {day}, in {days} days"));
    }
    check.ok(door.subject, format!("{name} is valid until {day}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::{Verdict, reach::Peer};

    fn door() -> Door<'static> {
        let subject = "SQL Server s";
        Door { subject, peer: Peer::SqlServer, host: "h", port: 1433, key: "sql_servers[0]" }
    }

    fn day(text: &str) -> Option<Timestamp> {
        Some(format!("{text}T00:00:00Z").parse().expect("a day"))
    }

    fn good() -> Endpoint {
        Endpoint {
            name: "e".into(),
            state: "STARTED".into(),
            role: "ALL".into(),
            auth: "NEGOTIATE, CERTIFICATE".into(),
            encrypted: true,
            algorithm: "AES".into(),
            port: Some(5022),
            certificate: Some("c".into()),
            expiry: day("2030-01-01"),
        }
    }

    fn verdicts(found: &[Finding]) -> Vec<Verdict> {
        found.iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn each_part_of_an_endpoint_is_judged_for_itself() {
        let now = day("2026-03-01");
        assert_eq!(verdicts(&endpoint(&door(), Some(&good()), now)), [Verdict::Ok; 5]);
        let bad = Endpoint {
            state: "STOPPED".into(),
            auth: "NEGOTIATE".into(),
            algorithm: "RC4".into(),
            expiry: day("2026-03-20"),
            ..good()
        };
        let found = endpoint(&door(), Some(&bad), now);
        let (wrong, ok, soon) = (Verdict::Wrong, Verdict::Ok, Verdict::Warning);
        assert_eq!(verdicts(&found), [ok, wrong, wrong, wrong, soon]);
        assert_eq!(found[1].fix[0].text, "ALTER ENDPOINT [e] STATE = STARTED;");
        assert!(found[4].evidence.contains("in 19 days"), "{}", found[4].evidence);
        let expired = Endpoint { expiry: day("2026-02-28"), ..good() };
        assert_eq!(endpoint(&door(), Some(&expired), now)[4].verdict, wrong);
        assert_eq!(verdicts(&endpoint(&door(), None, now)), [wrong]);
    }

    #[test]
    fn the_certificate_of_the_other_side_has_its_full_name() {
        let certificate = Certificate {
            name: "mi.zone.database.windows.net".into(),
            private_key: "NA".into(),
            expiry: day("2027-01-01"),
        };
        let all = Keys { master_key: true, certificates: vec![certificate] };
        let now = day("2026-03-01");
        let ask = |partner| verdicts(&keys(&door(), &all, partner, now));
        assert_eq!(ask(Some("MI.zone.database.windows.net")), [Verdict::Ok; 2]);
        assert_eq!(ask(Some("mi")), [Verdict::Ok, Verdict::Wrong]);
        assert_eq!(ask(None), [Verdict::Ok, Verdict::Unasked]);
    }
}
