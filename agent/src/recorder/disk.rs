//! The folder with the segments.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Bytes of one segment that are read at the most.
const MOST: u64 = 1 << 30;

/// Where segments are kept. A folder here; a disk that fails on purpose in the tests.
pub trait Disk: Send {
    /// All segments with their sizes, the oldest first.
    ///
    /// # Errors
    ///
    /// As the file system says; the same of all the others.
    fn list(&mut self) -> io::Result<Vec<(u64, u64)>>;
    /// All bytes of a segment.
    fn read(&mut self, segment: u64) -> io::Result<Vec<u8>>;
    /// Makes a segment, and writes to it from here on.
    fn make(&mut self, segment: u64) -> io::Result<()>;
    /// Cuts a segment back to so many bytes, and writes behind them from here on.
    fn go_on(&mut self, segment: u64, bytes: u64) -> io::Result<()>;
    /// Writes behind what was written.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// What was written is on the platter when this returns.
    fn sync(&mut self) -> io::Result<()>;
    fn remove(&mut self, segment: u64) -> io::Result<()>;
    /// Bytes that others may still write to the same disk.
    fn free(&mut self) -> io::Result<u64>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: Option<File>,
}

impl Folder {
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None }
    }

    pub(super) fn file(&self, segment: u64) -> PathBuf {
        self.path.join(format!("segment-{segment:010}.log"))
    }

    fn open(&mut self) -> io::Result<&mut File> {
        self.open.as_mut().ok_or_else(|| io::Error::other("no segment is open"))
    }
}

impl Disk for Folder {
    fn list(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let Some(segment) = entry.file_name().to_str().and_then(number) else { continue };
            found.push((segment, entry.metadata()?.len()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn read(&mut self, segment: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.file(segment))?.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn make(&mut self, segment: u64) -> io::Result<()> {
        self.open = None;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(self.file(segment))?;
        self.open = Some(file);
        Ok(())
    }

    fn go_on(&mut self, segment: u64, bytes: u64) -> io::Result<()> {
        self.open = None;
        let mut file = OpenOptions::new().write(true).open(self.file(segment))?;
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        self.open = Some(file);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.open()?.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.open()?.sync_data()
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        fs::remove_file(self.file(segment))
    }

    fn free(&mut self) -> io::Result<u64> {
        // The folder may not be there yet.
        let there = self.path.ancestors().find(|folder| folder.exists());
        let about = rustix::fs::statvfs(there.unwrap_or(Path::new(".")))?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-")?.strip_suffix(".log")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
