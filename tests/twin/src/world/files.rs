//! Files of databases, as their catalog shows them.

use serde::Serialize;

use super::{DatabaseState, Guid, Instance, InstanceKind, Platform, World};

/// What a database that is in no link takes, in bytes: data and log.
const SMALL: (u64, u64) = (8 << 20, 8 << 20);

/// A row of `sys.master_files`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileFacts {
    /// The database.
    pub database: String,
    /// `database_id`
    pub database_id: u32,
    /// `file_id`
    pub file_id: u32,
    /// `type` is LOG, else ROWS.
    pub log: bool,
    /// `name`
    pub name: String,
    /// `physical_name`
    pub path: String,
    /// The database's state.
    pub state: DatabaseState,
    /// `size`, in bytes.
    pub bytes: u64,
    /// Most that it can grow to, in bytes; none: as far as there is room.
    pub most: Option<u64>,
    /// By how much it grows, in bytes.
    pub growth: u64,
    /// How much of it is in use, in bytes; of log.
    pub used: u64,
}

impl World {
    /// `sys.master_files` of an instance.
    #[must_use]
    pub fn files(&self, at: &str) -> Vec<FileFacts> {
        let Some(instance) = self.instance(at) else { return Vec::new() };
        let logs = self.log_facts(at);
        let mut files = Vec::new();
        for database in self.databases(at) {
            let link =
                self.seats(at).find(|(link, _)| link.databases().any(|d| d == database.name));
            let log = logs.iter().find(|log| log.database == database.name);
            let spec = link.map(|(link, _)| &link.log);
            let data = spec.map_or(SMALL.0, |spec| u64::from(spec.data_mb) << 20);
            let moved = instance.moved_files.get(&database.name.to_lowercase());
            let names = file_names(instance, &database.name, database.group_database_id);
            for (place, (name, path)) in names.into_iter().enumerate() {
                let of_log = place == 1;
                let path = moved.and_then(|moved| moved[place].clone()).unwrap_or(path);
                files.push(FileFacts {
                    database: database.name.clone(),
                    database_id: database.database_id,
                    file_id: if of_log { 2 } else { 1 },
                    log: of_log,
                    name,
                    path,
                    state: database.state,
                    bytes: if of_log { log.map_or(SMALL.1, |log| log.file_bytes) } else { data },
                    most: spec.filter(|_| of_log).map(|spec| u64::from(spec.max_mb) << 20),
                    growth: spec.map_or(64, |spec| u64::from(spec.growth_mb)) << 20,
                    used: if of_log { log.map_or(1 << 20, |log| log.used_bytes) } else { data },
                });
            }
        }
        files
    }
}

/// Logical name and path of the data and of the log.
pub(super) fn file_names(
    instance: &Instance,
    database: &str,
    id: Option<Guid>,
) -> [(String, String); 2] {
    let names = match database {
        "master" => ["master".to_owned(), "mastlog".to_owned()],
        "tempdb" => ["tempdev".to_owned(), "templog".to_owned()],
        "model" => ["modeldev".to_owned(), "modellog".to_owned()],
        "msdb" => ["MSDBData".to_owned(), "MSDBLog".to_owned()],
        // A managed instance gives its files names of its own.
        _ if instance.is_managed() => ["data_0".to_owned(), "log".to_owned()],
        _ => [database.to_owned(), format!("{database}_log")],
    };
    let folder = folder(instance, id);
    let file = |name: &str, kind: &str| format!("{folder}{name}.{kind}");
    let [data, log] = names;
    let paths = if instance.is_managed() {
        [file(&format!("{database}_{data}"), "mdf"), file(&format!("{database}_{log}"), "ldf")]
    } else {
        let stem = if data == database { database } else { data.as_str() };
        [file(stem, "mdf"), file(&log, "ldf")]
    };
    let [data_path, log_path] = paths;
    [(data, data_path), (log, log_path)]
}

fn folder(instance: &Instance, id: Option<Guid>) -> String {
    let major = instance.build().0[0];
    match instance.kind {
        InstanceKind::SqlServer { platform: Platform::Linux, .. } => "/var/opt/mssql/data/".into(),
        InstanceKind::SqlServer { .. } => {
            format!(r"C:\Program Files\Microsoft SQL Server\MSSQL{major}.MSSQLSERVER\MSSQL\DATA\")
        }
        InstanceKind::ManagedInstance { .. } => {
            let of = id.unwrap_or(instance.id).to_string().to_lowercase();
            format!("https://managed.blob.core.windows.net/databases-{of}/")
        }
    }
}
