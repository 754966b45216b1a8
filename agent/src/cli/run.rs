//! `run`: the daemon.

use std::{io, path::Path};

use clap::Args;
use tracing_subscriber::EnvFilter;

use super::{Context, client::CONFIG_PATH, exit::Failure};
use crate::config::{Config, LogFormat, LogSettings};

/// Overrides the filter of the configuration.
const LOG_VARIABLE: &str = "DR_AGENT_LOG";
/// The runtime only waits; what decides has a thread of its own.
const WORKERS: usize = 2;
/// A look through TLS and TDS is a deep pile of futures, which an unoptimised build keeps on the
/// stack: the usual 2 MiB overflow there.
const STACK: usize = 8 << 20;
/// Threads for what blocks, such as reading the journal.
const BLOCKING: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Run {}

impl Run {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let path = context.connection.config.as_deref().unwrap_or(Path::new(CONFIG_PATH));
        let config = Config::load(path)?;
        log(&config.log)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(BLOCKING)
            .thread_stack_size(STACK)
            .enable_all()
            .build()
            .map_err(Failure::internal)?;
        let ended = runtime.block_on(crate::run::run(config));
        // What blocks may block for ever; everything that counts is on disk.
        runtime.shutdown_background();
        if let Err(error) = &ended {
            tracing::error!(%error, "the agent ends");
        }
        Ok(ended?)
    }
}

fn log(settings: &LogSettings) -> Result<(), Failure> {
    let directives = std::env::var(LOG_VARIABLE).unwrap_or_else(|_| settings.filter.clone());
    let filter = EnvFilter::builder()
        .parse(&directives)
        .map_err(|error| Failure::file(format!("{LOG_VARIABLE} is no log filter: {error}")))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match settings.format {
        LogFormat::Text => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    }
    .map_err(Failure::internal)
}
