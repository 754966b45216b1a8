//! One reading of a side from what its replicas said. Pure.
//!
//! A side that is an availability group of its own is alive as long as one of its replicas is. Who
//! speaks for it is the replica that is primary within that group: on it, and on no other, the role
//! in the distributed group and the state of the database are the side's own. While none is (a local
//! failover takes 10 to 60 s) the side is changing its role, which is neither silence nor a loss.

use agent_core::{ReplicaReading, Role, Seen, SideReading, Silence, SilenceKind};

use super::reading::Told;
use crate::text::plain;

/// What was said of one link, by whom.
pub type Said<'a> = (&'a str, Result<Told, Silence>);

/// What it means for the side, and the place of the one that speaks for it, if one does. The last
/// of `said` is the listener's, if `listener`: it leads to one of the others.
#[must_use]
pub fn seen(mut said: Vec<Said<'_>>, listener: bool) -> (Seen, Option<usize>) {
    // One that is secondary within its own group is one of several, whoever else is asked.
    let second =
        |(_, said): &Said<'_>| said.as_ref().is_ok_and(|told| told.local == Some(Role::Secondary));
    let many = said.len() > 1 || said.iter().any(second);
    let replicas: Vec<_> = if many { said.iter().map(shown).collect() } else { Vec::new() };
    let primaries = primaries(&said, listener);
    match primaries.as_slice() {
        [at] => match said.swap_remove(*at).1 {
            Ok(told) => (Seen::Side(SideReading { replicas, ..told.reading }), Some(*at)),
            Err(silence) => (Seen::Silence(silence), None),
        },
        [] => (without_primary(&said, replicas, listener), None),
        [_, _, ..] => {
            let detail = format!("more than one replica says that it is primary: {}", all(&said));
            let kind = SilenceKind::Garbled;
            (Seen::Silence(Silence { kind, detail: plain(&detail) }), None)
        }
    }
}

/// Who may speak for the side.
fn primaries(said: &[Said<'_>], listener: bool) -> Vec<usize> {
    // A server that is no member of a local group, as a managed instance, speaks for itself.
    if let [(_, Ok(told))] = said
        && told.local.is_none()
    {
        return vec![0];
    }
    let primary =
        |(_, said): &Said<'_>| said.as_ref().is_ok_and(|told| told.local == Some(Role::Primary));
    let mut found: Vec<usize> =
        said.iter().enumerate().filter(|(_, one)| primary(one)).map(|(at, _)| at).collect();
    if listener && found.len() > 1 {
        found.retain(|at| at + 1 < said.len());
    }
    found
}

/// No replica is primary of the local group.
fn without_primary(said: &[Said<'_>], replicas: Vec<ReplicaReading>, listener: bool) -> Seen {
    let own = if listener { &said[..said.len() - 1] } else { said };
    let answers: Vec<&Told> = said.iter().filter_map(|(_, said)| said.as_ref().ok()).collect();
    let Some(one) = answers.first() else { return Seen::Silence(silence(said)) };
    // Only if all of them say that there is no such link, there is none.
    let absent = |(_, said): &Said<'_>| {
        said.as_ref().is_ok_and(|told| told.reading.role == Role::Absent && told.local.is_none())
    };
    let role = if own.iter().all(absent) { Role::Absent } else { Role::Resolving };
    Seen::Side(SideReading {
        role,
        connected: None,
        sync_health: None,
        partner: None,
        replicas,
        ..one.reading.clone()
    })
}

/// Nobody said anything of the link. A sign of life from one of them is one of the side.
fn silence(said: &[Said<'_>]) -> Silence {
    let silences: Vec<&Silence> = said.iter().filter_map(|(_, said)| said.as_ref().err()).collect();
    let alive = silences.iter().find(|silence| !silence.kind.is_miss());
    let refused = silences.iter().find(|silence| silence.kind == SilenceKind::Refused);
    let kind = alive.or(refused).or(silences.first()).map(|silence| silence.kind);
    let detail = match said {
        [(_, Err(one))] => one.detail.clone(),
        _ => plain(&all(said)),
    };
    Silence { kind: kind.unwrap_or(SilenceKind::Garbled), detail }
}

fn shown((name, said): &Said<'_>) -> ReplicaReading {
    let role = said.as_ref().ok().and_then(|told| told.local);
    let said = match said {
        Ok(Told { local: Some(role), .. }) => word(*role).to_owned(),
        Ok(Told { local: None, .. }) => "without the local group".to_owned(),
        Err(silence) => plain(&silence.detail),
    };
    ReplicaReading { name: (*name).to_owned(), role, said }
}

fn all(said: &[Said<'_>]) -> String {
    let each = said.iter().map(|one| {
        let ReplicaReading { name, said, .. } = shown(one);
        format!("{name}: {said}")
    });
    each.collect::<Vec<_>>().join("; ")
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Primary => "PRIMARY",
        Role::Secondary => "SECONDARY",
        Role::Resolving => "RESOLVING",
        Role::Absent => "without the group",
    }
}

#[cfg(test)]
#[path = "side_tests.rs"]
mod tests;
