//! `key`: makes and shows the keys of approvers.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ed25519_dalek::VerifyingKey;
use serde_json::json;

use super::{Context, exit::Failure};
use crate::keys;

#[derive(Debug, Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a private key in a new file that only you can read, and show the public one
    New {
        /// Where the private key goes; never overwritten
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Show the public key of a private one, as it goes into the configuration
    Show {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

impl Key {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            What::New { out } => {
                let key = keys::generate()?;
                keys::write_new(&out, &key)?;
                show(context, &out, &key.verifying_key())
            }
            What::Show { file } => show(context, &file, &keys::read(&file)?.verifying_key()),
        }
    }
}

fn show(context: &Context, file: &Path, key: &VerifyingKey) -> Result<(), Failure> {
    let public = keys::show_public(key);
    let value = json!({ "file": file, "public_key": public });
    context.output.show(&value, |page| page.line(0, format!("public_key = \"{public}\"")))
}
