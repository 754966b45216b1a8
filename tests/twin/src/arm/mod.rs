//! The ARM door.
