//! What a backup says of the database that it was taken of, and what a restore makes of that.

use std::sync::Arc;

use serde::Serialize;

use super::World;
use crate::tables::Contents;

/// What a backup says of the database that it was taken of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Source {
    /// `server_name`
    pub server: String,
    /// `database_version`: what the files need to be read.
    pub format: i32,
    /// `compatibility_level`
    pub compatibility: i32,
    /// Logical name and path of the data and of the log.
    pub files: [(String, String); 2],
    #[serde(skip)]
    pub(super) contents: Held,
}

/// What the tables held at the end of a backup; no two backups differ by it alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(pub(super) Option<Arc<Contents>>);

impl PartialEq for Held {
    fn eq(&self, _: &Held) -> bool {
        true
    }
}

impl Eq for Held {}

impl World {
    /// What a backup taken now says of its database.
    pub(super) fn source_of(&self, at: &str, database: &str) -> Source {
        let Some(instance) = self.instance(at) else { return Source::default() };
        let release = instance.build().release();
        let files = self.files(at);
        let mut own = files
            .into_iter()
            .filter(|file| file.database == database)
            .map(|file| (file.name, file.path));
        Source {
            server: instance.server_name.clone(),
            format: release.format,
            compatibility: release.compatibility(),
            files: [own.next().unwrap_or_default(), own.next().unwrap_or_default()],
            contents: Held(self.contents_of(at, database)),
        }
    }
}
