//! Who a client is: a login of the instance with its password, a Windows account by NTLM, or whoever
//! a token of Entra says.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::arm::{Claims, TokenKey, Unfit};
use crate::sql::{Error, External, Login};
use crate::world::{Instance, InstanceKind, Proof};

use super::Door;
use super::gate::Gate;
use super::login::Opening;
use super::login7::{self, Login7, Token};
use super::ntlm::{Answer, Exchange, Server};
use super::packet::{FEDAUTH, HEADER, MessageWriter, SSPI, invalid, read_message};
use super::prelogin::Nonce;
use super::token;

/// For what a token has to be made out.
const RESOURCE: &str = "https://database.windows.net/";
/// Before the login no packet is larger.
const PACKET: usize = 4096;
/// SQL Server 2022, the first one that takes tokens.
const FIRST_WITH_TOKENS: u8 = 16;

/// Who a client is, or why it is nobody.
pub(super) struct Who {
    pub(super) proof: Proof,
    /// The login, or what the client gave as such.
    pub(super) name: String,
    pub(super) login: Result<Login, Error>,
    /// A token was shown: the answer says so, with what the client wants to have back.
    pub(super) acknowledge: Option<Option<Nonce>>,
}

/// Whether an instance takes tokens of Entra.
pub(super) fn takes_tokens(instance: &Instance) -> bool {
    match instance.kind {
        InstanceKind::ManagedInstance { .. } => true,
        InstanceKind::SqlServer { .. } => crate::sql::version_of(instance).0 >= FIRST_WITH_TOKENS,
    }
}

/// The name of an instance on its machine; the default one has none.
pub(super) fn instance_name(server_name: &str) -> Option<&str> {
    server_name.split_once('\\').map(|(_, name)| name)
}

/// Finds out who a client is, which may take more messages.
///
/// # Errors
/// What the stream says, and messages that are none.
pub(super) async fn identify<S>(
    door: &Door,
    asked: &Login7,
    opening: &Opening,
    gate: &Gate,
    stream: &mut S,
) -> io::Result<Who>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Some(token) = &asked.token {
        return by_token(door, token, opening, gate, stream).await;
    }
    if let Some(first) = &asked.windows {
        return by_windows(door, first, gate, stream).await;
    }
    Ok(by_password(door, asked))
}

/// The login of the instance with that name.
pub(super) fn named<'d>(door: &'d Door, user: &str) -> Option<&'d Login> {
    let own = door.logins.iter().filter(|login| login.external.is_none());
    own.into_iter().find(|login| login.name.eq_ignore_ascii_case(user))
}

fn by_password(door: &Door, asked: &Login7) -> Who {
    let known = named(door, &asked.user).filter(|login| {
        let other = door.world.with(|world| {
            let instance = world.instance(&door.instance)?;
            instance.setup().login(&login.name).password
        });
        other.as_ref().unwrap_or(&login.password) == &asked.password
    });
    Who {
        proof: Proof::Password,
        name: asked.user.clone(),
        login: known.cloned().ok_or_else(|| failed(&asked.user)),
        acknowledge: None,
    }
}

async fn by_windows<S>(door: &Door, first: &[u8], gate: &Gate, stream: &mut S) -> io::Result<Who>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let nobody = |name: String| Who {
        proof: Proof::Windows,
        name,
        login: Err(untrusted()),
        acknowledge: None,
    };
    let machine = door.world.with(|world| {
        let instance = world.instance(&door.instance)?;
        let windows = matches!(instance.kind, InstanceKind::SqlServer { .. });
        let machine = instance.server_name.split(['.', '\\']).next()?.to_owned();
        windows.then(|| (machine, world.directory().domain.clone()))
    });
    let Some((machine, domain)) = machine else { return Ok(nobody(String::new())) };
    let now = door.world.wall();
    let mut nonce = [0; 8];
    fastrand::fill(&mut nonce);
    let server = Server { domain: &domain, machine: &machine };
    let exchange = match Exchange::begin(first, &server, now, nonce) {
        Ok(exchange) => exchange,
        Err(why) => {
            tracing::debug!(instance = door.instance, "NTLM: {}", why.0);
            return Ok(nobody(String::new()));
        }
    };
    let mut out = Vec::new();
    token::sspi(exchange.challenge(), &mut out);
    let answer = exchange_messages(SSPI, out, gate, stream).await?;
    let answer = match Answer::read(&answer) {
        Ok(answer) => answer,
        Err(why) => {
            tracing::debug!(instance = door.instance, "NTLM: {}", why.0);
            return Ok(nobody(String::new()));
        }
    };
    let name = format!("{}\\{}", domain, answer.user);
    let known = answer.domain.eq_ignore_ascii_case(&domain);
    let account = door.world.with(|world| world.directory().account(&answer.user).cloned());
    let Some(account) = account.filter(|account| known && !account.disabled) else {
        return Ok(nobody(name));
    };
    if let Err(why) = exchange.proves(&answer, &account.password, now) {
        tracing::debug!(instance = door.instance, name, "NTLM: {}", why.0);
        return Ok(nobody(name));
    }
    let login = door.logins.iter().find(|login| {
        login.external == Some(External::Windows) && login.name.eq_ignore_ascii_case(&name)
    });
    let login = login.cloned().ok_or_else(|| failed(&name));
    Ok(Who { proof: Proof::Windows, name, login, acknowledge: None })
}

async fn by_token<S>(
    door: &Door,
    shown: &Token,
    opening: &Opening,
    gate: &Gate,
    stream: &mut S,
) -> io::Result<Who>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let nobody = |error| Who {
        proof: Proof::Token,
        name: "<token-identified principal>".to_owned(),
        login: Err(error),
        acknowledge: None,
    };
    let (echo, here) = match shown {
        Token::Here { echo, token, nonce } => (*echo, Some((token.clone(), *nonce))),
        Token::Later { echo } => (*echo, None),
        Token::Unknown => return Ok(nobody(refused("", 1))),
    };
    if !opening.tokens {
        return Ok(nobody(failed("")));
    }
    if echo != opening.asked.token.unwrap_or(false) {
        return Err(invalid("LOGIN7 does not repeat what PRELOGIN has said of tokens"));
    }
    let (text, nonce) = match here {
        Some(here) => here,
        None => {
            let url = door.world.with(|world| {
                let directory = world.directory();
                format!("{}/{}", directory.authority, directory.tenant)
            });
            let mut out = Vec::new();
            token::token_info(&url, RESOURCE, &mut out);
            login7::later(&exchange_messages(FEDAUTH, out, gate, stream).await?)?
        }
    };
    if nonce != opening.asked.nonce.map(|_| opening.nonce) {
        return Err(invalid("the token does not come with what PRELOGIN has given"));
    }
    let now = door.world.wall();
    let claims = door.world.with(|world| TokenKey::of(world.directory()).check(&text, now));
    let claims = match claims {
        Ok(claims) => claims,
        // Seen in the field with state 233.
        Err(Unfit::Expired(_)) => return Ok(nobody(refused(" Token is expired.", 233))),
        Err(Unfit::Foreign) => return Ok(nobody(refused(" Incorrect or invalid token.", 1))),
    };
    if claims.aud.trim_end_matches('/') != RESOURCE.trim_end_matches('/') {
        return Ok(nobody(refused(" Incorrect or invalid token.", 1)));
    }
    let login = principal(door, &claims).cloned();
    let name = login.as_ref().map_or(claims.appid.clone(), |login| login.name.clone());
    Ok(Who {
        proof: Proof::Token,
        name,
        login: login.ok_or_else(|| refused("", 1)),
        acknowledge: Some(opening.asked.nonce),
    })
}

/// The login that was made for a principal of the tenant.
fn principal<'d>(door: &'d Door, claims: &Claims) -> Option<&'d Login> {
    door.logins.iter().find(|login| match &login.external {
        Some(External::Application(client)) => client.eq_ignore_ascii_case(&claims.appid),
        Some(External::Windows) | None => false,
    })
}

/// Says something in the middle of a login, and hears the answer, which is of this kind.
async fn exchange_messages<S>(
    kind: u8,
    mut out: Vec<u8>,
    gate: &Gate,
    stream: &mut S,
) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    debug_assert!(out.len() <= PACKET - HEADER, "it fits in one packet");
    gate.outbound(out.len()).await?;
    MessageWriter::new(&mut *stream, PACKET, 0).write(&mut out, true).await?;
    let message = read_message(stream).await?;
    gate.inbound(message.data.len()).await?;
    if message.kind == kind {
        return Ok(message.data);
    }
    Err(invalid(format!("a message of type {:#04x} in the middle of a login", message.kind)))
}

/// What everybody hears whose login or password is wrong.
pub(super) fn failed(user: &str) -> Error {
    Error::new(18_456, 14, format!("Login failed for user '{user}'."))
}

fn refused(why: &str, state: u8) -> Error {
    let text = format!("Login failed for user '<token-identified principal>'.{why}");
    Error { state, ..Error::new(18_456, 14, text) }
}

fn untrusted() -> Error {
    let text = "Login failed. The login is from an untrusted domain and cannot be used with \
                Integrated authentication.";
    Error::new(18_452, 14, text)
}
