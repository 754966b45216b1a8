//! Who may log in, and what the answer says.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::serve::SharedWorld;
use crate::sql::{Error, Login, Session, enter, version_of};
use crate::world::{Entry, NewSession, Party, Proof, Wire};

use super::Door;
use super::gate::Gate;
use super::identity::{Who, failed, identify, named};
use super::login7::{self, Login7};
use super::packet::{MessageWriter, invalid};
use super::prelogin::{Cover, Nonce, Prelogin};
use super::token::{self, Change};

/// Until the login, and if the client asks for nothing.
const DEFAULT_PACKET: usize = 4096;
const PACKET_SIZES: std::ops::RangeInclusive<u32> = 512..=32_767;

/// A client that is logged in.
pub(super) struct Client {
    pub(super) session: Session,
    pub(super) gate: Gate,
    pub(super) packet_size: usize,
    pub(super) server: String,
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
    /// Where the client is.
    pub(super) peer: Option<SocketAddr>,
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
    gate.inbound().await?;
    let instance = door.world.with(|world| {
        world.instance(&door.instance).map(|i| (i.server_name.clone(), version_of(i)))
    });
    let (server, version) = instance.ok_or_else(|| invalid("the instance is gone"))?;
    let who = identify(door, &asked, opening, &gate, stream).await?;
    let acknowledge = who.acknowledge;
    let packet_size = match asked.packet_size {
        size if PACKET_SIZES.contains(&size) => usize::try_from(size).unwrap_or(DEFAULT_PACKET),
        _ => DEFAULT_PACKET,
    };
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
            session.address = opening.peer;
            session.encrypted = opening.cover == Cover::Everything;
            let greeting = Greeting { server: &server, version, packet_size, acknowledge };
            greeting.write(&session, door.options.redirect, &mut out);
            // Whoever is sent elsewhere has no session here.
            Some((session, seat)).filter(|_| door.options.redirect.is_none())
        }
    };
    let id = admitted.as_ref().map_or(0, |(session, _)| session.id);
    let mut writer = MessageWriter::new(stream, DEFAULT_PACKET, id);
    gate.outbound().await?;
    writer.write(&mut out, true).await?;
    if admitted.is_none() {
        writer.shutdown().await;
    }
    Ok(admitted.map(|(session, seat)| Client { session, gate, packet_size, server, _seat: seat }))
}

/// The session, or why there is none; either is noted.
fn admit(
    door: &Door,
    asked: &Login7,
    (opening, wire): (&Opening, Wire),
    who: Who,
) -> Result<(Session, Seat), Vec<Error>> {
    let Who { proof, name, login, acknowledge: _ } = who;
    let admitted =
        login.map_err(|error| vec![error]).and_then(|login| enter_as(door, asked, login, wire));
    let refused = admitted.as_ref().err().and_then(|errors| errors.first());
    let refused = refused.map(|error| error.number);
    door.world.with(|world| {
        world.note_entry(Entry {
            at: world.now(),
            instance: door.instance.clone(),
            login: name,
            program: asked.program.clone(),
            address: opening.peer,
            proof,
            strict: opening.strict,
            refused,
        });
    });
    admitted
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
        return Err(vec![refused(number, &login.name)]);
    }
    let wanted = if asked.database.is_empty() { &login.default_database } else { &asked.database };
    door.world.with(|world| {
        let probe = Session::new(0, login, &asked.program, &asked.host, wanted);
        let database = enter(wanted, world, &door.instance, &probe).map_err(|error| {
            // A database that is there but not accessible says why itself.
            if !matches!(error.number, 911 | 916) {
                return vec![error, failed(&login.name)];
            }
            let text = format!(
                "Cannot open database \"{wanted}\" requested by the login. The login failed."
            );
            vec![Error::new(4_060, 11, text), failed(&login.name)]
        })?;
        let new = NewSession {
            login: login.name.clone(),
            program: asked.program.clone(),
            host: asked.host.clone(),
            database: database.clone(),
            wire,
        };
        let Some(id) = world.open_session(&door.instance, new) else {
            let text = "SQL Server is not ready to accept new client connections. Wait a few \
                        minutes before trying again.";
            return Err(vec![Error::new(17_187, 16, text)]);
        };
        let seat = Seat { world: door.world.clone(), instance: door.instance.clone(), id };
        Ok((Session::new(id, login, &asked.program, &asked.host, &database), seat))
    })
}

/// Why a login with the right password does not come in.
fn refused(number: u32, user: &str) -> Error {
    let reason = match number {
        18_470 => ". Reason: The account is disabled.",
        18_486 => {
            " because the account is currently locked out. The system administrator can unlock it."
        }
        18_487 => ".  Reason: The password of the account has expired.",
        18_488 => ".  Reason: The password of the account must be changed.",
        40_613 => {
            let text = "Database 'master' on server is not currently available. Please retry the \
                        connection later.";
            return Error::new(40_613, 17, text);
        }
        _ => ".",
    };
    let number = i32::try_from(number).unwrap_or(18_456);
    Error::new(number, 14, format!("Login failed for user '{user}'{reason}"))
}

/// What the answer to a login says beside who it is.
struct Greeting<'g> {
    server: &'g str,
    version: (u8, u8, u16),
    packet_size: usize,
    acknowledge: Option<Option<Nonce>>,
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
        token::login_ack(self.version, out);
        if let Some(nonce) = &self.acknowledge {
            token::token_ack(nonce.as_ref(), out);
        }
        change(Change::PacketSize { new: self.packet_size, old: DEFAULT_PACKET }, out);
        if let Some(port) = redirect {
            change(Change::Routing { host: "localhost".to_owned(), port }, out);
        }
        token::done(token::DONE, 0, 0, None, out);
    }
}
