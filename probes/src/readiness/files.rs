//! The folder of the journal: is it writable, on a disk of this machine, with room. Nothing is written
//! to find that out.

use std::{io, path::Path};

use rustix::fs::{Access, StatVfs, access, statfs, statvfs};

use super::finding::{Check, Finding, How, Stage};

/// Can the journal be written?
pub const WRITABLE: Check = Check {
    id: "files.data_dir",
    stage: Stage::Files,
    question: "Can the journal be written?",
    source: "access(2) on agent.data_dir, as the user who asks",
};
/// Is the journal on a disk of its own?
pub const LOCAL: Check = Check {
    id: "files.data_dir_local",
    question: "Is the journal on a disk of this machine that keeps it?",
    source: "statfs(2): SQLite's locks and fsync are not to be trusted on a network",
    ..WRITABLE
};
/// Is there room?
pub const ROOM: Check = Check {
    id: "files.data_dir_room",
    question: "Is there room for the journal?",
    source: "statvfs(2)",
    ..WRITABLE
};

/// Below this the journal may be full within a busy day.
const LOW_MB: u64 = 1024;
/// Below this the agent may stop at any time.
const EMPTY_MB: u64 = 100;

/// What a kind of file system means for a journal.
enum Disk {
    Local,
    Network(&'static str),
    Volatile(&'static str),
    Layer,
}

/// Looks at the folder, or at the nearest one above it that exists: the agent makes what is missing.
#[must_use]
pub fn data_dir(path: &Path) -> Vec<Finding> {
    let subject = "the agent's files";
    let shown = path.display().to_string();
    // Above a relative path is the folder that the agent was started in.
    let here = |path: &'_ Path| path.as_os_str().is_empty();
    let mut above = path.ancestors().map(|path| if here(path) { Path::new(".") } else { path });
    let Some(there) = above.find(|path| path.exists()) else {
        return vec![WRITABLE.wrong(subject, format!("{shown}: no folder above it exists"))];
    };
    let missing = there != path;
    vec![
        writable(subject, path, there, missing),
        local(subject, &shown, there),
        room(subject, &shown, there),
    ]
}

fn writable(subject: &str, path: &Path, there: &Path, missing: bool) -> Finding {
    let (shown, parent) = (path.display(), there.display());
    if !there.is_dir() {
        return WRITABLE.wrong(subject, format!("{parent} is not a folder")).mend(
            How::Config,
            "agent.data_dir",
            "a folder",
        );
    }
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if missing => WRITABLE.ok(subject, format!("{shown} will be made in {parent}")),
        Ok(()) => WRITABLE.ok(subject, format!("{shown} is writable")),
        Err(error) => {
            WRITABLE.wrong(subject, format!("{parent}: {}", io::Error::from(error))).mend(
                How::Shell,
                "this machine",
                format!("install -d -o <user of the agent> -m 700 {shown}"),
            )
        }
    }
}

fn local(subject: &str, shown: &str, there: &Path) -> Finding {
    let kind = match statfs(there) {
        Ok(about) => disk(about.f_type),
        Err(error) => return LOCAL.unasked(subject, io::Error::from(error).to_string()),
    };
    let own = "a folder on a local disk, which survives a restart and is in the backups";
    let mend = |finding: Finding| finding.mend(How::Config, "agent.data_dir", own);
    match kind {
        Disk::Local => LOCAL.ok(subject, format!("{shown} is on a local disk")),
        Disk::Network(name) => mend(LOCAL.wrong(
            subject,
            format!(
                "{shown} is on {name}: two agents could have it, and what is written may be lost"
            ),
        )),
        Disk::Volatile(name) => mend(
            LOCAL.wrong(subject, format!("{shown} is on {name}: it is gone with the next start")),
        ),
        Disk::Layer => mend(LOCAL.warning(
            subject,
            format!("{shown} is in a layer of a container: it is gone with the container"),
        )),
    }
}

fn room(subject: &str, shown: &str, there: &Path) -> Finding {
    let about: StatVfs = match statvfs(there) {
        Ok(about) => about,
        Err(error) => return ROOM.unasked(subject, io::Error::from(error).to_string()),
    };
    let free_mb = about.f_bavail.saturating_mul(about.f_frsize) / (1 << 20);
    let evidence = format!("{free_mb} MB free");
    let text = "make room, or move the folder to a larger disk; a full disk ends the agent, it does not damage \
                the journal";
    if free_mb < EMPTY_MB {
        return ROOM.wrong(subject, evidence).mend(How::Words, shown, text);
    }
    if free_mb < LOW_MB {
        return ROOM.warning(subject, evidence).mend(How::Words, shown, text);
    }
    ROOM.ok(subject, evidence)
}

/// By the magic number of a file system, as statfs(2) lists them.
fn disk(magic: rustix::fs::FsWord) -> Disk {
    let known = u32::try_from(magic).unwrap_or((magic & 0xFFFF_FFFF) as u32);
    match known {
        0x6969 => Disk::Network("NFS"),
        0xFF53_4D42 | 0xFE53_4D42 | 0x517B => Disk::Network("a Windows share (SMB)"),
        0x0102_1997 => Disk::Network("9p"),
        0x00C3_6400 => Disk::Network("Ceph"),
        0x6573_5546 => Disk::Network("FUSE, which most often is a network"),
        0x0102_1994 => Disk::Volatile("tmpfs"),
        0x8584_58F6 => Disk::Volatile("ramfs"),
        0x794C_7630 => Disk::Layer,
        _ => Disk::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Verdict;

    #[test]
    fn a_folder_that_is_there_and_one_that_is_not_yet() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for path in [here.to_owned(), here.join("no/such/folder")] {
            let found = data_dir(&path);
            assert_eq!(found[0].verdict, Verdict::Ok, "{found:?}");
            assert_eq!(found.len(), 3);
        }
    }

    #[test]
    fn a_file_is_no_folder_and_a_memory_disk_is_no_disk() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(data_dir(&file)[0].verdict, Verdict::Wrong);
        assert!(matches!(disk(0x0102_1994), Disk::Volatile(_)));
        assert!(matches!(disk(0x6969), Disk::Network(_)));
        assert!(matches!(disk(0xEF53), Disk::Local));
        // Only Linux has it, and there it is memory.
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            assert_eq!(data_dir(memory)[1].verdict, Verdict::Wrong);
        }
    }
}
