//! Every address and throw-away credential of a twin, as one file of JSON.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What a client needs to know to use a twin.
#[derive(Clone, Serialize, Deserialize)]
pub struct Endpoints {
    /// The file with the authority's certificate, PEM.
    pub ca: PathBuf,
    /// The SQL Server of the first link.
    pub sql_server: SqlEndpoint,
    /// The managed instance of the first link.
    pub managed_instance: SqlEndpoint,
    /// The control plane.
    pub arm: ArmEndpoint,
    /// Managed identity, in the flavour of App Service.
    pub managed_identity: IdentityEndpoint,
    /// A machine that Azure Arc connects.
    pub machine: MachineEndpoint,
    /// The UDP port of SQL Server Browser.
    pub browser: u16,
    /// Faults and truth.
    pub control: ControlEndpoint,
    /// Every instance by its name, with the login of the agent.
    pub instances: BTreeMap<String, SqlEndpoint>,
    /// Every listener of a local availability group by its name, with the login of the agent.
    #[serde(default)]
    pub listeners: BTreeMap<String, SqlEndpoint>,
    /// Every other login by its party's name: the operator, and each application as `app:NAME`. And
    /// further ones of the agent: `watching` may only watch, `windows` and `windows:watching` are
    /// accounts of a domain, with it. They are known to all instances.
    pub logins: BTreeMap<String, LoginEndpoint>,
}

/// One instance over TDS.
#[derive(Clone, Serialize, Deserialize)]
pub struct SqlEndpoint {
    /// The host to connect to.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The agent's login.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The first link's database.
    pub database: String,
    /// The name of the instance in the world: faults are named after it.
    pub name: String,
    /// `@@SERVERNAME`; the certificate is good for it too.
    pub server_name: String,
    /// The name of the instance on its machine, which SQL Server Browser knows; the default one has
    /// none.
    pub instance: Option<String>,
}

/// A login of somebody else than the agent.
#[derive(Clone, Serialize, Deserialize)]
pub struct LoginEndpoint {
    /// The login.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// ARM and its token service.
#[derive(Clone, Serialize, Deserialize)]
pub struct ArmEndpoint {
    /// `https://host:port`
    pub base_url: String,
    /// The token service, `https://host:port`.
    pub authority: String,
    /// The tenant.
    pub tenant: String,
    /// The client id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// The subscription.
    pub subscription: String,
    /// The resource group.
    pub resource_group: String,
    /// The managed instance of the first link.
    pub instance: String,
    /// The first link.
    pub link: String,
}

/// `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
#[derive(Clone, Serialize, Deserialize)]
pub struct IdentityEndpoint {
    /// The URL.
    pub endpoint: String,
    /// What `X-IDENTITY-HEADER` must say.
    pub header: String,
}

/// The agent of a machine that Azure Arc connects: it gives a token to whoever can read its files.
/// What it is may only watch the instances.
#[derive(Clone, Serialize, Deserialize)]
pub struct MachineEndpoint {
    /// The URL.
    pub endpoint: String,
    /// Where its challenges lie.
    pub folder: PathBuf,
    /// The client id of the machine's identity.
    pub client_id: String,
}

/// The control door.
#[derive(Clone, Serialize, Deserialize)]
pub struct ControlEndpoint {
    /// `http://host:port`
    pub base_url: String,
}

impl Endpoints {
    /// Writes the file at once and whole, so that whoever waits for it never reads half of it.
    /// Only its owner can read it.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let fresh = file.with_extension("writing");
        let text = serde_json::to_string_pretty(self).context("endpoints are not fit for JSON")?;
        let explain = || format!("cannot write {}", fresh.display());
        private_file(&fresh).with_context(explain)?;
        fs::write(&fresh, text).with_context(explain)?;
        fs::rename(&fresh, file)
            .with_context(|| format!("cannot rename {} to {}", fresh.display(), file.display()))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// The file system's, or what is wrong in it.
    pub fn read(file: &Path) -> anyhow::Result<Endpoints> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))
    }
}

#[cfg(unix)]
fn private_file(file: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)
}

#[cfg(not(unix))]
fn private_file(file: &Path) -> std::io::Result<fs::File> {
    fs::File::create(file)
}
