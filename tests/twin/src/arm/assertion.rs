//! Client assertions: signed statements by which an application proves who it is, made by its own
//! certificate or by an issuer that the tenant trusts for it.

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest},
    signature::{
        RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::Deserialize;

use super::tokens::claims_of;
use crate::der::rsa_key;
use crate::world::{
    Directory,
    directory::{Application, der},
};

/// What another issuer's assertions have to be made out for.
const EXCHANGE: &str = "api://AzureADTokenExchange";
/// Clocks may differ by this.
const SKEW_S: i64 = 300;
/// An assertion that is good for longer is none.
const LONGEST_S: i64 = 24 * 60 * 60;
const LONGEST: usize = 16 * 1024;

/// Why an assertion proves nothing, by Entra's number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) number: u32,
    pub(super) text: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    x5t_s256: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    aud: Option<String>,
    iss: Option<String>,
    sub: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    jti: Option<String>,
}

/// Whether an assertion shows that its bearer is this application.
pub(super) fn prove(
    directory: &mut Directory,
    client: &str,
    assertion: &str,
    now: Timestamp,
) -> Result<(), Wrong> {
    let malformed = || wrong(50_027, "JWT token is invalid or malformed.");
    if assertion.len() > LONGEST {
        return Err(malformed());
    }
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
    let (head, _) = signed.split_once('.').ok_or_else(malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
    let header: Header = serde_json::from_slice(&decode(head)?).map_err(|_| malformed())?;
    let claims: Claims = claims_of(assertion).ok_or_else(malformed)?;
    let signature = decode(signature)?;
    let parameters = match header.alg.as_str() {
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        other => {
            let text = format!("The algorithm '{other}' of the client assertion is not supported.");
            return Err(wrong(5_002_738, &text));
        }
    };
    let (Some(issuer), Some(subject)) = (claims.iss.as_deref(), claims.sub.as_deref()) else {
        return Err(malformed());
    };
    let signed = Signed { text: signed, signature: &signature, parameters };
    let application = directory.application(client).ok_or_else(malformed)?;
    let own = issuer.eq_ignore_ascii_case(client);
    if own {
        if !subject.eq_ignore_ascii_case(client) {
            return Err(wrong(
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter.",
            ));
        }
        by_certificate(application, &header, &signed)?;
    } else {
        by_issuer(application, issuer, subject, &claims, &signed)?;
    }
    in_time(&claims, now)?;
    if own {
        addressed(directory, &claims)?;
        let identifier = claims.jti.as_deref().ok_or_else(malformed)?;
        if !directory.first_use(client, identifier) {
            return Err(wrong(50_013, "Assertion failed: it has been used before."));
        }
    }
    Ok(())
}

struct Signed<'a> {
    text: &'a str,
    signature: &'a [u8],
    parameters: &'static RsaParameters,
}

impl Signed<'_> {
    fn by(&self, certificate: &[u8]) -> bool {
        rsa_key(certificate).is_some_and(|key| {
            let key = UnparsedPublicKey::new(self.parameters, key);
            key.verify(self.text.as_bytes(), self.signature).is_ok()
        })
    }
}

fn by_certificate(
    application: &Application,
    header: &Header,
    signed: &Signed<'_>,
) -> Result<(), Wrong> {
    let thumb = header.x5t_s256.as_deref().or(header.x5t.as_deref()).unwrap_or_default();
    let print = |certificate: &[u8]| {
        let algorithm = if header.x5t_s256.is_some() { &SHA256 } else { &SHA1_FOR_LEGACY_USE_ONLY };
        URL_SAFE_NO_PAD.encode(digest(algorithm, certificate))
    };
    let found = application.certificates.iter().find(|certificate| print(certificate) == thumb);
    let Some(certificate) = found else {
        let text = format!(
            "The certificate with identifier used to sign the client assertion is not registered \
             on application. [Reason - The key was not found., Thumbprint of key used by client: \
             '{thumb}']"
        );
        return Err(wrong(700_027, &text));
    };
    if signed.by(certificate) {
        return Ok(());
    }
    let text = "Client assertion contains an invalid signature. [Reason - The key was found, but \
                use of the key to verify the signature failed.]";
    Err(wrong(700_027, text))
}

fn by_issuer(
    application: &Application,
    issuer: &str,
    subject: &str,
    claims: &Claims,
    signed: &Signed<'_>,
) -> Result<(), Wrong> {
    let none = |number, what: &str, shown: &str| {
        let text = format!(
            "No matching federated identity record found for presented assertion {what} '{shown}'."
        );
        Err(wrong(number, &text))
    };
    let mut known = application.federated.iter().filter(|one| one.issuer == issuer).peekable();
    if known.peek().is_none() {
        return none(700_211, "issuer", issuer);
    }
    let Some(credential) = known.find(|one| one.subject == subject) else {
        return none(700_213, "subject", subject);
    };
    if claims.aud.as_deref() != Some(EXCHANGE) {
        return none(700_212, "audience", claims.aud.as_deref().unwrap_or_default());
    }
    let certificate = der(&credential.certificate).unwrap_or_default();
    if signed.by(&certificate) {
        return Ok(());
    }
    Err(wrong(50_013, "Assertion failed signature validation. [Reason - The key was not found.]"))
}

fn in_time(claims: &Claims, now: Timestamp) -> Result<(), Wrong> {
    let now = now.as_second();
    let end = claims.exp.unwrap_or_default();
    let begun = claims.nbf.is_none_or(|from| from <= now.saturating_add(SKEW_S));
    let ended = end.saturating_add(SKEW_S) <= now;
    if begun && !ended && end <= now.saturating_add(LONGEST_S) {
        return Ok(());
    }
    let text = format!(
        "Client assertion is not within its valid time range. Current time: {now}, expiry time of \
         assertion {end}."
    );
    Err(wrong(700_024, &text))
}

/// Made out for this tenant: its token endpoint, or its issuer.
fn addressed(directory: &Directory, claims: &Claims) -> Result<(), Wrong> {
    let base = format!("{}/{}", directory.authority, directory.tenant);
    let right = [
        format!("{base}/oauth2/v2.0/token"),
        format!("{base}/oauth2/token"),
        format!("{base}/v2.0"),
        base,
    ];
    if claims.aud.as_ref().is_some_and(|audience| right.contains(audience)) {
        return Ok(());
    }
    Err(wrong(700_023, "Client assertion audience claim does not match Realm issuer."))
}

fn wrong(number: u32, text: &str) -> Wrong {
    Wrong { number, text: text.to_owned() }
}
