//! The deeds: does the state of a step hold, and one try to make it hold.
//!
//! `warm` looks at one side and `handover` where it takes more; `tsql`, `arm` and `hook` let commands go.
//! What is decided about them is decided in the core: what a look means by [`agent_core::sight`], what a
//! reply means by [`agent_core::reply`], how looks and commands follow each other by
//! [`agent_core::deed`]. Here is no loop and no second try of a command.

mod arm;
mod handover;
pub(crate) mod hook;
mod saving;
mod tsql;
mod warm;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent_core::{
    Action, Again, ControlReading, InstanceId, LinkId, Route, Seen, SideReading, Silence,
    SilenceKind, StepRef, Work,
    deed::{Polled, Sent, Sight},
    reply,
    sight::{self, Steadiness, Stillness},
};
use jiff::Timestamp;
use probes::{
    ControlTarget, InstanceTarget, LinkTarget, Look as _,
    arm::{ArmClient, ControlLook},
    tds::{InstanceLook, Session, TdsEndpoint},
};
use tokio::time::sleep;

use self::warm::{Warm, no_speaker, warmed};

/// The longest that one look may take, whatever is configured: it has to end well before the
/// executor calls it blind.
const SIDE_LOOK_MOST: Duration = Duration::from_secs(10);
const CONTROL_LOOK_MOST: Duration = Duration::from_secs(15);
/// Between looks at the target while a statement's reply is outstanding.
const GLANCE_EVERY: Duration = Duration::from_secs(2);

/// What carries out one try of one step.
pub trait Hand: Send + 'static {
    /// Does the state of the step hold?
    fn look(&mut self, now: Timestamp) -> impl Future<Output = Sight> + Send;

    /// Lets the command go, once, and waits at most `limit` for the reply.
    fn send(&mut self, route: &Route, limit: Duration) -> impl Future<Output = Sent> + Send;

    /// Asks the control plane how an operation goes.
    fn poll(&mut self, operation: &str) -> impl Future<Output = Polled> + Send;
}

/// One instance on which steps are carried out.
#[derive(Clone, Debug)]
pub struct Place {
    /// With the login that acts; it is not the probes' session. Its `links` are not read: the
    /// signed action names group and database.
    pub target: InstanceTarget,
    /// For connect, login and answer of one look together; at most 10 s.
    pub look_within: Duration,
    /// None: Azure Resource Manager is neither asked about this instance nor a way to it.
    pub control: Option<ControlPlace>,
}

/// A managed instance as Azure Resource Manager knows it.
#[derive(Clone, Debug)]
pub struct ControlPlace {
    pub target: ControlTarget,
    pub client: Arc<ArmClient>,
    /// For all requests of one look together; at most 15 s.
    pub look_within: Duration,
}

/// All that the agent can act with.
#[derive(Debug)]
pub struct Hands {
    places: BTreeMap<InstanceId, Place>,
    warm: Mutex<BTreeMap<(InstanceId, LinkId), Warm>>,
}

impl Hands {
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        let places =
            places.into_iter().map(|place| (place.target.instance.clone(), place)).collect();
        Self { places, warm: Mutex::default() }
    }

    /// What carries out one try of one step. Its connections serve the next step of the link too,
    /// if that comes soon.
    #[must_use]
    pub fn grip(self: &Arc<Self>, work: &Work) -> Grip {
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = |instance: &InstanceId| warm.remove(&(instance.clone(), work.link.clone()));
        Grip {
            hands: Arc::clone(self),
            work: work.clone(),
            warm: taken(work.action.instance()),
            partner: work.action.partner().and_then(taken),
            still: Stillness::default(),
            steady: Steadiness::default(),
        }
    }

    fn place(&self, instance: &InstanceId) -> Option<&Place> {
        self.places.get(instance)
    }
}

/// The hand on one try of one step.
#[derive(Debug)]
pub struct Grip {
    hands: Arc<Hands>,
    work: Work,
    warm: Option<Warm>,
    /// The same to the other instance that has a part in the step.
    partner: Option<Warm>,
    still: Stillness,
    steady: Steadiness,
}

impl Hand for Grip {
    async fn look(&mut self, now: Timestamp) -> Sight {
        let Some(place) = self.hands.place(self.work.action.instance()).cloned() else {
            return Sight::Blind { why: unknown_instance(self.work.action.instance()) };
        };
        match self.work.action {
            Action::TargetReady { .. } | Action::TargetPrimary { .. } => {
                self.look_at_target(&place, now).await
            }
            Action::TargetServing { .. } => {
                // Afresh: a connection from before could outlive what it was opened to.
                self.warm = None;
                self.look_at_target(&place, now).await
            }
            Action::Quiesced { .. }
            | Action::Admitted { .. }
            | Action::CaughtUp { .. }
            | Action::RolesChanged { .. }
            | Action::SourceSecondary { .. }
            | Action::BackedUp { .. }
            | Action::Saved { .. }
            | Action::Demoted { .. }
            | Action::Following { .. }
            | Action::LoginsSet { .. }
            | Action::CommitMode { .. }
            | Action::LinkDeleted { .. }
            | Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. }
            | Action::FirstBackup { .. }
            | Action::LogBackupsSeen { .. } => self.look_planned(&place, now).await,
        }
    }

    async fn send(&mut self, route: &Route, limit: Duration) -> Sent {
        match route {
            Route::Tsql { instance, statement } => {
                let Some(place) = self.hands.place(instance).cloned() else {
                    let why = unknown_instance(instance);
                    return Sent::Refused { why, again: Again::NextRoute };
                };
                let Some(mut endpoint) = self.speaker(&place).await else {
                    return reply::nobody_there(&no_speaker(&place.target));
                };
                let login = endpoint.login.name();
                endpoint.app_name = program_name(self.work.step);
                let mut session = Session::new(endpoint);
                let mut executed = pin!(session.execute(statement, limit));
                tokio::select! {
                    biased;
                    executed = &mut executed => {
                        tsql::sent(executed, &self.work.action, &login)
                    }
                    seen = self.until_it_holds() => reply::outstanding(&seen),
                }
            }
            Route::Hook(hook) => hook::send(hook, &self.work, limit).await,
            Route::Arm { method, path, body } => {
                let controls =
                    self.hands.places.values().filter_map(|place| place.control.as_ref());
                match arm::order(controls, *method, path, body) {
                    Ok(order) => order.give(limit).await,
                    Err((why, again)) => Sent::Refused { why, again },
                }
            }
        }
    }

    async fn poll(&mut self, operation: &str) -> Polled {
        let controls = self.hands.places.values().filter_map(|place| place.control.as_ref());
        arm::poll(controls, operation).await
    }
}

impl Grip {
    /// What the target says itself, and where it matters the control plane.
    async fn look_at_target(&mut self, place: &Place, now: Timestamp) -> Sight {
        let sight = self.look_at_side(place, now).await;
        match &place.control {
            Some(control) if sight::asks_control(&self.work, &sight) => {
                let control = self.read_control(control).await;
                sight::with_control(&self.work, now, sight, control)
            }
            Some(_) | None => sight,
        }
    }

    /// What the target says itself.
    async fn look_at_side(&mut self, place: &Place, now: Timestamp) -> Sight {
        let limit = place.look_within.min(SIDE_LOOK_MOST);
        let warm = warmed(&mut self.warm, place, &self.work, now);
        // In this order: a change that lands in between is then seen in the role.
        let told = warm.under_way(&self.work, limit).await;
        match warm.read(limit).await {
            Ok(reading) => sight::of_side(&self.work.action, &reading, &warm.meaning(&told)),
            Err(silence) => Sight::Blind { why: silence.detail },
        }
    }

    /// Where a command has to go: to the replica that is primary of the target's own group at this
    /// moment, which may be another one than a minute ago.
    async fn speaker(&self, place: &Place) -> Option<TdsEndpoint> {
        if let [(_, only)] = place.target.ways().as_slice() {
            return Some((*only).clone());
        }
        let mut eye = InstanceLook::new(aimed(place, &self.work));
        eye.look(place.look_within.min(SIDE_LOOK_MOST)).await;
        eye.speaker(&self.work.link).cloned()
    }

    async fn read_control(&self, control: &ControlPlace) -> Result<ControlReading, Silence> {
        let links = vec![link_target(&self.work)];
        let mut eye = ControlLook::new(Arc::clone(&control.client), links);
        match eye.look(control.look_within.min(CONTROL_LOOK_MOST)).await.pop() {
            Some((_, Seen::Control(reading))) => Ok(reading),
            Some((_, Seen::Silence(silence))) => Err(silence),
            Some((_, Seen::Side(_))) | None => Err(no_answer()),
        }
    }

    /// Ends when the target shows the state twice while the statement is still at work: its reply
    /// may be lost, and the step need not wait for it until its deadline.
    async fn until_it_holds(&self) -> String {
        let Some(place) = self.hands.place(self.work.action.instance()) else {
            return std::future::pending().await;
        };
        let limit = place.look_within.min(SIDE_LOOK_MOST);
        let mut warm = Warm::new(place, &self.work, Timestamp::UNIX_EPOCH);
        let mut held = false;
        loop {
            sleep(GLANCE_EVERY).await;
            match warm.holds(&self.work.action, limit).await {
                Some(seen) if held => return seen,
                seen => held = seen.is_some(),
            }
        }
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        let mut kept = self.hands.warm.lock().unwrap_or_else(PoisonError::into_inner);
        let link = &self.work.link;
        if let Some(warm) = self.warm.take() {
            kept.insert((self.work.action.instance().clone(), link.clone()), warm);
        }
        if let Some((instance, warm)) = self.work.action.partner().zip(self.partner.take()) {
            kept.insert((instance.clone(), link.clone()), warm);
        }
    }
}

/// By which the session of a command is known at the server, and found again after a crash.
fn program_name(step: StepRef) -> String {
    format!("dr-agent {}/{}/{}", step.proposal, step.lane, step.step)
}

fn aimed(place: &Place, work: &Work) -> InstanceTarget {
    InstanceTarget { links: vec![link_target(work)], ..place.target.clone() }
}

fn link_target(work: &Work) -> LinkTarget {
    LinkTarget {
        link: work.link.clone(),
        dag: work.action.group().to_owned(),
        database: work.action.database().to_owned(),
    }
}

fn side(mut seen: Vec<(LinkId, Seen)>) -> Result<SideReading, Silence> {
    match seen.pop() {
        Some((_, Seen::Side(reading))) => Ok(reading),
        Some((_, Seen::Silence(silence))) => Err(silence),
        Some((_, Seen::Control(_))) | None => Err(no_answer()),
    }
}

fn no_answer() -> Silence {
    let detail = "the look says nothing of this link".into();
    Silence { kind: SilenceKind::Garbled, detail }
}

fn unknown_instance(instance: &InstanceId) -> String {
    format!("the configuration has no instance {instance}")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
