//! The login that carries out steps: whether it comes in, and may do what steps need.

use super::{ACTING, Asking};
use crate::{
    readiness::{
        finding::{Finding, leave_unasked},
        login, questions,
        reach::Door,
        server,
    },
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
        self.found.extend(server::acting(door, user, rights));
        for target in &question.act.links {
            let subject = self.link_subject(target);
            let answer = questions::group_right(&mut session, &target.dag, self.limits.each).await;
            if let Some(granted) = self.answered_of(answer, &server::ALTER_GROUP, &subject) {
                let finding = server::acting_on(door, user, &target.dag, rights, granted);
                self.found.push(Finding { subject, ..finding });
            }
        }
    }

    fn unasked_acting(&mut self, door: &Door<'_>, because: &str) {
        leave_unasked(&mut self.found, &ACTING, door.subject, because);
        for target in &self.question.act.links {
            let subject = self.link_subject(target);
            leave_unasked(&mut self.found, &[&server::ALTER_GROUP], &subject, because);
        }
    }
}
