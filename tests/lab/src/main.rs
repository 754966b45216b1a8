//! `cargo lab`: twin and agent side by side, as real processes of this one program.
//!
//! `lab twin ..` and `lab agent ..` are the twin's and the agent's own command lines, `lab hook ..`
//! stops and starts an application; without one of them the lab starts both and shows what they do.

mod bench;
mod console;
mod hook;
mod script;
mod sql;
mod stage;
mod view;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;
use lab::process;

/// Twin and agent together. Type `help` once it is up.
///
/// Other selves: `lab twin --help` is the twin's command line, `lab agent --help` the agent's.
#[derive(Debug, Parser)]
#[command(name = "lab", version, max_term_width = 100)]
struct Cli {
    /// Play the whole story by itself, check it, and say how many checks passed
    #[arg(long, conflicts_with = "bench")]
    script: bool,
    /// Measure detection, the way from approval to command, what each step of a run costs, memory
    /// and processor time
    #[arg(long)]
    bench: bool,
    /// Measure this alone
    #[arg(long, value_enum, requires = "bench")]
    only: Option<bench::Part>,
    /// Losses of the primary that `--bench` plays, and runs of each kind
    #[arg(long, value_name = "N", default_value_t = 20, requires = "bench")]
    runs: usize,
    /// Seconds over which `--bench` watches memory and processor time
    #[arg(long, value_name = "S", default_value_t = 60, requires = "bench")]
    watch_s: u64,
    /// Publish events to this RabbitMQ too (amqp:// or amqps://)
    #[arg(long, value_name = "URL", env = "DR_AGENT_LAB_AMQP", hide_env_values = true)]
    amqp: Option<String>,
    /// Leave the folder with logs and journal behind, and say where it is
    #[arg(long)]
    keep: bool,
    /// Where chance comes from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    process::tie();
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("lab"));
    let rest: Vec<OsString> = arguments.collect();
    let other_self = rest.first().and_then(|first| first.to_str());
    match other_self {
        Some("twin") => twin::cli::main(rest),
        Some("agent") => {
            // One TLS stack for everything. It is already installed if this says otherwise.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            dr_agent::cli::Cli::parse_from(rest).run()
        }
        Some("hook") => hook::Hook::parse_from(rest).run(),
        Some(_) | None => play(Cli::parse_from(std::iter::once(name).chain(rest))),
    }
}

fn play(cli: Cli) -> ExitCode {
    let mut props = stage::Props::short();
    props.seed = cli.seed;
    props.amqp = cli.amqp;
    props.keep = cli.keep;
    let played = if cli.script {
        script::play(props)
    } else if cli.bench {
        bench::measure(&props, cli.only, cli.runs, cli.watch_s)
    } else {
        console::run(props)
    };
    match played {
        Ok(code) => code,
        Err(error) => {
            view::complain(&format!("lab: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
