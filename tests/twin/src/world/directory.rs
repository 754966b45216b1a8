//! Who is known outside of the instances: the applications of Entra's tenant, and the accounts of a
//! Windows domain. What somebody may do on an instance is the instance's affair.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::{UnknownName, World, fault::unknown};

/// Identifiers of assertions that are remembered, so that none is used twice.
const REMEMBERED: usize = 256;

/// The tenant and the domain.
#[derive(Clone, Default)]
pub struct Directory {
    /// The tenant's id.
    pub tenant: String,
    /// `https://host:port` of the token service.
    pub authority: String,
    /// The domain's short name, as in `DOMAIN\user`.
    pub domain: String,
    /// Signs tokens; those of another world are foreign.
    pub(crate) key: [u8; 32],
    applications: BTreeMap<String, Application>,
    accounts: BTreeMap<String, Account>,
}

/// An application of the tenant, or a managed identity.
#[derive(Clone, Default)]
pub struct Application {
    /// Its secrets, and whether each has expired.
    pub(crate) secrets: Vec<(String, bool)>,
    /// Its registered certificates, DER.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Whose assertions it trusts.
    pub(crate) federated: Vec<Federated>,
    /// Nobody gets a token for it.
    pub(crate) disabled: bool,
    /// Its roles in Azure, on the resource group.
    pub(crate) roles: Vec<AzureRole>,
    /// The identifiers of assertions that were used, the newest last.
    used: VecDeque<String>,
}

/// A role in Azure: what it lets do. Names may hold `*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AzureRole {
    /// `actions`
    pub actions: Vec<String>,
    /// `notActions`: left out of them, which another role may still give.
    #[serde(default)]
    pub not_actions: Vec<String>,
}

/// A federated credential: another issuer's assertions count as the application's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Federated {
    /// The issuer.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// A certificate with the key that the issuer signs with, PEM.
    pub certificate: String,
}

/// An account of the domain.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) password: String,
    /// It is disabled, locked or expired: the domain lets it in nowhere.
    pub(crate) disabled: bool,
}

/// A change of the directory. An application is named by its client id, an account by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DirectoryChange {
    /// Gives an application another secret, beside those that it has.
    AddSecret {
        /// The application.
        application: String,
        /// The secret.
        secret: String,
    },
    /// Takes a secret away.
    RemoveSecret {
        /// The application.
        application: String,
        /// The secret.
        secret: String,
    },
    /// Lets a secret reach its end.
    ExpireSecret {
        /// The application.
        application: String,
        /// The secret.
        secret: String,
    },
    /// Registers a certificate.
    AddCertificate {
        /// The application.
        application: String,
        /// The certificate, PEM.
        certificate: String,
    },
    /// Takes all certificates away.
    RemoveCertificates {
        /// The application.
        application: String,
    },
    /// Trusts another issuer.
    Federate {
        /// The application.
        application: String,
        /// Whom.
        credential: Federated,
    },
    /// Assigns roles in Azure to an application, in the place of those that it has. In the
    /// beginning each may do everything with managed instances.
    AssignRoles {
        /// The application.
        application: String,
        /// The roles.
        roles: Vec<AzureRole>,
    },
    /// Lets nobody have a token for an application, or ends that.
    DisableApplication {
        /// The application.
        application: String,
        /// Disabled, or enabled again.
        disabled: bool,
    },
    /// Makes an account, or gives it another password.
    Password {
        /// The account.
        account: String,
        /// The password.
        password: String,
    },
    /// Lets an account in nowhere, or ends that.
    DisableAccount {
        /// The account.
        account: String,
        /// Disabled, or enabled again.
        disabled: bool,
    },
}

impl AzureRole {
    fn usual() -> AzureRole {
        let actions = [
            "Microsoft.Sql/managedInstances/*",
            "Microsoft.Sql/locations/*/read",
            "Microsoft.ResourceHealth/availabilityStatuses/read",
        ];
        AzureRole { actions: actions.map(str::to_owned).into(), not_actions: Vec::new() }
    }

    /// Whether it lets somebody do this; case does not count.
    pub(crate) fn allows(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
        any(&self.actions) && !any(&self.not_actions)
    }
}

/// Whether a name fits a pattern, in which `*` stands for anything.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = pattern.contains('*').then(|| parts.next_back()).flatten() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Directory {
    /// Adds an application with one secret, or without any: a managed identity has none.
    pub fn add_application(&mut self, client_id: &str, secret: Option<&str>) {
        let secrets = secret.map(|secret| (secret.to_owned(), false)).into_iter().collect();
        let application =
            Application { secrets, roles: vec![AzureRole::usual()], ..Application::default() };
        self.applications.insert(client_id.to_lowercase(), application);
    }

    /// Adds an account.
    pub fn add_account(&mut self, user: &str, password: &str) {
        let account = Account { password: password.to_owned(), disabled: false };
        self.accounts.insert(user.to_lowercase(), account);
    }

    pub(crate) fn application(&self, client_id: &str) -> Option<&Application> {
        self.applications.get(&client_id.to_lowercase())
    }

    pub(crate) fn account(&self, user: &str) -> Option<&Account> {
        self.accounts.get(&user.to_lowercase())
    }

    /// Notes that an application has used an assertion; `false` if it had done so before.
    pub(crate) fn first_use(&mut self, client_id: &str, identifier: &str) -> bool {
        let Some(application) = self.applications.get_mut(&client_id.to_lowercase()) else {
            return false;
        };
        if application.used.iter().any(|used| used == identifier) {
            return false;
        }
        if application.used.len() == REMEMBERED {
            application.used.pop_front();
        }
        application.used.push_back(identifier.to_owned());
        true
    }

    fn change(&mut self, change: DirectoryChange) -> Result<(), UnknownName> {
        match change {
            DirectoryChange::AddSecret { application, secret } => {
                self.application_mut(&application)?.secrets.push((secret, false));
            }
            DirectoryChange::RemoveSecret { application, secret } => {
                let found = self.application_mut(&application)?;
                found.secrets.retain(|(known, _)| *known != secret);
            }
            DirectoryChange::ExpireSecret { application, secret } => {
                let found = self.application_mut(&application)?;
                let secrets = found.secrets.iter_mut().filter(|(known, _)| *known == secret);
                secrets.for_each(|(_, expired)| *expired = true);
            }
            DirectoryChange::AddCertificate { application, certificate } => {
                let der = der(&certificate)?;
                self.application_mut(&application)?.certificates.push(der);
            }
            DirectoryChange::RemoveCertificates { application } => {
                self.application_mut(&application)?.certificates.clear();
            }
            DirectoryChange::Federate { application, credential } => {
                der(&credential.certificate)?;
                self.application_mut(&application)?.federated.push(credential);
            }
            DirectoryChange::AssignRoles { application, roles } => {
                self.application_mut(&application)?.roles = roles;
            }
            DirectoryChange::DisableApplication { application, disabled } => {
                self.application_mut(&application)?.disabled = disabled;
            }
            DirectoryChange::Password { account, password } => {
                self.add_account(&account, &password);
            }
            DirectoryChange::DisableAccount { account, disabled } => {
                let names: Vec<_> = self.accounts.keys().cloned().collect();
                let found = self.accounts.get_mut(&account.to_lowercase());
                found.ok_or_else(|| unknown("account", &account, names.iter()))?.disabled =
                    disabled;
            }
        }
        Ok(())
    }

    fn application_mut(&mut self, client_id: &str) -> Result<&mut Application, UnknownName> {
        let names: Vec<_> = self.applications.keys().cloned().collect();
        let found = self.applications.get_mut(&client_id.to_lowercase());
        found.ok_or_else(|| unknown("application", client_id, names.iter()))
    }
}

/// The first certificate of a PEM text.
pub(crate) fn der(pem: &str) -> Result<Vec<u8>, UnknownName> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| unknown("certificate", "in PEM", std::iter::empty()))
}

impl World {
    /// The tenant and the domain.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The same, to be changed.
    pub fn directory_mut(&mut self) -> &mut Directory {
        &mut self.directory
    }

    /// Changes the directory.
    ///
    /// # Errors
    /// There is no such application or account, or the certificate is none.
    pub fn change_directory(&mut self, change: DirectoryChange) -> Result<(), UnknownName> {
        self.directory.change(change)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_used_once_and_the_memory_is_bounded() {
        let mut directory = Directory::default();
        assert!(!directory.first_use("App", "a"), "there is no such application");
        directory.add_application("App", None);
        assert!(directory.first_use("app", "a"));
        assert!(!directory.first_use("APP", "a"));
        for number in 0..1_000 {
            assert!(directory.first_use("app", &number.to_string()));
        }
        assert_eq!(directory.application("app").expect("it is there").used.len(), REMEMBERED);
    }

    #[test]
    fn a_secret_is_added_beside_the_old_one_and_the_old_one_is_taken_away() {
        let mut directory = Directory::default();
        directory.add_application("app", Some("one"));
        let application = || "app".to_owned();
        let add = DirectoryChange::AddSecret { application: application(), secret: "two".into() };
        directory.change(add).expect("known");
        let remove =
            DirectoryChange::RemoveSecret { application: application(), secret: "one".into() };
        directory.change(remove).expect("known");
        let secrets = &directory.application("app").expect("it is there").secrets;
        assert_eq!(secrets, &[("two".to_owned(), false)]);
        let nobody = DirectoryChange::RemoveCertificates { application: "x".into() };
        assert!(directory.change(nobody).is_err());
    }
}
