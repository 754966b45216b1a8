//! The login that carries out steps: whether it comes in, and may do what steps need.

use agent_core::Side;

use super::{ACTING, Asking};
use crate::{
    LinkTarget,
    readiness::{
        finding::{Check, Finding, leave_unasked},
        login, questions,
        reach::Door,
        server,
    },
    tds::{Session, TdsError, log_backups},
    text::plain,
};

impl Asking<'_> {
    /// Asks with the other login.
    pub(super) async fn acting(&mut self, door: &Door<'_>) {
        let question = self.question;
        let withheld = question.act_withheld.as_deref();
        if let Some(why) = withheld {
            self.unasked_acting(door, why);
            return;
        }
        let user = question.act.endpoint.login.name();
        let user = user.as_str();
        let mut session = self.session(&question.act);
        let rights = match questions::rights(&mut session, self.limits.each).await {
            Ok(rights) => rights,
            Err(error) => {
                // If the login that looks has told the same already, it is the same trouble.
                let key = format!("{}.action_login", question.key);
                let refusal = login::refusal(&login::ACTION_LOGIN, door, user, &key, &error);
                let same = user == question.look.endpoint.login.name();
                let told = self.because.clone().filter(|_| same || refusal.is_none());
                let because = match (told, refusal) {
                    (Some(told), _) => told,
                    (None, Some(finding)) => {
                        let because = finding.check.to_owned();
                        self.found.push(finding);
                        because
                    }
                    (None, None) => error.to_string(),
                };
                self.unasked_acting(door, &because);
                return;
            }
        };
        let words = format!("{} is logged in", plain(user));
        self.found.push(login::ACTION_LOGIN.ok(door.subject, words));
        let retires = question.act.side == Side::SqlServer;
        self.found.extend(server::acting(door, user, rights, question.guards, retires));
        for target in &question.act.links {
            let subject = self.link_subject(target);
            let answer = questions::group_right(&mut session, &target.dag, self.limits.each).await;
            if let Some(granted) = self.answered_of(answer, &server::ALTER_GROUP, &subject) {
                let finding = server::acting_on(door, user, &target.dag, rights, granted);
                self.found.push(Finding { subject, ..finding });
            }
        }
        for target in &question.act.links {
            self.backing_up(door, &mut session, user, target).await;
        }
    }

    /// Whether it may take the backups that the configuration has it take, and see those of others.
    async fn backing_up(
        &mut self,
        door: &Door<'_>,
        session: &mut Session,
        user: &str,
        target: &LinkTarget,
    ) {
        let (subject, each) = (self.link_subject(target), self.limits.each);
        if self.question.backs_up.contains(&target.link) {
            let answer = questions::backup_right(session, &target.database, each).await;
            if let Some(granted) = self.answered_of(answer, &server::BACK_UP, &subject) {
                let finding = server::backing_up(door, user, &target.database, granted);
                self.found.push(Finding { subject: subject.clone(), ..finding });
            }
        }
        if self.question.act.side != Side::SqlServer {
            return;
        }
        let finding = match log_backups(session, &target.database, each).await {
            Ok(_) => server::SEE_BACKUPS.ok(&subject, "msdb tells it of backups and of jobs"),
            // 229 is a missing right on the table, 916 a missing user in msdb.
            Err(TdsError::Server { number: 229 | 916, message, .. }) => {
                server::backups_unseen(door, user, &message)
            }
            Err(error) => server::SEE_BACKUPS.unasked(&subject, error.to_string()),
        };
        self.found.push(Finding { subject, ..finding });
    }

    pub(super) fn unasked_of_side(&mut self, subject: &str, because: &str) {
        if self.question.guards {
            leave_unasked(&mut self.found, &[&server::ALTER_LOGINS], subject, because);
        }
        if self.question.act.side == Side::SqlServer {
            leave_unasked(&mut self.found, &[&server::DROP_GROUPS], subject, because);
        }
    }

    /// What is asked of it for the sake of one link.
    pub(super) fn acting_checks(&self, target: &LinkTarget) -> Vec<&'static Check> {
        let mut checks = vec![&server::ALTER_GROUP];
        if self.question.backs_up.contains(&target.link) {
            checks.push(&server::BACK_UP);
        }
        if self.question.act.side == Side::SqlServer {
            checks.push(&server::SEE_BACKUPS);
        }
        checks
    }

    fn unasked_acting(&mut self, door: &Door<'_>, because: &str) {
        leave_unasked(&mut self.found, &ACTING, door.subject, because);
        self.unasked_of_side(door.subject, because);
        for target in &self.question.act.links {
            let subject = self.link_subject(target);
            let checks = self.acting_checks(target);
            leave_unasked(&mut self.found, &checks, &subject, because);
        }
    }
}
