//! Who may log in, and what the answer says.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::serve::SharedWorld;
use crate::sql::{Error, Login, Session, enter, version_of};
use crate::world::{Entry, NewSession, Party, Proof, Stage, Wire};

use super::Door;
use super::gate::Gate;
use super::identity::{Who, failed, identify, named};
use super::line::{Cable, Peer};
use super::login7::{self, Login7};
use super::packet::{MessageWriter, invalid};
use super::prelogin::{Cover, Nonce, Prelogin};
use super::refusal::refused;
use super::token::{self, Change};
use super::trouble::Mishap;

/// Until the login, and if the client asks for nothing.
const DEFAULT_PACKET: usize = 4096;
/// SQL Server 2019, the first one with text in UTF-8; a managed instance says 12 of itself.
const WITH_UTF8: u8 = 15;
const MANAGED: u8 = 12;
const PACKET_SIZES: std::ops::RangeInclusive<u32> = 512..=32_767;

/// A client that is logged in.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) gate: Gate,
    pub(super) packet_size: usize,
    pub(super) server: String,
    pub(super) cable: Arc<Cable>,
    /// Whether it takes NBCROW.
    pub(super) compact: bool,
    _seat: Seat,
}

/// The session's place in the world, until it leaves.
struct Seat {
    world: SharedWorld,
    instance: String,
    id: u16,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.world.with(|world| world.close_session(&self.instance, self.id));
    }
}

/// What was agreed upon before the login.
pub(super) struct Opening {
    pub(super) cover: Cover,
    /// TLS came before everything else.
    pub(super) strict: bool,
    /// What the client said in PRELOGIN.
    pub(super) asked: Prelogin,
    /// Whether the server has said that it takes tokens.
    pub(super) tokens: bool,
    /// What it has given to come with them.
    pub(super) nonce: Nonce,
    /// The client's end of the connection.
    pub(super) peer: Peer,
}

/// Checks a LOGIN7 and answers it; `None` if it was refused.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    door: &Door,
    data: &[u8],
    opening: &Opening,
    stream: &mut S,
) -> io::Result<Option<Client>> {
    let asked = login7::parse(data)?;
    // Whoever it is, the path of a party that nobody knows is the agent's: see `Party`.
    let party = match asked.program.strip_prefix("app:") {
        Some(name) => Party::Application(name.to_owned()),
        None => named(door, &asked.user).map_or(Party::Agent, |login| login.party.clone()),
    };
    let gate = Gate::new(door.world.clone(), party, &door.instance);
    gate.inbound(data.len()).await?;
    let instance = door.world.with(|world| {
        world.instance(&door.instance).map(|i| (i.server_name.clone(), version_of(i)))
    });
    let (server, version) = instance.ok_or_else(|| invalid("the instance is gone"))?;
    let who = identify(door, &asked, opening, &gate, stream).await?;
    let acknowledge = who.acknowledge;
    let packet_size = packet_size(&asked);
    let wire = Wire {
        packet_size: u32::try_from(packet_size).unwrap_or_default(),
        encrypted: opening.cover == Cover::Everything,
        scheme: if who.proof == Proof::Windows { "NTLM" } else { "SQL" },
    };
    let admitted = admit(door, &asked, (opening, wire), who);
    let mut out = Vec::new();
    let admitted = match admitted {
        Err(errors) => {
            for error in errors {
                token::message(&error, &server, &mut out);
            }
            token::done(token::DONE, token::FAILED, 0, None, &mut out);
            None
        }
        Ok((mut session, seat)) => {
            session.address = opening.peer.address;
            session.encrypted = opening.cover == Cover::Everything;
            let greeting = Greeting {
                server: &server,
                version,
                packet_size,
                acknowledge,
                spoken: asked.version,
                utf8: asked.features.contains(&token::UTF8) && has_utf8(version),
            };
            let redirect = door.options().redirect;
            greeting.write(&session, redirect, &mut out);
            // Whoever is sent elsewhere has no session here.
            Some((session, seat)).filter(|_| redirect.is_none())
        }
    };
    let id = admitted.as_ref().map_or(0, |(session, _)| session.id);
    let mut writer = MessageWriter::new(stream, DEFAULT_PACKET, id);
    writer.mishap = Mishap::take(door, &opening.peer.cable, &[Stage::Login]);
    gate.outbound(out.len()).await?;
    writer.write(&mut out, true).await?;
    if admitted.is_none() {
        writer.shutdown().await;
    }
    Ok(admitted.map(|(session, seat)| Client {
        session,
        gate,
        packet_size,
        server,
        cable: opening.peer.cable.clone(),
        compact: token::takes_compact(asked.version),
        _seat: seat,
    }))
}

/// The size of packets after the login.
fn packet_size(asked: &Login7) -> usize {
    let wanted = Some(asked.packet_size).filter(|size| PACKET_SIZES.contains(size));
    wanted.and_then(|size| usize::try_from(size).ok()).unwrap_or(DEFAULT_PACKET)
}

fn has_utf8((major, ..): (u8, u8, u16)) -> bool {
    major == MANAGED || major >= WITH_UTF8
}

/// The session, or why there is none; either is noted.
fn admit(
    door: &Door,
    asked: &Login7,
    (opening, wire): (&Opening, Wire),
    who: Who,
) -> Result<(Session, Seat), Vec<Error>> {
    let Who { proof, name, login, acknowledge: _ } = who;
    let told = door.world.with(|world| world.take_login_failure(&door.instance));
    let admitted = match told {
        Some((number, state)) => Err(told_to_fail(number, state, asked)),
        None => {
            login.map_err(|error| vec![error]).and_then(|login| enter_as(door, asked, login, wire))
        }
    };
    let refused = admitted.as_ref().err().and_then(|errors| errors.first());
    let refused = refused.map(|error| error.number);
    door.world.with(|world| {
        world.note_entry(Entry {
            at: world.now(),
            instance: door.instance.clone(),
            login: name,
            program: asked.program.clone(),
            address: opening.peer.address,
            proof,
            strict: opening.strict,
            refused,
        });
    });
    admitted
}

/// What a fault says of this login; 18456 follows a database that cannot be opened.
fn told_to_fail(number: u32, state: Option<u8>, asked: &Login7) -> Vec<Error> {
    let user = asked.user.as_str();
    let wanted = if asked.database.is_empty() { "master" } else { &asked.database };
    let error = refused(number, user, wanted).state(state.unwrap_or(1));
    let also = (number == 4_060).then(|| failed(user));
    std::iter::once(error).chain(also).collect()
}

fn enter_as(
    door: &Door,
    asked: &Login7,
    found: Login,
    wire: Wire,
) -> Result<(Session, Seat), Vec<Error>> {
    let setup = door.world.with(|world| {
        world.instance(&door.instance).map(|instance| instance.setup().login(&found.name))
    });
    let setup = setup.unwrap_or_default();
    let login = &found.as_set_up(&setup);
    if let Some(number) = setup.refused {
        return Err(vec![refused(number, &login.name, "master")]);
    }
    let wanted = if asked.database.is_empty() { &login.default_database } else { &asked.database };
    door.world.with(|world| {
        let mut probe = Session::new(0, login, &asked.program, &asked.host, wanted);
        probe.read_only = asked.read_only;
        let database = enter(wanted, world, &door.instance, &probe).map_err(|error| {
            // A database that is there but not accessible says why itself.
            if !matches!(error.number, 911 | 916) {
                return vec![error, failed(&login.name)];
            }
            vec![refused(4_060, &login.name, wanted), failed(&login.name)]
        })?;
        let new = NewSession {
            login: login.name.clone(),
            program: asked.program.clone(),
            host: asked.host.clone(),
            database: database.clone(),
            wire,
        };
        let Some(id) = world.open_session(&door.instance, new) else {
            return Err(vec![refused(17_187, &login.name, wanted)]);
        };
        let seat = Seat { world: door.world.clone(), instance: door.instance.clone(), id };
        let mut session = Session::new(id, login, &asked.program, &asked.host, &database);
        session.read_only = asked.read_only;
        Ok((session, seat))
    })
}

/// What the answer to a login says beside who it is.
struct Greeting<'g> {
    server: &'g str,
    version: (u8, u8, u16),
    packet_size: usize,
    acknowledge: Option<Option<Nonce>>,
    /// The version of the protocol that the client speaks.
    spoken: u32,
    /// It has asked for UTF-8, which is there.
    utf8: bool,
}

impl Greeting<'_> {
    fn write(&self, session: &Session, redirect: Option<u16>, out: &mut Vec<u8>) {
        let database = session.database.as_str();
        let change = |what: Change, out: &mut Vec<u8>| token::change(&what, out);
        change(Change::Database { new: database.to_owned(), old: "master".to_owned() }, out);
        let text = format!("Changed database context to '{database}'.");
        let info = Error { state: 2, ..Error::new(5_701, 0, text) };
        token::message(&info, self.server, out);
        change(Change::Collation, out);
        change(Change::Language, out);
        let text = "Changed language setting to us_english.";
        token::message(&Error::new(5_703, 0, text), self.server, out);
        token::login_ack(self.spoken, self.version, out);
        token::features_ack(self.acknowledge.as_ref(), self.utf8, out);
        change(Change::PacketSize { new: self.packet_size, old: DEFAULT_PACKET }, out);
        if let Some(port) = redirect {
            change(Change::Routing { host: "localhost".to_owned(), port }, out);
        }
        token::done(token::DONE, 0, 0, None, out);
    }
}
