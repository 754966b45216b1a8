//! The command line: the daemon itself, and everything that people ask of it. One file for each
//! subcommand. What is asked of a running agent goes through its API; signing and checking need
//! neither agent nor network.

mod acknowledge;
mod check;
mod client;
mod completions;
mod config;
pub mod exit;
mod explain;
mod files;
mod journal;
mod key;
mod lift_guard;
mod man;
mod output;
mod propose;
mod replay;
mod report;
mod review;
mod run;
mod runbook;
mod show;
mod sign;
mod status;
mod submit;
mod text;
mod verify;
mod words;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use self::{client::Connection, exit::Failure, output::Output};

/// Always-on disaster recovery agent for the link between SQL Server and Azure SQL Managed Instance.
#[derive(Debug, Parser)]
#[command(name = "dr-agent", version, after_help = exit::help(), max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connection: Connection,
    /// How results are written; errors and logs go to stderr
    #[arg(long, short, global = true, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until it is told to stop (SIGTERM, SIGINT)
    Run(run::Run),
    /// Show every link: health, roles, forecast, proposal
    Status(status::Status),
    /// Say why the agent would, or would not, propose a failover of a link now
    Explain(explain::Explain),
    /// Ask for a plan to be proposed
    Propose(propose::Propose),
    /// Show proposals, or one of them in full, and export it for signing elsewhere
    Show(show::Show),
    /// Sign an approval of a proposal, with or without a network
    Approve(sign::Approve),
    /// Sign a rejection of a proposal, with or without a network
    Reject(sign::Reject),
    /// Hand in a signed ballot from a file
    Submit(submit::Submit),
    /// Check an exported proposal, and ballots on it, without a network
    Verify(verify::Verify),
    /// Tell the agent that a human has seen how a proposal ended
    Acknowledge(acknowledge::Acknowledge),
    /// Take back the standing order for a side that was left unfenced
    LiftGuard(lift_guard::LiftGuard),
    /// Read the journal, of a running agent or from its file, and check its chain
    Journal(journal::Journal),
    /// Decide once more what the flight recorder kept, and compare it with the journal
    Replay(replay::Replay),
    /// Show what became of a proposal: steps, times, loss; as text, JSON or one HTML page
    Report(report::Report),
    /// Print what people do by hand if the agent can't, as it is now; the agent may be dead
    Runbook(runbook::Runbook),
    /// Make and show the keys of approvers
    Key(key::Key),
    /// Check the configuration and show what counts, or every key there is
    Config(config::Config),
    /// Print the completions of a shell
    Completions(completions::Completions),
    /// Print the manual page, or write one for each command
    Man(man::Man),
    /// Look at every endpoint, right and setting: what is wrong, and how to mend it
    Check(check::Check),
}

/// What every command has at hand.
#[derive(Debug)]
struct Context {
    output: Output,
    connection: Connection,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    Cli::parse().run()
}

impl Cli {
    /// Does what is asked, and tells why if it can't.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let Self { command, connection, output } = self;
        let context = Context { output, connection };
        match command.run(&context) {
            Ok(()) => ExitCode::from(exit::OK),
            Err(failure) => {
                output.fail(&failure);
                failure.code()
            }
        }
    }
}

impl Command {
    fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Run(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Explain(command) => command.run(context),
            Self::Propose(command) => command.run(context),
            Self::Show(command) => command.run(context),
            Self::Approve(command) => command.run(context),
            Self::Reject(command) => command.run(context),
            Self::Submit(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Acknowledge(command) => command.run(context),
            Self::LiftGuard(command) => command.run(context),
            Self::Journal(command) => command.run(context),
            Self::Replay(command) => command.run(context),
            Self::Report(command) => command.run(context),
            Self::Runbook(command) => command.run(context),
            Self::Key(command) => command.run(context),
            Self::Config(command) => command.run(context),
            Self::Completions(command) => command.run(context),
            Self::Man(command) => command.run(context),
            Self::Check(command) => command.run(context),
        }
    }
}
