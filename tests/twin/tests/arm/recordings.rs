//! Recorded traffic of Microsoft's own tools with the real ARM, replayed where it is at hand.
//!
//! It is looked for in the folder that `TWIN_ARM_RECORDINGS` names, else in
//! `../shared/reference/arm/recorded` beside the work tree. Where it is not found, these tests say
//! so and pass: what the recordings taught is stated by the twin's own tests as well.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::replay::{Recording, Situation, Tally, replay};

const PLAIN: Situation = Situation {
    file: "",
    instance: ("", ""),
    databases: &[],
    groups: None,
    collation: "SQL_Latin1_General_CP1_CI_AS",
    alias: None,
    certificate: None,
    settings: None,
    own: &[],
    no_group_from: None,
    left_out: &[],
};

const CHIMERA: Situation = Situation {
    instance: ("chimera-canary-gpv2-01", "0a1b2c3d4e5f"),
    databases: &["CLI1"],
    groups: Some(("Link1", "AG_CLI1", "AG_CLI1_MI")),
    certificate: Some("wwi-2022-sql02"),
    ..PLAIN
};

const TEST_INSTANCE: Situation = Situation {
    instance: ("clitestmi000001", "1e6d90da5016"),
    collation: "Serbian_Cyrillic_100_CS_AS",
    settings: Some(proxied),
    ..PLAIN
};

fn proxied() -> Value {
    json!({ "properties": { "proxyOverride": "Proxy", "publicDataEndpointEnabled": true } })
}

#[tokio::test]
async fn a_link_is_made_shown_and_deleted_as_recorded() {
    let situation = Situation { file: "test_sql_mi_link_mgmt.json", ..CHIMERA };
    check(&situation, (11, 0)).await;
}

#[tokio::test]
async fn a_planned_failover_goes_as_recorded() {
    let situation = Situation { file: "test_sql_mi_first_planned_failover.json", ..CHIMERA };
    check(&situation, (16, 0)).await;
}

/// No SQL Server answers at the endpoint: nothing came of this link in the recording either.
#[tokio::test]
async fn a_link_of_several_databases_goes_as_recorded() {
    let situation = Situation {
        file: "test_sql_mi_multi_database_link_mgmt.json",
        instance: ("ivan-mi-25", "0a1b2c3d4e5f"),
        ..PLAIN
    };
    check(&situation, (12, 0)).await;
}

#[tokio::test]
async fn certificates_of_partners_go_as_recorded() {
    let situation = Situation {
        file: "test_sql_mi_partner_cert_mgmt.json",
        left_out: &[(12, 12, "the twin does not delete managed instances")],
        ..TEST_INSTANCE
    };
    check(&situation, (11, 1)).await;
}

#[tokio::test]
async fn certificates_of_endpoints_go_as_recorded() {
    let situation = Situation {
        file: "test_sql_mi_endpoint_cert_mgmt.json",
        own: &["publicBlob"],
        no_group_from: Some(4),
        ..TEST_INSTANCE
    };
    check(&situation, (4, 0)).await;
}

#[tokio::test]
async fn aliases_in_dns_go_as_recorded() {
    let situation = Situation {
        file: "test_sql_mi_dnsalias_mgmt.json",
        alias: Some(("clitestmi000002", "climi-testalias")),
        left_out: &[
            (1, 1, "a poll of what was asked before the recording begins"),
            (19, 20, "the twin does not delete managed instances"),
        ],
        ..TEST_INSTANCE
    };
    check(&situation, (17, 3)).await;
}

/// Replays a recording; so many exchanges are compared, so many left out.
async fn check(situation: &Situation, expected: (usize, usize)) {
    let Some(folder) = folder() else {
        return note("no recordings of ARM were found; nothing is replayed");
    };
    let file = folder.join(situation.file);
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let recording: Recording = serde_json::from_slice(&text).expect("a recording");
    let Tally { compared, left_out } = replay(situation, &recording).await;
    note(&format!("{}: {compared} exchanges agree, {left_out} left out", situation.file));
    assert_eq!((compared, left_out), expected, "exchanges that are compared and left out");
}

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("TWIN_ARM_RECORDINGS").map(PathBuf::from);
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/arm/recorded");
    named.or(Some(beside)).filter(|folder| folder.is_dir())
}

fn note(words: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{words}");
}
