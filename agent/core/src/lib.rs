//! The decision core of dr-agent: pure, without a runtime, a socket, a clock or randomness.
//!
//! An [`Estate`] is driven by six verbs:
//!
//! | verb | what it does | what it touches |
//! | --- | --- | --- |
//! | [`observe`](Estate::observe) | a look at the world becomes evidence | evidence |
//! | [`admit`](Estate::admit) | an input becomes one event, or is refused in words | nothing |
//! | [`next`](Estate::next) | the one event that follows by itself, and the rule that says so | nothing |
//! | [`apply`](Estate::apply) | an entry of the journal becomes part of the record | record |
//! | [`work`](Estate::work) | the steps that ought to be under way | nothing |
//! | [`wake`](Estate::wake) | when to ask `next` again | nothing |
//!
//! The *record* is the fold of the journal; the *evidence* is volatile. Whoever drives the estate
//! writes each event to the journal before applying it, so a restart is a replay. How a step is
//! carried out, look after look, is a pure machine as well: [`deed`]; what a look means, and what a reply,
//! say [`sight`] and [`reply`].
#![no_std]

extern crate alloc;

pub mod account;
mod alert;
mod approval;
mod capability;
mod clearance;
pub mod deed;
mod draft;
mod estate;
mod event;
mod evidence;
mod explain;
mod forecast;
mod guard;
mod health;
mod input;
mod left;
mod link;
mod names;
mod plan;
mod policy;
mod proposal;
pub mod reply;
mod report;
mod rules;
mod run;
pub mod runbook;
pub mod sight;
mod words;

pub use approval::{Ballot, Decision, WORDS, from_hex, to_hex};
pub use capability::{Back, Engine, Facts, Format, Offer, Over, Way, ways};
pub use estate::{Estate, GIVES_WAY, Work};
pub use event::{Again, Entry, Event, FORMAT, StepRef, Subject, read, write};
pub use evidence::{
    ControlLink, ControlReading, DatabaseReading, DatabaseState, Evidence, Members, Observation,
    PartnerReading, ReplicaReading, Role, Seen, SideReading, Silence, SilenceKind, SyncHealth,
    SyncState, Vantage, WINDOW,
};
pub use explain::Explanation;
pub use forecast::{Basis, Bounds, Forecast, Ignorance, Loss, Sample, seconds};
pub use guard::Guard;
pub use health::{Assessment, Health, Reason};
pub use input::{Input, Refusal, Report};
pub use link::{Illegal, Move, Record};
pub use names::{ApproverId, FailureDomain, InstanceId, LinkId, Lsn, ProposalId, Seq, Side};
pub use plan::{Action, Hook, Lane, Method, Plan, PlanKind, Quiet, Route, Step, Undo, digest};
pub use policy::{
    Approver, BackupPlace, BreakGlass, Cutover, LinkSpec, Planned, Policy, Repair, Roster,
    StandingOrder, StormBrake,
};
pub use proposal::{End, Origin, Proposal, Received, Status, Terms, Texts};
pub use report::{
    Happened, LinkState, OpenProposal, REPORTED_LINKS, RUNBOOK_BYTES, Runbook, SideState,
    StateReport,
};
pub use rules::rule_names;
pub use run::{Progress, Run, Started, StepState};
