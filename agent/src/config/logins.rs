//! Who the agent is: logins and credentials, with their secrets.

use std::{path::Path, sync::Arc, time::Duration};

use probes::{
    Now, SecretSource,
    arm::{ArcEndpoint, CredentialSource, KeptCredential, check_certificate, http_client},
    tds::Login,
};
use secrecy::ExposeSecret as _;

use super::{
    build::Builder,
    instance::{self, Arm, CredentialKind},
    locate::Key,
    secret::{Form, Source},
};
use crate::clock::Clock;

/// For one token. It is got ahead of its need, so nothing waits for it.
const TOKEN_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// What instances of the public cloud, and whatever is reached by another name, want to be asked
/// for; and those of the other clouds, by the end of their names.
const SCOPE: &str = "https://database.windows.net/.default";
const OTHER_CLOUDS: [(&str, &str); 2] = [
    (".database.usgovcloudapi.net", "https://database.usgovcloudapi.net/.default"),
    (".database.chinacloudapi.cn", "https://database.chinacloudapi.cn/.default"),
];

/// The login as sessions take it; None if it can't be had, which is then told.
pub(super) fn login(
    login: &instance::Login,
    host: &str,
    arm: Option<&Arm>,
    key: &Key,
    builder: &mut Builder<'_>,
) -> Option<Login> {
    let password = |builder: &mut Builder<'_>| match &login.password {
        Some(source) => builder.kept(&key.at("password"), source, Form::Line),
        None => SecretSource::fixed(probes::Secret::default()),
    };
    if let Some(user) = &login.user {
        return Some(Login::Sql { user: user.clone(), password: password(builder) });
    }
    if let Some((domain, user)) = login.windows.as_ref().and_then(|all| all.split_once('\\')) {
        let (domain, user) = (domain.to_owned(), user.to_owned());
        return Some(Login::Windows { domain, user, password: password(builder) });
    }
    if login.entra == Some(true) {
        return entra(login, host, arm, key, builder);
    }
    #[cfg(feature = "kerberos")]
    if login.kerberos == Some(true) {
        return Some(Login::Kerberos);
    }
    None
}

fn entra(
    login: &instance::Login,
    host: &str,
    arm: Option<&Arm>,
    key: &Key,
    builder: &mut Builder<'_>,
) -> Option<Login> {
    let (given, place) = match (&login.credential, arm) {
        (Some(own), _) => (own, key.at("credential")),
        // What is wrong with it is told where it stands.
        (None, Some(arm)) => (&arm.credential, key.at("entra")),
        (None, None) => return None,
    };
    let ca = match (&login.ca, arm) {
        (Some(own), _) => Some((own, key.at("ca"))),
        (None, Some(arm)) => arm.ca.as_ref().map(|ca| (ca, key.at("entra"))),
        (None, None) => None,
    };
    let ca = match ca {
        Some((ca, key)) => Some(builder.pem_source(&key, ca)?),
        None => None,
    };
    let http = http_client(ca.as_ref(), CONNECT_WITHIN);
    let http = builder.take(&key.at("ca"), http, "a PEM file with one or more certificates")?;
    let source = credential(given, &place, builder)?;
    let scope = login.scope.clone().unwrap_or_else(|| scope(host).to_owned());
    let authority = given.authority.clone();
    let kept = KeptCredential::new(source, authority, &scope, http, now(), TOKEN_WITHIN);
    let right = "a credential that works on this machine";
    Some(Login::Entra(Arc::new(builder.take(&place, kept, right)?)))
}

/// The machine's own time, by which tokens end. The agent's clock may be ahead of it.
fn now() -> Now {
    let clock = Clock::start(None);
    Arc::new(move || clock.now())
}

fn scope(host: &str) -> &'static str {
    let host = host.to_ascii_lowercase();
    let other = OTHER_CLOUDS.iter().find(|(end, _)| host.ends_with(end));
    other.map_or(SCOPE, |(_, scope)| scope)
}

/// The credential as it is asked for tokens; None if it can't work, which is then told.
pub(super) fn credential(
    given: &instance::Credential,
    key: &Key,
    builder: &mut Builder<'_>,
) -> Option<CredentialSource> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (tenant, client_id) = (text(&given.tenant), text(&given.client_id));
    Some(match given.kind {
        CredentialKind::ManagedIdentity => {
            CredentialSource::ManagedIdentity { client_id: given.client_id.clone() }
        }
        CredentialKind::ArcManagedIdentity => {
            let environment = std::env::var("IDENTITY_ENDPOINT").ok();
            let folder = given.token_folder.as_deref().map(|path| builder.path(path));
            let url = given.identity_endpoint.clone();
            CredentialSource::ArcManagedIdentity(ArcEndpoint::new(url, folder, environment))
        }
        CredentialKind::WorkloadIdentity => CredentialSource::WorkloadIdentity {
            tenant: given.tenant.clone(),
            client_id: given.client_id.clone(),
            token_file: given.token_file.as_deref().map(|path: &Path| builder.path(path)),
        },
        CredentialKind::ClientSecret => {
            let source = given.client_secret.as_ref()?;
            let secret = builder.kept(&key.at("client_secret"), source, Form::Line);
            CredentialSource::ClientSecret { tenant, client_id, secret }
        }
        CredentialKind::ClientCertificate => {
            let (certificate, private) = certificate(given, key, builder)?;
            CredentialSource::ClientCertificate { tenant, client_id, certificate, key: private }
        }
        CredentialKind::ClientAssertion => {
            let file = Source::File(given.token_file.clone()?);
            let assertion = builder.kept(&key.at("token_file"), &file, Form::Line);
            CredentialSource::ClientAssertion { tenant, client_id, assertion }
        }
    })
}

/// The certificate of an application and its key, once they were seen to fit.
fn certificate(
    given: &instance::Credential,
    key: &Key,
    builder: &mut Builder<'_>,
) -> Option<(SecretSource, SecretSource)> {
    let path = given.certificate.as_ref()?;
    let before = builder.found.count();
    let place = key.at("certificate");
    let pem = builder.pem(&place, path);
    let private = builder.kept(&key.at("private_key"), given.private_key.as_ref()?, Form::Text);
    if builder.found.count() > before {
        return None;
    }
    let pem = pem?;
    let usable = check_certificate(&pem, private.last().expose_secret());
    let right = "the certificate that is registered with the application, and its RSA key";
    builder.take(&place, usable, right)?;
    Some((builder.kept_pem(pem, path), private))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_is_asked_for_by_its_name() {
        assert_eq!(scope("mi.0123.database.windows.net"), SCOPE);
        assert_eq!(scope("10.0.0.4"), SCOPE);
        let government = scope("MI.0123.database.usgovcloudapi.net");
        assert_eq!(government, "https://database.usgovcloudapi.net/.default");
    }
}
