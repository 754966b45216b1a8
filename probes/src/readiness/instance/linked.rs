//! What is asked of an instance for the sake of one link: the look itself, and the backups.

use agent_core::{Role, Seen, SideReading};

use super::Asking;
use crate::{
    InstanceTarget, LinkTarget, Look as _,
    readiness::{database, finding::How, questions, reach::Door, server},
    tds::{InstanceLook, Session, TdsError},
};

impl Asking<'_> {
    /// The very look of the daemon. Whether another replica speaks for the side.
    pub(super) async fn first_query(
        &mut self,
        door: &Door<'_>,
        subject: &str,
        target: &LinkTarget,
    ) -> bool {
        let alone = InstanceTarget { links: vec![target.clone()], ..self.question.look.clone() };
        let mut look = InstanceLook::new(alone);
        let seen = tokio::time::timeout(self.limits.each, look.look(self.limits.each)).await;
        let answer = seen.ok().and_then(|seen| seen.into_iter().next());
        let mut stands_by = false;
        self.found.push(match answer {
            Some((_, Seen::Side(reading))) if second(&reading) => {
                stands_by = true;
                let words = "SECONDARY within its own group: another replica speaks for the side";
                server::FIRST_QUERY.ok(subject, words)
            }
            Some((_, Seen::Side(reading))) => {
                server::FIRST_QUERY.ok(subject, format!("role {:?}", reading.role))
            }
            Some((_, Seen::Silence(silence))) => server::FIRST_QUERY
                .wrong(subject, format!("{:?}: {}", silence.kind, silence.detail))
                .mend(
                    How::Words,
                    door.host,
                    "what is told above of this instance; this is what follows from it",
                ),
            Some((_, Seen::Control(_))) | None => server::FIRST_QUERY
                .wrong(subject, format!("no answer within {:?}", self.limits.each))
                .mend(
                    How::Words,
                    door.host,
                    "look at the load of the instance, and at what its sessions wait for",
                ),
        });
        stands_by
    }

    pub(super) async fn backups(
        &mut self,
        door: &Door<'_>,
        session: &mut Session,
        subject: &str,
        target: &LinkTarget,
        primary: bool,
    ) {
        let answer = questions::backups(session, &target.database, self.limits.each).await;
        match answer {
            Ok(found) => {
                let name = &target.database;
                self.found.extend(database::backups(door, subject, name, found, primary));
            }
            // 229 is a missing right on the table, 916 a missing user in msdb.
            Err(TdsError::Server { number: 229 | 916, message, .. }) => {
                let user = &self.question.look.endpoint.login.name();
                let denied = database::backups_denied(door, subject, user, &message);
                self.found.push(denied);
                let because = database::FULL_BACKUP.id;
                self.found.push(database::LOG_BACKUP.unasked(subject, because));
            }
            Err(error) => {
                self.found.push(database::FULL_BACKUP.unasked(subject, error.to_string()));
            }
        }
    }
}

/// Whether a server, asked by itself, is one of several and not the one that counts.
fn second(reading: &SideReading) -> bool {
    matches!(reading.replicas.as_slice(), [one] if one.role == Some(Role::Secondary))
}
