//! What leaves the process says less than what is kept.

use agent_core::{Entry, Event};

/// The entry without what only the journal may hold: the address of a long-running operation is
/// signed, and its query is the signature.
#[must_use]
pub fn redact(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    match &mut entry.event {
        Event::StepNoted { step: _, operation } => {
            let end = operation.find(['?', '#']).unwrap_or(operation.len());
            operation.truncate(end);
        }
        Event::AgentStarted { .. }
        | Event::HealthChanged { .. }
        | Event::ProposalOpened { .. }
        | Event::BallotReceived { .. }
        | Event::ProposalApproved { .. }
        | Event::ProposalClosed { .. }
        | Event::StepStarted { .. }
        | Event::StepSending { .. }
        | Event::StepDone { .. }
        | Event::StepNotDone { .. }
        | Event::StepUnknown { .. }
        | Event::UndoStarted { .. }
        | Event::EpisodeAcknowledged { .. }
        | Event::GuardLifted { .. }
        | Event::StateReported { .. }
        | Event::RunbookIssued { .. } => {}
    }
    entry
}

#[cfg(test)]
mod tests {
    use agent_core::{FORMAT, StepRef, Subject};

    use super::*;

    #[test]
    fn the_signature_of_an_operation_stays_here() {
        let step = StepRef { proposal: 1, lane: 0, step: 0, attempt: 1, undo: false };
        let noted = |operation: &str| Entry {
            v: FORMAT,
            seq: 1,
            at: "2026-01-02T03:04:05Z".parse().expect("a timestamp"),
            subject: Subject::Agent,
            rule: None,
            event: Event::StepNoted { step, operation: operation.to_owned() },
        };
        let full = noted("https://management.example/operations/1?api-version=1&t=s3cret#x");
        assert_eq!(redact(&full), noted("https://management.example/operations/1"));
        assert_eq!(redact(&noted("plain")), noted("plain"));
    }
}
