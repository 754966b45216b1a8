//! Whether links of a SQL Server may have several databases: `sp_multidb_milink` (mi-link 1.2). Only
//! what it says is kept; a link with several databases needs the build for it in any case.

use super::{Link, SqlError, World};

impl World {
    /// Whether it is switched on: by somebody, or because a link here has several databases.
    #[must_use]
    pub fn takes_several(&self, at: &str) -> bool {
        let several = |link: &Link| link.side_with(at).is_some() && link.databases().count() > 1;
        self.instance(at).is_some_and(|found| found.setup().several) || self.links().any(several)
    }

    /// Switches it on or off, which needs a server without links and a build that can.
    ///
    /// # Errors
    /// 47505 where the server is not fit for it.
    pub fn take_several(&mut self, at: &str, on: bool) -> Result<(), SqlError> {
        let linked = self.links().any(|link| link.side_with(at).is_some());
        let Some(instance) = self.instances.get_mut(at) else { return Ok(()) };
        if linked || !instance.build().takes_several() || instance.is_managed() {
            let text = "The mode of links cannot be changed: this server has links, or its version \
                        does not support links with several databases.";
            return Err(SqlError::new(47_505, text));
        }
        instance.setup.several = on;
        Ok(())
    }
}
