//! Log moves from primary to secondary.
