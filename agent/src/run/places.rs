//! From the configuration to eyes and hands: what is looked at, and what can be acted with. Making
//! them opens no connection.

use std::sync::Arc;

use agent_core::{InstanceId, Observation};
use probes::{
    Look, Now, Schedule,
    arm::{
        ARM_SCOPE, ArmClient, ArmSetupError, ControlLook, CredentialError, KeptCredential,
        http_client,
    },
    tds::InstanceLook,
    watch,
};

use super::parts::Parts;
use crate::{
    actions::{ControlPlace, Hands, Place},
    alerts::AlertError,
    clock::Clock,
    config::{Config, ControlSettings, InstanceSettings},
    metrics::Metrics,
    turn::Inbox,
};

/// Why a part can't be made from the configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("Azure Resource Manager of {instance} can't be asked: {error}")]
    Control { instance: InstanceId, error: ArmSetupError },
    #[error("there is no credential for Azure Resource Manager of {instance}: {error}")]
    Credential { instance: InstanceId, error: CredentialError },
    #[error("the bus can't be set up: {0}")]
    Bus(String),
    #[error(transparent)]
    Alerts(#[from] AlertError),
    #[error("the metrics can't be set up: {0}")]
    Metrics(prometheus::Error),
}

/// Every instance with the ways to it.
pub(super) struct Places {
    all: Vec<(InstanceSettings, Option<Control>)>,
    now: Now,
}

struct Control {
    settings: ControlSettings,
    client: Arc<ArmClient>,
    credential: Arc<KeptCredential>,
}

impl Places {
    pub(super) fn make(config: &Config, clock: &Clock) -> Result<Self, SetupError> {
        let clock = clock.clone();
        let now: Now = Arc::new(move || clock.now());
        let one = |instance: &InstanceSettings| {
            let control = instance.control.as_ref();
            let control = control.map(|settings| control_of(instance, settings, &now));
            Ok((instance.clone(), control.transpose()?))
        };
        let all = config.instances.iter().map(one).collect::<Result<_, SetupError>>()?;
        Ok(Self { all, now })
    }

    /// What steps are carried out with.
    pub(super) fn hands(&self) -> Hands {
        let places = self.all.iter().map(|(instance, control)| Place {
            target: instance.act.clone(),
            look_within: instance.schedule.limit,
            control: control.as_ref().map(|control| ControlPlace {
                target: control.settings.target.clone(),
                client: Arc::clone(&control.client),
                look_within: control.settings.schedule.limit,
            }),
        });
        Hands::new(places.collect())
    }

    /// Begins to look, everywhere at once.
    pub(super) fn watch(&self, parts: &mut Parts, metrics: &Arc<Metrics>, inbox: &Inbox) {
        for (instance, control) in &self.all {
            let name = instance.look.instance.to_string();
            let logins = logins(instance);
            for credential in control.iter().map(|control| &control.credential).chain(&logins) {
                let credential = Arc::clone(credential);
                parts.again(&format!("a credential for {name}"), move |stop| {
                    let credential = Arc::clone(&credential);
                    async move { credential.keep_fresh(stop).await }
                });
            }
            if let Some(control) = control {
                let (client, links) =
                    (Arc::clone(&control.client), control.settings.target.links.clone());
                let look = move || ControlLook::new(Arc::clone(&client), links.clone());
                let told = tell(metrics, &name, inbox);
                let schedule = control.settings.schedule;
                self.look(parts, &format!("the control plane of {name}"), look, schedule, told);
            }
            let target = instance.look.clone();
            let look = move || InstanceLook::new(target.clone());
            let told = tell(metrics, &name, inbox);
            self.look(parts, &format!("the look at {name}"), look, instance.schedule, told);
        }
    }

    fn look<L: Look + 'static>(
        &self,
        parts: &mut Parts,
        name: &str,
        look: impl Fn() -> L + Send + 'static,
        schedule: Schedule,
        told: impl Fn(Observation) + Clone + Send + 'static,
    ) {
        let now = Arc::clone(&self.now);
        parts
            .again(name, move |stop| watch(look(), schedule, Arc::clone(&now), told.clone(), stop));
    }
}

/// The tokens that are logged in with, each once.
fn logins(instance: &InstanceSettings) -> Vec<Arc<KeptCredential>> {
    let mut all: Vec<Arc<KeptCredential>> = Vec::new();
    for target in [&instance.look, &instance.act] {
        for credential in target.ways().iter().filter_map(|(_, way)| way.login.credential()) {
            if !all.iter().any(|other| Arc::ptr_eq(other, credential)) {
                all.push(Arc::clone(credential));
            }
        }
    }
    all
}

/// Hands a look to the loop, and counts it.
fn tell(
    metrics: &Arc<Metrics>,
    name: &str,
    inbox: &Inbox,
) -> impl Fn(Observation) + Clone + Send + 'static {
    let (eye, inbox) = (Arc::new(metrics.eye(name)), inbox.clone());
    move |seen| {
        eye.saw(&seen);
        inbox.see(seen);
    }
}

fn control_of(
    instance: &InstanceSettings,
    settings: &ControlSettings,
    now: &Now,
) -> Result<Control, SetupError> {
    let named = |error| SetupError::Control { instance: instance.look.instance.clone(), error };
    let ca = settings.ca.as_ref();
    let credential = KeptCredential::new(
        settings.credential.clone(),
        settings.authority.clone(),
        &token_scope(&settings.target.base_url),
        http_client(ca, settings.connect_within).map_err(named)?,
        Arc::clone(now),
        settings.schedule.limit,
    );
    let credential = credential.map_err(|error| SetupError::Credential {
        instance: instance.look.instance.clone(),
        error,
    })?;
    let credential = Arc::new(credential);
    let kept = Arc::clone(&credential);
    let client = ArmClient::new(&settings.target, ca, settings.connect_within, kept);
    let client = Arc::new(client.map_err(named)?);
    Ok(Control { settings: settings.clone(), client, credential })
}

/// The other clouds want to be asked for by their own names; whatever else the address is (a private
/// endpoint, a proxy), behind it is the public cloud.
pub fn token_scope(base_url: &str) -> String {
    let host = base_url.trim_end_matches('/');
    let other = ["https://management.usgovcloudapi.net", "https://management.chinacloudapi.cn"];
    match other.into_iter().find(|other| host.eq_ignore_ascii_case(other)) {
        Some(other) => format!("{other}/.default"),
        None => ARM_SCOPE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_is_asked_for_by_its_name() {
        assert_eq!(token_scope("https://management.azure.com"), ARM_SCOPE);
        assert_eq!(token_scope("https://127.0.0.1:4433"), ARM_SCOPE);
        let government = token_scope("https://management.usgovcloudapi.net/");
        assert_eq!(government, "https://management.usgovcloudapi.net/.default");
    }
}
