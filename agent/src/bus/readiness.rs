//! Is the broker ready: reached, believed, logged in to, with the exchange as it must be, and somebody
//! who wants what is published. Nothing is declared and nothing is sent, unless a message is asked for.

use std::{net::SocketAddr, time::Duration};

use lapin::{
    BasicProperties, ExchangeKind,
    options::ExchangeDeclareOptions,
    types::{FieldTable, ShortString},
};
use probes::{
    Now,
    readiness::{
        Check, Finding, How, Limits, Stage, Verdict, leave_unasked,
        reach::{self, Door, Peer},
    },
};
use tokio::time::timeout;

use super::{
    BusError, BusSettings,
    connection::{Answer, Look, look, publish},
    message::Message,
};

/// Is the user let in?
pub const LOGIN: Check = Check {
    id: "bus.login",
    stage: Stage::Login,
    question: "Does the broker let the user in?",
    source: "connection.start of AMQP: 403 ACCESS_REFUSED",
};
/// Is the virtual host there, for this user?
pub const VHOST: Check = Check {
    id: "bus.vhost",
    stage: Stage::Rights,
    question: "Is the virtual host there, and open to the user?",
    source: "connection.open of AMQP: 530 NOT_ALLOWED",
};
/// Is the exchange what it must be?
pub const EXCHANGE: Check = Check {
    id: "bus.exchange",
    stage: Stage::Answer,
    question: "Is the exchange there, a durable topic exchange?",
    source: "exchange.declare, passive; then as the agent does it, which changes nothing that is there",
};
/// Does anybody want what is published?
pub const BOUND: Check = Check {
    id: "bus.bound",
    stage: Stage::Server,
    question: "Does a queue want what is published?",
    source: "the status of the running agent, or a message that expires at once",
};

const ALL: [&Check; 7] =
    [&reach::NAME, &reach::PORT, &reach::TLS, &LOGIN, &VHOST, &EXCHANGE, &BOUND];
/// As the findings name it.
pub const SUBJECT: &str = "the bus";
const KEY: &str = "bus";

/// What a running agent says of its bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    pub published: u64,
    /// Messages that no queue wanted and that are tried again.
    pub held_up: u64,
}

/// How to find out whether a queue is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// By what a running agent says, if there is one.
    Agent(Option<Running>),
    /// By a message that expires when it reaches a queue. A consumer that waits there gets it all the
    /// same, so this is only done if somebody asks for it.
    Message,
}

/// Asks everything; every check has a finding when this returns, within the limits. The addresses are
/// the broker's.
pub async fn readiness(
    settings: &BusSettings,
    ask: Ask,
    limits: Limits,
    now: &Now,
) -> (Vec<Finding>, Vec<SocketAddr>) {
    let mut found = Vec::new();
    let mut addresses = Vec::new();
    let asked = questions(settings, ask, limits, now, (&mut found, &mut addresses));
    let late = timeout(limits.endpoint, asked).await.is_err();
    let wrong = found.iter().find(|finding| finding.verdict == Verdict::Wrong);
    let because = match wrong {
        Some(finding) => finding.check.to_owned(),
        None if late => format!("not asked within {:?}", limits.endpoint),
        None => "no answer".to_owned(),
    };
    leave_unasked(&mut found, &ALL, SUBJECT, &because);
    (found, addresses)
}

async fn questions(
    settings: &BusSettings,
    ask: Ask,
    limits: Limits,
    now: &Now,
    (found, addresses): (&mut Vec<Finding>, &mut Vec<SocketAddr>),
) {
    let authority = &settings.url.uri().authority;
    let door = Door {
        subject: SUBJECT,
        peer: Peer::Broker,
        host: &authority.host,
        port: authority.port,
        key: KEY,
    };
    let (at, open) = reach::reach(&door, limits.each, now, found).await;
    let local = at.iter().all(|address| address.ip().is_loopback());
    *addresses = at;
    if !open {
        return;
    }
    let user = authority.userinfo.username.as_str();
    let vhost = settings.url.uri().vhost.as_str();
    let connected = look(settings).await;
    let session = match connected {
        Ok(session) => session,
        Err(error) => {
            refused(&door, settings, (user, vhost), &error, local, found);
            return;
        }
    };
    found.push(secured(settings, local));
    found.push(LOGIN.ok(SUBJECT, "the user is logged in"));
    found.push(VHOST.ok(SUBJECT, vhost));
    let exchange = exchange(&session, settings, vhost, limits.each).await;
    let there = exchange.verdict == Verdict::Ok;
    found.push(exchange);
    found.push(bound(&session, settings, vhost, ask, there).await);
}

fn secured(settings: &BusSettings, local: bool) -> Finding {
    if settings.url.tls() {
        return reach::TLS.ok(SUBJECT, "encrypted, and the certificate is believed");
    }
    if local {
        return reach::TLS.ok(SUBJECT, "not encrypted, and on this machine");
    }
    let evidence = "not encrypted: the password and every event can be read on the way";
    reach::TLS.warning(SUBJECT, evidence).mend(
        How::Config,
        "bus.url",
        "amqps:// and the port of the TLS listener (5671)",
    )
}

/// What kept the connection from being made. A stage that was passed before is told too.
fn refused(
    door: &Door<'_>,
    settings: &BusSettings,
    (user, vhost): (&str, &str),
    error: &BusError,
    local: bool,
    found: &mut Vec<Finding>,
) {
    let detail = causes(error);
    let has = |word: &str| detail.contains(word);
    let at = "the broker";
    if has("vhost") || has("NOT_ALLOWED") || has("NOT-ALLOWED") {
        found.push(secured(settings, local));
        found.push(LOGIN.ok(SUBJECT, "the user is logged in"));
        let finding = VHOST
            .wrong(SUBJECT, detail)
            .mend(
                How::Shell,
                at,
                format!(
                    "rabbitmqctl add_vhost {vhost} && rabbitmqctl set_permissions -p {vhost} {user} '^{0}$' \
                     '^{0}$' ''",
                    settings.exchange
                ),
            )
            .mend(How::Config, "bus.url", "the name of a virtual host that is there (%2f is `/`)");
        found.push(finding);
    } else if has("ACCESS_REFUSED") || has("ACCESS-REFUSED") || has("403") {
        found.push(secured(settings, local));
        let finding = LOGIN
            .wrong(SUBJECT, detail)
            .mend(
                How::Config,
                "bus.url",
                "user and password that the broker knows, in the file that stands there",
            )
            .mend(
                How::Shell,
                at,
                format!("rabbitmqctl change_password {user} '<the password in the file>'"),
            );
        found.push(finding);
    } else if settings.url.tls()
        && (has("certificate") || has("CertificateError") || has("UnknownIssuer"))
    {
        found.push(reach::tls_failed(door, &detail));
    } else {
        found.push(reach::not_tls(door, &format!("no AMQP there: {detail}"), door.key));
    }
}

async fn exchange(
    session: &Look,
    settings: &BusSettings,
    vhost: &str,
    within: Duration,
) -> Finding {
    let name = settings.exchange.as_str();
    match declare(session, name, true, within).await {
        Ok(()) => {}
        Err(detail) if detail.contains("NOT_FOUND") || detail.contains("404") => {
            return EXCHANGE
                .warning(SUBJECT, format!("there is no exchange {name}: the agent makes it, if the user may configure it"))
                .mend(How::Shell, "the broker", format!("rabbitmqadmin -V {vhost} declare exchange name={name} type=topic durable=true"));
        }
        Err(detail) => {
            return EXCHANGE.wrong(SUBJECT, detail).mend(
                How::Shell,
                "the broker",
                format!("rabbitmqctl set_permissions -p {vhost} <user> '^{name}$' '^{name}$' ''"),
            );
        }
    }
    match declare(session, name, false, within).await {
        Ok(()) => EXCHANGE.ok(SUBJECT, format!("{name} is a durable topic exchange")),
        Err(detail) if detail.contains("PRECONDITION") || detail.contains("406") => EXCHANGE
            .wrong(SUBJECT, detail)
            .mend(
                How::Config,
                "bus.exchange",
                "the name of an exchange of its own, durable and of type topic",
            )
            .mend(
                How::Shell,
                "the broker",
                format!(
                    "rabbitmqadmin -V {vhost} delete exchange name={name}  # if nobody else uses it"
                ),
            ),
        Err(detail) => EXCHANGE.wrong(SUBJECT, detail).mend(
            How::Shell,
            "the broker",
            format!("rabbitmqctl set_permissions -p {vhost} <user> '^{name}$' '^{name}$' ''"),
        ),
    }
}

/// Passive asks whether it is there; the other way is the agent's own, and changes nothing about an
/// exchange that is there.
async fn declare(
    session: &Look,
    name: &str,
    passive: bool,
    within: Duration,
) -> Result<(), String> {
    let options =
        ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
    let short = ShortString::try_new(name).map_err(|_| format!("{name:?} is too long"))?;
    let asked = async {
        let channel = session.channel().await.map_err(|error| causes(&error))?;
        channel
            .exchange_declare(short, ExchangeKind::Topic, options, FieldTable::default())
            .await
            .map_err(|error| causes(&error))
    };
    timeout(within, asked).await.unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
}

async fn bound(
    session: &Look,
    settings: &BusSettings,
    vhost: &str,
    ask: Ask,
    there: bool,
) -> Finding {
    let name = settings.exchange.as_str();
    let nobody = |evidence: &str| {
        BOUND.wrong(SUBJECT, format!("{evidence}: events wait in the journal, and hold up those behind them")).mend(
            How::Shell,
            "the broker",
            format!(
                "rabbitmqadmin -V {vhost} declare queue name=dr-agent durable=true; rabbitmqadmin -V {vhost} \
                 declare binding source={name} destination=dr-agent routing_key='#'"
            ),
        )
    };
    if !there {
        return BOUND.unasked(SUBJECT, EXCHANGE.id);
    }
    match ask {
        Ask::Agent(Some(Running { held_up: 1.., .. })) => nobody("the running agent gets messages back"),
        Ask::Agent(Some(Running { published: 1.., .. })) => {
            BOUND.ok(SUBJECT, "the running agent publishes, and nothing comes back")
        }
        Ask::Agent(_) => BOUND.unasked(
            SUBJECT,
            "AMQP has no question for it, and no running agent tells; `--bus-message` sends a message that expires at once",
        ),
        Ask::Message => match message(session, settings).await {
            Ok(Answer::Taken) => BOUND.ok(SUBJECT, "a message was routed"),
            Ok(Answer::Returned { reason }) => nobody(&format!("a message came back ({reason})")),
            Ok(Answer::Nacked) => BOUND.unasked(SUBJECT, "the broker could not take charge of a message"),
            Err(error) => BOUND.unasked(SUBJECT, causes(&error)),
        },
    }
}

async fn message(session: &Look, settings: &BusSettings) -> Result<Answer, BusError> {
    // At 0 it expires on reaching a queue, unless a consumer waits there.
    let properties = BasicProperties::default()
        .with_message_id("check".into())
        .with_expiration("0".into())
        .with_app_id("dr-agent check".into());
    let message = Message { key: "dr-agent.check".to_owned(), properties, body: Vec::new() };
    let channel = session.channel().await?;
    publish(&channel, &settings.exchange, message, settings.confirm_within).await
}

/// An error with its causes; libraries hide what happened in the last one.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    for _ in 0..8 {
        let Some(cause) = next else { break };
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
