//! The turn over a journal that fails, and the loop around it: what is told is durable, and a
//! process that dies anywhere leaves behind what the next one needs.

mod alert;
mod crash;
mod disk;
mod record;
mod run;
mod story;
mod verdict;
