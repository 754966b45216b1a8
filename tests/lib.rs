//! What the tests of this package share.

pub mod harness;
pub mod universe;
