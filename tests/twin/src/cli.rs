//! The command line: `twin run` serves a world; every other subcommand asks a running twin for
//! something.

use std::{ffi::OsString, io::Read, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::{
    control::client,
    serve::{Twin, TwinOptions},
    world::WorldSpec,
};

/// A model of SQL Server, managed instance, the link between them and the control plane, served
/// over TDS and HTTPS on loopback.
#[derive(Parser)]
#[command(name = "twin", version)]
struct Cli {
    /// The control door of a running twin, `http://host:port`; the endpoints file names it.
    #[arg(long, global = true, env = "TWIN_CONTROL")]
    control: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a world until SIGTERM or SIGINT.
    Run(Run),
    #[command(flatten)]
    Control(client::Command),
}

#[derive(clap::Args)]
struct Run {
    /// Where to write every address and throw-away credential once all doors are open. The
    /// authority's certificate goes beside it, as `ca.pem`.
    #[arg(long)]
    endpoints: PathBuf,
    /// What the world holds (TOML); one pair with one link by default.
    #[arg(long)]
    world: Option<PathBuf>,
    /// Where chance comes from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many of the world's seconds pass in one real second.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// End when standard input is closed, so that the twin does not outlive its parent.
    #[arg(long)]
    stdin_guard: bool,
}

/// Does what the arguments say; the first one is the program's own name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = Cli::parse_from(arguments);
    let outcome = tokio::runtime::Runtime::new()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(act(cli)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn act(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Run(run) => serve(run).await,
        Command::Control(command) => {
            let control = cli.control.context(
                "no twin is named: give --control URL (control.base_url of the endpoints file) or \
                 set TWIN_CONTROL",
            )?;
            client::run(control.trim_end_matches('/'), command).await
        }
    }
}

async fn serve(run: Run) -> anyhow::Result<()> {
    let spec = match &run.world {
        None => WorldSpec::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            toml::from_str(&text)
                .with_context(|| format!("cannot understand {}", file.display()))?
        }
    };
    let directory = match run.endpoints.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    };
    let directory = std::path::absolute(&directory).context("cannot find the current directory")?;
    let options = TwinOptions { spec, seed: run.seed, speed: run.speed, directory };
    // Before the doors open: a signal that comes early must not be missed.
    let mut terminate = signals()?;
    let twin = Twin::start(options).await?;
    twin.endpoints.write(&run.endpoints)?;
    tracing::info!(endpoints = %run.endpoints.display(), "all doors are open");
    tokio::select! {
        () = twin.fallen() => anyhow::bail!("a door has fallen"),
        () = terminate.received() => {}
        () = parent_is_gone(run.stdin_guard) => {}
    }
    twin.shutdown().await;
    Ok(())
}

struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

fn signals() -> anyhow::Result<Signals> {
    Ok(Signals {
        #[cfg(unix)]
        terminate: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .context("cannot listen to SIGTERM")?,
    })
}

impl Signals {
    #[cfg(unix)]
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }

    #[cfg(not(unix))]
    async fn received(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// A thread of its own reads: a read of standard input cannot be cancelled, and the process does
/// not wait for threads.
async fn parent_is_gone(guard: bool) {
    if !guard {
        return std::future::pending().await;
    }
    let (gone, notice) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 64];
        while matches!(std::io::stdin().read(&mut bytes), Ok(read) if read > 0) {}
        // Nobody listens any more if the twin ends for another reason.
        let _ = gone.send(());
    });
    let _ = notice.await;
}
