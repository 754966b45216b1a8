//! A whole twin: world, clock, doors.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    ArmEndpoint, ControlEndpoint, Endpoints, IdentityEndpoint, Login, SharedWorld, SqlEndpoint,
    doors::{self, TdsDoor},
    endpoints::LoginEndpoint,
    tls,
};
use crate::{
    arm::{self, Cloud},
    control,
    world::{Party, Side, World, WorldSpec},
};

/// Doors have this long to close.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How to start a twin.
pub struct TwinOptions {
    /// What the world holds.
    pub spec: WorldSpec,
    /// Where chance comes from.
    pub seed: u64,
    /// How many of the world's seconds pass in one real second.
    pub speed: f64,
    /// Where the authority's certificate is written (`ca.pem`); it has to exist.
    pub directory: PathBuf,
}

/// A twin that runs until it is shut down or dropped.
pub struct Twin {
    /// Every address and credential.
    pub endpoints: Endpoints,
    /// The world, for those in the same process.
    pub world: SharedWorld,
    stop: CancellationToken,
    doors: Option<JoinHandle<()>>,
}

impl Twin {
    /// Opens all doors; once this returns they can be used.
    ///
    /// # Errors
    /// A wrong spec, a directory that cannot be written, no free port.
    #[expect(clippy::disallowed_methods, reason = "the twin's only clock")]
    pub async fn start(options: TwinOptions) -> anyhow::Result<Twin> {
        anyhow::ensure!(
            options.speed > 0.0 && options.speed <= 1_000.0,
            "speed is {}; it must be above 0 and at most 1000",
            options.speed
        );
        let world = World::new(&options.spec, options.seed, Timestamp::now())?;
        let link = world.links().next().context("the world has no link; one is needed")?.clone();
        let database = link.databases().next().unwrap_or("master").to_owned();
        let names: Vec<String> = world.instances().map(|i| i.server_name.clone()).collect();
        let parties: Vec<Party> = world
            .workloads()
            .map(|workload| Party::Application(workload.name.clone()))
            .chain([Party::Operator])
            .collect();
        let tls = tls::make(&names)?;
        let ca = options.directory.join("ca.pem");
        fs::write(&ca, &tls.authority_pem)
            .with_context(|| format!("cannot write {}", ca.display()))?;

        let agent = login("dr_agent", Party::Agent);
        let others: Vec<Login> = parties
            .into_iter()
            .map(|party| login(&party.to_string().replace("app:", ""), party))
            .collect();
        let logins: Arc<[Login]> = [agent.clone()].into_iter().chain(others.clone()).collect();

        let shared = SharedWorld::new(world, options.speed);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(doors::tick(shared.clone(), stop.clone()));
        let mut instances = BTreeMap::new();
        for (name, server_name) in shared.with(|w| {
            w.instances().map(|i| (i.name.clone(), i.server_name.clone())).collect::<Vec<_>>()
        }) {
            let (listener, port) = doors::bind()?;
            let door = TdsDoor {
                world: shared.clone(),
                instance: name.clone(),
                tls: tls.tds.clone(),
                logins: logins.clone(),
            };
            tasks.spawn(doors::tds(door, listener, stop.clone()));
            let endpoint = SqlEndpoint {
                host: "localhost".to_owned(),
                port,
                user: agent.user.clone(),
                password: agent.password.clone(),
                database: database.clone(),
                name: name.clone(),
                server_name,
            };
            instances.insert(name, endpoint);
        }

        let (arm_listener, arm_port) = doors::bind()?;
        let (token_listener, token_port) = doors::bind()?;
        let (identity_listener, identity_port) = doors::bind()?;
        let (control_listener, control_port) = doors::bind()?;
        let cloud = cloud(&options, arm_port, token_port, tls.certificate);
        let arm = ArmEndpoint {
            base_url: cloud.base_url.clone(),
            authority: cloud.authority.clone(),
            tenant: cloud.tenant.clone(),
            client_id: cloud.client_id.clone(),
            client_secret: cloud.client_secret.clone(),
            subscription: cloud.subscription.clone(),
            resource_group: cloud.resource_group.clone(),
            instance: link.member(Side::ManagedInstance).instance.clone(),
            link: link.name.clone(),
        };
        let managed_identity = IdentityEndpoint {
            endpoint: format!("http://localhost:{identity_port}/msi/token"),
            header: cloud.identity_header.clone(),
        };
        let services = arm::services(shared.clone(), cloud);
        let web = &tls.web;
        tasks.spawn(doors::https(services.control_plane, arm_listener, web.clone(), stop.clone()));
        tasks.spawn(doors::https(
            services.token_service,
            token_listener,
            web.clone(),
            stop.clone(),
        ));
        tasks.spawn(doors::http(services.managed_identity, identity_listener, stop.clone()));
        tasks.spawn(doors::http(control::router(shared.clone()), control_listener, stop.clone()));

        let of = |side| {
            let name = &link.member(side).instance;
            instances.get(name).cloned().with_context(|| format!("there is no instance {name}"))
        };
        let endpoints = Endpoints {
            ca,
            sql_server: of(Side::SqlServer)?,
            managed_instance: of(Side::ManagedInstance)?,
            arm,
            managed_identity,
            control: ControlEndpoint { base_url: format!("http://localhost:{control_port}") },
            instances,
            logins: others
                .into_iter()
                .map(|login| {
                    let endpoint = LoginEndpoint { user: login.user, password: login.password };
                    (login.party.to_string(), endpoint)
                })
                .collect(),
        };
        let doors = tokio::spawn(doors::watch(tasks, stop.clone()));
        Ok(Twin { endpoints, world: shared, stop, doors: Some(doors) })
    }

    /// Ends when a door has fallen, which it never should.
    pub async fn fallen(&self) {
        self.stop.cancelled().await;
    }

    /// Closes all doors.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(doors) = self.doors.take()
            && tokio::time::timeout(SHUTDOWN, doors).await.is_err()
        {
            tracing::warn!("some doors did not close in time");
        }
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn login(user: &str, party: Party) -> Login {
    Login { user: user.to_owned(), password: secret(), party }
}

fn cloud(options: &TwinOptions, arm: u16, tokens: u16, certificate: Vec<u8>) -> Cloud {
    // Fifteen of the world's seconds (addendum 2.2), as the caller's clock counts them.
    let retry_after_s = (15.0 / options.speed).ceil() as u32;
    Cloud {
        tenant: guid(),
        client_id: guid(),
        client_secret: secret(),
        identity_header: secret(),
        subscription: guid(),
        resource_group: "rg-dr".to_owned(),
        location: "westeurope".to_owned(),
        base_url: format!("https://localhost:{arm}"),
        authority: format!("https://localhost:{tokens}"),
        certificate,
        retry_after_s,
    }
}

fn guid() -> String {
    arm::new_guid().to_string()
}

/// Good enough for a login that exists on loopback for as long as this process.
fn secret() -> String {
    let rest: String = (0..24).map(|_| fastrand::alphanumeric()).collect();
    format!("Tw1n-{rest}")
}
