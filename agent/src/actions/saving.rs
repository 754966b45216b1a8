//! The looks at backups: one that begins a chain, one that saves what is about to be taken away.

use agent_core::{Silence, deed::Sight, sight, sight::BackupTaken};
use jiff::Timestamp;
use probes::tds::{backup_running, backup_taken};

use super::{Grip, Place, handover::within, program_name, tsql::unread, warm::warmed};

/// How far a backup of ours has come, if one runs, and the newest that has ended.
type Made = (Result<Option<Option<i64>>, Silence>, Result<Option<BackupTaken>, Silence>);

impl Grip {
    pub(super) async fn look_if_backed_up(
        &mut self,
        place: &Place,
        database: &str,
        name: &str,
        now: Timestamp,
    ) -> Sight {
        let (running, taken) = self.made(place, database, (name, false), now).await;
        sight::backed_up(running, taken)
    }

    /// What is committed after the backup has been asked for is missed in it.
    pub(super) async fn look_if_saved(
        &mut self,
        place: &Place,
        database: &str,
        name: &str,
        now: Timestamp,
    ) -> Sight {
        let (running, taken) = self.made(place, database, (name, true), now).await;
        let side = warmed(&mut self.warm, place, &self.work, now).read(within(place)).await;
        sight::saved(running, taken, side.map(|reading| reading.database))
    }

    pub(super) async fn look_if_demoted(
        &mut self,
        place: &Place,
        database: &str,
        saved: &str,
        now: Timestamp,
    ) -> Sight {
        let by_role = self.look_at_side(place, now).await;
        if !matches!(by_role, Sight::Not { .. }) {
            return by_role;
        }
        let (_, taken) = self.made(place, database, (saved, true), now).await;
        let side = warmed(&mut self.warm, place, &self.work, now).read(within(place)).await;
        sight::still_saved(by_role, taken, side.map(|reading| reading.database))
    }

    /// In this order: a backup that ends in between is then seen in its row. `of`: its name, and
    /// whether it is COPY_ONLY.
    async fn made(
        &mut self,
        place: &Place,
        database: &str,
        of: (&str, bool),
        now: Timestamp,
    ) -> Made {
        let (limit, program) = (within(place), program_name(self.work.step));
        let (name, copy_only) = of;
        let session = match warmed(&mut self.warm, place, &self.work, now).session(limit).await {
            Ok(session) => session,
            Err(error) => return (Err(error.silence()), Err(error.silence())),
        };
        let running = backup_running(session, &program, limit).await;
        let taken = backup_taken(session, database, name, copy_only, limit).await;
        (running.map_err(|error| error.silence()), taken.map_err(|error| unread(&error)))
    }
}
