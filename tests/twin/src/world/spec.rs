//! What a world is built from. Every key may be left out of the TOML file; the defaults are one
//! SQL Server 2022 CU13 as primary, one General Purpose managed instance and one application.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{BackupKind, DoorSpec, Guid, LocalSpec, Platform, PreparedSpec, Role, Side};

/// A whole world.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorldSpec {
    /// SQL Servers and managed instances.
    pub instances: Vec<InstanceSpec>,
    /// Links between them.
    pub links: Vec<LinkSpec>,
    /// Applications that commit.
    pub workloads: Vec<WorkloadSpec>,
}

/// One SQL Server or managed instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// The name by which doors, links and faults know it.
    pub name: String,
    /// What it is.
    pub kind: Side,
    /// `@@SERVERNAME`; a managed instance answers with its full name.
    pub server_name: String,
    /// `SERVERPROPERTY('ProductVersion')`. 16.0.4125.3 is SQL Server 2022 CU13 (mi-link 2.1).
    #[serde(default = "default_version")]
    pub product_version: String,
    /// The edition; of a SQL Server only.
    #[serde(default)]
    pub edition: Edition,
    /// What it runs on; of a SQL Server only.
    #[serde(default)]
    pub platform: Platform,
    /// The service tier; of a managed instance only.
    #[serde(default)]
    pub tier: Tier,
    /// `databaseFormat`; of a managed instance only.
    #[serde(default)]
    pub update_policy: UpdatePolicy,
    /// The zone of its DMV and msdb times, as in the IANA database.
    #[serde(default = "default_zone")]
    pub time_zone: String,
    /// `SERVERPROPERTY('Collation')`.
    #[serde(default = "default_collation")]
    pub collation: String,
    /// How long roles are RESOLVING and databases RECOVERING after a start, in ms.
    #[serde(default = "default_restart")]
    pub restart_ms: u32,
    /// Beginnings of paths and URLs that backups can be written to; any other is error 3201. By
    /// default `C:\\Backup\\`, `D:\\backup\\`, `/var/opt/mssql/` and `\\\\backup\\` on a SQL
    /// Server, and `https://backup.blob.core.windows.net/` everywhere.
    #[serde(default)]
    pub backup_paths: Option<Vec<String>>,
    /// Jobs of its agent; of a SQL Server only. By default one that backs up the log of each of
    /// its linked databases every 10 minutes, and one that backs each up in full once a day.
    #[serde(default)]
    pub jobs: Option<Vec<JobSpec>>,
    /// Whether its agent runs.
    #[serde(default = "default_true")]
    pub agent_running: bool,
    /// Databases that are in no link yet.
    #[serde(default)]
    pub databases: Vec<String>,
    /// Groups that the administrator has made for links that Azure is still to make; of a SQL
    /// Server only.
    #[serde(default)]
    pub prepared: Vec<PreparedSpec>,
    /// Where its endpoint for mirroring is reached, `TCP://host:port`; of a SQL Server only. By
    /// default `TCP://10.0.1.8:5022`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// What its TDS door does otherwise than usual.
    #[serde(default)]
    pub door: DoorSpec,
}

/// A job that backs a database up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Its name.
    pub name: String,
    /// The database.
    pub database: String,
    /// `full` or `log`.
    #[serde(default = "default_kind")]
    pub kind: BackupKind,
    /// Whether it is enabled.
    #[serde(default = "default_true")]
    pub enabled: bool,
    /// How often it runs, in s.
    pub every_s: u32,
    /// When it runs first, in s from the beginning; after `every_s` if left out.
    #[serde(default)]
    pub first_s: Option<u32>,
    /// The directory or container that it writes to, with the separator at its end.
    #[serde(default = "default_path")]
    pub path: String,
}

/// Edition of a SQL Server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edition {
    /// Everything, not for production.
    #[default]
    Developer,
    /// Everything.
    Enterprise,
    /// Basic availability groups only.
    Standard,
}

/// Service tier of a managed instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tier {
    /// One local replica.
    #[default]
    GeneralPurpose,
    /// Four local replicas: the views of its primary show them all.
    BusinessCritical,
    /// General Purpose of the next generation: one local replica, and up to 500 links.
    NextGenGeneralPurpose,
}

/// `databaseFormat` of a managed instance (mi-link 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdatePolicy {
    /// Databases can go back to SQL Server 2022.
    #[default]
    SQLServer2022,
    /// Databases can go back to SQL Server 2025.
    SQLServer2025,
    /// There is no way back.
    AlwaysUpToDate,
}

/// One link.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// Name of the distributed availability group, and of the resource in ARM.
    pub name: String,
    /// The instance that is the SQL Server member.
    pub sql_server: String,
    /// The instance that is the managed instance member.
    pub managed_instance: String,
    /// The availability group on SQL Server.
    pub sql_group: String,
    /// The availability group on the managed instance.
    pub instance_group: String,
    /// The databases in it.
    pub databases: Vec<String>,
    /// The other replicas of the group on SQL Server, if there are any.
    #[serde(default)]
    pub local: Option<LocalSpec>,
    /// Which member begins as primary.
    #[serde(default = "default_primary")]
    pub primary: Side,
    /// `failoverMode`: `true` is `Manual`, `false` is `None` (one-way: no failover).
    #[serde(default = "default_true")]
    pub two_way: bool,
    /// `SECONDARY_ROLE (ALLOW_CONNECTIONS = ALL)` of the group on SQL Server: its copies can be read
    /// while it is secondary. Microsoft's scripts leave it out.
    #[serde(default)]
    pub sql_readable: bool,
    /// `SESSION_TIMEOUT` in s. Microsoft's scripts say 20 (mi-link 1.1).
    #[serde(default = "default_session_timeout")]
    pub session_timeout_s: u32,
    /// What a member needs beyond the session timeout to say DISCONNECTED, in ms. Measured on a
    /// plain group: 13 s at a timeout of 10 s (addendum 4.1).
    #[serde(default = "default_notice")]
    pub notice_ms: u32,
    /// How the log moves.
    #[serde(default)]
    pub log: LogSpec,
    /// How long role changes take.
    #[serde(default)]
    pub failover: FailoverSpec,
    /// What the engine does where nothing that was read says so.
    #[serde(default)]
    pub unconfirmed: UnconfirmedSpec,
}

/// Readings of what is not known for certain: by default the harsher one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UnconfirmedSpec {
    /// A managed instance that is restarted after a failover to it and before its first full backup
    /// loses its databases also where the link was kept (mi-link 3.4 and 11.6; of a dropped link it
    /// is documented).
    pub restart_before_backup: bool,
    /// A local group that was taken offline comes back with the role that it had; else as secondary
    /// (addendum 4.2, seen with a plain group that had another primary meanwhile).
    pub offline_comes_back_primary: bool,
    /// The databases of an old primary whose partner was forced are suspended when they meet it
    /// again (SUSPEND_FROM_PARTNER), until somebody resumes them. Known of plain groups; Microsoft's
    /// repair of a link names no such step (addendum 4.1).
    pub suspended_after_force: bool,
    /// For how long after it has become secondary such a resume is taken and does nothing, in ms.
    pub early_resume_ms: u32,
    /// How often `SET (ROLE = SECONDARY)` fails with 41104 on an old primary whose partner was
    /// forced, before it succeeds (addendum 1, row 13).
    pub stale_demotions_fail: u32,
}

/// How the log of a link's databases moves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSpec {
    /// Bandwidth of the link, all its databases together, in KB/s.
    pub bandwidth_kb_s: u32,
    /// One-way latency between the members, in ms.
    pub latency_ms: u32,
    /// Redo on the secondary, in KB/s.
    pub redo_kb_s: u32,
    /// What redo needs for anything, however small, in ms.
    pub redo_latency_ms: u32,
    /// Undo of a divergent tail, in KB/s.
    pub undo_kb_s: u32,
    /// How long a divergent tail may be to be undone, in MB; beyond that the secondary has to be
    /// seeded anew. Microsoft states no figure.
    pub undo_mb: u32,
    /// Size of each database's log files in the beginning, in MB.
    pub file_mb: u32,
    /// By how much they grow when they are full, in MB; with 0 they do not.
    pub growth_mb: u32,
    /// How large they can become, in MB.
    pub max_mb: u32,
    /// Size of each database, and so of a full backup, in MB.
    pub data_mb: u32,
    /// How fast a backup is written, in MB/s.
    pub backup_mb_s: u32,
    /// How often an idle primary writes a log record of its own (checkpoints and such), in ms.
    pub background_ms: u32,
    /// How many log records of each database are kept; older ones that both sides have are forgotten
    /// but for their number. At least 1,000.
    pub records_kept: u32,
    /// How long after the path is there again two members find each other, in ms.
    pub reconnect_ms: u32,
}

/// How long role changes take.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FailoverSpec {
    /// From the statement's arrival until it is accepted, in ms; it can be withdrawn until then.
    pub accept_ms: u32,
    /// From ARM's 202 until the engine gets the command, in ms.
    pub arm_start_ms: u32,
    /// From acceptance until the role is PRIMARY, in ms.
    pub role_ms: u32,
    /// From the new role until databases are ONLINE, in ms, beside what redo is left to do.
    pub recovery_ms: u32,
    /// `SET (ROLE = SECONDARY)`, and ARM's turn of a primary to a secondary, in ms.
    pub demote_ms: u32,
    /// How long a planned failover waits for the secondary, in ms. Microsoft states no figure.
    pub planned_timeout_ms: u32,
    /// From the confirmation of a planned failover until the new primary's databases are ONLINE,
    /// in ms. The whole switch was seen to take 3 s (addendum 2.9).
    pub planned_online_ms: u32,
    /// How long ARM tries to reach an instance for an accepted failover, in ms.
    pub arm_timeout_ms: u32,
    /// From a failover to the managed instance until its first full backup has finished, in ms.
    /// Seen in the field: 4 minutes for 200 MB (mi-link 10).
    pub first_backup_ms: u32,
}

/// An application that commits steadily where its connection string points.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadSpec {
    /// Its name.
    pub name: String,
    /// The link whose database it writes to.
    pub link: String,
    /// The database.
    pub database: String,
    /// The instance that its connection string names, or a listener.
    pub target: String,
    /// Commits per second when all is well.
    #[serde(default = "default_rate")]
    pub commits_per_s: f64,
    /// Log bytes of one commit.
    #[serde(default = "default_bytes")]
    pub bytes: u32,
    /// How many sessions its pool has; they commit in turn. 1 to 100.
    #[serde(default = "default_sessions")]
    pub sessions: u16,
    /// How many of them sit in `master` and write to the database by three-part names.
    #[serde(default = "default_one")]
    pub sessions_in_master: u16,
    /// How long before its commit a transaction begins, in ms.
    #[serde(default = "default_transaction")]
    pub transaction_ms: u32,
    /// `program_name` of its sessions; the workload's name if left out.
    #[serde(default)]
    pub program: Option<String>,
}

/// What is wrong in a [`WorldSpec`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{place}: {problem}")]
pub struct SpecError {
    pub(super) place: String,
    pub(super) problem: String,
}

impl Default for WorldSpec {
    fn default() -> WorldSpec {
        WorldSpec {
            instances: vec![
                InstanceSpec {
                    edition: Edition::Enterprise,
                    time_zone: "Europe/Berlin".into(),
                    ..InstanceSpec::usual("sql01", Side::SqlServer, "SQL01")
                },
                InstanceSpec {
                    product_version: "12.0.2000.8".into(),
                    restart_ms: 15_000,
                    ..InstanceSpec::usual(
                        "mi-dr",
                        Side::ManagedInstance,
                        "mi-dr.0a1b2c3d4e5f.database.windows.net",
                    )
                },
            ],
            links: vec![LinkSpec {
                name: "LinkSales".into(),
                sql_server: "sql01".into(),
                managed_instance: "mi-dr".into(),
                sql_group: "AG_Sales".into(),
                instance_group: "AG_Sales_MI".into(),
                databases: vec!["Sales".into()],
                local: None,
                primary: default_primary(),
                two_way: true,
                sql_readable: false,
                session_timeout_s: default_session_timeout(),
                notice_ms: default_notice(),
                log: LogSpec::default(),
                failover: FailoverSpec::default(),
                unconfirmed: UnconfirmedSpec::default(),
            }],
            workloads: vec![WorkloadSpec {
                name: "shop".into(),
                link: "LinkSales".into(),
                database: "Sales".into(),
                target: "sql01".into(),
                commits_per_s: default_rate(),
                bytes: default_bytes(),
                sessions: default_sessions(),
                sessions_in_master: default_one(),
                transaction_ms: default_transaction(),
                program: None,
            }],
        }
    }
}

impl Default for LogSpec {
    fn default() -> LogSpec {
        LogSpec {
            bandwidth_kb_s: 20_000,
            latency_ms: 12,
            redo_kb_s: 40_000,
            redo_latency_ms: 5,
            undo_kb_s: 20_000,
            undo_mb: 4_096,
            file_mb: 8_192,
            growth_mb: 0,
            max_mb: 8_192,
            data_mb: 200,
            backup_mb_s: 100,
            background_ms: 30_000,
            records_kept: 1_000_000,
            reconnect_ms: 4_000,
        }
    }
}

impl Default for UnconfirmedSpec {
    fn default() -> UnconfirmedSpec {
        UnconfirmedSpec {
            restart_before_backup: true,
            offline_comes_back_primary: false,
            suspended_after_force: true,
            early_resume_ms: 3_000,
            stale_demotions_fail: 1,
        }
    }
}

impl Default for FailoverSpec {
    fn default() -> FailoverSpec {
        FailoverSpec {
            accept_ms: 300,
            arm_start_ms: 1_500,
            role_ms: 1_200,
            recovery_ms: 2_500,
            demote_ms: 1_000,
            planned_timeout_ms: 60_000,
            planned_online_ms: 1_800,
            arm_timeout_ms: 600_000,
            first_backup_ms: 240_000,
        }
    }
}

impl InstanceSpec {
    /// With everything that a file may leave out.
    fn usual(name: &str, kind: Side, server_name: &str) -> InstanceSpec {
        InstanceSpec {
            name: name.to_owned(),
            kind,
            server_name: server_name.to_owned(),
            product_version: default_version(),
            edition: Edition::default(),
            platform: Platform::default(),
            tier: Tier::default(),
            update_policy: UpdatePolicy::default(),
            time_zone: default_zone(),
            collation: default_collation(),
            restart_ms: default_restart(),
            backup_paths: None,
            jobs: None,
            agent_running: true,
            databases: Vec::new(),
            prepared: Vec::new(),
            endpoint: None,
            door: DoorSpec::default(),
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or("TCP://10.0.1.8:5022")
    }

    pub(super) fn backup_paths(&self) -> Vec<String> {
        let url = "https://backup.blob.core.windows.net/";
        let own: &[&str] = match self.kind {
            Side::SqlServer => {
                &[r"C:\Backup\", r"D:\backup\", "/var/opt/mssql/", r"\\backup\", url]
            }
            Side::ManagedInstance => &[url],
        };
        let default = || own.iter().map(|path| (*path).to_owned()).collect();
        self.backup_paths.clone().unwrap_or_else(default)
    }
}

impl LinkSpec {
    /// A link without anything that was said of it.
    pub(super) fn plain() -> LinkSpec {
        LinkSpec {
            name: String::new(),
            sql_server: String::new(),
            managed_instance: String::new(),
            sql_group: String::new(),
            instance_group: String::new(),
            databases: Vec::new(),
            primary: default_primary(),
            two_way: true,
            sql_readable: false,
            session_timeout_s: default_session_timeout(),
            notice_ms: default_notice(),
            log: LogSpec::default(),
            failover: FailoverSpec::default(),
            unconfirmed: UnconfirmedSpec::default(),
            local: None,
        }
    }

    pub(super) fn role_of(&self, side: Side) -> Role {
        if side == self.primary { Role::Primary } else { Role::Secondary }
    }

    /// The instances that are replicas of its group on SQL Server.
    pub(super) fn replicas(&self) -> impl Iterator<Item = &str> {
        let others = self.local.iter().flat_map(|local| &local.replicas);
        std::iter::once(self.sql_server.as_str())
            .chain(others.map(|replica| replica.instance.as_str()))
    }

    pub(super) fn guid(&self, seed: u64, what: &str) -> Guid {
        Guid::derive(seed, &format!("link/{}/{what}", self.name))
    }
}

fn default_version() -> String {
    "16.0.4125.3".into()
}

fn default_zone() -> String {
    "UTC".into()
}

fn default_collation() -> String {
    "SQL_Latin1_General_CP1_CI_AS".into()
}

fn default_restart() -> u32 {
    5_000
}

fn default_primary() -> Side {
    Side::SqlServer
}

fn default_true() -> bool {
    true
}

fn default_session_timeout() -> u32 {
    20
}

fn default_notice() -> u32 {
    3_000
}

fn default_rate() -> f64 {
    20.0
}

fn default_bytes() -> u32 {
    1_400
}

fn default_sessions() -> u16 {
    4
}

fn default_one() -> u16 {
    1
}

fn default_transaction() -> u32 {
    15
}

fn default_kind() -> BackupKind {
    BackupKind::Log
}

pub(super) fn default_path() -> String {
    r"C:\Backup\".into()
}
