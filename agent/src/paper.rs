//! Runbooks in a folder: dated copies, each whole or not there at all, the oldest of a link making
//! room.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use agent_core::{LinkId, to_hex};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

const BEGIN: &str = "runbook-";
const END: &str = ".md";
/// Digits and letters of a time.
const TIME: usize = "20260105T030000Z".len();

/// Writes one, and removes the oldest of the link until there are no more than `most`.
///
/// # Errors
///
/// The file system, with what was being done. Nothing half is left behind under a name of its own.
pub fn keep(
    folder: &Path,
    link: &LinkId,
    text: &str,
    at: Timestamp,
    most: usize,
) -> io::Result<PathBuf> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o750);
    builder.create(folder).map_err(|error| about("make", folder, &error))?;
    let name = format!("{}{}{END}", begin(link), digits(at));
    let (path, half) = (folder.join(&name), folder.join(format!(".{name}.half")));
    let written = write(&half, text).and_then(|()| fs::rename(&half, &path));
    if let Err(error) = written {
        // It may not even be there.
        let _ = fs::remove_file(&half);
        return Err(about("write", &path, &error));
    }
    let listed = File::open(folder).and_then(|folder| folder.sync_all());
    listed.and_then(|()| prune(folder, link, most)).map_err(|error| {
        let why = format!("{} is written, but: {error}", path.display());
        io::Error::new(error.kind(), why)
    })?;
    Ok(path)
}

/// What the names of all files of a link begin with. One that is no name of a file is told apart from
/// others by a digest.
fn begin(link: &LinkId) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name: String =
        link.as_str().chars().map(|c| if plain(c) { c } else { '_' }).take(100).collect();
    if name == link.as_str() {
        return format!("{BEGIN}{name}-");
    }
    let digest = to_hex(&Sha256::digest(link.as_str().as_bytes()));
    format!("{BEGIN}{name}-{}-", digest.get(..8).unwrap_or_default())
}

/// Letters and digits only, so that names sort by time.
fn digits(at: Timestamp) -> String {
    format!("{at:.0}").chars().filter(|c| !"-:".contains(*c)).collect()
}

/// Readable for a group that prints it or copies it elsewhere, and for nobody else.
fn write(path: &Path, text: &str) -> io::Result<()> {
    // One of the same second, from a run that was cut off.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn prune(folder: &Path, link: &LinkId, most: usize) -> io::Result<()> {
    let begin = begin(link);
    // `orders` must not take those of `orders-eu` for its own.
    let dated = |name: &str| {
        let time = name.strip_prefix(&begin).and_then(|rest| rest.strip_suffix(END));
        time.is_some_and(|time| time.len() == TIME && !time.contains('-'))
    };
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(dated) {
            kept.push(entry.path());
        }
    }
    kept.sort_unstable();
    kept.truncate(kept.len().saturating_sub(most));
    kept.iter()
        .try_for_each(|old| fs::remove_file(old).map_err(|error| about("remove", old, &error)))
}

fn about(doing: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("can't {doing} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn link(name: &str) -> LinkId {
        LinkId::new(name).expect("a name")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_582_000 + second).expect("in range")
    }

    fn names(folder: &Path) -> Vec<String> {
        let listed = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<String> = listed.map(name).collect();
        names.sort();
        names
    }

    #[test]
    fn the_newest_of_each_link_are_kept_whole_and_closed_to_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("deep/runbook");
        fs::create_dir_all(&place).expect("made");
        fs::write(place.join("notes.md"), "of somebody").expect("written");
        keep(&place, &link("orders-eu"), "another", at(0), 2).expect("kept");
        for second in 0..5 {
            let text = format!("text {second}");
            let path = keep(&place, &link("orders"), &text, at(second), 2).expect("kept");
            assert_eq!(fs::read_to_string(&path).expect("readable"), text);
            let mode = path.metadata().expect("there").permissions().mode();
            // A umask may take more away.
            assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
        }
        let expected = [
            "notes.md",
            "runbook-orders-20260105T030003Z.md",
            "runbook-orders-20260105T030004Z.md",
            "runbook-orders-eu-20260105T030000Z.md",
        ];
        assert_eq!(names(&place), expected);
    }

    #[test]
    fn a_name_that_is_none_of_a_file_stays_in_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, two] = ["../up/x", "../up_x"]
            .map(|name| keep(folder.path(), &link(name), "text", at(0), 2).expect("kept"));
        assert_ne!(one, two);
        assert!([one, two].iter().all(|path| path.parent() == Some(folder.path())));
    }

    #[test]
    fn what_cant_be_written_leaves_nothing_half() {
        let folder = tempfile::tempdir().expect("a folder");
        let name = "runbook-orders-20260105T030000Z.md";
        fs::create_dir(folder.path().join(name)).expect("something is in the way");
        let error = keep(folder.path(), &link("orders"), "text", at(0), 3).expect_err("in the way");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(names(folder.path()), [name]);
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(keep(&file, &link("orders"), "text", at(0), 3).is_err());
    }
}
