//! On whose disk a folder is: the file server of the mount that it lies in.

use std::path::Path;

/// Kinds of mounts whose source is a path on another host.
const OF_HOSTS: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "fuse.sshfs"];

/// The host that serves the folder; None if it is on a disk of this machine, or nobody can say.
/// `mounts` is `/proc/self/mountinfo` (proc_pid_mountinfo(5)), `folder` an absolute path.
pub(super) fn file_server(mounts: &str, folder: &Path) -> Option<String> {
    let around = mounts.lines().filter_map(mount).filter(|mount| folder.starts_with(&mount.at));
    // Of two mounts on one point the later one hides the other.
    let innermost = around.max_by_key(|mount| Path::new(&mount.at).components().count())?;
    if !OF_HOSTS.contains(&innermost.kind) {
        return None;
    }
    host(&innermost.source)
}

struct Mount<'m> {
    at: String,
    kind: &'m str,
    source: String,
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let at = unescaped(before.split(' ').nth(4)?);
    let mut after = after.split(' ');
    Some(Mount { at, kind: after.next()?, source: unescaped(after.next()?) })
}

/// Of `server:/export`, `//server/share`, `[fd00::1]:/export`, `user@server:/folder`.
fn host(source: &str) -> Option<String> {
    let source = source.trim_start_matches('/');
    let source = source.rsplit_once('@').map_or(source, |(_, rest)| rest);
    let host = match source.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => source.split(['/', ':', ',']).next(),
    };
    host.filter(|host| !host.is_empty()).map(str::to_owned)
}

/// Blanks, tabs, newlines and backslashes stand there as three octal digits.
fn unescaped(text: &str) -> String {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    pairs.into_iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime - ext4 /dev/vda rw
40 22 0:40 / /srv/dr rw shared:7 - nfs4 files.example.com:/export/dr rw,vers=4.2
41 22 0:41 / /srv/dr/local rw - tmpfs tmpfs rw
42 22 0:42 / /mnt/team\\040share rw - cifs //fs01/team rw
43 22 0:43 / /mnt/six rw - nfs [fd00::7]:/export rw
44 22 0:44 / /mnt/shell rw - fuse.sshfs dr@jump:/runbooks rw
";

    #[test]
    fn a_folder_is_on_the_disk_of_the_innermost_mount() {
        let of = |path: &str| file_server(MOUNTS, Path::new(path));
        assert_eq!(of("/var/lib/dr-agent"), None);
        assert_eq!(of("/srv/dr/runbooks").as_deref(), Some("files.example.com"));
        assert_eq!(of("/srv/dr/local/x"), None);
        assert_eq!(of("/srv/drx"), None, "another folder with the same beginning");
        assert_eq!(of("/mnt/team share/dr").as_deref(), Some("fs01"));
        assert_eq!(of("/mnt/six").as_deref(), Some("fd00::7"));
        assert_eq!(of("/mnt/shell/a").as_deref(), Some("jump"));
    }
}
