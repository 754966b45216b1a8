//! A private folder with all that an agent needs to guard the twin's pair: its configuration, the
//! secrets that the configuration names, a token for its API.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::TcpListener,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use ::twin::serve::Endpoints;
use anyhow::{Context as _, Result, anyhow, bail};
use toml::{Table, Value};

/// What the configuration of the moment is made from.
const LAB: &str = include_str!("../../../config/lab.toml");

/// Ports below those that Linux gives to outgoing connections (from 32768).
const PORTS: (u16, u16) = (20_000, 32_000);
const PORT_TRIES: usize = 100;

/// A configuration in the making.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: PathBuf,
    table: Table,
    /// The bearer token of the agent's API.
    pub token: String,
    /// The port of the agent's API.
    pub port: u16,
}

impl Setup {
    /// Starts from `config/lab.toml`: finds a free port, makes a token, points everything at the
    /// twin's doors.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn new(folder: &Path, twin: &Endpoints) -> Result<Self> {
        let table: Table = LAB.parse().context("config/lab.toml is not TOML")?;
        let port = free_port()?;
        let token = random_hex()?;
        let mut setup = Self { folder: folder.to_owned(), table, token, port };
        setup.secret("token", &setup.token)?;
        setup.secret("sql-password", &twin.sql_server.password)?;
        setup.secret("mi-password", &twin.managed_instance.password)?;
        setup.secret("arm-secret", &twin.arm.client_secret)?;
        let ca = fs::canonicalize(&twin.ca).context("the twin's authority can't be found")?;
        let ca = ca.to_string_lossy().into_owned();
        setup.set("http.listen", format!("127.0.0.1:{port}"))?;
        let doors =
            [("sql_servers.0", &twin.sql_server), ("managed_instances.0", &twin.managed_instance)];
        for (place, door) in doors {
            setup.set(&format!("{place}.name"), door.name.clone())?;
            setup.set(&format!("{place}.host"), door.host.clone())?;
            setup.set(&format!("{place}.port"), i64::from(door.port))?;
            setup.set(&format!("{place}.login.user"), door.user.clone())?;
            setup.set(&format!("{place}.trust.ca"), ca.clone())?;
        }
        let arm = &twin.arm;
        for (key, value) in [
            ("subscription", &arm.subscription),
            ("resource_group", &arm.resource_group),
            ("instance", &arm.instance),
            ("base_url", &arm.base_url),
            ("credential.authority", &arm.authority),
            ("credential.tenant", &arm.tenant),
            ("credential.client_id", &arm.client_id),
            ("ca", &ca),
        ] {
            setup.set(&format!("managed_instances.0.arm.{key}"), value.clone())?;
        }
        setup.set("links.0.name", arm.link.clone())?;
        setup.set("links.0.sql_server", twin.sql_server.name.clone())?;
        setup.set("links.0.managed_instance", twin.managed_instance.name.clone())?;
        setup.set("links.0.database", twin.sql_server.database.clone())?;
        Ok(setup)
    }

    /// Sets a key, for example `policy.misses` or `links.0.database`. Tables that are missing on
    /// the way are made; lists are not.
    ///
    /// # Errors
    /// The way leads through something that is no table.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> Result<()> {
        let (way, last) = key.rsplit_once('.').unwrap_or(("", key));
        let table = self.table_at(way).ok_or_else(|| anyhow!("{way} is no table"))?;
        table.insert(last.to_owned(), value.into());
        Ok(())
    }

    /// Takes a key out, if it is there.
    ///
    /// # Errors
    /// As [`Setup::set`].
    pub fn unset(&mut self, key: &str) -> Result<()> {
        let (way, last) = key.rsplit_once('.').unwrap_or(("", key));
        let table = self.table_at(way).ok_or_else(|| anyhow!("{way} is no table"))?;
        table.remove(last);
        Ok(())
    }

    /// Writes a secret beside the configuration, for its owner alone.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn secret(&self, name: &str, secret: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file =
            options.open(&path).with_context(|| format!("{} can't be made", path.display()))?;
        file.write_all(secret.as_bytes())?;
        Ok(path)
    }

    /// Writes the configuration and says where.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self) -> Result<PathBuf> {
        let path = self.folder.join("agent.toml");
        fs::write(&path, toml::to_string(&self.table)?)
            .with_context(|| format!("{} can't be written", path.display()))?;
        Ok(path)
    }

    /// Where the agent keeps its journal.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        let named = self.table.get("agent").and_then(|agent| agent.get("data_dir"));
        self.folder.join(named.and_then(Value::as_str).unwrap_or("data"))
    }

    fn table_at(&mut self, way: &str) -> Option<&mut Table> {
        let mut table = &mut self.table;
        let mut steps = way.split('.').filter(|step| !step.is_empty()).peekable();
        while let Some(step) = steps.next() {
            let found = table.entry(step).or_insert_with(|| Value::Table(Table::new()));
            table = match found {
                Value::Table(table) => table,
                Value::Array(list) => {
                    let place: usize = steps.next()?.parse().ok()?;
                    list.get_mut(place)?.as_table_mut()?
                }
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_) => return None,
            };
        }
        Some(table)
    }
}

/// A port of loopback that nobody listens on. Not one of those that the system gives to outgoing
/// connections: an agent that was killed could not have it again if one of them took it meanwhile.
fn free_port() -> Result<u16> {
    for _ in 0..PORT_TRIES {
        let mut dice = [0; 2];
        random(&mut dice)?;
        let port = PORTS.0 + u16::from_le_bytes(dice) % (PORTS.1 - PORTS.0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port of loopback was found in {PORT_TRIES} tries")
}

fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| anyhow!("there is no randomness: {error}"))
}

fn random_hex() -> Result<String> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
