//! The looks of a planned failover: at both sides, at who is at work.

use std::time::Duration;

use agent_core::{
    Action, Quiet,
    deed::Sight,
    sight::{self, LogBackups},
};
use jiff::Timestamp;
use probes::tds::{TdsError, activity, log_backups, login_states};

use super::{Grip, Place, SIDE_LOOK_MOST, hook, tsql::unread, unknown_instance, warm::warmed};

impl Grip {
    /// `place` is where the action's own instance is.
    pub(super) async fn look_planned(&mut self, place: &Place, now: Timestamp) -> Sight {
        let limit = within(place);
        match self.work.action.clone() {
            Action::Quiesced { status, quiet, database, .. } => {
                if let Some(status) = status {
                    let status = hook::status(&status, &self.work).await;
                    if let Some(sight) = sight::not_stopped(status, &mut self.still) {
                        return sight;
                    }
                }
                let warm = warmed(&mut self.warm, place, &self.work, now);
                let seen = match warm.session(limit).await {
                    Ok(session) => activity(session, &database, limit).await,
                    Err(error) => Err(error),
                };
                let seen = seen.map_err(|error| error.silence());
                sight::quiesced(self.work.route.as_ref(), seen, quiet, &mut self.still)
            }
            Action::Admitted { status, .. } => {
                let side = warmed(&mut self.warm, place, &self.work, now);
                let (status, side) =
                    tokio::join!(hook::status(&status, &self.work), side.read(limit));
                sight::admitted(&self.work.action, status, side)
            }
            Action::CaughtUp { quiet, .. } => self.look_if_caught_up(place, quiet, now).await,
            Action::RolesChanged { .. } => self.look_at_roles(place, now).await,
            Action::SourceSecondary { .. } => {
                match warmed(&mut self.warm, place, &self.work, now).read(limit).await {
                    Ok(reading) => sight::source_secondary(&self.work.action, &reading),
                    Err(silence) => Sight::Blind { why: silence.detail },
                }
            }
            Action::BackedUp { database, name, .. } => {
                self.look_if_backed_up(place, &database, &name, now).await
            }
            Action::Saved { database, name, .. } => {
                self.look_if_saved(place, &database, &name, now).await
            }
            Action::Demoted { database, saved, .. } => {
                self.look_if_demoted(place, &database, &saved, now).await
            }
            Action::LoginsSet { logins, disabled, .. } => {
                let warm = warmed(&mut self.warm, place, &self.work, now);
                let found = match warm.session(limit).await {
                    Ok(session) => login_states(session, &logins, limit).await,
                    Err(error) => Err(error),
                };
                sight::logins_set(&logins, disabled, found.map_err(|error| error.silence()))
            }
            Action::LogBackupsSeen { database, .. } => {
                let seen = self.backups(place, &database, now).await;
                let since_s = self.since_turned(now);
                sight::log_backups_seen(&database, since_s, seen.map_err(|error| unread(&error)))
            }
            Action::CommitMode { .. } => self.look_at_commit_mode(place, now).await,
            Action::LinkDeleted { .. } => self.look_if_deleted(place, now).await,
            Action::FirstBackup { database, .. } => {
                let seen = self.backups(place, &database, now).await;
                let since_s = self.since_turned(now);
                sight::first_backup(since_s, seen.map_err(|error| unread(&error)))
            }
            Action::GroupDropped { .. }
            | Action::LocalGroupDropped { .. }
            | Action::ReadOnly { .. }
            | Action::TargetReady { .. }
            | Action::TargetPrimary { .. }
            | Action::TargetServing { .. }
            | Action::Following { .. } => self.look_at_side(place, now).await,
        }
    }

    /// The primary first: what it had then is what the target has to have now.
    async fn look_if_caught_up(&mut self, place: &Place, quiet: Quiet, now: Timestamp) -> Sight {
        let partner = match self.partner_place() {
            Ok(place) => place,
            Err(why) => return Sight::Blind { why },
        };
        let Self { work, warm, partner: slot, .. } = self;
        let primary = warmed(warm, place, work, now).read(within(place)).await;
        let target = warmed(slot, &partner, work, now).read(within(&partner)).await;
        sight::caught_up(&self.work.action, primary, target, quiet, &mut self.steady)
    }

    /// What the instance says of its backups and of who takes them.
    async fn backups(
        &mut self,
        place: &Place,
        database: &str,
        now: Timestamp,
    ) -> Result<LogBackups, TdsError> {
        let limit = within(place);
        let warm = warmed(&mut self.warm, place, &self.work, now);
        match warm.session(limit).await {
            Ok(session) => log_backups(session, database, limit).await,
            Err(error) => Err(error),
        }
    }

    /// For how many seconds the roles have been changed.
    fn since_turned(&self, now: Timestamp) -> Option<i64> {
        self.work.turned_at.map(|at| now.duration_since(at).as_secs())
    }

    /// The primary first: what it had then is what the target has to have now.
    async fn look_at_commit_mode(&mut self, place: &Place, now: Timestamp) -> Sight {
        let partner = match self.partner_place() {
            Ok(place) => place,
            Err(why) => return Sight::Blind { why },
        };
        let Self { work, warm, partner: slot, .. } = self;
        let primary = warmed(warm, place, work, now).read(within(place)).await;
        let target = warmed(slot, &partner, work, now).read(within(&partner)).await;
        sight::commit_mode(&self.work.action, primary, target)
    }

    /// Before the command leaves the logs of both sides are looked at too, the primary's first.
    async fn look_if_deleted(&mut self, place: &Place, now: Timestamp) -> Sight {
        let sight = self.look_at_target(place, now).await;
        if !matches!(sight, Sight::Not { .. }) || self.work.action.partner().is_none() {
            return sight;
        }
        let partner = match self.partner_place() {
            Ok(place) => place,
            Err(why) => return Sight::Blind { why },
        };
        let Self { work, warm, partner: slot, .. } = self;
        let primary = warmed(slot, &partner, work, now).read(within(&partner)).await;
        let target = warmed(warm, place, work, now).read(within(place)).await;
        sight::still_equal(sight, primary, target)
    }

    /// Both at once, so that one that does not answer costs the time of one look only.
    async fn look_at_roles(&mut self, place: &Place, now: Timestamp) -> Sight {
        let partner = match self.partner_place() {
            Ok(place) => place,
            Err(why) => return Sight::Blind { why },
        };
        let Self { work, warm, partner: slot, .. } = self;
        let target = warmed(warm, place, work, now);
        let source = warmed(slot, &partner, work, now);
        let ask_source = async {
            // In this order: a change that lands in between is then seen in the role.
            let told = source.under_way(work, within(&partner)).await;
            let seen = source.read(within(&partner)).await;
            (source.meaning(&told), seen)
        };
        let (target, (under_way, source)) = tokio::join!(target.read(within(place)), ask_source);
        sight::roles_changed(&work.action, target, &under_way, source)
    }

    fn partner_place(&self) -> Result<Place, String> {
        let instance = self.work.action.partner().unwrap_or_else(|| self.work.action.instance());
        self.hands.place(instance).cloned().ok_or_else(|| unknown_instance(instance))
    }
}

pub(super) fn within(place: &Place) -> Duration {
    place.look_within.min(SIDE_LOOK_MOST)
}
