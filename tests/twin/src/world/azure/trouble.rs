//! What goes wrong between Azure and who asks it about an operation, beside what it does.
//!
//! Source: how Microsoft's own client polls, and what it takes for an answer.

use serde::{Deserialize, Serialize};

use crate::world::World;

/// What is wrong with the answer to a poll; the operation goes on as if nobody had asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollTrouble {
    /// 404, `OperationIdNotFound`.
    NotFound,
    /// 409, `ConflictingServerOperation`.
    Conflict,
    /// 429 with a `Retry-After`.
    TooManyRequests,
    /// 500, `GatewayInternalServerError`.
    ServerError,
    /// 503, `ServiceUnavailable`.
    Unavailable,
    /// 200 with a `status` that nobody has ever heard of.
    UnknownWord,
}

/// What is wrong with the answer to a request that was taken: the deed is done or on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerTrouble {
    /// A 202 with neither `Location` nor `Azure-AsyncOperation`.
    NoUrls,
    /// A 202 with `Location` alone.
    LocationOnly,
    /// A 202 without `Retry-After`.
    NoRetryAfter,
    /// A 202 with `Retry-After: 0`.
    RetryAfterZero,
    /// A 202 whose URLs name another host.
    OtherHost,
    /// 429, as if nothing had been taken: a client that repeats it asks twice.
    TooManyRequests,
    /// 500, likewise.
    ServerError,
    /// 503, likewise; Microsoft's client repeats a POST by itself.
    Unavailable,
}

/// The troubles that wait for their occasion, and for how often each.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::world) struct Troubles {
    poll: Option<(PollTrouble, u32)>,
    answer: Option<(AnswerTrouble, u32)>,
}

impl World {
    /// What is wrong with the answer to this poll, if anything; asking uses it up.
    pub fn take_poll_trouble(&mut self) -> Option<PollTrouble> {
        take(&mut self.faults.azure.poll)
    }

    /// What is wrong with the answer to this request, if anything; asking uses it up.
    pub fn take_answer_trouble(&mut self) -> Option<AnswerTrouble> {
        take(&mut self.faults.azure.answer)
    }

    pub(in crate::world) fn trouble_polls(&mut self, trouble: PollTrouble, times: u32) {
        self.faults.azure.poll = (times > 0).then_some((trouble, times));
    }

    pub(in crate::world) fn trouble_answers(&mut self, trouble: AnswerTrouble, times: u32) {
        self.faults.azure.answer = (times > 0).then_some((trouble, times));
    }
}

impl Troubles {
    /// What is left, in words.
    pub(in crate::world) fn words(&self) -> impl Iterator<Item = String> {
        let poll =
            self.poll.map(|(trouble, times)| format!("{trouble:?} to the next {times} polls"));
        let answer = self.answer;
        let answer = answer
            .map(|(trouble, times)| format!("{trouble:?} to the next {times} requests taken"));
        poll.into_iter().chain(answer)
    }
}

fn take<T: Copy>(waiting: &mut Option<(T, u32)>) -> Option<T> {
    let (trouble, left) = (*waiting)?;
    *waiting = (left > 1).then(|| (trouble, left - 1));
    Some(trouble)
}
