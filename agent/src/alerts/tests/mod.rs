//! Sinks on stories that the real core wrote: what is said of them, and whether it arrives.

mod golden;
mod notices;
mod play;
mod pushing;
mod receiver;
mod refusing;
mod sending;
mod signing;
mod stage;
