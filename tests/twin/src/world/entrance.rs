//! Who came to which door, how, and what became of it. The newest of them are kept.

use std::collections::VecDeque;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::World;

/// How many are kept.
const KEPT: usize = 4_096;

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A login of the instance, by its password.
    Password,
    /// A Windows account, by NTLM.
    Windows,
    /// A token of Entra.
    Token,
}

/// One login, or one that was refused.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// The instance.
    pub instance: String,
    /// The login, or what the client gave as such.
    pub login: String,
    /// The program name of LOGIN7.
    pub program: String,
    /// Where the connection comes from.
    pub address: Option<SocketAddr>,
    /// How.
    pub proof: Proof,
    /// TDS 8: TLS from the first byte.
    pub strict: bool,
    /// The number of the error with which it was refused.
    pub refused: Option<i32>,
}

/// The newest entries, and how many there were in all.
#[derive(Clone, Debug, Default)]
pub(super) struct Entrances {
    newest: VecDeque<Entry>,
}

impl World {
    /// Notes a login, or its refusal.
    pub fn note_entry(&mut self, entry: Entry) {
        let newest = &mut self.entrances.newest;
        if newest.len() == KEPT {
            newest.pop_front();
        }
        newest.push_back(entry);
    }

    /// The newest logins and refusals, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entrances.newest.iter()
    }
}
