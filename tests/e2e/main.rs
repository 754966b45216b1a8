//! End to end: real processes, real sockets, real parts. One executable, so that it links once.

mod alert_loop;
mod alerts;
mod api;
mod broker;
mod bus;
mod check;
mod cutover;
mod identities;
mod kill;
mod lab;
mod local;
mod logins;
mod offline;
mod one_life;
mod operator;
mod planned;
mod planned_kill;
mod receiver;
mod repair;
mod replay;
mod resend;
mod rig;
mod rotation;
mod runbook;
mod story;
mod vantage;
