//! Files of programs that the agent runs for its operator: which may be run, and by what they are
//! known again. The configuration asks when it is read, the actions ask before each run.

use std::{
    fs::{self, Metadata},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use sha2::{Digest as _, Sha256};

/// A hook is a script or a small program.
const LONGEST_BYTES: u64 = 64 * 1024 * 1024;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const EXECUTABLE: u32 = 0o111;

/// Why a file is not run, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) what: String,
    pub(crate) right: String,
}

/// SHA-256 of a file that may be run, in hex. Nobody but root and the user of the agent can have
/// written it, nor put another one in its place: who could would choose what is run.
pub(crate) fn fingerprint(path: &Path) -> Result<String, Unfit> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(unfit(format!("{shown} is not an absolute path"), "the path from / on"));
    }
    let unreadable = |error: std::io::Error| {
        let what = format!("the hook {shown} can't be read: {error}");
        unfit(what, "an existing program that the user of the agent can read")
    };
    let about = fs::symlink_metadata(path).map_err(unreadable)?;
    if !about.is_file() || about.len() > LONGEST_BYTES {
        let what = format!("{shown} is not a regular file of at most {LONGEST_BYTES} bytes");
        return Err(unfit(what, "the program itself, not a link to it"));
    }
    owned(path, &about)?;
    if let Some((folder, mode)) = open_folder(path).map_err(unreadable)? {
        let (whose, right) = match mode {
            Some(mode) => (
                format!("can be written by others (mode {mode:03o})"),
                format!("chmod go-w {folder}"),
            ),
            None => ("belongs to another user".to_owned(), format!("chown root {folder}")),
        };
        return Err(unfit(format!("the folder {folder} of the hook {shown} {whose}"), &right));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LONGEST_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(agent_core::to_hex(&Sha256::digest(&bytes)))
}

fn owned(path: &Path, about: &Metadata) -> Result<(), Unfit> {
    let shown = path.display();
    if stranger(about) {
        let what = format!("the hook {shown} belongs to user {}", about.uid());
        return Err(unfit(what, &format!("chown root {shown}")));
    }
    let mode = about.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        let what = format!("the hook {shown} can be written by others (mode {mode:03o})");
        return Err(unfit(what, &format!("chmod 755 {shown}")));
    }
    if mode & EXECUTABLE == 0 {
        let what = format!("the hook {shown} is not executable (mode {mode:03o})");
        return Err(unfit(what, &format!("chmod 755 {shown}")));
    }
    Ok(())
}

/// Whether it belongs to somebody who is neither root nor the user of the agent.
fn stranger(about: &Metadata) -> bool {
    // The files that tell of a process belong to the user it runs as.
    let own = fs::metadata("/proc/self").map_or(0, |own| own.uid());
    about.uid() != 0 && about.uid() != own
}

/// A folder on the way in which others can write, with its mode, or that is another's: who can may
/// put another file there. Where the sticky bit is set one can only take away one's own files.
fn open_folder(path: &Path) -> std::io::Result<Option<(String, Option<u32>)>> {
    let Some(folder) = path.parent() else { return Ok(None) };
    for folder in folder.canonicalize()?.ancestors() {
        let about = fs::metadata(folder)?;
        if stranger(&about) {
            return Ok(Some((folder.display().to_string(), None)));
        }
        let mode = about.mode() & 0o7777;
        if mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0 {
            return Ok(Some((folder.display().to_string(), Some(mode))));
        }
    }
    Ok(None)
}

fn unfit(what: String, right: &str) -> Unfit {
    Unfit { what, right: right.to_owned() }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; right: {}", self.what, self.right)
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, path::PathBuf};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode set");
    }

    fn hook(folder: &Path) -> PathBuf {
        let path = folder.join("hook");
        fs::write(&path, "#!/bin/sh\n").expect("written");
        chmod(&path, 0o755);
        path
    }

    fn complaint(path: &Path) -> String {
        let unfit = fingerprint(path).expect_err("not to be run");
        unfit.to_string().replace(&path.parent().expect("a folder").display().to_string(), "DIR")
    }

    #[test]
    fn a_file_is_known_by_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = hook(folder.path());
        let first = fingerprint(&path).expect("fit");
        assert_eq!(first, "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf");
        fs::write(&path, "#!/bin/sh\n\n").expect("written");
        assert_ne!(fingerprint(&path).expect("fit"), first);
    }

    #[test]
    fn what_others_could_change_is_not_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = hook(folder.path());
        for (mode, words) in [
            (0o775, "can be written by others (mode 775); right: chmod 755 DIR/hook"),
            (0o757, "can be written by others (mode 757); right: chmod 755 DIR/hook"),
            (0o644, "is not executable (mode 644); right: chmod 755 DIR/hook"),
        ] {
            chmod(&path, mode);
            assert_eq!(complaint(&path), format!("the hook DIR/hook {words}"));
        }
        chmod(&path, 0o755);
        chmod(folder.path(), 0o777);
        assert!(complaint(&path).contains("can be written by others (mode 777)"));
        chmod(folder.path(), 0o1777);
        fingerprint(&path).expect("nobody else can move it away");
    }

    #[test]
    fn only_a_file_itself_is_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(hook(folder.path()), &link).expect("linked");
        assert!(complaint(&link).contains("not a link to it"));
        assert!(complaint(folder.path()).contains("is not a regular file"));
        assert!(complaint(&folder.path().join("none")).contains("No such file"));
        let relative = fingerprint(Path::new("bin/hook")).expect_err("not from /");
        assert_eq!(relative.what, "bin/hook is not an absolute path");
    }
}
