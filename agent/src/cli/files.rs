//! The files that carry a proposal to its approvers and their ballots back.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
};

use agent_core::{Ballot, Proposal, Texts};
use serde::{Deserialize, Serialize};

use super::{exit::Failure, output::json};

/// What an exported proposal says it is.
const FORMAT: &str = "dr-agent proposal v1";
/// The texts of a proposal have some 10 KB.
const LARGEST: u64 = 4 * 1024 * 1024;

/// An exported proposal: its exact texts, and the digest for comparing it by eye or by telephone.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Exported {
    format: String,
    digest: String,
    texts: Texts,
}

/// The text of a file that carries a proposal.
pub(super) fn export(proposal: &Proposal) -> Result<String, Failure> {
    json(&Exported {
        format: FORMAT.to_owned(),
        digest: proposal.digest.clone(),
        texts: proposal.texts.clone(),
    })
}

/// Reads an exported proposal and checks that its texts belong together.
pub(super) fn read_proposal(path: &Path) -> Result<Proposal, Failure> {
    let shown = path.display();
    let text = read(path)?;
    let exported: Exported = serde_json::from_str(&text).map_err(|error| {
        Failure::file(format!(
            "{shown} is not a proposal as `dr-agent show --export` writes it: {error}"
        ))
    })?;
    if exported.format != FORMAT {
        let format = exported.format;
        return Err(Failure::file(format!(
            "{shown} is {format:?}, and this version of dr-agent knows {FORMAT:?}"
        )));
    }
    let altered = |why: String| Failure::refused(format!("{shown} has been altered: {why}"));
    let proposal = Proposal::read(exported.texts).map_err(altered)?;
    if proposal.digest != exported.digest {
        return Err(altered(format!(
            "its digest is {}, and it says {}",
            proposal.digest, exported.digest
        )));
    }
    Ok(proposal)
}

/// Reads a ballot; whether it is a good one is for others to say.
pub(super) fn read_ballot(path: &Path) -> Result<Ballot, Failure> {
    serde_json::from_str(&read(path)?).map_err(|error| {
        Failure::file(format!(
            "{} is not a ballot as `dr-agent approve --out` writes it: {error}",
            path.display()
        ))
    })
}

/// Writes a new file; nothing is overwritten.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| Failure::file(format!("{} can't be written: {error}", path.display())))
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| Failure::file(format!("{} can't be read: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}
