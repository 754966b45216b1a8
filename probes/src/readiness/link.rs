//! The link as both sides and the control plane have it: the same group, roles that agree, settings
//! that fit.

use agent_core::Side;
use jiff::{SignedDuration, Timestamp};

use super::{
    finding::{Check, Finding, How, Stage},
    login::{bracketed, quoted},
    questions::{Group, Member},
    reach::Door,
};
use crate::text::plain;

/// Does the side know the group?
pub const GROUP: Check = Check {
    id: "link.group",
    stage: Stage::Link,
    question: "Does this side know the distributed availability group?",
    source: "sys.availability_groups",
};
/// Is the other side connected?
pub const CONNECTED: Check = Check {
    id: "link.connected",
    question: "Are the two sides connected?",
    source: "sys.dm_hadr_availability_replica_states",
    ..GROUP
};
/// Is it asynchronous?
pub const MODE: Check = Check {
    id: "link.availability_mode",
    question: "Does it commit asynchronously?",
    source: "sys.availability_replicas; Microsoft advises against synchronous commit for good",
    ..GROUP
};
/// Does a commit wait for the other side?
pub const REQUIRED: Check = Check {
    id: "link.required_synchronized",
    question: "Do commits go through when the other side is away?",
    source: "sys.availability_groups: required_synchronized_secondaries_to_commit",
    ..GROUP
};
/// How soon is silence noticed?
pub const TIMEOUT: Check = Check {
    id: "link.session_timeout",
    question: "Is silence of the other side noticed neither too soon nor too late?",
    source: "sys.availability_replicas: session_timeout; Microsoft's scripts say 20 s",
    ..GROUP
};
/// Is there a link in Azure?
pub const CONTROL: Check = Check {
    id: "link.control",
    question: "Does Azure know the link, with this database, and see it as the sides do?",
    source: "GET of the link in Azure Resource Manager",
    ..GROUP
};
/// Can it fail over at all?
pub const FAILOVER_MODE: Check = Check {
    id: "link.failover_mode",
    question: "Can the link be failed over, and not only deleted?",
    source: "failoverMode of the link: None is a one-way link (41985)",
    ..GROUP
};
/// Is the certificate that the managed instance holds of SQL Server valid?
pub const MI_CERTIFICATE: Check = Check {
    id: "link.certificate_at_instance",
    question: "Is SQL Server's certificate that the managed instance holds valid for a while?",
    source: "partnerAuthCertValidity of the link",
    ..GROUP
};

/// A certificate is renewed in this time before its end, by people.
pub(super) const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The secondary keeps saying CONNECTED for as long as this, and with it the second witness.
const TIMEOUT_MOST_S: i64 = 30;
/// Microsoft advises against less.
const TIMEOUT_LEAST_S: i64 = 10;

/// The group on one side; `subject` is the link on this side.
pub(crate) fn group(
    door: &Door<'_>,
    subject: &str,
    side: Side,
    name: &str,
    group: Option<&Group>,
) -> Vec<Finding> {
    let Some(group) = group.filter(|group| group.is_distributed) else {
        let evidence = match group {
            Some(_) => format!("{} is a local group there, not a distributed one", plain(name)),
            None => format!("it knows no group {}", plain(name)),
        };
        let finding = GROUP
            .wrong(subject, evidence)
            .mend(How::Config, "links.group", "the name of the distributed availability group, which is the link's name in Azure too")
            .mend(How::Words, door.host, "create the link (SSMS: New Azure SQL Managed Instance link; or Microsoft's scripts), if there is none yet");
        return vec![finding];
    };
    let mut found = vec![GROUP.ok(subject, format!("{} members", group.members.len()))];
    found.push(connected(door, subject, side, group));
    // Settings can be changed on SQL Server alone.
    if side == Side::SqlServer {
        found.extend([mode(door, subject, name, group), required(door, subject, name, group)]);
        found.push(timeout(door, subject, group));
    }
    found
}

/// The role of a side by its own row.
pub(crate) fn role(group: Option<&Group>) -> Option<String> {
    group?.members.iter().find(|member| member.is_local == Some(true))?.role.clone()
}

/// The full name of the managed instance by which SQL Server reaches it.
pub(crate) fn partner_host(group: &Group) -> Option<String> {
    let of = |member: &Member| {
        let (_, rest) = member.endpoint_url.split_once("://")?;
        let (options_apart, options) = rest.split_once(';')?;
        // Only the leg of a managed instance names its server behind the address.
        options.to_ascii_lowercase().contains("server=").then_some(())?;
        let host = options_apart.rsplit_once(':').map_or(options_apart, |(host, _)| host);
        Some(host.to_owned())
    };
    group.members.iter().find_map(of)
}

/// The end of the certificate of SQL Server that the managed instance holds.
pub(crate) fn certificate(subject: &str, name: &str, expiry: Timestamp, now: Timestamp) -> Finding {
    let left = expiry.duration_since(now);
    let day = expiry.strftime("%Y-%m-%d");
    if left >= SOON {
        return MI_CERTIFICATE.ok(subject, format!("{name} is valid until {day}"));
    }
    let finding = if left <= SignedDuration::ZERO {
        MI_CERTIFICATE.wrong(subject, format!("{name} has expired on {day}"))
    } else {
        MI_CERTIFICATE.warning(subject, format!("{name} expires on {day}"))
    };
    finding.mend(
        How::Azure,
        "the managed instance",
        "az sql mi partner-cert create -g <group> --mi <instance> -n <name> --public-blob <0x... of SQL \
         Server's new certificate>",
    )
}

fn connected(door: &Door<'_>, subject: &str, side: Side, group: &Group) -> Finding {
    // A primary tells of the other; a secondary of itself.
    let far = group.members.iter().find(|member| member.is_local == Some(false));
    let own = group.members.iter().find(|member| member.is_local == Some(true));
    let Some(told) = far.or(own) else {
        return CONNECTED.unasked(subject, "there is no row that tells of the connection");
    };
    if told.connected.as_deref() == Some("CONNECTED") {
        return CONNECTED.ok(subject, "CONNECTED");
    }
    let error = told.error.as_ref();
    let error =
        error.map_or_else(String::new, |(number, text)| format!(" ({number}: {})", plain(text)));
    let here = match side {
        Side::SqlServer => "port 5022 out to the managed instance's subnet, 5022 and 11000-11999",
        Side::ManagedInstance => "port 5022 out to SQL Server, by its network security group",
    };
    CONNECTED
        .wrong(subject, format!("DISCONNECTED{error}"))
        .mend(How::Words, door.host, format!("look at the endpoint and the certificates of both sides first (above), then at the network: {here}"))
}

fn mode(door: &Door<'_>, subject: &str, name: &str, group: &Group) -> Finding {
    let synchronous = |member: &&Member| member.mode == "SYNCHRONOUS_COMMIT";
    if group.members.iter().find(synchronous).is_none() {
        return MODE.ok(subject, "ASYNCHRONOUS_COMMIT");
    }
    let legs = group.members.iter().map(|member| {
        format!("{} WITH (AVAILABILITY_MODE = ASYNCHRONOUS_COMMIT)", quoted(&member.name))
    });
    let text = format!(
        "ALTER AVAILABILITY GROUP {} MODIFY AVAILABILITY GROUP ON {};",
        bracketed(name),
        legs.collect::<Vec<_>>().join(", ")
    );
    MODE.warning(subject, "SYNCHRONOUS_COMMIT: every commit waits for the way to Azure and back")
        .mend(How::Sql, door.host, text)
}

fn required(door: &Door<'_>, subject: &str, name: &str, group: &Group) -> Finding {
    if group.required_synchronized == 0 {
        return REQUIRED.ok(subject, "0");
    }
    let text = format!(
        "ALTER AVAILABILITY GROUP {} SET (REQUIRED_SYNCHRONIZED_SECONDARIES_TO_COMMIT = 0);",
        bracketed(name)
    );
    let evidence =
        format!("{}: when the link is away, nothing commits", group.required_synchronized);
    REQUIRED.wrong(subject, evidence).mend(How::Sql, door.host, text)
}

fn timeout(door: &Door<'_>, subject: &str, group: &Group) -> Finding {
    let legs = group.members.iter().filter_map(|member| member.session_timeout_s);
    let Some(seconds) = legs.max() else {
        return TIMEOUT.unasked(subject, "the group has no members");
    };
    let text = "recreate the group with SESSION_TIMEOUT = 20, as Microsoft's scripts have it";
    if seconds > TIMEOUT_MOST_S {
        let evidence = format!(
            "{seconds} s: for so long the managed instance keeps saying that it hears a primary that is gone, and nothing is proposed"
        );
        return TIMEOUT.warning(subject, evidence).mend(How::Words, door.host, text);
    }
    if seconds < TIMEOUT_LEAST_S {
        let evidence = format!("{seconds} s: a short stall of the network looks like an outage");
        return TIMEOUT.warning(subject, evidence).mend(How::Words, door.host, text);
    }
    TIMEOUT.ok(subject, format!("{seconds} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::{Verdict, reach::Peer};

    fn door() -> Door<'static> {
        let subject = "SQL Server s";
        Door { subject, peer: Peer::SqlServer, host: "h", port: 1433, key: "sql_servers[0]" }
    }

    fn leg(name: &str, url: &str, is_local: bool, role: &str) -> Member {
        Member {
            name: name.into(),
            endpoint_url: url.into(),
            mode: "ASYNCHRONOUS_COMMIT".into(),
            session_timeout_s: Some(20),
            is_local: Some(is_local),
            role: Some(role.into()),
            connected: Some("CONNECTED".into()),
            error: None,
        }
    }

    fn healthy() -> Group {
        let own = leg("AG", "TCP://10.0.0.4:5022", true, "PRIMARY");
        let far = leg("MI", "tcp://mi.z.database.windows.net:5022;Server=[mi]", false, "SECONDARY");
        Group { is_distributed: true, required_synchronized: 0, members: vec![own, far] }
    }

    fn wrong(group: &Group) -> Vec<&'static str> {
        let found = super::group(&door(), "l", Side::SqlServer, "L", Some(group));
        let wrong = found.iter().filter(|finding| finding.verdict != Verdict::Ok);
        wrong.map(|finding| finding.check).collect()
    }

    #[test]
    fn each_setting_of_a_group_is_judged_for_itself() {
        assert!(wrong(&healthy()).is_empty());
        assert_eq!(role(Some(&healthy())).as_deref(), Some("PRIMARY"));
        let host = partner_host(&healthy());
        assert_eq!(host.as_deref(), Some("mi.z.database.windows.net"));
        let mut sick = healthy();
        sick.required_synchronized = 1;
        sick.members[0].mode = "SYNCHRONOUS_COMMIT".into();
        sick.members[0].session_timeout_s = Some(120);
        sick.members[1].connected = Some("DISCONNECTED".into());
        let expected = [
            "link.connected",
            "link.availability_mode",
            "link.required_synchronized",
            "link.session_timeout",
        ];
        assert_eq!(wrong(&sick), expected);
        let local = Group { is_distributed: false, ..healthy() };
        assert_eq!(wrong(&local), ["link.group"]);
    }
}
