//! The token for Azure: what each refusal of the token service means, and who mends it.

use super::finding::{Check, Finding, How, Stage};
use crate::{
    arm::{CredentialError, CredentialSource},
    text::plain,
};

/// Does the agent get a token?
pub const TOKEN: Check = Check {
    id: "arm.token",
    stage: Stage::Login,
    question: "Does the agent get a token for Azure Resource Manager?",
    source: "the token service, and the AADSTS number that it answers with",
};

/// Whose credential it is, and where the configuration has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'a> {
    pub(crate) subject: &'a str,
    /// As `managed_instances[0].arm.credential`.
    pub(crate) key: &'a str,
    pub(crate) source: &'a CredentialSource,
}

/// What a failure to get a token means.
pub(crate) fn refused(whose: Whose<'_>, error: &CredentialError) -> Finding {
    let detail = plain(&error.detail);
    let finding = TOKEN.wrong(whose.subject, detail.clone());
    let client = client_id(whose.source).unwrap_or("<client id>");
    let config = |name: &str, text: &str| {
        finding.clone().mend(How::Config, format!("{}.{name}", whose.key), text)
    };
    let azure = |finding: Finding, text: String| finding.mend(How::Azure, "Entra", text);
    match number(&error.detail) {
        Some(7_000_215) => azure(
            config(
                "client_secret",
                "the secret's value (not its id), in the file that stands there",
            ),
            format!("az ad app credential reset --id {client} --append  # prints a new one"),
        ),
        Some(7_000_222) => azure(
            config("client_secret", "the new secret, in the file that stands there"),
            format!("az ad app credential reset --id {client} --append  # the old one has expired"),
        ),
        Some(700_016) => azure(
            config("client_id", "the application (client) id, of an application in this tenant"),
            "az ad app list --display-name <name> --query [].appId".to_owned(),
        ),
        Some(90_002 | 900_023) => azure(
            config("tenant", "the id of the tenant that the subscription belongs to"),
            "az account show --query tenantId".to_owned(),
        ),
        Some(700_213 | 70_021) => azure(
            config("client_id", "the application that has the federated credential"),
            format!(
                "az ad app federated-credential list --id {client}  # its subject has to match"
            ),
        ),
        Some(700_024) => finding.mend(
            How::Shell,
            "this machine",
            "timedatectl status  # the assertion is outside its time: the clock is wrong",
        ),
        Some(_) => azure(
            finding,
            "look the AADSTS number up at https://login.microsoftonline.com/error".into(),
        ),
        None => without_number(whose, finding),
    }
}

/// The application of a credential, where the configuration names it.
pub(crate) fn client_id(source: &CredentialSource) -> Option<&str> {
    match source {
        CredentialSource::ManagedIdentity { client_id }
        | CredentialSource::WorkloadIdentity { client_id, .. } => client_id.as_deref(),
        CredentialSource::ClientSecret { client_id, .. }
        | CredentialSource::ClientCertificate { client_id, .. }
        | CredentialSource::ClientAssertion { client_id, .. } => Some(client_id),
        CredentialSource::ArcManagedIdentity(_) => None,
    }
}

fn without_number(whose: Whose<'_>, finding: Finding) -> Finding {
    match whose.source {
        CredentialSource::ManagedIdentity { .. } => finding
            .mend(
                How::Azure,
                "this machine",
                "az vm identity assign …  # gives it an identity; 169.254.169.254 has to be reachable",
            )
            .mend(
                How::Config,
                format!("{}.kind", whose.key),
                "another kind, if this machine is not one of Azure's",
            ),
        CredentialSource::WorkloadIdentity { .. } => finding.mend(
            How::Config,
            format!("{}.token_file", whose.key),
            "the file with the pod's token; the AZURE_ variables come from the workload identity webhook",
        ),
        CredentialSource::ArcManagedIdentity(_) => finding
            .mend(
                How::Words,
                "this machine",
                "`azcmagent show` has to say Connected, and the user of the agent has to be in the \
                 group himds",
            )
            .mend(
                How::Config,
                format!("{}.kind", whose.key),
                "another kind, if Azure Arc does not connect this machine",
            ),
        CredentialSource::ClientSecret { .. }
        | CredentialSource::ClientCertificate { .. }
        | CredentialSource::ClientAssertion { .. } => finding.mend(
            How::Words,
            "the token service",
            "it was not reached or did not answer: what is told above of the way there comes first",
        ),
    }
}

fn number(detail: &str) -> Option<u64> {
    let (_, rest) = detail.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use agent_core::SilenceKind;

    use super::*;

    #[test]
    fn each_refusal_names_the_key_that_is_wrong() {
        let source = CredentialSource::ClientSecret {
            tenant: "t".into(),
            client_id: "app".into(),
            secret: crate::SecretSource::fixed("hidden".into()),
        };
        let whose = Whose { subject: "s", key: "arm.credential", source: &source };
        let cases = [
            ("AADSTS7000215: Invalid client secret provided.", "arm.credential.client_secret"),
            ("AADSTS7000222: expired", "arm.credential.client_secret"),
            ("AADSTS700016: Application not found", "arm.credential.client_id"),
            ("AADSTS90002: Tenant not found", "arm.credential.tenant"),
            ("error sending request", "the token service"),
        ];
        for (detail, at) in cases {
            let error =
                CredentialError { kind: SilenceKind::LoginFailed, detail: detail.to_owned() };
            let finding = refused(whose, &error);
            assert_eq!(finding.fix[0].at, at, "{detail}");
            assert!(!format!("{finding:?}").contains("hidden"));
        }
    }
}
