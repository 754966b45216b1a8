//! Azure Resource Manager: is it reached, does the identity get in, does it find everything there, and
//! may it do what a failover takes.

mod answer;

use std::{sync::Arc, time::Duration};

use agent_core::LinkId;
use jiff::{Timestamp, fmt::rfc2822};
use reqwest::Url;

use super::{
    finding::{Check, Finding, How, Stage, leave_unasked},
    instance::Limits,
    link,
    reach::{self, Door, Peer},
    server,
    token::{self, TOKEN, Whose},
};
use crate::{
    ControlTarget, LinkTarget, Now, SecretSource,
    arm::{ArmClient, ArmError, CredentialSource, Instance, KeptCredential, http_client},
    text::{causes, plain},
};

/// Does Azure find the instance where the configuration says?
pub const FOUND: Check = Check {
    id: "arm.instance",
    stage: Stage::Answer,
    question: "Does Azure find the managed instance where the configuration says?",
    source: "GET of the instance; two kinds of 404 are told apart by x-ms-failure-cause",
};
/// Does it know the api-version?
pub const VERSION: Check =
    Check { id: "arm.api_version", question: "Does it know the api-version?", ..FOUND };
/// Is the instance ready?
pub const STATE: Check = Check {
    id: "arm.instance_state",
    stage: Stage::Server,
    question: "Is the managed instance Ready?",
    source: "state of the instance",
};
/// Is Azure's clock ours?
pub const CLOCK: Check = Check {
    id: "clock.arm",
    stage: Stage::Server,
    question: "Does its clock agree with this machine's?",
    source: "the Date header of an answer",
};
/// What may the identity do?
pub const RIGHT_READ: Check = Check {
    id: "arm.right_read",
    stage: Stage::Rights,
    question: "May the identity read the instance and its links?",
    source: "Microsoft.Authorization/permissions at the resource group",
};
/// May it fail over?
pub const RIGHT_FAILOVER: Check =
    Check { id: "arm.right_failover", question: "May it fail a link over?", ..RIGHT_READ };
/// May it ask how a failover fares?
pub const RIGHT_OPERATIONS: Check = Check {
    id: "arm.right_operations",
    question: "May it ask how a failover fares (or it would start one and be refused with 403 then)?",
    ..RIGHT_READ
};

/// May it give a link up?
pub const RIGHT_DELETE: Check = Check {
    id: "arm.right_delete",
    question: "May it delete a link, as a cutover does, and the only plan for a lost primary that can't \
               be failed over?",
    ..RIGHT_READ
};

const READ: &[&str] = &[
    "Microsoft.Sql/managedInstances/read",
    "Microsoft.Sql/managedInstances/distributedAvailabilityGroups/read",
];
const FAILOVER: &[&str] =
    &["Microsoft.Sql/managedInstances/distributedAvailabilityGroups/failover/action"];
const OPERATIONS: &[&str] = &[
    "Microsoft.Sql/locations/distributedAvailabilityGroupsAzureAsyncOperation/read",
    "Microsoft.Sql/locations/distributedAvailabilityGroupsOperationResults/read",
];
const DELETE: &[&str] = &["Microsoft.Sql/managedInstances/distributedAvailabilityGroups/delete"];
const RIGHTS: [(&Check, &[&str]); 4] = [
    (&RIGHT_READ, READ),
    (&RIGHT_FAILOVER, FAILOVER),
    (&RIGHT_OPERATIONS, OPERATIONS),
    (&RIGHT_DELETE, DELETE),
];
const WAY: [&Check; 3] = [&reach::NAME, &reach::PORT, &reach::TLS];
const ALL: [&Check; 12] = [
    &reach::NAME,
    &reach::PORT,
    &reach::TLS,
    &CLOCK,
    &TOKEN,
    &VERSION,
    &FOUND,
    &STATE,
    &RIGHT_READ,
    &RIGHT_FAILOVER,
    &RIGHT_OPERATIONS,
    &RIGHT_DELETE,
];
const LINK: [&Check; 3] = [&link::CONTROL, &link::FAILOVER_MODE, &link::MI_CERTIFICATE];
/// Where tokens of the public cloud come from.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// What is asked of the control plane of one managed instance.
#[derive(Clone, Debug)]
pub struct ControlQuestion {
    /// As the findings name it.
    pub subject: String,
    /// The section of the configuration, as `managed_instances[0].arm`.
    pub key: String,
    pub target: ControlTarget,
    /// PEM of the authorities to believe; None: those of the operating system.
    pub ca: Option<SecretSource>,
    pub connect_within: Duration,
    pub credential: CredentialSource,
    pub authority: Option<String>,
    /// What tokens are asked for.
    pub scope: String,
    /// Why the credential can't be tried, for example because its secret can't be read.
    pub withheld: Option<String>,
}

/// What Azure said that other checks need.
#[derive(Clone, Debug, Default)]
pub struct ControlFacts {
    /// The update policy.
    pub database_format: Option<String>,
    /// Role of the managed instance in each link, as Azure believes it.
    pub roles: Vec<(LinkId, String)>,
}

/// Asks everything; every check has a finding when this returns, within the limits.
pub async fn control(
    question: &ControlQuestion,
    limits: Limits,
    now: &Now,
) -> (Vec<Finding>, ControlFacts) {
    let (found, facts) = (Vec::new(), ControlFacts::default());
    let mut asking = Asking { question, limits, now, found, facts, because: None };
    if tokio::time::timeout(limits.endpoint, asking.all()).await.is_err() {
        asking.because = Some(format!("not asked within {:?}", limits.endpoint));
    }
    asking.finish()
}

struct Asking<'q> {
    question: &'q ControlQuestion,
    limits: Limits,
    now: &'q Now,
    found: Vec<Finding>,
    facts: ControlFacts,
    because: Option<String>,
}

impl Asking<'_> {
    async fn all(&mut self) {
        let question = self.question;
        let (subject, key) = (question.subject.as_str(), question.key.as_str());
        let open = self.way(&question.target.base_url, subject, key, Peer::Azure).await;
        let tokens = self.token_service().await;
        if !open {
            self.because = Some(self.first_wrong(subject));
            return;
        }
        if let Some(why) = question.withheld.clone().or(tokens) {
            self.because = Some(why);
            return;
        }
        let Some(client) = self.client().await else { return };
        self.rights(&client).await;
        let Some(instance) = self.instance(&client).await else { return };
        self.told(&instance);
        for target in &question.target.links {
            self.link(&client, target).await;
        }
    }

    /// Name, port and TLS of one of the two services.
    async fn way(&mut self, base: &str, subject: &str, key: &str, peer: Peer) -> bool {
        let url = Url::parse(base).ok();
        let Some(host) = url.as_ref().and_then(Url::host_str) else {
            let finding = reach::NAME.wrong(subject, format!("{} is no address", plain(base)));
            let name = if peer == Peer::Azure { "base_url" } else { "authority" };
            let at = format!("{key}.{name}");
            self.found.push(finding.mend(How::Config, at, "`https://` and a host"));
            return false;
        };
        let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or(443);
        let door = Door { subject, peer, host, port, key };
        let (_, open) = reach::reach(&door, self.limits.each, self.now, &mut self.found).await;
        open && self.handshake(&door, base).await
    }

    /// An answer of any kind shows that TLS is good; it is asked without a token.
    async fn handshake(&mut self, door: &Door<'_>, base: &str) -> bool {
        let dated = door.peer == Peer::Azure;
        let question = self.question;
        let http = match http_client(question.ca.as_ref(), question.connect_within) {
            Ok(http) => http.now().await,
            Err(error) => {
                self.found.push(reach::tls_failed(door, &error.to_string()));
                return false;
            }
        };
        let asked = (self.now)();
        let answer = tokio::time::timeout(self.limits.each, http.get(base).send()).await;
        match answer {
            Ok(Ok(answer)) => {
                self.found.push(
                    reach::TLS.ok(door.subject, "encrypted, and the certificate is believed"),
                );
                let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
                if let Some(theirs) = date.filter(|_| dated).and_then(http_date) {
                    let around = (asked, (self.now)());
                    let tolerance = self.limits.clocks;
                    let at = "Azure";
                    let finding =
                        server::clock(&CLOCK, door.subject, at, theirs, around, tolerance);
                    self.found.push(finding);
                }
                true
            }
            Ok(Err(error)) => {
                self.found.push(reach::tls_failed(door, &causes(&error.without_url())));
                false
            }
            Err(_) => {
                let evidence = format!("no answer within {:?}", self.limits.each);
                self.found.push(reach::not_tls(door, &evidence, door.key));
                false
            }
        }
    }

    /// Where tokens come from; the check that failed on the way there, if one did. A managed identity
    /// has no such service.
    async fn token_service(&mut self) -> Option<String> {
        let question = self.question;
        if matches!(
            question.credential,
            CredentialSource::ManagedIdentity { .. } | CredentialSource::ArcManagedIdentity(_)
        ) {
            return None;
        }
        let subject = self.token_subject();
        let base = question.authority.as_deref().unwrap_or(AUTHORITY);
        let key = format!("{}.credential", question.key);
        if self.way(base, &subject, &key, Peer::TokenService).await {
            return None;
        }
        Some(format!("{} of {subject}", self.first_wrong(&subject)))
    }

    async fn client(&mut self) -> Option<ArmClient> {
        let question = self.question;
        let subject = question.subject.as_str();
        let ca = question.ca.as_ref();
        let within = self.limits.each;
        let key = format!("{}.credential", question.key);
        let whose = Whose { subject, key: &key, source: &question.credential };
        let http = http_client(ca, question.connect_within).ok()?;
        let credential = KeptCredential::new(
            question.credential.clone(),
            question.authority.clone(),
            &question.scope,
            http,
            Arc::clone(self.now),
            within,
        );
        let credential = match credential {
            Ok(credential) => Arc::new(credential),
            Err(error) => {
                self.no_token(token::refused(whose, &error));
                return None;
            }
        };
        if let Err(error) = credential.token().await {
            self.no_token(token::refused(whose, &error));
            return None;
        }
        self.found.push(TOKEN.ok(subject, "there is one"));
        ArmClient::new(&question.target, ca, question.connect_within, credential).ok()
    }

    fn no_token(&mut self, finding: Finding) {
        self.because = Some(finding.check.to_owned());
        self.found.push(finding);
    }

    async fn rights(&mut self, client: &ArmClient) {
        let question = self.question;
        let subject = question.subject.as_str();
        let (group, assign) = (answer::group_scope(&question.target), answer::assign(question));
        match client.permissions(self.limits.each).await {
            Ok(permissions) => {
                for (check, actions) in RIGHTS {
                    self.found.push(answer::right(
                        check,
                        subject,
                        actions,
                        &permissions,
                        &group,
                        &assign,
                    ));
                }
            }
            Err(error @ ArmError::Forbidden { .. }) => {
                let because = format!("it may not read its own permissions: {error}");
                let checks: Vec<_> = RIGHTS.iter().map(|(check, _)| *check).collect();
                leave_unasked(&mut self.found, &checks, subject, &because);
            }
            Err(error) => {
                let checks: Vec<_> = RIGHTS.iter().map(|(check, _)| *check).collect();
                leave_unasked(&mut self.found, &checks, subject, &error.to_string());
            }
        }
    }

    async fn instance(&mut self, client: &ArmClient) -> Option<Instance> {
        let subject = self.question.subject.as_str();
        match client.instance(self.limits.each).await {
            Ok(instance) => {
                self.found.push(VERSION.ok(subject, self.question.target.api_version.clone()));
                self.found.push(FOUND.ok(subject, plain(&self.question.target.instance)));
                Some(instance)
            }
            Err(error) => {
                let finding = answer::missing(self.question, &error);
                self.because = Some(finding.check.to_owned());
                self.found.push(finding);
                None
            }
        }
    }

    fn told(&mut self, instance: &Instance) {
        let (subject, target) = (self.question.subject.as_str(), &self.question.target);
        let properties = &instance.properties;
        self.facts.database_format.clone_from(&properties.database_format);
        let state = properties.state.as_deref().map(plain);
        let finding = match state.as_deref() {
            Some(state) if state.eq_ignore_ascii_case("Ready") => STATE.ok(subject, state),
            state => STATE
                .wrong(subject, format!("it is {}", state.unwrap_or("in no state that is told")))
                .mend(
                    How::Azure,
                    "the managed instance",
                    format!(
                        "az sql mi start -g {} --mi {}  # if it is Stopped; else wait for what is under way: az sql mi op list",
                        plain(&target.resource_group),
                        plain(&target.instance)
                    ),
                ),
        };
        self.found.push(finding);
    }

    async fn link(&mut self, client: &ArmClient, target: &LinkTarget) {
        let subject = self.link_subject(target);
        match client.link(&target.dag, self.limits.each).await {
            Ok(Some(link)) => {
                let now = (self.now)();
                if let Some(role) = &link.properties.instance_link_role {
                    self.facts.roles.push((target.link.clone(), role.to_uppercase()));
                }
                self.found.extend(answer::link_findings(&subject, target, &link, now));
            }
            Ok(None) => {
                let name = plain(&target.dag);
                let finding = link::CONTROL
                    .wrong(&subject, format!("the instance has no link {name}"))
                    .mend(
                        How::Config,
                        "links.group",
                        "the name of the link in Azure, which is the distributed group's",
                    )
                    .mend(
                        How::Azure,
                        "the managed instance",
                        format!(
                            "az sql mi link list -g {} --mi {} --query [].name",
                            plain(&self.question.target.resource_group),
                            plain(&self.question.target.instance)
                        ),
                    );
                self.found.push(finding);
                leave_unasked(&mut self.found, &LINK, &subject, link::CONTROL.id);
            }
            Err(error) => {
                leave_unasked(&mut self.found, &LINK, &subject, &error.to_string());
            }
        }
    }

    fn finish(mut self) -> (Vec<Finding>, ControlFacts) {
        let subject = self.question.subject.as_str();
        let because = self.because.clone().unwrap_or_else(|| self.first_wrong(subject));
        leave_unasked(&mut self.found, &ALL, subject, &because);
        if !matches!(self.question.credential, CredentialSource::ManagedIdentity { .. }) {
            let subject = self.token_subject();
            let because = self.first_wrong(&subject);
            leave_unasked(&mut self.found, &WAY, &subject, &because);
        }
        for target in &self.question.target.links {
            let subject = self.link_subject(target);
            leave_unasked(&mut self.found, &LINK, &subject, &because);
        }
        (self.found, self.facts)
    }

    fn token_subject(&self) -> String {
        format!("the token service for {}", self.question.subject)
    }

    fn link_subject(&self, target: &LinkTarget) -> String {
        format!("link {} in {}", plain(target.link.as_str()), self.question.subject)
    }

    fn first_wrong(&self, subject: &str) -> String {
        let wrong = |finding: &&Finding| {
            finding.subject == subject && finding.verdict == super::Verdict::Wrong
        };
        self.found.iter().find(wrong).map_or("no answer", |finding| finding.check).to_owned()
    }
}

/// Seconds are all that an HTTP date has.
fn http_date(text: &str) -> Option<Timestamp> {
    let parser = rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let at = http_date("Tue, 24 Nov 2026 05:06:07 GMT").expect("a date");
        assert_eq!(at.to_string(), "2026-11-24T05:06:07Z");
    }
}
