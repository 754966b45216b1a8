//! The subcommands that trouble Azure's services.

use clap::Subcommand;

use super::client::{on_off, word};
use crate::world::{AnswerTrouble, Fault, PollTrouble};

/// What can go wrong with ARM and the token service.
#[derive(Subcommand)]
pub enum Azure {
    /// Let ARM answer 503, or end that.
    ArmUnavailable {
        /// `on` or `off`.
        #[arg(value_parser = on_off, action = clap::ArgAction::Set)]
        on: bool,
    },
    /// Let ARM answer 429 to the next requests.
    ArmThrottle {
        /// How many.
        times: u32,
        /// `Retry-After` in seconds.
        retry_after_s: u32,
    },
    /// Let ARM answer 409 to the next failover requests.
    ArmConflict {
        /// How many.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Let the next polls of ARM's operations be answered wrongly.
    ArmPoll {
        /// How: `not-found`, `conflict`, `too-many-requests`, `server-error`, `unavailable` or
        /// `unknown-word`.
        #[arg(value_parser = word::<PollTrouble>)]
        trouble: PollTrouble,
        /// How many; 0 ends it.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Let ARM carry out the next requests that it takes, and answer them wrongly.
    ArmAnswer {
        /// How: `no-urls`, `location-only`, `no-retry-after`, `retry-after-zero`, `other-host`,
        /// `too-many-requests`, `server-error` or `unavailable`.
        #[arg(value_parser = word::<AnswerTrouble>)]
        trouble: AnswerTrouble,
        /// How many; 0 ends it.
        #[arg(long, default_value_t = 1)]
        times: u32,
    },
    /// Let the token service answer 503, or end that.
    TokenServiceDown {
        /// `on` or `off`.
        #[arg(value_parser = on_off, action = clap::ArgAction::Set)]
        on: bool,
    },
    /// Let tokens that are issued from now on live this long.
    TokenLifetime {
        /// Seconds.
        s: u32,
    },
}

impl Azure {
    pub(super) fn fault(self) -> Fault {
        match self {
            Azure::ArmUnavailable { on } => Fault::ArmUnavailable { on },
            Azure::ArmThrottle { times, retry_after_s } => {
                Fault::ArmThrottle { times, retry_after_s }
            }
            Azure::ArmConflict { times } => Fault::ArmConflict { times },
            Azure::ArmPoll { trouble, times } => Fault::ArmPoll { trouble, times },
            Azure::ArmAnswer { trouble, times } => Fault::ArmAnswer { trouble, times },
            Azure::TokenServiceDown { on } => Fault::TokenServiceDown { on },
            Azure::TokenLifetime { s } => Fault::TokenLifetime { s },
        }
    }
}
