//! The twin as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    twin::cli::main(std::env::args_os())
}
