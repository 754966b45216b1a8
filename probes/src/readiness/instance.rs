//! One instance from the name to the link, in the order of the way. What fails on the way leaves
//! unasked what rests on it, and nothing else.

mod acting;
mod linked;

use std::{net::SocketAddr, time::Duration};

use agent_core::{LinkId, Side};
use jiff::{SignedDuration, Timestamp};

use super::{
    database, endpoint,
    finding::{Check, Finding, leave_unasked},
    link, login,
    questions::{self, Engine, Rights},
    reach::{self, Door, Peer},
    server,
};
use crate::{
    InstanceTarget, LinkTarget, Now,
    tds::{Session, TdsError},
    text::plain,
};

/// What is asked of an instance.
#[derive(Clone, Debug)]
pub struct InstanceQuestion {
    /// As the findings name it.
    pub subject: String,
    /// The section of the configuration, as `sql_servers[0]`.
    pub key: String,
    /// With the login that looks.
    pub look: InstanceTarget,
    /// With the login that carries out steps.
    pub act: InstanceTarget,
    /// The links whose database the agent itself backs up on this side.
    pub backs_up: Vec<LinkId>,
    /// Whether a return guard disables logins on this side.
    pub guards: bool,
    /// Why the login that looks can't be tried, for example because its password can't be read.
    pub look_withheld: Option<String>,
    /// The same of the login that carries out steps.
    pub act_withheld: Option<String>,
}

/// How long things may take, and how far clocks may differ.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For each question: resolving, connecting, logging in and asking are one each.
    pub each: Duration,
    /// For all questions to one endpoint.
    pub endpoint: Duration,
    pub clocks: SignedDuration,
}

/// What an instance said that other checks need.
#[derive(Clone, Debug, Default)]
pub struct InstanceFacts {
    pub addresses: Vec<SocketAddr>,
    /// `SERVERPROPERTY('ProductVersion')`.
    pub version: Option<String>,
    pub collation: Option<String>,
    /// Role of this side in each link, by its own row.
    pub roles: Vec<(LinkId, String)>,
}

/// Of every instance.
const EVERY: [&Check; 9] = [
    &reach::NAME,
    &reach::PORT,
    &reach::TLS,
    &login::LOGIN,
    &server::SERVER_STATE,
    &server::DEFINITION,
    &server::DATABASES,
    &server::ENGINE,
    &server::CLOCK,
];
/// Of a SQL Server, beside these.
const OWN: [&Check; 11] = [
    &server::BUILD,
    &server::EDITION,
    &server::HADR,
    &server::TRACES,
    &endpoint::EXISTS,
    &endpoint::STARTED,
    &endpoint::AUTH,
    &endpoint::ENCRYPTION,
    &endpoint::CERTIFICATE,
    &endpoint::MASTER_KEY,
    &endpoint::PARTNER,
];
/// Of the login that carries out steps.
const ACTING: [&Check; 3] = [&login::ACTION_LOGIN, &server::ALTER_DATABASE, &server::END_SESSIONS];
/// Of each link on this side.
const LINK: [&Check; 4] = [&server::FIRST_QUERY, &link::GROUP, &link::CONNECTED, &database::ONLINE];
/// Of each link on the side that is a SQL Server, beside these.
const OWN_LINK: [&Check; 7] = [
    &link::MODE,
    &link::REQUIRED,
    &link::TIMEOUT,
    &database::RECOVERY,
    &database::ACCESS,
    &database::FULL_BACKUP,
    &database::LOG_BACKUP,
];

/// Asks everything; every check has a finding when this returns, within the limits.
pub async fn instance(
    question: &InstanceQuestion,
    limits: Limits,
    now: &Now,
) -> (Vec<Finding>, InstanceFacts) {
    let mut asking = Asking {
        question,
        limits,
        now,
        found: Vec::new(),
        facts: InstanceFacts::default(),
        because: None,
    };
    if tokio::time::timeout(limits.endpoint, asking.all()).await.is_err() {
        asking.because = Some(format!("not asked within {:?}", limits.endpoint));
    }
    asking.finish()
}

struct Asking<'q> {
    question: &'q InstanceQuestion,
    limits: Limits,
    now: &'q Now,
    found: Vec<Finding>,
    facts: InstanceFacts,
    /// Why everything that has no finding yet was not asked.
    because: Option<String>,
}

impl<'q> Asking<'q> {
    fn door(&self, port: u16) -> Door<'q> {
        let endpoint = &self.question.look.endpoint;
        let peer = match self.question.look.side {
            Side::SqlServer => Peer::SqlServer,
            Side::ManagedInstance => Peer::ManagedInstance,
        };
        Door {
            subject: &self.question.subject,
            peer,
            host: &endpoint.host,
            port,
            key: &self.question.key,
        }
    }

    async fn all(&mut self) {
        let each = self.limits.each;
        let endpoint = &self.question.look.endpoint;
        // The port of a named instance has to be asked for.
        let port = match endpoint.port.find(&endpoint.host, each).await {
            Ok(port) => port,
            Err(error) => {
                let finding = reach::browser(&self.door(0), &error.to_string());
                self.because = Some(finding.check.to_owned());
                self.found.push(finding);
                return;
            }
        };
        let door = self.door(port);
        let (addresses, open) = reach::reach(&door, each, self.now, &mut self.found).await;
        self.facts.addresses = addresses;
        if !open {
            self.because = self.found.last().map(|finding| finding.check.to_owned());
            return;
        }
        if let Some(engine) = self.engine(&door).await {
            self.looking(&door, &engine).await;
        }
        self.acting(&door).await;
    }

    /// The first answer: it shows that the way and the login are good.
    async fn engine(&mut self, door: &Door<'_>) -> Option<(Engine, Session, Rights)> {
        let question = self.question;
        if let Some(why) = &question.look_withheld {
            self.because = Some(why.clone());
            return None;
        }
        let mut session = self.session(&question.look);
        let asked = (self.now)();
        let answer = questions::engine(&mut session, self.limits.each).await;
        let around = (asked, (self.now)());
        let user = question.look.endpoint.login.name();
        let user = user.as_str();
        let engine = match answer {
            Ok(engine) => engine,
            Err(error) => {
                let key = format!("{}.login", question.key);
                let refusal = login::refusal(&login::LOGIN, door, user, &key, &error);
                let finding = refusal
                    .unwrap_or_else(|| server::ENGINE.wrong(door.subject, error.to_string()));
                if finding.check != reach::TLS.id && finding.check != reach::PORT.id {
                    self.secured(door);
                }
                self.because = Some(finding.check.to_owned());
                self.found.push(finding);
                return None;
            }
        };
        self.secured(door);
        self.found.push(login::LOGIN.ok(door.subject, format!("{} is logged in", plain(user))));
        self.told(door, &engine, around);
        let rights = questions::rights(&mut session, self.limits.each).await;
        let rights = self.answered(rights, &server::SERVER_STATE)?;
        self.found.extend(server::looking(door, user, rights));
        Some((engine, session, rights))
    }

    fn secured(&mut self, door: &Door<'_>) {
        self.found.push(reach::TLS.ok(door.subject, "encrypted, and the certificate is believed"));
    }

    fn told(&mut self, door: &Door<'_>, engine: &Engine, around: (Timestamp, Timestamp)) {
        self.facts.version = Some(engine.version.clone());
        self.facts.collation.clone_from(&engine.collation);
        let side = self.question.look.side;
        self.found.push(server::any(door, side, engine));
        if let Some(theirs) = engine.utc_time {
            let tolerance = self.limits.clocks;
            let finding =
                server::clock(&server::CLOCK, door.subject, door.host, theirs, around, tolerance);
            self.found.push(finding);
        }
        if side == Side::SqlServer {
            self.found.extend(server::own(door, engine));
        }
    }

    async fn looking(&mut self, door: &Door<'_>, (_, session, rights): &(Engine, Session, Rights)) {
        // A question that fails closes its session: each group of them has one of its own.
        let mut session = Session::new(session.endpoint().clone());
        let sees = rights.any_definition || rights.control_server;
        let reads = rights.server_state || rights.control_server;
        let mut partner = None;
        for target in &self.question.look.links {
            let group = self.one_link(door, &mut session, target, sees, reads).await;
            partner = partner.or(group.as_ref().and_then(link::partner_host));
        }
        if self.question.look.side == Side::SqlServer {
            self.replication(door, &mut session, sees, partner.as_deref()).await;
        }
    }

    /// Endpoint, certificates and hints, of a SQL Server.
    async fn replication(
        &mut self,
        door: &Door<'_>,
        session: &mut Session,
        sees: bool,
        partner: Option<&str>,
    ) {
        let (each, now) = (self.limits.each, Some((self.now)()));
        if let Ok(on) = questions::traces(session, each).await {
            self.found.push(server::traces(door, &on));
        } else {
            self.found.push(server::TRACES.unasked(door.subject, "DBCC TRACESTATUS was refused"));
        }
        if !sees {
            let checks = &OWN[4..];
            leave_unasked(&mut self.found, checks, door.subject, server::DEFINITION.id);
            return;
        }
        let answer = questions::endpoint(session, each).await;
        if let Some(found) = self.answered(answer, &endpoint::EXISTS) {
            self.found.extend(endpoint::endpoint(door, found.as_ref(), now));
            if found.is_none() {
                let checks = &OWN[5..9];
                leave_unasked(&mut self.found, checks, door.subject, endpoint::EXISTS.id);
            }
        }
        let answer = questions::keys(session, each).await;
        if let Some(keys) = self.answered(answer, &endpoint::MASTER_KEY) {
            self.found.extend(endpoint::keys(door, &keys, partner, now));
        }
    }

    async fn one_link(
        &mut self,
        door: &Door<'_>,
        session: &mut Session,
        target: &LinkTarget,
        sees: bool,
        reads: bool,
    ) -> Option<questions::Group> {
        let each = self.limits.each;
        let subject = self.link_subject(target);
        let side = self.question.look.side;
        let stands_by = self.first_query(door, &subject, target).await;
        let because = match (sees, reads) {
            (false, _) => Some(server::DEFINITION.id),
            (true, false) => Some(server::SERVER_STATE.id),
            (true, true) => None,
        };
        let mut group = None;
        if let Some(because) = because {
            self.found.push(link::GROUP.unasked(&subject, because));
        } else {
            let answer = questions::group(session, &target.dag, each).await;
            if let Some(found) = self.answered_of(answer, &link::GROUP, &subject) {
                self.found.extend(link::group(door, &subject, side, &target.dag, found.as_ref()));
                if let Some(role) = link::role(found.as_ref()) {
                    self.facts.roles.push((target.link.clone(), role));
                }
                group = found;
            }
        }
        if reads {
            let answer = questions::database(session, &target.database, each).await;
            if let Some(found) = self.answered_of(answer, &database::ONLINE, &subject) {
                let name = &target.database;
                self.found.extend(database::database(door, &subject, side, name, found.as_ref()));
            }
        }
        if side == Side::SqlServer && stands_by {
            // Its msdb knows of its own backups alone, and which replica takes them is a choice.
            let words = "not primary within its own group: nothing is due here";
            self.found.extend(
                [&database::FULL_BACKUP, &database::LOG_BACKUP]
                    .map(|check| check.ok(&subject, words)),
            );
        } else if side == Side::SqlServer {
            let primary = link::role(group.as_ref()).is_none_or(|role| role == "PRIMARY");
            self.backups(door, session, &subject, target, primary).await;
        }
        let because = self.first_wrong(&subject, because);
        let checks = self.link_checks();
        leave_unasked(&mut self.found, &checks, &subject, &because);
        group
    }

    /// Everything that nobody came to is left unasked, with the reason.
    fn finish(mut self) -> (Vec<Finding>, InstanceFacts) {
        let subject = &self.question.subject;
        let because = self.because.clone().unwrap_or_else(|| self.first_wrong(subject, None));
        leave_unasked(&mut self.found, &EVERY, subject, &because);
        if self.question.look.side == Side::SqlServer {
            leave_unasked(&mut self.found, &OWN, subject, &because);
        }
        leave_unasked(&mut self.found, &ACTING, subject, &because);
        self.unasked_of_side(subject, &because);
        let of_side = self.link_checks();
        for target in &self.question.look.links {
            let checks = [self.acting_checks(target), of_side.clone()].concat();
            let subject = self.link_subject(target);
            leave_unasked(&mut self.found, &checks, &subject, &because);
        }
        (self.found, self.facts)
    }

    fn link_checks(&self) -> Vec<&'static Check> {
        let mut checks = LINK.to_vec();
        checks.push(&database::MOVING);
        if self.question.look.side == Side::SqlServer {
            checks.extend(OWN_LINK);
        }
        checks
    }

    fn link_subject(&self, target: &LinkTarget) -> String {
        format!("link {} on {}", plain(target.link.as_str()), self.question.subject)
    }

    fn session(&self, target: &InstanceTarget) -> Session {
        Session::new(target.endpoint.clone())
    }

    fn first_wrong(&self, subject: &str, because: Option<&str>) -> String {
        let wrong = || {
            let of_subject = |finding: &&Finding| {
                finding.subject == subject && finding.verdict == super::Verdict::Wrong
            };
            self.found.iter().find(of_subject).map(|finding| finding.check)
        };
        because.or_else(wrong).unwrap_or("no answer").to_owned()
    }

    fn answered<T>(&mut self, answer: Result<T, TdsError>, check: &Check) -> Option<T> {
        let subject = self.question.subject.clone();
        self.answered_of(answer, check, &subject)
    }

    /// The answer, or the finding that there was none.
    fn answered_of<T>(
        &mut self,
        answer: Result<T, TdsError>,
        check: &Check,
        subject: &str,
    ) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.found.push(check.unasked(subject, error.to_string()));
                None
            }
        }
    }
}
