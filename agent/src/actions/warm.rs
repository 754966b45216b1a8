//! Open connections to one side of a link, kept for as long as its steps follow each other.
//!
//! A side may have several replicas. What is asked of the side is asked of the one that speaks for
//! it at that moment; whether a command is at work is asked of all.

use std::time::Duration;

use agent_core::{
    Action, SideReading, Silence, Work,
    sight::{self, UnderWay},
};
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use probes::{
    InstanceTarget, LinkTarget, Look as _,
    tds::{InstanceLook, Session, Stage, TdsError, backup_taken, in_flight},
};

use super::{Place, aimed, link_target, program_name, side, tsql};

/// How long a connection is taken over from one step to the next.
const WARM: SignedDuration = SignedDuration::from_secs(30);

#[derive(Debug)]
pub(super) struct Warm {
    target: LinkTarget,
    eye: InstanceLook,
    /// One for each way to the side.
    sessions: Vec<Session>,
    used_at: Timestamp,
}

/// What each replica says of commands at work there.
pub(super) struct Told(Vec<Result<bool, Silence>>);

/// Connections that are there and fresh, else new ones.
pub(super) fn warmed<'w>(
    slot: &'w mut Option<Warm>,
    place: &Place,
    work: &Work,
    now: Timestamp,
) -> &'w mut Warm {
    let target = link_target(work);
    let fresh = slot.take().filter(|warm| warm.serves(&target, now));
    let warm = slot.insert(fresh.unwrap_or_else(|| Warm::new(place, work, now)));
    warm.used_at = now;
    warm
}

/// Why there is nobody to ask or to command.
pub(super) fn no_speaker(target: &InstanceTarget) -> String {
    format!("no server of {} is primary of its own availability group now", target.instance)
}

impl Warm {
    pub(super) fn new(place: &Place, work: &Work, now: Timestamp) -> Self {
        let ways = place.target.ways();
        Self {
            target: link_target(work),
            eye: InstanceLook::new(aimed(place, work)),
            sessions: ways.iter().map(|(_, way)| Session::new((*way).clone())).collect(),
            used_at: now,
        }
    }

    pub(super) fn serves(&self, target: &LinkTarget, now: Timestamp) -> bool {
        self.target == *target && now.duration_since(self.used_at) <= WARM
    }

    pub(super) async fn read(&mut self, limit: Duration) -> Result<SideReading, Silence> {
        side(self.eye.look(limit).await)
    }

    /// A session at whoever speaks for the side. Where there are several servers it takes a look to
    /// know, within `limit`.
    pub(super) async fn session(&mut self, limit: Duration) -> Result<&mut Session, TdsError> {
        let mut at = Some(0);
        if self.sessions.len() > 1 {
            self.eye.look(limit).await;
            at = self.eye.speaker_at(&self.target.link);
        }
        let nobody =
            TdsError::Garbled { stage: Stage::Connecting, detail: no_speaker(self.eye.target()) };
        at.and_then(|at| self.sessions.get_mut(at)).ok_or(nobody)
    }

    /// Whether a command of this step, or a change of the group by anybody, is at work there.
    pub(super) async fn under_way(&mut self, work: &Work, limit: Duration) -> Told {
        let servers = self.eye.target().servers();
        let program = program_name(work.step);
        let sessions = self.sessions.iter_mut().take(servers);
        let told = join_all(sessions.map(|session| in_flight(session, &program, limit))).await;
        let silent = |told: Result<bool, TdsError>| told.map_err(|error| error.silence());
        Told(told.into_iter().map(silent).collect())
    }

    /// What it means once the side has been read.
    pub(super) fn meaning(&self, Told(told): &Told) -> UnderWay {
        sight::under_way(told, self.eye.speaker_at(&self.target.link))
    }

    /// The state in words, where this side shows by itself that it has come about.
    pub(super) async fn holds(&mut self, action: &Action, limit: Duration) -> Option<String> {
        match action {
            Action::BackedUp { database, name, .. } => {
                let taken = match self.session(limit).await {
                    Ok(session) => backup_taken(session, database, name, false, limit).await,
                    Err(error) => Err(error),
                };
                sight::backup_held(taken.map_err(|error| tsql::unread(&error)))
            }
            // That it is there is not enough: what is committed meanwhile counts too.
            Action::Saved { .. }
            | Action::LoginsSet { .. }
            | Action::CommitMode { .. }
            | Action::FirstBackup { .. } => None,
            Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. }
            | Action::Quiesced { .. }
            | Action::Admitted { .. }
            | Action::CaughtUp { .. }
            | Action::RolesChanged { .. }
            | Action::SourceSecondary { .. }
            | Action::Demoted { .. }
            | Action::Following { .. }
            | Action::LinkDeleted { .. }
            | Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. }
            | Action::LogBackupsSeen { .. } => {
                let reading = self.read(limit).await.ok()?;
                sight::held(action, &reading)
            }
        }
    }
}
