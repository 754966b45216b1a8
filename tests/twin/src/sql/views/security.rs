//! What replication rests on: the endpoint, the certificates, the master key.

use aws_lc_rs::digest;

use crate::der;
use crate::sql::env::Env;
use crate::sql::value::Value;
use crate::world::setup::{Certificate, Endpoint};

use super::{Row, RowBuilder, View, row};

/// The number of the first endpoint that somebody made.
const ENDPOINT: i32 = 65_536;
/// How long the keys are of certificates that are only known by their names.
const USUAL_BITS: i64 = 2_048;
/// The number of the first certificate that somebody made.
const FIRST_CERTIFICATE: i64 = 256;
/// Who has issued the certificates of managed instances.
const ISSUER: &str = "C=US, O=Microsoft Corporation, CN=Microsoft Azure RSA TLS Issuing CA 04";

/// The endpoint that a link needs on both sides (mi-link 1.1).
pub(super) fn mirroring_endpoints(env: &Env<'_>, view: &View) -> Vec<Row> {
    let endpoint = |endpoint: &Endpoint| {
        let (auth, auth_desc) =
            if endpoint.certificate.is_some() { (4, "CERTIFICATE") } else { (3, "NEGOTIATE") };
        let (algorithm, algorithm_desc) = match (endpoint.encrypted, endpoint.algorithm.as_str()) {
            (false, _) => (0, "NONE"),
            (true, "RC4") => (1, "RC4"),
            (true, _) => (2, "AES"),
        };
        let shown = endpoint.certificate.as_deref().and_then(|name| number_of(env, name));
        common(row(view), endpoint)
            .coded("role", 3, "ALL")
            .set("is_encryption_enabled", endpoint.encrypted)
            .coded("connection_auth", auth, auth_desc)
            .set("certificate_id", shown.unwrap_or(Value::Int(0)))
            .coded("encryption_algorithm", algorithm, algorithm_desc)
            .done()
    };
    env.instance.setup().endpoint.iter().map(endpoint).collect()
}

pub(super) fn endpoints(env: &Env<'_>, view: &View) -> Vec<Row> {
    // Those that the server makes itself, but for the ones of protocols that nobody uses here.
    let system = [
        (1, "Dedicated Admin Connection", (2, "TCP"), true),
        (2, "TSQL Local Machine", (4, "SHARED_MEMORY"), false),
        (4, "TSQL Default TCP", (2, "TCP"), false),
    ];
    let system = system.map(|(id, name, (protocol, protocol_desc), admin)| {
        row(view)
            .set("name", name)
            .set("endpoint_id", id)
            .set("principal_id", 1)
            .coded("protocol", protocol, protocol_desc)
            .coded("type", 2, "TSQL")
            .coded("state", 0, "STARTED")
            .set("is_admin_endpoint", admin)
            .done()
    });
    let made = env.instance.setup().endpoint.iter();
    system.into_iter().chain(made.map(|made| common(row(view), made).done())).collect()
}

pub(super) fn tcp_endpoints(env: &Env<'_>, view: &View) -> Vec<Row> {
    let endpoint = |endpoint: &Endpoint| {
        common(row(view), endpoint)
            .set("port", i64::from(endpoint.port))
            .set("is_dynamic_port", false)
            .done()
    };
    env.instance.setup().endpoint.iter().map(endpoint).collect()
}

/// `sys.dm_tcp_listener_states`: T-SQL, administrators on the machine itself, and mirroring.
pub(super) fn listeners(env: &Env<'_>, view: &View) -> Vec<Row> {
    let mirroring = env.instance.setup().endpoint.as_ref().filter(|endpoint| endpoint.started);
    let known = [("::", 1_433, 0), ("0.0.0.0", 1_433, 0), ("127.0.0.1", 1_434, 0)];
    let mirrored = mirroring
        .into_iter()
        .flat_map(|endpoint| ["::", "0.0.0.0"].map(|address| (address, endpoint.port, 2)));
    let of = |((address, port, kind), id): ((&str, u16, u8), i64)| {
        row(view)
            .set("listener_id", id)
            .set("ip_address", address)
            .set("is_ipv4", !address.contains(':'))
            .set("port", i64::from(port))
            .coded("type", kind, if kind == 0 { "TSQL" } else { "DATABASE_MIRRORING" })
            .coded("state", 0, "ONLINE")
            .set("start_time", env.datetime(env.instance.started()))
            .done()
    };
    known.into_iter().chain(mirrored).zip(1..).map(of).collect()
}

pub(super) fn certificates(env: &Env<'_>, view: &View) -> Vec<Row> {
    let setup = env.instance.setup();
    let certificate = |((name, certificate), id): ((&String, &_), i64)| {
        let certificate: &Certificate = certificate;
        let print = thumbprint(certificate.blob.as_deref().unwrap_or(name.as_bytes()));
        let (kind, kind_desc) = if certificate.own {
            ("MK", "ENCRYPTED_BY_MASTER_KEY")
        } else {
            ("NA", "NO_PRIVATE_KEY")
        };
        // That of a managed instance comes from Microsoft; whoever makes his own is its issuer.
        let managed = !certificate.own && name.to_lowercase().ends_with(".database.windows.net");
        let (subject, issuer) = if managed {
            (format!("CN={name}"), ISSUER.to_owned())
        } else {
            (name.clone(), name.clone())
        };
        let bits = certificate.blob.as_deref().and_then(der::key_bits);
        let bits = bits.and_then(|bits| i64::try_from(bits).ok()).unwrap_or(USUAL_BITS);
        row(view)
            .set("name", name.as_str())
            .set("certificate_id", id)
            .set("principal_id", 1)
            .set("pvt_key_encryption_type", kind)
            .set("pvt_key_encryption_type_desc", kind_desc)
            .set("is_active_for_begin_dialog", true)
            .set("subject", subject)
            .set("issuer_name", issuer)
            .set("expiry_date", env.datetime(certificate.expiry))
            .set("key_length", bits)
            .set("thumbprint", Value::Bytes(print))
            .done()
    };
    setup.certificates.iter().zip(FIRST_CERTIFICATE..).map(certificate).collect()
}

/// A certificate by its number.
pub(crate) fn certificate_of<'e>(env: &'e Env<'_>, id: i64) -> Option<&'e Certificate> {
    let certificates = env.instance.setup().certificates.values();
    certificates.zip(FIRST_CERTIFICATE..).find(|(_, own)| *own == id).map(|(found, _)| found)
}

pub(super) fn symmetric_keys(env: &Env<'_>, view: &View) -> Vec<Row> {
    let key = |name: &str, id: i32| {
        row(view)
            .set("name", name)
            .set("principal_id", 1)
            .set("symmetric_key_id", id)
            .set("key_length", 256)
            .set("key_algorithm", "A3")
            .set("algorithm_desc", "AES_256")
            .set("create_date", env.datetime(env.instance.started()))
            .set("modify_date", env.datetime(env.instance.started()))
            .done()
    };
    let own = env.instance.setup().master_key.then(|| key("##MS_DatabaseMasterKey##", 101));
    own.into_iter().chain([key("##MS_ServiceMasterKey##", 102)]).collect()
}

fn common<'v>(row: RowBuilder<'v>, endpoint: &Endpoint) -> RowBuilder<'v> {
    let (state, state_desc) = if endpoint.started { (0, "STARTED") } else { (1, "STOPPED") };
    row.set("name", endpoint.name.as_str())
        .set("endpoint_id", ENDPOINT)
        .set("principal_id", 1)
        .coded("protocol", 2, "TCP")
        .coded("type", 4, "DATABASE_MIRRORING")
        .coded("state", state, state_desc)
        .set("is_admin_endpoint", false)
}

pub(crate) fn number_of(env: &Env<'_>, certificate: &str) -> Option<Value> {
    let names = env.instance.setup().certificates.keys().zip(FIRST_CERTIFICATE..);
    let mut found = names.filter(|(name, _)| name.eq_ignore_ascii_case(certificate));
    found.next().map(|(_, id)| Value::Int(id))
}

/// SHA-1 of the certificate, as Windows names it.
fn thumbprint(blob: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, blob).as_ref().to_vec()
}
