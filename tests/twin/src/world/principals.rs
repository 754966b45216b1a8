//! Logins as the catalog of an instance shows them. Who may come in with which password is the
//! door's affair.

use super::World;

/// A login that the door of an instance knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name.
    pub name: String,
    /// `type`: S, U or E.
    pub kind: PrincipalKind,
    /// Its default database.
    pub database: String,
    /// Whether it is a member of sysadmin.
    pub sysadmin: bool,
    /// What else it was granted, by name.
    pub granted: Vec<&'static str>,
}

/// Who knows a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The instance, by its password.
    Sql,
    /// The Windows domain.
    Windows,
    /// Entra.
    External,
}

impl World {
    /// Takes note of the logins of an instance. Applications of the workload have one of their own
    /// name everywhere.
    pub fn know_logins(&mut self, at: &str, mut logins: Vec<Principal>) {
        for workload in self.workloads.values() {
            if logins.iter().all(|login| !login.name.eq_ignore_ascii_case(&workload.name)) {
                logins.push(Principal {
                    name: workload.name.clone(),
                    kind: PrincipalKind::Sql,
                    database: "master".to_owned(),
                    sysadmin: false,
                    granted: Vec::new(),
                });
            }
        }
        if let Some(instance) = self.instances.get_mut(at) {
            instance.principals = logins;
        }
    }

    /// The logins of an instance, in the order in which they were made.
    #[must_use]
    pub fn logins(&self, at: &str) -> &[Principal] {
        self.instance(at).map_or(&[], |instance| &instance.principals)
    }
}
