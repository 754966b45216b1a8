//! Who the agent is towards an instance.

use std::sync::Arc;

use crate::{arm::KeptCredential, secret::SecretSource};

/// How to log in.
#[derive(Clone, Debug)]
pub enum Login {
    /// A login that the instance itself knows.
    Sql { user: String, password: SecretSource },
    /// An account of a domain or of the server's machine, by NTLM.
    Windows { domain: String, user: String, password: SecretSource },
    /// Whoever Entra says that the agent is.
    Entra(Arc<KeptCredential>),
    /// Whoever the credential cache of the process says, by Kerberos, that the agent is.
    #[cfg(feature = "kerberos")]
    Kerberos,
}

/// What stands for the name of a login that only a token tells.
pub(crate) const ENTRA: &str = "the agent's Entra identity";

impl Login {
    /// The name of the login at the server, as far as it is known here.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Sql { user, .. } => user.clone(),
            Self::Windows { domain, user, .. } => format!("{domain}\\{user}"),
            Self::Entra(_) => ENTRA.into(),
            #[cfg(feature = "kerberos")]
            Self::Kerberos => "the agent's Kerberos principal".into(),
        }
    }

    /// What is shown at the server, if it is a password.
    pub(crate) fn password(&self) -> Option<&SecretSource> {
        match self {
            Self::Sql { password, .. } | Self::Windows { password, .. } => Some(password),
            Self::Entra(_) => None,
            #[cfg(feature = "kerberos")]
            Self::Kerberos => None,
        }
    }

    /// What has to be kept fresh for it, if anything.
    #[must_use]
    pub fn credential(&self) -> Option<&Arc<KeptCredential>> {
        match self {
            Self::Entra(credential) => Some(credential),
            Self::Sql { .. } | Self::Windows { .. } => None,
            #[cfg(feature = "kerberos")]
            Self::Kerberos => None,
        }
    }
}
