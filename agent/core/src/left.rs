//! What the end of a run leaves to people, in words that follow its reason.

use alloc::{format, string::String, vec::Vec};

use crate::{
    names::InstanceId,
    plan::{Action, PlanKind, Route, Undo},
    run::Run,
};

impl Run {
    /// The logins that are left disabled, in words that follow the reason of an end; empty if there are
    /// none, or if that is what the plan was for.
    pub(crate) fn shut_out(&self) -> String {
        let plan = &self.proposal.plan;
        if plan.kind == PlanKind::ReturnGuard && self.finished() {
            return String::new();
        }
        let mut shut: Option<(&InstanceId, &Vec<String>)> = None;
        for (lane, progress) in self.lanes.iter().enumerate() {
            for (place, step) in plan.lanes[lane].steps.iter().enumerate() {
                let Action::LoginsSet { instance, logins, disabled, .. } = &step.action else {
                    continue;
                };
                let done = place < progress.step;
                let begun = done || (place == progress.step && progress.attempts > 0);
                let back = self.undoing() && !progress.undo.contains(&place);
                match disabled {
                    true if (begun || self.undoing()) && !back => shut = Some((instance, logins)),
                    false if done => shut = None,
                    true | false => {}
                }
            }
        }
        let Some((instance, logins)) = shut else { return String::new() };
        let names = logins.join(", ");
        format!(
            ". {names} may be disabled on {instance}: ALTER LOGIN [..] ENABLE lets them in again"
        )
    }

    /// What an end before the change of roles leaves to people, where no hook has stopped the
    /// applications: words that follow the reason.
    pub(crate) fn for_people(&self) -> &'static str {
        let plan = &self.proposal.plan;
        let steps = || plan.lanes.iter().flat_map(|lane| &lane.steps);
        let hooked = steps().any(|step| {
            matches!(step.routes.first(), Some(Route::Hook(_)))
                && matches!(step.undo, Undo::With(_))
        });
        let begun = self.lanes.iter().any(|lane| lane.step > 0 || lane.attempts > 0);
        if !plan.kind.orderly() || hooked || !begun || self.handed_over() {
            return "";
        }
        ". No hook lets the applications in again: people who have stopped them do"
    }
}
