//! Whether what a fault names is there, and whether it can happen at all.

use std::collections::BTreeMap;

use super::fault::unknown;
use super::{Fault, FaultError, Link, Party, Side, UnknownName, World};

/// By which name a link is kept: as it is called, or as `INSTANCE/NAME`.
pub(super) fn key_of<'l>(links: &'l BTreeMap<String, Link>, called: &str) -> Option<&'l String> {
    if let Some((key, _)) = links.get_key_value(called) {
        return Some(key);
    }
    let (instance, name) = called.split_once('/')?;
    let is = |link: &Link| link.group == name && link.arm.deleted.is_none();
    let here = |link: &Link| link.member(Side::ManagedInstance).instance == instance;
    links.iter().find(|(_, link)| is(link) && here(link)).map(|(key, _)| key)
}

impl World {
    /// By which name a link is kept, as it is called: by its own, or with its managed instance as
    /// `INSTANCE/NAME`.
    pub(super) fn link_key(&self, called: &str) -> Result<String, UnknownName> {
        let found = key_of(&self.links, called).cloned();
        found.ok_or_else(|| unknown("link", called, self.links.keys()))
    }

    /// A link as it is called, in any case.
    pub(super) fn link_named(&mut self, called: &str) -> Result<&mut Link, UnknownName> {
        let as_called = key_of(&self.links, called);
        let mut known = self.links.keys();
        let found = as_called.or_else(|| known.find(|key| key.eq_ignore_ascii_case(called)));
        let found = found.cloned().ok_or_else(|| unknown("link", called, self.links.keys()));
        found.map(|key| self.links.get_mut(&key).expect("it was found by its key"))
    }

    /// By which name the link that ARM knows on a managed instance by this one is kept, or will be:
    /// its own if no link of another instance has it.
    pub(super) fn azure_key(&self, instance: &str, name: &str) -> String {
        let apart = format!("{instance}/{name}");
        let here = |link: &Link| {
            link.arm.deleted.is_none()
                && link.member(Side::ManagedInstance).instance == instance
                && link.group.eq_ignore_ascii_case(name)
        };
        if self.links.get(name).is_some_and(here) || self.makes(name, instance) {
            return name.to_owned();
        }
        if self.links.get(&apart).is_some_and(here) || self.makes(&apart, instance) {
            return apart;
        }
        if let Some((key, _)) = self.links.iter().find(|(_, link)| here(link)) {
            return key.clone();
        }
        let taken = self.links.get(name).is_some_and(|link| link.arm.deleted.is_none());
        if taken || self.makes_any(name) { apart } else { name.to_owned() }
    }

    pub(super) fn check_names(&self, fault: &Fault) -> Result<(), FaultError> {
        match fault {
            Fault::Stop { instance }
            | Fault::Vanish { instance }
            | Fault::Start { instance }
            | Fault::Restart { instance, .. }
            | Fault::Repair { instance }
            | Fault::Hang { instance }
            | Fault::Freeze { instance }
            | Fault::Resume { instance }
            | Fault::Refuse { instance }
            | Fault::Accept { instance }
            | Fault::Clock { instance, .. }
            | Fault::SlowCommits { instance, .. }
            | Fault::Move { instance }
            | Fault::Suspend { instance, .. }
            | Fault::FailNext { instance, .. }
            | Fault::FailLogin { instance, .. }
            | Fault::Wire { instance, .. } => self.check_instance(instance)?,
            Fault::Cut { from, to, .. }
            | Fault::Heal { from, to }
            | Fault::Slow { from, to, .. }
            | Fault::Jitter { from, to, .. } => {
                self.check_party(from)?;
                self.check_party(to)?;
            }
            Fault::Throttle { from, to, .. } => {
                self.check_party(from)?;
                self.check_party(to)?;
                carries(from, to)?;
            }
            Fault::LoseReply { at, .. }
            | Fault::DelayDeed { at, .. }
            | Fault::GiveUp { at, .. } => self.check_party(at)?,
            Fault::LocalFailover { .. }
            | Fault::ForceLocalFailover { .. }
            | Fault::RollingRestart { .. }
            | Fault::ArmUnavailable { .. }
            | Fault::ArmThrottle { .. }
            | Fault::ArmConflict { .. }
            | Fault::ArmPoll { .. }
            | Fault::ArmAnswer { .. }
            | Fault::TokenServiceDown { .. }
            | Fault::TokenLifetime { .. } => {}
        }
        Ok(())
    }

    fn check_party(&self, party: &Party) -> Result<(), UnknownName> {
        match party {
            Party::Instance(name) => self.check_instance(name),
            Party::Application(name) if !self.workloads.contains_key(name) => {
                Err(unknown("workload", name, self.workloads.keys()))
            }
            Party::Agent
            | Party::Operator
            | Party::Arm
            | Party::TokenService
            | Party::Application(_) => Ok(()),
        }
    }

    pub(super) fn check_instance(&self, name: &str) -> Result<(), UnknownName> {
        if self.instances.contains_key(name) {
            return Ok(());
        }
        Err(unknown("instance", name, self.instances.keys()))
    }
}

/// Whether bytes pass between the two in this world: what the control plane sees and does at an
/// instance is no bytes here.
fn carries(from: &Party, to: &Party) -> Result<(), FaultError> {
    let inside = |party: &Party| match party {
        Party::Arm | Party::TokenService => true,
        Party::Agent | Party::Operator | Party::Instance(_) | Party::Application(_) => false,
    };
    let at_all = |party: &Party| inside(party) || matches!(party, Party::Instance(_));
    let both_clients = !at_all(from) && !at_all(to);
    let nothing = (inside(from) && at_all(to)) || (inside(to) && at_all(from));
    let nothing = nothing && !matches!((from, to), (Party::Instance(_), Party::Instance(_)));
    if !nothing && !both_clients {
        return Ok(());
    }
    Err(FaultError::Impossible(format!(
        "nothing is carried between {from} and {to}; throttle the path between two instances, or \
         between a client (agent, operator, app:NAME) and an instance, arm or token-service"
    )))
}
