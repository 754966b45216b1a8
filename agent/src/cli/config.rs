//! `config`: checks the configuration and shows what counts.

use std::path::Path;

use clap::Args;

use super::{
    Context, Output,
    client::CONFIG_PATH,
    exit::Failure,
    output::{json, print},
};
use crate::config::{self, REFERENCE};

#[derive(Debug, Args)]
pub(super) struct Config {
    /// Print the reference instead: every key with its default and the reason for it
    #[arg(long)]
    defaults: bool,
}

impl Config {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.defaults {
            return match context.output {
                Output::Text => print(REFERENCE),
                Output::Json => {
                    let table: toml::Table =
                        toml::from_str(REFERENCE).map_err(Failure::internal)?;
                    print(&json(&table)?)
                }
            };
        }
        let path = context.connection.config.as_deref().unwrap_or(Path::new(CONFIG_PATH));
        let config = config::Config::load(path)?;
        match context.output {
            Output::Text => print(&config.effective_toml()),
            Output::Json => print(&json(&config.effective_json())?),
        }
    }
}
