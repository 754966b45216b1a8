//! From the configuration to the questions, all endpoints side by side, and what only they together
//! can tell.

use std::{sync::Arc, time::Duration};

use agent_core::{LinkId, LinkSpec, Side};
use futures_util::future::join_all;
use jiff::SignedDuration;
use probes::{
    Now,
    readiness::{
        ControlFacts, ControlQuestion, Finding, InstanceFacts, InstanceQuestion, Limits,
        PairQuestion, Placed, PlacementQuestion, control, instance, pair, placement,
    },
};

use super::{
    local::{self, Listening},
    ready,
};
use crate::{
    alerts::readiness as receivers,
    bus::readiness::{self as bus, Ask, Running},
    cli::{Context, exit::Failure},
    clock::Clock,
    config::{Config, ControlSettings, InstanceSettings, Problem},
    http::view::Status,
    placement::question,
    run,
};

/// How long things may take, and whether a message may be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) each: Duration,
    pub(super) within: Duration,
    pub(super) bus_message: bool,
}

type Instances = Vec<(String, Side, InstanceFacts)>;
type Controls = Vec<(String, ControlFacts)>;

/// Asks everything that can be asked with this configuration.
pub(super) fn all(
    config: &Config,
    problems: &[Problem],
    context: &Context,
    wish: Wish,
) -> Result<Vec<Finding>, Failure> {
    let (listen, listening) = local::listen(config);
    let mut found = vec![listen];
    let running = (listening == Listening::Agent).then(|| of_agent(context)).flatten();
    let clock = Clock::start(None);
    let now: Now = Arc::new(move || clock.now());
    let limits = limits(config, wish);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::internal)?;
    let (answers, facts, places) = runtime.block_on(async {
        let (answers, facts) = asked(config, problems, limits, &now, (wish, running)).await;
        let places = placed(config, &facts).await;
        (answers, facts, places)
    });
    // A resolver that hangs does so on a thread of its own, which nobody waits for.
    runtime.shutdown_background();
    // Who is primary comes before whatever else is wrong with a link: most of that follows from it.
    found.extend(config.links.iter().flat_map(|link| of_link(config, link, &facts)));
    found.extend(answers);
    found.extend(ready::prepared(config));
    found.extend(placement(&places));
    Ok(found)
}

/// What the endpoints said beside their findings.
struct Facts {
    instances: Instances,
    controls: Controls,
    broker: Vec<std::net::SocketAddr>,
    receivers: Vec<Placed>,
}

async fn asked(
    config: &Config,
    problems: &[Problem],
    limits: Limits,
    now: &Now,
    (wish, running): (Wish, Option<Running>),
) -> (Vec<Finding>, Facts) {
    let questions = config.instances.iter().flat_map(|settings| {
        let questions = instance_questions(config, settings, problems);
        questions.into_iter().map(move |question| (settings, question))
    });
    let instances = questions.map(async |(settings, question)| {
        let (found, facts) = instance(&question, limits, now).await;
        (settings.look.instance.to_string(), settings.look.side, found, facts)
    });
    let with_control = config
        .instances
        .iter()
        .filter_map(|settings| settings.control.as_ref().map(|control| (settings, control)));
    let controls = with_control.map(async |(settings, of)| {
        let question = control_question(config, settings, of, problems);
        let (found, facts) = control(&question, limits, now).await;
        (settings.look.instance.to_string(), found, facts)
    });
    let broker = async {
        let settings = config.bus.as_ref()?;
        let ask = if wish.bus_message { Ask::Message } else { Ask::Agent(running) };
        let settings = run::broker(&config.agent.name, settings).ok()?;
        Some(bus::readiness(&settings, ask, limits, now).await)
    };
    let receivers = receivers::readiness(&config.alerts, limits, now);
    let (instances, controls, broker, receivers, applications) = tokio::join!(
        join_all(instances),
        join_all(controls),
        broker,
        receivers,
        ready::applications(config)
    );
    let mut found = applications;
    let (of_receivers, receivers) = receivers;
    let mut facts =
        Facts { instances: Vec::new(), controls: Vec::new(), broker: Vec::new(), receivers };
    for (name, side, findings, of) in instances {
        found.extend(findings);
        facts.instances.push((name, side, of));
    }
    for (name, findings, of) in controls {
        found.extend(findings);
        facts.controls.push((name, of));
    }
    if let Some((findings, addresses)) = broker {
        found.extend(findings);
        facts.broker = addresses;
    }
    found.extend(of_receivers);
    (found, facts)
}

fn limits(config: &Config, wish: Wish) -> Limits {
    // What the forecast of any link can bear.
    let margins = config.links.iter().map(|link| link.policy.loss_margin);
    let margin = margins.min().unwrap_or(Duration::from_secs(5));
    let clocks = SignedDuration::try_from(margin).unwrap_or(SignedDuration::from_secs(5));
    Limits { each: wish.each, endpoint: wish.within, clocks }
}

/// One for each way to it: of a side with several replicas each of them must be ready to take over.
fn instance_questions(
    config: &Config,
    settings: &InstanceSettings,
    problems: &[Problem],
) -> Vec<InstanceQuestion> {
    let (side, name) = (settings.look.side, settings.look.instance.as_str());
    let key = config.section_of(side, name).unwrap_or_default();
    let look_withheld = withheld(problems, &format!("{key}.login"));
    let same = settings.look.endpoint.login.name() == settings.act.endpoint.login.name();
    let act_withheld = withheld(problems, &format!("{key}.action_login"));
    let act_withheld = act_withheld.or_else(|| look_withheld.clone().filter(|_| same));
    let alone = settings.look.replicas.is_empty();
    let own = || config.links.iter().filter(|link| link.instance(side).as_str() == name);
    let backs_up: Vec<LinkId> =
        own().filter(|link| backs_up(link, side)).map(|link| link.id.clone()).collect();
    let guards = own().any(|link| !link.guard.logins.is_empty());
    let ways = settings.look.apart().into_iter().zip(settings.act.apart());
    let one = |((way, look), (_, act))| InstanceQuestion {
        subject: if alone {
            subject(side, name)
        } else {
            format!("{}, {way}", subject(side, name))
        },
        look,
        act,
        backs_up: backs_up.clone(),
        guards,
        look_withheld: look_withheld.clone(),
        act_withheld: act_withheld.clone(),
        key: key.clone(),
    };
    ways.map(one).collect()
}

/// Whether a run of ours may take a backup of the database on this side.
fn backs_up(link: &LinkSpec, side: Side) -> bool {
    let after_a_move = side == Side::SqlServer && link.planned.backup.is_some();
    after_a_move || link.repair.place(side).is_some()
}

fn control_question(
    config: &Config,
    settings: &InstanceSettings,
    of: &ControlSettings,
    problems: &[Problem],
) -> ControlQuestion {
    let (side, name) = (settings.look.side, settings.look.instance.as_str());
    let key = format!("{}.arm", config.section_of(side, name).unwrap_or_default());
    ControlQuestion {
        subject: format!("Azure Resource Manager for {name}"),
        target: of.target.clone(),
        ca: of.ca.clone(),
        connect_within: of.connect_within,
        credential: of.credential.clone(),
        authority: of.authority.clone(),
        scope: run::token_scope(&of.target.base_url),
        withheld: withheld(problems, &format!("{key}.credential")),
        key,
    }
}

/// Why a section can't be tried: something in it is wrong, and is told of by itself.
fn withheld(problems: &[Problem], section: &str) -> Option<String> {
    let below = |key: &str| {
        key.strip_prefix(section)
            .is_some_and(|rest| rest.starts_with(['.', '[']) || rest.is_empty())
    };
    let problem = problems.iter().find(|problem| below(&problem.key))?;
    Some(format!("files.secret ({})", problem.key))
}

fn of_link(config: &Config, link: &LinkSpec, facts: &Facts) -> Vec<Finding> {
    let nothing = InstanceFacts::default();
    let of = |name: &str| {
        let found = facts.instances.iter().find(|(of, _, _)| of == name);
        found.map_or(&nothing, |(_, _, facts)| facts)
    };
    let host = |name: &str| {
        let found = config.instances.iter().find(|other| other.look.instance.as_str() == name);
        found.map_or("", |found| found.look.endpoint.host.as_str())
    };
    let (sql, managed) = (link.sql_server.as_str(), link.managed_instance.as_str());
    let control = facts.controls.iter().find(|(of, _)| of == managed).map(|(_, facts)| facts);
    pair(&PairQuestion {
        link: &link.id,
        group: &link.group,
        sql_host: host(sql),
        managed_host: host(managed),
        sql: of(sql),
        managed: of(managed),
        control,
    })
}

async fn placed(config: &Config, facts: &Facts) -> PlacementQuestion {
    let servers = facts.instances.iter().map(|(name, side, of)| Placed {
        name: subject(*side, name),
        addresses: of.addresses.clone(),
    });
    let broker = Placed { name: bus::SUBJECT.to_owned(), addresses: facts.broker.clone() };
    let broker = config.bus.is_some().then_some(broker);
    let parts = broker.into_iter().chain(facts.receivers.iter().cloned()).collect();
    question(config, servers.collect(), parts).await
}

fn subject(side: Side, name: &str) -> String {
    match side {
        Side::SqlServer => format!("SQL Server {name}"),
        Side::ManagedInstance => format!("managed instance {name}"),
    }
}

/// What a running agent says of its bus; nothing if it does not answer, which is no finding here.
fn of_agent(context: &Context) -> Option<Running> {
    let client = context.connection.open().ok()?;
    let status: Status = client.get(&["status"], &[]).ok()?;
    status.bus.map(|bus| Running { published: bus.published, held_up: bus.held_up })
}
