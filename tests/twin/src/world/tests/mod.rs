//! Semantics of the world.
