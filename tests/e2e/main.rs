//! End to end: real processes, real sockets, real parts. One executable, so that it links once.

mod broker;
