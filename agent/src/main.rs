//! The binary: what it does is in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // One TLS stack for everything. It is already installed if this says otherwise.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    dr_agent::cli::main()
}
