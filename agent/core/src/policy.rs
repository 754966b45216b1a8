//! What the estate is told by its configuration: links, thresholds, approvers. Each threshold has
//! its reason beside it. `apply` never reads any of this: decisions carry what they need. All of it
//! can be written down, for whoever wants to decide the same again later; none of it is a secret.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

use crate::{
    names::{ApproverId, FailureDomain, InstanceId, LinkId, Side},
    plan::Hook,
};

/// One link that the estate guards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    pub id: LinkId,
    pub sql_server: InstanceId,
    pub managed_instance: InstanceId,
    /// Name of the distributed availability group, as both sides know it.
    pub group: String,
    pub database: String,
    /// ARM path of the link, without host and query: what route 2 of a forced failover posts to.
    pub arm_path: Option<String>,
    /// What the agent's own way to SQL Server shares with others.
    pub agent_domain: FailureDomain,
    /// What the way between the managed instance and SQL Server shares with others.
    pub managed_instance_domain: FailureDomain,
    /// What the agent's own way to the managed instance shares with others.
    #[serde(default)]
    pub agent_azure_domain: FailureDomain,
    pub policy: Policy,
    pub planned: Planned,
    #[serde(default)]
    pub repair: Repair,
    #[serde(default)]
    pub guard: StandingOrder,
    #[serde(default)]
    pub cutover: Cutover,
}

/// How a link is given up for its copy in Azure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cutover {
    /// How long the first full backup of the managed instance is waited for. 200 MB were seen to take
    /// four minutes.
    pub first_backup_within: Duration,
}

impl Default for Cutover {
    fn default() -> Self {
        Self { first_backup_within: Duration::from_secs(3600) }
    }
}

/// What is done to a side that comes back as primary after a forced failover to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingOrder {
    /// Whether forced failovers carry the standing order.
    pub on: bool,
    /// The applications' logins, which are disabled there; other databases of the same instance are
    /// closed to them too. None: their sessions are ended, and ended again when they come back.
    pub logins: Vec<String>,
}

impl Default for StandingOrder {
    fn default() -> Self {
        Self { on: true, logins: Vec::new() }
    }
}

/// How two primaries become one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Where a SQL Server that lost puts what only it has. None: no plan takes it away from there.
    pub save: Option<BackupPlace>,
    /// The same of a managed instance; the `https://` address of a container.
    pub save_azure: Option<BackupPlace>,
}

impl Repair {
    /// Where the loser's data is saved.
    #[must_use]
    pub fn place(&self, loser: Side) -> Option<&BackupPlace> {
        match loser {
            Side::SqlServer => self.save.as_ref(),
            Side::ManagedInstance => self.save_azure.as_ref(),
        }
    }
}

/// How a planned failover of a link goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Stops and starts the applications: run with `stop`, `start` or `status` behind its
    /// arguments. `status` ends with 0 while they run and with 3 while they are stopped, as init
    /// scripts do. None: people stop them, and the plan waits for it.
    pub applications: Option<Hook>,
    /// How long it may take until nobody works in the database any more.
    pub quiesce_within: Duration,
    /// How long the database has to be quiet to count as left: longer than a connection pool takes
    /// to come back.
    pub quiet_for: Duration,
    /// KB of log in that time that a server writes by itself.
    pub quiet_log_kb: u64,
    /// How long the other side may take to get and redo what is left.
    pub catch_up_within: Duration,
    /// How long the engine may take to hand over. The statement waits for the other side, and to
    /// drop its connection may end it half way; nothing documents a time-out of its own.
    pub hand_over_within: Duration,
    /// Where the full backup goes after a move to SQL Server. None: people take it.
    pub backup: Option<BackupPlace>,
}

/// Where a server puts a full backup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlace {
    /// What the name of the file is put behind: a folder of the server's with its separator, or the
    /// `https://` address of a container with a slash.
    pub to: String,
    /// How long it may take.
    pub within: Duration,
}

impl Default for Planned {
    fn default() -> Self {
        Self {
            applications: None,
            quiesce_within: Duration::from_secs(300),
            quiet_for: Duration::from_secs(5),
            quiet_log_kb: 256,
            catch_up_within: Duration::from_secs(300),
            hand_over_within: Duration::from_secs(600),
            backup: None,
        }
    }
}

impl LinkSpec {
    #[must_use]
    pub fn instance(&self, side: Side) -> &InstanceId {
        match side {
            Side::SqlServer => &self.sql_server,
            Side::ManagedInstance => &self.managed_instance,
        }
    }

    /// Whether the agent and the other side are two witnesses of the loss of a primary on `side`,
    /// not one.
    #[must_use]
    pub fn independent_witnesses(&self, side: Side) -> bool {
        let own = match side {
            Side::SqlServer => &self.agent_domain,
            Side::ManagedInstance => &self.agent_azure_domain,
        };
        let stated = own.is_stated() && self.managed_instance_domain.is_stated();
        stated && *own != self.managed_instance_domain
    }
}

/// Thresholds of one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Failed looks in a row before a side counts as silent. Three, so that one lost packet and
    /// one retransmission time-out are not an outage.
    pub misses: u32,
    /// Misses closer together than this count once: a burst of refusals is one fact.
    pub miss_spacing: Duration,
    /// A look older than this says nothing about now.
    pub stale_after: Duration,
    /// How long the primary has to be down before a proposal is opened. Local failovers and
    /// restarts take 10 to 60 s and heal themselves.
    pub propose_after: Duration,
    /// How long the primary has to be serving again before an open proposal is withdrawn. A boot
    /// loop must not throw signatures away.
    pub withdraw_after: Duration,
    /// How long approvers have. After that the evidence is too old to be signed for.
    pub approve_within: Duration,
    /// How long after the last approval the plan may still start steps.
    pub execute_within: Duration,
    /// An expired proposal is opened again after this, until a human acknowledges the episode.
    pub reopen_after: Duration,
    /// How long a step may take before its outcome counts as unknown.
    pub step_deadline: Duration,
    /// How long an unknown outcome is looked after before the run ends as stuck.
    pub stuck_after: Duration,
    /// Wait before a step that was refused without effect is tried again.
    pub retry_after: Duration,
    /// Tries of one step at the most.
    pub attempts: u32,
    /// Added to the forecast before it becomes the bound that is signed, so that a clock that
    /// differs by seconds does not throw signatures away.
    pub loss_margin: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            misses: 3,
            miss_spacing: Duration::from_millis(500),
            stale_after: Duration::from_secs(15),
            propose_after: Duration::from_secs(60),
            withdraw_after: Duration::from_secs(60),
            approve_within: Duration::from_secs(3600),
            execute_within: Duration::from_secs(900),
            reopen_after: Duration::from_secs(300),
            step_deadline: Duration::from_secs(120),
            stuck_after: Duration::from_secs(600),
            retry_after: Duration::from_secs(5),
            attempts: 20,
            loss_margin: Duration::from_secs(5),
        }
    }
}

/// Who may approve, and how many it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roster {
    pub approvers: Vec<Approver>,
    /// Signatures that a planned failover takes.
    pub planned_quorum: usize,
    /// Signatures that a forced failover takes.
    pub forced_quorum: usize,
    /// None: there is no way round the quorum.
    pub break_glass: Option<BreakGlass>,
}

impl Roster {
    #[must_use]
    pub fn approver(&self, id: &ApproverId) -> Option<&Approver> {
        self.approvers.iter().find(|approver| &approver.id == id)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    pub id: ApproverId,
    #[serde(with = "hex_key")]
    pub key: VerifyingKey,
}

/// One signer and a waiting time in which anybody on the roster can still reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    pub wait: Duration,
}

/// The estate's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StormBrake {
    /// Proposals that the agent itself keeps open at once. When more links fail together it is
    /// rarely the links.
    pub open_proposals: usize,
}

impl Default for StormBrake {
    fn default() -> Self {
        Self { open_proposals: 8 }
    }
}

/// A public key as hexadecimal digits.
mod hex_key {
    use alloc::string::String;

    use ed25519_dalek::VerifyingKey;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use crate::approval::{from_hex, to_hex};

    pub(super) fn serialize<S: Serializer>(key: &VerifyingKey, to: S) -> Result<S::Ok, S::Error> {
        to_hex(key.as_bytes()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<VerifyingKey, D::Error> {
        let bytes = from_hex(&String::deserialize(from)?);
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| D::Error::custom("a key is 64 hexadecimal digits"))?;
        VerifyingKey::from_bytes(&bytes).map_err(D::Error::custom)
    }
}
