//! `man`: manual pages, made of the same definitions as the help.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::roff::{Roff, bold, roman};

use super::{Cli, Context, exit, exit::Failure, output::print};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for each command into this folder instead, which is made if it is not there;
    /// pages that are there are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, _context: &Context) -> Result<(), Failure> {
        let command = command();
        let Some(folder) = self.out else {
            let page = page(&command).map_err(Failure::internal)?;
            return print(&String::from_utf8(page).map_err(Failure::internal)?);
        };
        fs::create_dir_all(&folder).map_err(|error| {
            Failure::file(format!("the folder {} can't be made: {error}", folder.display()))
        })?;
        write_all(&command, &folder)
    }
}

/// The commands that have a page: `help` would only repeat the others.
pub(super) fn command() -> Command {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Writes the page of a command and those of all commands below it.
pub(super) fn write_all(command: &Command, folder: &Path) -> Result<(), Failure> {
    let page = page(command).map_err(Failure::internal)?;
    let file = folder.join(clap_mangen::Man::new(command.clone()).get_filename());
    fs::write(&file, page)
        .map_err(|error| Failure::file(format!("{} can't be written: {error}", file.display())))?;
    command.get_subcommands().try_for_each(|command| write_all(command, folder))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let whole = command.get_version().is_some();
    let man = clap_mangen::Man::new(command.clone())
        .manual("dr-agent")
        .source(concat!("dr-agent ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut end = Roff::default();
    if whole {
        end.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in exit::CODES {
            end.control("TP", []);
            end.text([bold(code.to_string())]);
            end.text([roman(meaning)]);
        }
    } else {
        end.control("SH", ["SEE ALSO"]);
        end.text([bold("dr-agent"), roman("(1)")]);
    }
    end.to_writer(&mut page)?;
    Ok(page)
}
