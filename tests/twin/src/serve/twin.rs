//! A whole twin: world, clock, doors.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context;
use jiff::Timestamp;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    ArmEndpoint, ControlEndpoint, Endpoints, IdentityEndpoint, LoginEndpoint, MachineEndpoint,
    SharedWorld, SqlEndpoint,
    browser::{self, Listed},
    doors::{self, Behind, TdsDoor},
    people::{People, guid, secret},
    tls::{self, Tls},
};
use crate::{
    arm::{self, Cloud},
    control,
    sql::Login,
    world::{Link, Side, World, WorldSpec},
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
    /// Where the authority's certificate (`ca.pem`) and the challenges of the connected machine
    /// (`machine/`) are written; it has to exist.
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
        let servers = options.spec.instances.iter().map(|given| given.server_name.clone());
        let local = options.spec.links.iter().filter_map(|link| link.local.as_ref());
        let listeners = local.filter_map(|local| local.listener.clone());
        let names: Vec<String> = servers.chain(listeners).collect();
        let tls = tokio::task::spawn_blocking(move || tls::make(&names))
            .await
            .context("making certificates failed")??;
        let ca = options.directory.join("ca.pem");
        fs::write(&ca, &tls.authority_pem)
            .with_context(|| format!("cannot write {}", ca.display()))?;

        // After the certificates: the world's time begins here, and its clock must not lag behind
        // the one that clients read.
        let mut world = World::new(&options.spec, options.seed, Timestamp::now())?;
        let link = world.links().next().context("the world has no link; one is needed")?.clone();
        let people = People::of(&world);
        *world.directory_mut() = people.directory();
        let mut opening = Opening {
            world: SharedWorld::new(world, options.speed),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            tls,
            people,
            directory: options.directory,
        };
        opening.tasks.spawn(doors::tick(opening.world.clone(), opening.stop.clone()));
        let instances = opening.instances(&link)?;
        let listeners = opening.listeners(&link)?;
        let browser = opening.browser(&instances)?;
        let (arm, managed_identity, machine) = opening.cloud(&link, options.speed)?;
        let control = opening.control(ca.clone())?;
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
            machine,
            browser,
            control,
            logins: opening.people.others(),
            instances,
            listeners,
        };
        let Opening { world, stop, tasks, .. } = opening;
        let doors = tokio::spawn(doors::watch(tasks, stop.clone()));
        Ok(Twin { endpoints, world, stop, doors: Some(doors) })
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

/// Doors that are being opened.
struct Opening {
    world: SharedWorld,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    tls: Tls,
    people: People,
    directory: PathBuf,
}

impl Opening {
    /// A TDS door for each instance.
    fn instances(&mut self, link: &Link) -> anyhow::Result<BTreeMap<String, SqlEndpoint>> {
        let names: Vec<(String, String)> = self.world.with(|world| {
            world.instances().map(|i| (i.name.clone(), i.server_name.clone())).collect()
        });
        let doors = names.into_iter().map(|(name, server_name)| {
            let endpoint = self.door(Behind::Instance(name.clone()), server_name, link)?;
            Ok((name, endpoint))
        });
        doors.collect()
    }

    /// A TDS door for each listener of a local group.
    fn listeners(&mut self, link: &Link) -> anyhow::Result<BTreeMap<String, SqlEndpoint>> {
        let doors = self.world.with(|world| world.listeners()).into_iter().map(|name| {
            let endpoint = self.door(Behind::Listener(name.clone()), name.clone(), link)?;
            Ok((name, endpoint))
        });
        doors.collect()
    }

    fn door(
        &mut self,
        behind: Behind,
        server_name: String,
        link: &Link,
    ) -> anyhow::Result<SqlEndpoint> {
        let logins: Arc<[Login]> = self.people.logins().into();
        let LoginEndpoint { user, password } = self.people.agent();
        let place = doors::Place::take()?;
        let (port, first) = (place.port(), place.open()?);
        let name = behind.name().to_owned();
        self.world.with(|world| world.know_port(&name, port));
        let tls = self.tls.tds.clone();
        let door = TdsDoor { world: self.world.clone(), behind, tls, logins };
        self.tasks.spawn(doors::tds(door, place, first, self.stop.clone()));
        Ok(SqlEndpoint {
            host: "localhost".to_owned(),
            port,
            user,
            password,
            database: link.databases().next().unwrap_or("master").to_owned(),
            name,
            instance: server_name.split_once('\\').map(|(_, name)| name.to_owned()),
            server_name,
        })
    }

    /// SQL Server Browser for all of them: they are on one machine here.
    fn browser(&mut self, instances: &BTreeMap<String, SqlEndpoint>) -> anyhow::Result<u16> {
        let (socket, port) = doors::bind_udp()?;
        let listed = instances.values().map(|instance| Listed {
            instance: instance.name.clone(),
            server_name: instance.server_name.clone(),
            port: instance.port,
        });
        let (world, stop) = (self.world.clone(), self.stop.clone());
        self.tasks.spawn(browser::serve(world, socket, listed.collect(), stop));
        Ok(port)
    }

    /// ARM, the token service, managed identity, and a machine that Azure Arc connects.
    fn cloud(
        &mut self,
        link: &Link,
        speed: f64,
    ) -> anyhow::Result<(ArmEndpoint, IdentityEndpoint, MachineEndpoint)> {
        let (arm_listener, arm_port) = doors::bind()?;
        let (token_listener, token_port) = doors::bind()?;
        let (identity_listener, identity_port) = doors::bind()?;
        let (machine_listener, machine_port) = doors::bind()?;
        let folder = self.directory.join("machine");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let certificate = self.tls.certificate.clone();
        let cloud = cloud(speed, arm_port, token_port, certificate, folder, &self.people);
        self.world.with(|world| {
            world.directory_mut().authority.clone_from(&cloud.authority);
            world.endpoint_keys(&cloud.certificate);
        });
        let arm = ArmEndpoint {
            base_url: cloud.base_url.clone(),
            authority: cloud.authority.clone(),
            tenant: cloud.tenant.clone(),
            client_id: cloud.client_id.clone(),
            client_secret: self.people.client_secret.clone(),
            subscription: cloud.subscription.clone(),
            resource_group: cloud.resource_group.clone(),
            instance: link.member(Side::ManagedInstance).instance.clone(),
            link: link.group.clone(),
        };
        let identity = IdentityEndpoint {
            endpoint: format!("http://localhost:{identity_port}/msi/token"),
            header: cloud.identity_header.clone(),
        };
        let machine = MachineEndpoint {
            endpoint: format!("http://localhost:{machine_port}/metadata/identity/oauth2/token"),
            folder: cloud.machine_folder.clone(),
            client_id: cloud.machine_id.clone(),
        };
        let services = arm::services(self.world.clone(), cloud);
        for (router, listener) in
            [(services.control_plane, arm_listener), (services.token_service, token_listener)]
        {
            self.tasks.spawn(doors::https(
                router,
                listener,
                self.tls.web.clone(),
                self.stop.clone(),
            ));
        }
        let clear =
            [(services.managed_identity, identity_listener), (services.machine, machine_listener)];
        for (router, listener) in clear {
            self.tasks.spawn(doors::http(router, listener, self.stop.clone()));
        }
        Ok((arm, identity, machine))
    }

    fn control(&mut self, ca: PathBuf) -> anyhow::Result<ControlEndpoint> {
        let (listener, port) = doors::bind()?;
        let shown = self.tls.shown.clone();
        let renew = Arc::new(move || {
            let pem = shown.renew()?;
            fs::write(&ca, pem).with_context(|| format!("cannot write {}", ca.display()))
        });
        let router = control::router(self.world.clone(), renew);
        self.tasks.spawn(doors::http(router, listener, self.stop.clone()));
        Ok(ControlEndpoint { base_url: format!("http://localhost:{port}") })
    }
}

fn cloud(
    speed: f64,
    arm: u16,
    tokens: u16,
    certificate: Vec<u8>,
    machine_folder: PathBuf,
    people: &People,
) -> Cloud {
    // Fifteen of the world's seconds (addendum 2.2), as the caller's clock counts them.
    let retry_after_s = (15.0 / speed).ceil() as u32;
    Cloud {
        tenant: people.tenant.clone(),
        client_id: people.client_id.clone(),
        machine_id: people.machine_id.clone(),
        machine_folder,
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
