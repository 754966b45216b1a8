//! Is everything ready for the day when it counts? One file for each group of checks; a check is a
//! question, the evidence, a verdict and the mend.
//!
//! Nothing is changed: every question is a `SELECT`, a `GET` or a look at a file. Everything is
//! bounded, by [`Limits`]. What fails leaves unasked what rests on it, and says so; independent
//! questions are asked all the same. The order of mending is [`in_order_of_mending`].
//!
//! The checks are called by `dr-agent check`, and by whoever needs one of them as a precondition.

pub mod control;
pub mod database;
pub mod endpoint;
pub mod files;
mod finding;
mod instance;
pub mod link;
pub mod login;
pub mod pair;
pub mod placement;
mod questions;
pub mod reach;
pub mod server;
mod sites;
pub mod token;
mod versions;

pub use control::{ControlFacts, ControlQuestion, control};
pub use finding::{Check, Finding, Fix, How, Stage, Verdict, in_order_of_mending, leave_unasked};
pub use instance::{InstanceFacts, InstanceQuestion, Limits, instance};
pub use pair::{PairQuestion, pair};
pub use placement::{Domains, Needed, Paper, Placed, PlacementQuestion, placement};
pub use sites::{NoNetwork, Sites};
pub use versions::{Build, Match, Support};
