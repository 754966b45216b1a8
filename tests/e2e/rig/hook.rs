//! What stops and starts the twin's application, as an operator would have it.

use std::path::{Path, PathBuf};

use lab::twin::Twin;
use tests::harness::ours;

use super::SHOP;

/// The file of the hook in the agent's folder.
pub(super) const HOOK: &str = "applications";

/// Beside it: the verb that it is to hang at, the next time.
pub(super) const HANG: &str = "hang";

/// Writes a hook that stops and starts the twin's application.
pub(super) fn write(folder: &Path, twin: &Twin) -> PathBuf {
    let program = ours("twin");
    let text = format!(
        "#!/bin/sh\n\
         shop() {{ RUST_LOG=error {twin} --control {control} workload {SHOP} \"$1\"; }}\n\
         here={here}\n\
         echo \"$1 $DR_AGENT_STEP\" >> $here/hook.log\n\
         case \"$1\" in\n\
         stop) shop --stop && touch $here/stopped ;;\n\
         start) shop --start && rm -f $here/stopped ;;\n\
         status) [ ! -e $here/stopped ] || exit 3 ;;\n\
         *) exit 64 ;;\n\
         esac\n\
         code=$?\n\
         [ \"$(cat $here/{HANG} 2>/dev/null)\" != \"$1\" ] || {{ rm $here/{HANG}; sleep 60; }}\n\
         exit $code\n",
        twin = program.get_program().display(),
        control = twin.endpoints.control.base_url,
        here = folder.display(),
    );
    let path = folder.join(HOOK);
    std::fs::write(&path, text).expect("the hook is written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("the hook can be run");
    path
}
