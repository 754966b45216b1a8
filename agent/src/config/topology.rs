//! What can be known of a configuration without its secrets: enough for the runbook, on any machine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use agent_core::{
    Estate, InstanceId, StormBrake,
    runbook::{AzureDoor, Door, Places},
};

use super::{
    ConfigError, JOURNAL_FILE,
    build::Builder,
    file::{self, File},
    instance::{Instance, PORT, Place},
    problem,
};

/// Links, the places where people get in, and where the agent keeps what it knows.
pub struct Topology {
    /// Makes an estate that has seen and decided nothing yet.
    pub decides: Box<dyn Fn() -> Estate>,
    pub places: Places,
    pub journal: PathBuf,
    /// None: nothing is recorded.
    pub recording: Option<PathBuf>,
}

/// Reads a configuration file, and none of the secrets that it names. What is wrong with its values
/// is left to `dr-agent config`: whoever needs the runbook now takes what there is.
///
/// # Errors
///
/// The file can't be read or is wrong in its form.
pub fn topology(path: &Path) -> Result<Topology, ConfigError> {
    let text = problem::read(path)?;
    let file = file::read(path, &text)?;
    let mut builder = Builder::new(path);
    let (links, roster) = (builder.links(&file), builder.roster(&file));
    let brake = StormBrake { open_proposals: file.storm_brake.open_proposals };
    Ok(Topology {
        decides: Box::new(move || Estate::new(links.clone(), roster.clone(), brake)),
        places: places(&file),
        journal: builder.path(&file.agent.data_dir).join(JOURNAL_FILE),
        recording: builder.recorder(&file).map(|settings| settings.folder),
    })
}

/// Where people get in.
pub(super) fn places(file: &File) -> Places {
    let all = file.sql_servers.iter().chain(&file.managed_instances);
    let doors: BTreeMap<InstanceId, Door> = all.filter_map(door).collect();
    Places { agent: file.agent.name.clone(), version: env!("CARGO_PKG_VERSION").into(), doors }
}

fn door(instance: &Instance) -> Option<(InstanceId, Door)> {
    let azure = instance.arm.as_ref().map(|arm| AzureDoor {
        base_url: arm.base_url.clone(),
        api_version: arm.api_version.clone(),
        subscription: arm.subscription.clone(),
        resource_group: arm.resource_group.clone(),
        instance: arm.instance.clone(),
    });
    let own = instance.places().into_iter().find(|place| place.replica.is_none());
    let replicas = instance.places().into_iter().filter(|place| place.replica.is_some());
    let replicas: Vec<String> = replicas.map(server).collect();
    let server = own.map(server).or_else(|| replicas.first().cloned())?;
    let door = Door { server, replicas, azure };
    Some((InstanceId::new(&instance.name).ok()?, door))
}

/// As clients take it.
fn server(place: Place<'_>) -> String {
    match place.instance {
        Some(instance) => format!("tcp:{}\\{instance}", place.host),
        None => format!("tcp:{},{}", place.host, place.port.unwrap_or(PORT)),
    }
}
