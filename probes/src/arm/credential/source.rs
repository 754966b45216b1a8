//! From who the agent is to what gets a token for it.

use std::{fmt, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use azure_core::{
    cloud::CustomConfiguration,
    credentials::{AccessToken, TokenCredential, TokenRequestOptions},
    http::{ClientMethodOptions, ClientOptions, RetryOptions, Transport},
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, UserAssignedId, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use secrecy::ExposeSecret as _;

use super::{
    arc::{ArcCredential, ArcEndpoint},
    assertion::CertificateAssertion,
};
use crate::{Now, secret::SecretSource};

/// Who the agent is towards Azure.
#[derive(Clone, Debug)]
pub enum CredentialSource {
    /// Of the machine; `client_id` chooses a user-assigned one.
    ManagedIdentity {
        client_id: Option<String>,
    },
    /// Of a machine outside of Azure that is connected to it by Azure Arc.
    ArcManagedIdentity(ArcEndpoint),
    /// Of a Kubernetes pod; what is missing comes from the `AZURE_*` variables of its environment.
    WorkloadIdentity {
        tenant: Option<String>,
        client_id: Option<String>,
        token_file: Option<PathBuf>,
    },
    ClientSecret {
        tenant: String,
        client_id: String,
        secret: SecretSource,
    },
    /// An application with a certificate: `certificate` is PEM with its certificate first, `key`
    /// is PEM with the RSA key of it. They may be the same file.
    ClientCertificate {
        tenant: String,
        client_id: String,
        certificate: SecretSource,
        key: SecretSource,
    },
    /// An application that trusts another issuer, which writes the signed assertion.
    ClientAssertion {
        tenant: String,
        client_id: String,
        assertion: SecretSource,
    },
}

/// What gets a token, once.
pub(super) fn credential(
    source: &CredentialSource,
    authority: Option<&str>,
    http: reqwest::Client,
    now: &Now,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let client_options = options(authority, http.clone());
    Ok(match source {
        CredentialSource::ManagedIdentity { client_id } => {
            ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            }))?
        }
        CredentialSource::ArcManagedIdentity(endpoint) => {
            Arc::new(ArcCredential::new(endpoint.clone(), http)?)
        }
        CredentialSource::WorkloadIdentity { tenant, client_id, token_file } => {
            WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: client_id.clone(),
                tenant_id: tenant.clone(),
                token_file_path: token_file.clone(),
            }))?
        }
        CredentialSource::ClientSecret { tenant, client_id, secret } => {
            let asking = WithSecret {
                tenant: tenant.clone(),
                client_id: client_id.clone(),
                secret: secret.clone(),
                authority: authority.map(ToOwned::to_owned),
                http,
            };
            // What is wrong with it shows now.
            asking.with(secret.last().expose_secret().to_owned())?;
            Arc::new(asking)
        }
        CredentialSource::ClientCertificate { tenant, client_id, certificate, key } => {
            let assertion = CertificateAssertion {
                certificate: certificate.clone(),
                key: key.clone(),
                client_id: client_id.clone(),
                audience: token_endpoint(authority, tenant),
                now: Arc::clone(now),
            };
            by_assertion(tenant, client_id, assertion, client_options)?
        }
        CredentialSource::ClientAssertion { tenant, client_id, assertion } => {
            by_assertion(tenant, client_id, GivenAssertion(assertion.clone()), client_options)?
        }
    })
}

/// The token service of the public cloud.
const PUBLIC: &str = "https://login.microsoftonline.com";

fn token_endpoint(authority: Option<&str>, tenant: &str) -> String {
    let authority = authority.unwrap_or(PUBLIC).trim_end_matches('/');
    format!("{authority}/{tenant}/oauth2/v2.0/token")
}

fn options(authority: Option<&str>, http: reqwest::Client) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(Arc::new(http))),
        // Trying again is done by the keeper, under our own deadline.
        retry: RetryOptions::none(),
        cloud: authority.map(|authority| {
            let mut cloud = CustomConfiguration::default();
            authority.clone_into(&mut cloud.authority_host);
            Arc::new(cloud.into())
        }),
        ..ClientOptions::default()
    }
}

fn by_assertion<C: ClientAssertion + 'static>(
    tenant: &str,
    client_id: &str,
    assertion: C,
    client_options: ClientOptions,
) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let options = ClientAssertionCredentialOptions { client_options };
    let (tenant, client_id) = (tenant.to_owned(), client_id.to_owned());
    Ok(ClientAssertionCredential::new(tenant, client_id, assertion, Some(options))?)
}

/// An application with a secret, which is read when a token is asked for.
struct WithSecret {
    tenant: String,
    client_id: String,
    secret: SecretSource,
    authority: Option<String>,
    http: reqwest::Client,
}

impl WithSecret {
    fn with(&self, secret: String) -> azure_core::Result<Arc<ClientSecretCredential>> {
        let client_options = options(self.authority.as_deref(), self.http.clone());
        let options = Some(ClientSecretCredentialOptions { client_options });
        let client_id = self.client_id.clone();
        ClientSecretCredential::new(&self.tenant, client_id, secret.into(), options)
    }
}

impl fmt::Debug for WithSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithSecret").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenCredential for WithSecret {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let secret = self.secret.now().await;
        self.with(secret.expose_secret().to_owned())?.get_token(scopes, options).await
    }
}

/// An assertion that somebody else signs and renews.
#[derive(Debug)]
struct GivenAssertion(SecretSource);

#[async_trait]
impl ClientAssertion for GivenAssertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok(self.0.now().await.expose_secret().to_owned())
    }
}
