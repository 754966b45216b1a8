//! SQL Server Browser: tells by UDP at which port an instance of this machine listens ([MC-SQLR]).

use std::net::UdpSocket as StdSocket;

use anyhow::Context;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::SharedWorld;
use crate::{sql::version_of, world::Party};

const BROADCAST: u8 = 0x02;
const ALL: u8 = 0x03;
const ONE: u8 = 0x04;
const ANSWER: u8 = 0x05;
/// The longest name of an instance, with its end.
const LONGEST_NAME: usize = 33;
/// An answer about one instance is at most this long.
const LONGEST: usize = 1_024;
const DEFAULT_INSTANCE: &str = "MSSQLSERVER";

/// Where one instance listens.
pub(super) struct Listed {
    pub(super) instance: String,
    pub(super) server_name: String,
    pub(super) port: u16,
}

/// Answers until told to stop.
pub(super) async fn serve(
    world: SharedWorld,
    socket: StdSocket,
    listed: Vec<Listed>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let socket = UdpSocket::from_std(socket).context("a socket is not usable")?;
    let mut heard = [0; 1 + LONGEST_NAME + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut heard) => received,
            () = stop.cancelled() => return Ok(()),
        };
        // Windows and Linux tell here that nobody took an earlier answer.
        let Ok((count, from)) = received else { continue };
        if let Some(answer) = answer(&world, &listed, &heard[..count]) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

/// Silence for whatever is no question, for an instance that is not here, and for one that is down.
fn answer(world: &SharedWorld, listed: &[Listed], asked: &[u8]) -> Option<Vec<u8>> {
    let (all, name) = match asked {
        [BROADCAST | ALL] => (true, String::new()),
        [ONE, name @ ..] if name.len() <= LONGEST_NAME => {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            (false, String::from_utf8_lossy(name).into_owned())
        }
        _ => return None,
    };
    let asked = |one: &&Listed| all || name_of(&one.server_name).eq_ignore_ascii_case(&name);
    let text: String = listed.iter().filter(asked).filter_map(|one| describe(world, one)).collect();
    let length = u16::try_from(text.len()).ok().filter(|length| *length > 0)?;
    if !all && text.len() > LONGEST {
        return None;
    }
    Some([&[ANSWER], &length.to_le_bytes()[..], text.as_bytes()].concat())
}

fn describe(world: &SharedWorld, one: &Listed) -> Option<String> {
    let server = Party::Instance(one.instance.clone());
    let passes = world.with(|world| {
        let open = |from: &Party, to: &Party| {
            matches!(world.reachable(from, to), crate::world::Reach::Open { .. })
        };
        open(&Party::Agent, &server) && open(&server, &Party::Agent)
    });
    let (major, minor, build) = world.with(|world| {
        world.instance(&one.instance).filter(|instance| instance.listens()).map(version_of)
    })?;
    let machine = one.server_name.split(['\\', '.']).next().unwrap_or_default();
    let text = format!(
        "ServerName;{machine};InstanceName;{};IsClustered;No;Version;{major}.{minor}.{build}.0;\
         tcp;{};;",
        name_of(&one.server_name),
        one.port
    );
    passes.then_some(text)
}

fn name_of(server_name: &str) -> &str {
    server_name.split_once('\\').map_or(DEFAULT_INSTANCE, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Fault, World, WorldSpec};

    fn machine() -> (SharedWorld, Vec<Listed>) {
        let mut spec = WorldSpec::default();
        spec.instances[0].server_name = "SQL01\\DR".into();
        let start = "2026-03-02T10:00:00Z".parse().expect("a time");
        let world = World::new(&spec, 1, start).expect("right");
        let listed = |instance: &str, server_name: &str, port| Listed {
            instance: instance.into(),
            server_name: server_name.into(),
            port,
        };
        let listed = vec![listed("sql01", "SQL01\\DR", 51_433), listed("mi-dr", "mi-dr.x", 1_433)];
        (SharedWorld::new(world, 1.0), listed)
    }

    fn ask(world: &SharedWorld, listed: &[Listed], asked: &[u8]) -> Option<String> {
        let answer = answer(world, listed, asked)?;
        assert_eq!(answer[0], ANSWER);
        assert_eq!(usize::from(u16::from_le_bytes([answer[1], answer[2]])), answer.len() - 3);
        Some(String::from_utf8(answer[3..].to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn an_instance_is_found_by_its_name_as_long_as_it_listens() {
        let (world, listed) = machine();
        let one = "ServerName;SQL01;InstanceName;DR;IsClustered;No;Version;16.0.4125.0;tcp;51433;;";
        assert_eq!(ask(&world, &listed, b"\x04dr\0").as_deref(), Some(one));
        let all = ask(&world, &listed, b"\x03").expect("both");
        assert!(all.starts_with(one) && all.contains("InstanceName;MSSQLSERVER"), "{all}");
        for other in [&b"\x04PROD\0"[..], b"", b"\x04", b"\x09DR\0", &[ONE; 60]] {
            assert_eq!(ask(&world, &listed, other), None, "{other:?}");
        }
        world.with(|world| world.fault(Fault::Stop { instance: "sql01".into() })).expect("known");
        assert_eq!(ask(&world, &listed, b"\x04DR\0"), None);
    }
}
