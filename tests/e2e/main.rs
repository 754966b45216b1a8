//! End to end: real processes, real sockets, real parts. One executable, so that it links once.

mod api;
mod broker;
mod bus;
mod kill;
mod lab;
mod resend;
mod rig;
mod story;
mod vantage;
