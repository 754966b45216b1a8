//! A link on its way: the two sides find each other, the databases are seeded, and only then is
//! there a link in the world. What ARM reads until then is here too.

use jiff::{SignedDuration, Timestamp};

use super::{
    LinkOrder,
    job::JobStatus,
    partner::{LOG_IS_GONE, of_database},
};
use crate::world::{ArmError, ArmLink, Guid, Link, LinkSpec, Role, Side, World, contact};

/// Until the two sides have found each other. Whole creations were seen to take 36 to 61 s
/// (addendum 2.9).
const HANDSHAKE: SignedDuration = SignedDuration::from_secs(8);
/// A link with several databases is reported as made before anything is seeded (addendum 12.6):
/// then its databases are not there for some seconds, and then they are `InitiatingLink`.
const SEVERAL: SignedDuration = SignedDuration::from_secs(12);
const LISTED: SignedDuration = SignedDuration::from_secs(20);
/// A creation that does not come to an end is given up (mi-link 6.2).
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(6 * 24);
/// After so long without the other side a link says what is wrong (mi-link 10).
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// How often seeding is looked at.
const LOOK: SignedDuration = SignedDuration::from_secs(1);

/// A link on its way.
#[derive(Clone, Debug)]
pub(crate) struct Making {
    pub(super) instance: String,
    pub(super) order: LinkOrder,
    job: Guid,
    ids: Ids,
    begun: Timestamp,
    next: Timestamp,
    /// The SQL Server that has answered.
    pub(super) partner: Option<String>,
    pub(super) seeded_kb: u64,
    /// How often it was begun.
    pub(super) attempts: u32,
    /// How much of that in the last second.
    pub(super) seeded_in_s: u64,
    /// When seeding began.
    pub(super) seeding: Option<Timestamp>,
    /// How many records each database had then: what was committed since then is still to be sent.
    pub(super) seeded: Vec<usize>,
    /// How log moves, what is not confirmed and how long things take: as in the other links of the
    /// instance.
    pub(super) like: LinkSpec,
    /// What keeps it from going on, by the engine's number, and since when.
    trouble: Option<(u32, Timestamp)>,
    /// Why it never will, by the engine's number: it has to be deleted and begun anew.
    broken: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Ids {
    link: Guid,
    instance: Guid,
    partner: Guid,
}

/// A link as ARM reads it, being made or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureLink {
    /// It is there.
    Made {
        /// What the engine says.
        link: Box<ArmLink>,
        /// `linkMode` is MultiDatabase.
        several: bool,
        /// `replicationMode` is Sync.
        synchronous: bool,
        /// When its role changed last.
        changed: Timestamp,
        /// The name and the end of the certificate by which the instance knows SQL Server.
        certificate: Option<(String, Timestamp)>,
    },
    /// It is on its way.
    Making {
        /// What was asked for.
        order: LinkOrder,
        /// `distributedAvailabilityGroupId`
        id: Guid,
        /// Its databases; none while ARM does not list them.
        databases: Option<Vec<AzureDatabase>>,
    },
}

/// A database of a link that is being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureDatabase {
    /// `databaseName`
    pub name: String,
    /// `instanceReplicaId`
    pub instance_replica: Guid,
    /// `partnerReplicaId`
    pub partner_replica: Guid,
    /// `replicaState`
    pub replica_state: &'static str,
    /// `seedingProgress` in percent, once it is seeded.
    pub progress: Option<u8>,
    /// `mostRecentLinkError`
    pub error: Option<u32>,
}

impl Making {
    pub(super) fn new(instance: &str, order: LinkOrder, job: Guid, world: &mut World) -> Making {
        let mut id = || Guid::random(&mut world.rng);
        let ids = Ids { link: id(), instance: id(), partner: id() };
        Making {
            instance: instance.to_owned(),
            order,
            job,
            ids,
            begun: world.now,
            next: world.now + HANDSHAKE,
            partner: None,
            seeded_kb: 0,
            attempts: 1,
            seeded_in_s: 0,
            seeding: None,
            seeded: Vec::new(),
            like: world.like_other_links(instance),
            trouble: None,
            broken: None,
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    pub(super) fn job(&self) -> Guid {
        self.job
    }

    pub(super) fn several(&self) -> bool {
        self.order.several
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        Some(self.next)
    }

    /// Whether it never will be made.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// From whom to whom it is seeded.
    pub(super) fn path<'a>(&'a self, partner: &'a str) -> (&'a str, &'a str) {
        let instance = self.instance.as_str();
        if self.order.from_instance { (instance, partner) } else { (partner, instance) }
    }

    pub(super) fn total_kb(&self) -> u64 {
        u64::from(self.like.log.data_mb) * 1_024 * self.order.databases.len() as u64
    }

    fn read(&self, now: Timestamp) -> AzureLink {
        let listed = !self.order.several || now.duration_since(self.begun) >= LISTED;
        let percent = self.seeded_kb.saturating_mul(100) / self.total_kb().max(1);
        let trouble = self.trouble.filter(|(_, since)| now.duration_since(*since) >= PATIENCE);
        let replica_state = match (self.order.several, self.partner.is_some()) {
            _ if self.broken.is_some() => "LinkCreationError",
            _ if trouble.is_some_and(|(number, _)| of_database(number)) => "LinkCreationError",
            _ if trouble.is_some() => "LinkInitError",
            (true, false) => "InitiatingLink",
            (false, false) => "CreatingLink",
            (true | false, true) => "LinkInitialSeeding",
        };
        let databases = self.order.databases.iter().map(|name| AzureDatabase {
            name: name.clone(),
            instance_replica: self.ids.instance,
            partner_replica: self.ids.partner,
            replica_state,
            progress: self.partner.as_ref().and(u8::try_from(percent.min(100)).ok()),
            error: self.broken.or(trouble.map(|(number, _)| number)),
        });
        AzureLink::Making {
            order: self.order.clone(),
            id: self.ids.link,
            databases: listed.then(|| databases.collect()),
        }
    }

    fn spec(&self, key: &str, sql_server: &str) -> LinkSpec {
        LinkSpec {
            name: key.to_owned(),
            sql_server: sql_server.to_owned(),
            managed_instance: self.instance.clone(),
            sql_group: self.order.partner_group.clone(),
            instance_group: self.order.instance_group.clone(),
            databases: self.order.databases.clone(),
            primary: if self.order.from_instance { Side::ManagedInstance } else { Side::SqlServer },
            // Left out of a creation from the instance, it reads back as Manual (addendum 12.6).
            two_way: self.order.two_way.unwrap_or(self.order.from_instance),
            ..self.like.clone()
        }
    }
}

impl World {
    /// A link of a managed instance as ARM reads it, also while it is being made.
    #[must_use]
    pub fn azure_link(&self, instance: &str, link: &str) -> Option<AzureLink> {
        let making = self.azure.makings.get(&self.azure_key(instance, link));
        if let Some(making) = making {
            return Some(making.read(self.now));
        }
        let found = self.live_link(instance, link)?;
        let read = self.arm_link(instance, link)?;
        let known = self.instances.get(instance).map(|found| &found.resource.certificates);
        let partner = &found.member(Side::SqlServer).instance;
        let newest = || known?.iter().max_by_key(|(_, certificate)| certificate.since);
        let certificate =
            known.and_then(|known| known.get_key_value(partner.as_str())).or_else(newest);
        Some(AzureLink::Made {
            link: Box::new(read),
            several: found.arm.several || found.databases().nth(1).is_some(),
            synchronous: found.member(Side::ManagedInstance).is_synchronous(),
            changed: found.member(Side::ManagedInstance).changed,
            certificate: certificate.map(|(name, found)| (name.clone(), found.expiry)),
        })
    }

    /// The links of a managed instance, by name, as ARM reads them.
    #[must_use]
    pub fn azure_links(&self, instance: &str) -> Vec<AzureLink> {
        let here = |link: &&Link| link.side_of(instance) == Some(Side::ManagedInstance);
        let live = self.links.values().filter(|link| link.arm.deleted.is_none()).filter(here);
        let makings = self.azure.makings.values().filter(|making| making.instance == instance);
        let mut names: Vec<&String> = live.map(|link| &link.group).collect();
        names.extend(makings.map(|making| &making.order.name));
        names.sort();
        names.dedup();
        names.into_iter().filter_map(|name| self.azure_link(instance, name)).collect()
    }

    pub(super) fn step_makings(&mut self) {
        let now = self.now;
        let due: Vec<String> = self
            .azure
            .makings
            .iter()
            .filter(|(_, making)| making.next <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            let Some(mut making) = self.azure.makings.remove(&name) else { continue };
            if !self.go_on(&name, &mut making) {
                self.azure.makings.insert(name, making);
            }
        }
    }

    /// One step of a creation; `true` once it has ended.
    fn go_on(&mut self, key: &str, making: &mut Making) -> bool {
        let now = self.now;
        making.next = now + LOOK;
        if making.order.several && now.duration_since(making.begun) >= SEVERAL {
            self.azure.jobs.end(making.job, JobStatus::Succeeded);
        }
        if now.duration_since(making.begun) >= GIVEN_UP {
            self.azure.jobs.end(making.job, JobStatus::Canceled);
            return true;
        }
        if making.broken.is_some() {
            return false;
        }
        let partner = match self.partner_of(making) {
            Ok(partner) => partner,
            Err(number) => {
                let since = making.trouble.map_or(now, |(_, since)| since);
                making.trouble = Some((number, since));
                // Seeding is not resumed where it was, but begun again (mi-link 10).
                if making.partner.is_some() {
                    self.note_seeded(making, Some(number));
                    making.attempts += 1;
                }
                (making.partner, making.seeding, making.seeded_kb) = (None, None, 0);
                return false;
            }
        };
        making.trouble = None;
        if making.partner.is_none() {
            if making.order.several && now.duration_since(making.begun) < LISTED + HANDSHAKE {
                return false;
            }
            making.seeded = self.lengths(making, &partner);
            (making.partner, making.seeding) = (Some(partner), Some(now));
            return false;
        }
        if self.lost_log_of(making, &partner) {
            self.note_seeded(making, Some(LOG_IS_GONE));
            making.broken = Some(LOG_IS_GONE);
            return false;
        }
        let (from, to) = making.path(&partner);
        let most = making.like.log.bandwidth_kb_s;
        making.seeded_in_s = self.seed_for_a_second(from, to, most);
        making.seeded_kb += making.seeded_in_s;
        if making.seeded_kb < making.total_kb() {
            return false;
        }
        self.note_seeded(making, None);
        self.finish(key, making, &partner);
        true
    }

    fn finish(&mut self, key: &str, making: &Making, partner: &str) {
        let now = self.now;
        let spec = making.spec(key, partner);
        self.rename_former(&spec.name);
        let kept: Vec<_> = [partner, making.instance.as_str()]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.instances.get(name)?.backups.len())))
            .collect();
        let mut link = Link::new(&spec, &mut self.instances, 0, &mut self.rng, now);
        link.group.clone_from(&making.order.name);
        link.begin_now(making.ids.link, now);
        link.arm.several = making.order.several;
        self.take_groups(&mut link, partner);
        for ((name, before), side) in kept.into_iter().zip([Side::SqlServer, Side::ManagedInstance])
        {
            let Some(instance) = self.instances.get_mut(&name) else { continue };
            // What it had backed up stays; what was seeded just now has no backups of its own.
            instance.backups.truncate(before);
            for (place, database) in spec.databases.iter().enumerate() {
                if let Some(own) = instance.resource.take(database)
                    && link.member(side).role == Role::Primary
                {
                    link.member_mut(side).copies[place].database_id = own.database_id;
                }
            }
        }
        self.take_over_copies(&mut link, spec.primary, &making.seeded);
        contact::handshake(&mut link, spec.primary, now);
        self.ledger.open(&spec.name, now);
        self.links.insert(spec.name.clone(), link);
        self.azure.jobs.end(making.job, JobStatus::Succeeded);
        self.note_writers();
    }
}

/// `host:port` of an endpoint, in lower case.
pub(in crate::world) fn authority(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split([';', '/']).next()?.to_lowercase();
    let (host, port) = authority.rsplit_once(':')?;
    let right = scheme.eq_ignore_ascii_case("tcp") && !host.is_empty();
    (right && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(authority)
}

impl LinkOrder {
    /// Checks what can be told from the words alone (addendum 2.6).
    ///
    /// # Errors
    /// What ARM refuses at once.
    pub fn check(&self) -> Result<(), ArmError> {
        let wrong = |what: &str, message: &str| {
            let code = format!("InvalidDistributedAvailabilityGroupsCreateOrUpdateRequest{what}");
            Err(ArmError::new(400, &code, message))
        };
        if self.databases.is_empty() || (self.databases.len() > 1 && !self.several) {
            return wrong(
                "Databases",
                "The list of databases must hold exactly one database, or several with the link \
                 mode MultiDatabase.",
            );
        }
        if self.instance_group.is_empty() {
            return wrong(
                "InstanceAvailabilityGroupName",
                "The instance availability group name is missing or empty.",
            );
        }
        if self.partner_group.is_empty() {
            return wrong(
                "PartnerAvailabilityGroupName",
                "The partner availability group name is missing or empty.",
            );
        }
        if authority(&self.partner_endpoint).is_none() {
            let message = "An invalid value was given to parameter SourceEndpoint.";
            return Err(ArmError::new(400, "InvalidParameterValue", message));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let right = self.name.chars().all(plain) && self.name.trim_matches('-') == self.name;
        if self.several && !right {
            let message = "The name of a multi-database link may hold lowercase letters a-z, \
                           digits 0-9 and hyphens, the latter not at its ends.";
            return Err(ArmError::new(
                400,
                "InvalidMultiDbDistributedAvailabilityGroupName",
                message,
            ));
        }
        Ok(())
    }
}
