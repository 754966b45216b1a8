//! `completions`: what a shell reads to complete the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Context, exit::Failure, output::print};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to read it
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, _context: &Context) -> Result<(), Failure> {
        print(&script(self.shell)?)
    }
}

/// What this shell has to read.
pub(super) fn script(shell: Shell) -> Result<String, Failure> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let script = String::from_utf8(script).map_err(Failure::internal)?;
    if shell == Shell::Bash {
        // clap_complete spells a hyphen of the program's name in two ways, so that no subcommand is
        // ever found (clap-rs/clap#6421). Harmless once it spells it in one.
        return Ok(script.replace("dr__subcmd__agent", "dr__agent"));
    }
    Ok(script)
}
