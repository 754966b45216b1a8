//! Whether what a fault names is there, and whether it can happen at all.

use super::fault::unknown;
use super::{Fault, FaultError, Party, UnknownName, World};

impl World {
    pub(super) fn check_names(&self, fault: &Fault) -> Result<(), FaultError> {
        match fault {
            Fault::Stop { instance }
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
