//! How one step is carried out: look, do, look. A pure machine that asks for one thing at a time;
//! the executor and the simulation drive the same one.
//!
//! Only a conclusive "it was not done" permits sending again. A command that was let go and whose
//! outcome nobody knows is settled by looking, and where looking can't settle it, it stays unknown.

mod late;

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use jiff::Timestamp;

use crate::{
    estate::Work,
    event::Again,
    evidence::signed,
    input::Report,
    plan::{Action, Method, Route},
};

/// How long nothing may be seen to happen before an unanswered T-SQL command counts as not done.
/// The look says "nothing" only if no session of ours and no such request is left on the server,
/// and a repeated statement is harmless, so this only has to outlast a reconnect.
const SETTLED_AFTER: Duration = Duration::from_secs(5);
const PAUSE_LEAST: Duration = Duration::from_millis(200);
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// The longest that a `Retry-After` of the control plane is honoured.
const POLL_MOST: Duration = Duration::from_secs(30);
/// A control plane that does not answer is asked again after this.
const BLIND_POLL: Duration = Duration::from_secs(5);

/// What the machine wants to be done for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Does the state of the step hold?
    Look,
    /// Hand a report to the estate and say whether it was taken. For [`Report::Sending`] this is
    /// the permission.
    Report(Report),
    /// Let the command go, once.
    Send(Route),
    /// Ask the control plane how the operation goes.
    Poll(String),
    Wait(Duration),
    /// Nothing more to do in this try.
    End,
}

/// What became of an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Looked(Sight),
    Reported(Result<(), String>),
    Sent(Sent),
    Polled(Polled),
    Waited,
}

/// What a look says of the state that the step is to bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    Holds {
        seen: String,
    },
    /// It holds as far as the step goes, and people are to be told what is missing all the same.
    Warned {
        seen: String,
        warning: String,
    },
    /// It does not hold, and nothing is under way that might bring it about. `first_hand`: the
    /// target itself says so, and not the control plane, which may be behind.
    Not {
        seen: String,
        first_hand: bool,
    },
    /// It does not hold yet, and something is under way.
    Coming {
        seen: String,
    },
    /// It does not hold, and sending the command would be wrong.
    Unfit {
        seen: String,
    },
    Blind {
        why: String,
    },
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Accepted {
        operation: Option<String>,
    },
    /// The peer says that it is so already, or that another such command is under way.
    Already {
        why: String,
    },
    /// Conclusively without effect.
    Refused {
        why: String,
        again: Again,
    },
    /// It may have landed.
    Unknown {
        why: String,
    },
}

/// How an operation of the control plane goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    Running {
        again_in: Duration,
    },
    Succeeded,
    /// By the control plane's word it failed; whether it had an effect is for a look to say.
    Failed {
        why: String,
    },
    Blind {
        why: String,
    },
}

/// One try of one step.
#[derive(Clone, Debug)]
pub struct Deed {
    work: Work,
    phase: Phase,
    /// When the command was let go, for the engine's time.
    sent_at: Option<Timestamp>,
    pause: Duration,
    last: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    FirstLook,
    Permission,
    Sending,
    Noting(String),
    /// The control plane is asked when it said so; between, the target itself may tell sooner.
    Polling {
        operation: String,
        due: Timestamp,
        then: Between,
    },
    /// Let go: look until it holds or the deadline passes. `conclusive`: since when
    /// looks have shown that nothing is under way; None if that would prove nothing.
    Settling {
        conclusive: Option<Nothing>,
        pause: bool,
    },
    /// A step that only looks, and looks again.
    Watching {
        pause: bool,
    },
    Telling(Report),
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Asking,
    Waiting,
    Looking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nothing {
    since: Option<Timestamp>,
    after: Duration,
}

impl Deed {
    #[must_use]
    pub fn new(work: Work) -> Self {
        let phase = match (&work.route, &work.operation) {
            (Some(_), Some(operation)) if work.sent => {
                let operation = operation.clone();
                Phase::Polling { operation, due: work.started_at, then: Between::Asking }
            }
            (Some(route), None) if work.sent => {
                Phase::Settling { conclusive: conclusive(route), pause: false }
            }
            (None | Some(_), _) => Phase::FirstLook,
        };
        let sent_at = work.sent.then_some(work.started_at);
        Self { work, phase, sent_at, pause: PAUSE_LEAST, last: String::from("nothing seen yet") }
    }

    #[must_use]
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// What to do now. Asked again without an answer it says the same.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Ask {
        if let Some(report) = self.too_late(now) {
            return Ask::Report(report);
        }
        match &self.phase {
            Phase::FirstLook
            | Phase::Settling { pause: false, .. }
            | Phase::Watching { pause: false } => Ask::Look,
            Phase::Settling { pause: true, .. } | Phase::Watching { pause: true } => {
                Ask::Wait(self.pause)
            }
            Phase::Permission => Ask::Report(Report::Sending),
            Phase::Sending => match &self.work.route {
                Some(route) => Ask::Send(route.clone()),
                None => Ask::End,
            },
            Phase::Noting(operation) => Ask::Report(Report::Noted { operation: operation.clone() }),
            Phase::Polling { operation, then: Between::Asking, .. } => Ask::Poll(operation.clone()),
            Phase::Polling { then: Between::Waiting, .. } => Ask::Wait(self.pause),
            Phase::Polling { then: Between::Looking, .. } => Ask::Look,
            Phase::Telling(report) => Ask::Report(report.clone()),
            Phase::Over => Ask::End,
        }
    }

    /// Takes the answer to what `next` asked for.
    pub fn answer(&mut self, now: Timestamp, answer: Answer) {
        let late = self.too_late(now).is_some();
        self.phase = match (core::mem::replace(&mut self.phase, Phase::Over), answer) {
            (phase, Answer::Reported(taken)) => self.reported(now, phase, taken, late),
            (phase, Answer::Looked(sight)) => self.looked(now, phase, sight),
            (Phase::Sending, Answer::Sent(sent)) => self.sent(sent),
            (Phase::Polling { operation, .. }, Answer::Polled(polled)) => {
                self.polled(now, operation, polled)
            }
            (Phase::Polling { operation, due, .. }, Answer::Waited) => {
                self.pause = (self.pause * 2).min(PAUSE_MOST);
                let then = if now >= due { Between::Asking } else { Between::Looking };
                Phase::Polling { operation, due, then }
            }
            (Phase::Settling { conclusive, .. }, Answer::Waited) => {
                self.pause = (self.pause * 2).min(PAUSE_MOST);
                Phase::Settling { conclusive, pause: false }
            }
            (Phase::Watching { .. }, Answer::Waited) => {
                self.pause = (self.pause * 2).min(PAUSE_MOST);
                Phase::Watching { pause: false }
            }
            (phase, Answer::Waited | Answer::Sent(_) | Answer::Polled(_)) => phase,
        };
    }

    /// The report that the deadline makes due, unless another one is on its way already.
    fn too_late(&self, now: Timestamp) -> Option<Report> {
        if now < self.work.deadline || self.work.overdue {
            return None;
        }
        match &self.phase {
            // Between permission and reply nothing can be said yet.
            Phase::Sending | Phase::Noting(_) | Phase::Telling(_) | Phase::Over => None,
            Phase::FirstLook | Phase::Permission => Some(self.not_done(Again::SameRoute)),
            Phase::Watching { .. } => Some(late::watched(&self.work.action, &self.last)),
            // A hook is dead when its time is over, which is before the deadline.
            Phase::Settling { .. } if matches!(self.work.route, Some(Route::Hook(_))) => {
                Some(self.not_done(late::after_hook(&self.work.action)))
            }
            Phase::Polling { .. } | Phase::Settling { .. } => Some(self.unknown()),
        }
    }

    fn reported(
        &mut self,
        now: Timestamp,
        phase: Phase,
        taken: Result<(), String>,
        late: bool,
    ) -> Phase {
        match (phase, taken) {
            _ if late => Phase::Over,
            (Phase::Permission, Ok(())) => {
                self.work.sent = true;
                self.sent_at = Some(now);
                Phase::Sending
            }
            // It may clear up while the clock runs: look again, then ask again.
            (Phase::Permission, Err(why)) => {
                self.last = why;
                Phase::Watching { pause: true }
            }
            // A note that is not taken is lost only for a later restart: the operation goes on.
            (Phase::Noting(operation), Ok(()) | Err(_)) => {
                Phase::Polling { operation, due: now, then: Between::Asking }
            }
            (
                Phase::FirstLook
                | Phase::Sending
                | Phase::Polling { .. }
                | Phase::Settling { .. }
                | Phase::Watching { .. }
                | Phase::Telling(_)
                | Phase::Over,
                Ok(()) | Err(_),
            ) => Phase::Over,
        }
    }

    fn looked(&mut self, now: Timestamp, phase: Phase, sight: Sight) -> Phase {
        self.last = match &sight {
            Sight::Holds { seen }
            | Sight::Warned { seen, .. }
            | Sight::Not { seen, .. }
            | Sight::Coming { seen }
            | Sight::Unfit { seen } => seen.clone(),
            Sight::Blind { why } => format!("it can't be seen: {why}"),
        };
        // What takes back is run at least once, whatever is seen: applications that are on their way
        // out still look as if they were in, and a statement may still be at work.
        if phase == Phase::FirstLook && self.work.step.undo {
            return Phase::Permission;
        }
        let done = match &sight {
            Sight::Holds { seen } => Some((seen.clone(), None)),
            Sight::Warned { seen, warning } => Some((seen.clone(), Some(warning.clone()))),
            Sight::Not { .. }
            | Sight::Coming { .. }
            | Sight::Unfit { .. }
            | Sight::Blind { .. } => None,
        };
        if let Some((seen, warning)) = done {
            let engine = self.sent_at.map_or(0, |sent| now.duration_since(sent).as_millis().max(0));
            let engine_ms = u64::try_from(engine).unwrap_or(u64::MAX);
            return Phase::Telling(Report::Done { seen, engine_ms, warning });
        }
        match phase {
            Phase::FirstLook if self.work.route.is_none() => Phase::Watching { pause: true },
            Phase::FirstLook => match sight {
                Sight::Not { .. } => Phase::Permission,
                // Somebody else's failover is under way, or sending would be wrong: send nothing.
                Sight::Coming { .. } | Sight::Unfit { .. } => Phase::Watching { pause: true },
                Sight::Blind { .. } | Sight::Holds { .. } | Sight::Warned { .. } => {
                    Phase::Telling(self.not_done(Again::NextRoute))
                }
            },
            Phase::Settling { conclusive, .. } => self.settle(now, conclusive, &sight),
            Phase::Watching { .. } => match (&sight, &self.work.route) {
                (Sight::Not { .. }, Some(_)) => Phase::Permission,
                _ => Phase::Watching { pause: true },
            },
            Phase::Polling { operation, due, .. } => {
                Phase::Polling { operation, due, then: Between::Waiting }
            }
            Phase::Permission
            | Phase::Sending
            | Phase::Noting(_)
            | Phase::Telling(_)
            | Phase::Over => phase,
        }
    }

    fn settle(&self, now: Timestamp, conclusive: Option<Nothing>, sight: &Sight) -> Phase {
        let nothing = matches!(sight, Sight::Not { first_hand: true, .. } | Sight::Unfit { .. });
        let conclusive = conclusive
            .map(|run| Nothing { since: nothing.then(|| run.since.unwrap_or(now)), ..run });
        let settled = conclusive.is_some_and(|run| {
            run.since.is_some_and(|since| now.duration_since(since) >= signed(run.after))
        });
        if settled {
            return Phase::Telling(self.not_done(Again::SameRoute));
        }
        Phase::Settling { conclusive, pause: true }
    }

    fn sent(&mut self, sent: Sent) -> Phase {
        match sent {
            Sent::Accepted { operation: Some(operation) } => Phase::Noting(operation),
            // Taken: from here on only a look that shows it may end this, or the deadline; but what may
            // be undone by others behind it, and does no harm twice, is sent again.
            Sent::Accepted { operation: None } => {
                let conclusive =
                    self.repeatable().then_some(Nothing { since: None, after: SETTLED_AFTER });
                Phase::Settling { conclusive, pause: false }
            }
            Sent::Already { why } | Sent::Unknown { why } => {
                self.last = why;
                let conclusive = self.work.route.as_ref().and_then(conclusive);
                Phase::Settling { conclusive, pause: false }
            }
            Sent::Refused { why, again } => Phase::Telling(Report::NotDone { why, again }),
        }
    }

    /// Whether its statement ends what comes back by itself: sessions, and logins' sessions.
    fn repeatable(&self) -> bool {
        let by_statement = matches!(self.work.route, Some(Route::Tsql { .. }));
        let action = &self.work.action;
        by_statement && matches!(action, Action::Quiesced { .. } | Action::LoginsSet { .. })
    }

    fn polled(&mut self, now: Timestamp, operation: String, polled: Polled) -> Phase {
        let again = |span: Duration| {
            let span = span.clamp(PAUSE_LEAST, POLL_MOST);
            let due = now.checked_add(signed(span)).unwrap_or(now);
            Phase::Polling { operation: operation.clone(), due, then: Between::Waiting }
        };
        match polled {
            Polled::Running { again_in } => again(again_in),
            Polled::Blind { why } => {
                self.last = why;
                again(BLIND_POLL)
            }
            Polled::Succeeded => Phase::Settling { conclusive: None, pause: false },
            // It is over by the control plane's own word; whether it had an effect only the target
            // itself can say.
            Polled::Failed { why } => {
                self.last = why;
                let conclusive = Some(Nothing { since: None, after: SETTLED_AFTER });
                Phase::Settling { conclusive, pause: false }
            }
        }
    }

    fn not_done(&self, again: Again) -> Report {
        Report::NotDone { why: self.last.to_string(), again }
    }

    fn unknown(&self) -> Report {
        Report::Unknown { why: self.last.to_string() }
    }
}

/// Whether looking can prove that a command by this route did not land. A request to Azure whose answer
/// was lost may have started an operation that shows nowhere yet, for minutes; a second POST would turn
/// the roles back, and who is let in again before a deletion lands writes beside it. So it is never called
/// "not done".
fn conclusive(route: &Route) -> Option<Nothing> {
    match route {
        Route::Tsql { .. } => Some(Nothing { since: None, after: SETTLED_AFTER }),
        // It is dead when its time is over, and may be run again.
        Route::Hook(hook) => {
            let after = Duration::from_millis(hook.within_ms) + SETTLED_AFTER;
            Some(Nothing { since: None, after })
        }
        Route::Arm { method: Method::Post | Method::Delete, .. } => None,
    }
}
