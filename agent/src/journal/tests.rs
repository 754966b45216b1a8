//! The journal on a real disk: what it keeps, what it refuses, what it notices.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use agent_core::{Entry, Estate, Event, FORMAT, Roster, Seq, StormBrake, Subject};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{Hash, Journal, JournalError, Reader, Store, Stored};

struct Place {
    _folder: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data/journal.db");
    Place { _folder: folder, path }
}

fn entry(seq: Seq) -> Entry {
    Entry {
        v: FORMAT,
        seq,
        at: "2026-01-02T03:04:05Z".parse().expect("a timestamp"),
        subject: Subject::Agent,
        rule: None,
        event: Event::AgentStarted { version: format!("version-{seq}"), config_digest: "d".into() },
    }
}

fn entries(from: Seq, count: u64) -> Vec<Entry> {
    (from..from + count).map(entry).collect()
}

fn estate() -> Estate {
    Estate::new(Vec::new(), Roster::default(), StormBrake::default())
}

/// A journal with this many entries, each appended alone, closed again.
fn written(path: &Path, count: u64) -> Hash {
    let mut journal = Journal::open(path).expect("it opens");
    let mut hash = Hash::GENESIS;
    for seq in 1..=count {
        hash = journal.append(seq - 1, &hash, 1, &[entry(seq)]).expect("it is written");
    }
    hash
}

fn texts(stored: &[Stored]) -> Vec<Entry> {
    stored.iter().map(|stored| stored.entry.clone()).collect()
}

#[test]
fn what_was_appended_is_there_after_the_next_start() {
    let place = place();
    {
        let mut journal = Journal::open(&place.path).expect("new");
        let (hash, term) = journal.fold(&mut estate()).expect("empty");
        assert_eq!((hash, term), (Hash::GENESIS, 1));
        let hash = journal.append(0, &hash, term, &entries(1, 3)).expect("first");
        let none = journal.append(3, &hash, term, &[]).expect("nothing");
        assert_eq!(none, hash);
        journal.append(3, &hash, term, &entries(4, 1)).expect("second");
    }
    let mut again = estate();
    let journal = Journal::open(&place.path).expect("there");
    let (hash, term) = journal.fold(&mut again).expect("whole");
    assert_eq!((again.last_seq(), term), (4, 2));

    let reader = Reader::open(&place.path).expect("readable");
    let all = reader.read_after(0, 100).expect("readable");
    assert_eq!(texts(&all), entries(1, 4));
    assert_eq!(all[3].hash, hash);
    assert_eq!(all[3].hash, all[2].hash.then(&all[3].text));
    assert_eq!(texts(&reader.read_after(1, 2).expect("a page")), entries(2, 2));
    assert_eq!(reader.read_after(4, 2).expect("the end"), Vec::new());
    assert_eq!(reader.read_after(u64::MAX, 2).expect("behind the end"), Vec::new());
    assert_eq!(reader.hash_of(4).expect("readable"), Some(hash));
    assert_eq!(reader.hash_of(5).expect("readable"), None);
    let verified = reader.verify().expect("in order");
    assert_eq!((verified.entries, verified.head), (4, hash));
}

#[test]
fn an_append_that_does_not_continue_the_journal_changes_nothing() {
    let place = place();
    let mut journal = Journal::open(&place.path).expect("new");
    let first = journal.append(0, &Hash::GENESIS, 5, &entries(1, 2)).expect("first");
    let other = Hash::GENESIS.then("other");
    for (after, prev, term, from) in
        [(0, Hash::GENESIS, 5, 1), (2, other, 5, 3), (2, first, 4, 3), (3, first, 5, 4)]
    {
        let refused = journal.append(after, &prev, term, &entries(from, 1));
        let Err(JournalError::Conflict { expected, found }) = refused else {
            panic!("{after} {prev} {term}: {refused:?}");
        };
        assert_eq!((expected.seq, found.seq, found.hash, found.term), (after, 2, first, 5));
    }
    let gap = journal.append(2, &first, 5, &[entry(3), entry(5)]);
    assert!(matches!(gap, Err(JournalError::Illegal(_))), "{gap:?}");
    let reader = Reader::open(&place.path).expect("readable");
    assert_eq!(reader.head().expect("readable").hash, first);
    journal.append(2, &first, 6, &entries(3, 1)).expect("a later term goes on");
}

#[test]
fn only_one_writes_and_the_other_is_told_who() {
    let place = place();
    let first = Journal::open(&place.path).expect("new");
    let refused = Journal::open(&place.path).expect_err("in use");
    let pid = std::process::id();
    assert!(matches!(refused, JournalError::Locked { pid: Some(it), .. } if it == pid));
    assert!(refused.to_string().contains(&format!("in use by process {pid}")), "{refused}");

    let link = place.path.with_file_name("alias.db");
    std::os::unix::fs::symlink(&place.path, &link).expect("a link");
    let refused = Journal::open(&link).expect_err("the same journal by another name");
    assert!(matches!(refused, JournalError::Locked { .. }));
    drop(first);
    Journal::open(&link).expect("free again");
}

#[test]
fn only_the_owner_can_read_it() {
    let place = place();
    drop(Journal::open(&place.path).expect("new"));
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o644)).expect("opened to all");
    let mut journal = Journal::open(&place.path).expect("there");
    journal.append(0, &Hash::GENESIS, 1, &entries(1, 1)).expect("written");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let folder = place.path.parent().expect("a folder");
    assert_eq!(mode(folder), 0o700);
    let names: Vec<_> = fs::read_dir(folder)
        .expect("readable")
        .map(|file| file.expect("readable").path())
        .collect();
    assert!(names.len() >= 3, "journal, log and lock: {names:?}");
    for name in names {
        assert_eq!(mode(&name), 0o600, "{}", name.display());
    }
}

#[test]
fn damage_is_found_and_the_first_wrong_entry_named() {
    let cases = [
        ("UPDATE entry SET text = replace(text, 'version-3', 'version-9') WHERE seq = 3", 3),
        ("UPDATE entry SET text = CAST(x'ff' AS TEXT) WHERE seq = 4", 4),
        ("UPDATE entry SET hash = zeroblob(32) WHERE seq = 1", 1),
        ("UPDATE entry SET term = 7 WHERE seq = 2", 3),
        ("DELETE FROM entry WHERE seq = 3", 3),
        ("DELETE FROM entry WHERE seq = 1", 1),
        (
            "UPDATE entry SET text = (SELECT text FROM entry WHERE seq = 4),
                hash = (SELECT hash FROM entry WHERE seq = 4) WHERE seq = 2",
            2,
        ),
    ];
    for (damage, first) in cases {
        let place = place();
        written(&place.path, 5);
        let db = Connection::open(&place.path).expect("SQLite");
        db.execute_batch(damage).expect("damaged");
        drop(db);
        let reader = Reader::open(&place.path).expect("it opens");
        let error = reader.verify().expect_err(damage);
        assert!(
            matches!(error, JournalError::Broken { seq, .. } if seq == first),
            "{damage}: {error}"
        );
        let journal = Journal::open(&place.path).expect("it opens");
        let error = journal.fold(&mut estate()).expect_err(damage);
        assert!(
            matches!(error, JournalError::Broken { seq, .. } if seq == first),
            "{damage}: {error}"
        );
    }
}

#[test]
fn a_byte_that_flips_on_disk_is_found() {
    let place = place();
    written(&place.path, 50);
    let mut bytes = fs::read(&place.path).expect("readable");
    let needle = b"version-33";
    let at = bytes.windows(needle.len()).position(|window| window == needle).expect("in the file");
    bytes[at + 8] ^= 1;
    fs::write(&place.path, bytes).expect("writable");
    let error = Reader::open(&place.path).expect("it opens").verify().expect_err("changed");
    assert!(matches!(error, JournalError::Broken { seq: 33, .. }), "{error}");
    assert!(error.to_string().starts_with("the journal is damaged at entry 33: its text"));
}

#[test]
fn a_page_behind_the_damage_is_not_believed_either() {
    let place = place();
    written(&place.path, 5);
    let db = Connection::open(&place.path).expect("SQLite");
    db.execute_batch("DELETE FROM entry WHERE seq = 3").expect("damaged");
    let reader = Reader::open(&place.path).expect("it opens");
    assert_eq!(reader.read_after(1, 1).expect("before the damage").len(), 1);
    for after in [1, 2, 3] {
        let error = reader.read_after(after, 9).expect_err("the gap");
        assert!(matches!(error, JournalError::Broken { seq: 3, .. }), "{after}: {error}");
    }
    assert_eq!(reader.read_after(4, 9).expect("behind the damage").len(), 1);
}

#[test]
fn readers_read_while_the_writer_writes_and_the_log_stays_small() {
    const ENTRIES: u64 = 4000;
    let place = place();
    let mut journal = Journal::open(&place.path).expect("new");
    let done = AtomicBool::new(false);
    let largest = std::thread::scope(|scope| {
        let read = || {
            let reader = Reader::open(&place.path).expect("readable");
            let (mut seen, mut pages) = (0, 0);
            loop {
                let last = done.load(Ordering::SeqCst);
                let page = reader.read_after(seen, 64).expect("never shut out");
                assert!(
                    page.iter()
                        .map(|stored| stored.entry.seq)
                        .eq(seen + 1..=seen + page.len() as u64)
                );
                seen += page.len() as u64;
                pages += u64::from(!page.is_empty());
                if last && page.is_empty() {
                    return (seen, pages);
                }
            }
        };
        let readers = [scope.spawn(read), scope.spawn(read)];
        let (mut hash, mut largest) = (Hash::GENESIS, 0);
        for after in (0..ENTRIES).step_by(20) {
            hash = journal.append(after, &hash, 1, &entries(after + 1, 20)).expect("written");
            let log = place.path.with_file_name("journal.db-wal");
            largest = largest.max(fs::metadata(log).expect("the log").len());
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            let (seen, pages) = reader.join().expect("no panic");
            assert_eq!(seen, ENTRIES);
            assert!(pages >= ENTRIES / 64);
        }
        largest
    });
    assert!(largest < 32 << 20, "the write-ahead log grew to {largest} bytes");
}

/// A power cut may leave any part of the write-ahead log on disk.
#[test]
fn a_torn_log_loses_only_its_end() {
    let place = place();
    let mut journal = Journal::open(&place.path).expect("new");
    let mut hash = Hash::GENESIS;
    for seq in 1..=12 {
        hash = journal.append(seq - 1, &hash, 1, &[entry(seq)]).expect("written");
    }
    let log = fs::read(place.path.with_file_name("journal.db-wal")).expect("the log");
    let file = fs::read(&place.path).expect("the file");
    let mut kept = Vec::new();
    for cut in (0..=16).map(|part| log.len() * part / 16) {
        let copy = self::place();
        fs::create_dir_all(copy.path.parent().expect("a folder")).expect("a folder");
        fs::write(&copy.path, &file).expect("copied");
        fs::write(copy.path.with_file_name("journal.db-wal"), &log[..cut]).expect("copied");
        let read = Reader::open(&copy.path).and_then(|reader| reader.verify());
        let mut journal = match Journal::open(&copy.path) {
            Ok(journal) => journal,
            Err(error) => panic!("cut at {cut}: {error}"),
        };
        let mut estate = estate();
        let (hash, term) = journal.fold(&mut estate).expect("a whole beginning");
        let last = estate.last_seq();
        // Somebody who only looks at what is left sees the same, or that it never was a journal.
        match read {
            Ok(verified) => assert_eq!((verified.entries, verified.head), (last, hash)),
            Err(error) => assert!(last == 0, "cut at {cut}: {error}"),
        }
        journal.append(last, &hash, term, &[entry(last + 1)]).expect("it goes on");
        kept.push(last);
    }
    assert!(kept.is_sorted(), "{kept:?}");
    assert_eq!((kept.first(), kept.last()), (Some(&0), Some(&12)));
    assert!(
        kept.iter().any(|last| (1..12).contains(last)),
        "some were cut in the middle: {kept:?}"
    );
}

/// SQLite's own limit on pages fails in the same place, with the same code, as a full disk.
#[test]
fn a_full_disk_is_an_error_and_loses_nothing() {
    let place = place();
    let mut journal = Journal::open(&place.path).expect("new");
    let mut hash = journal.append(0, &Hash::GENESIS, 1, &entries(1, 10)).expect("room");
    journal.limit_pages(8);
    let mut last = 10;
    let error = loop {
        match journal.append(last, &hash, 1, &entries(last + 1, 10)) {
            Ok(next) => (hash, last) = (next, last + 10),
            Err(error) => break error,
        }
        assert!(last < 10_000, "the limit holds");
    };
    assert!(matches!(error, JournalError::Disk { doing: "write to the journal", .. }), "{error:?}");
    let reader = Reader::open(&place.path).expect("readable");
    let verified = reader.verify().expect("whole");
    assert_eq!((verified.entries, verified.head), (last, hash));
}

#[test]
fn other_files_are_left_alone() {
    let place = place();
    let folder = place.path.parent().expect("a folder");
    fs::create_dir_all(folder).expect("a folder");
    let missing = Reader::open(&place.path).expect_err("not there");
    assert!(missing.to_string().starts_with("can't find the journal "), "{missing}");
    assert!(!place.path.exists(), "looking makes nothing");

    let text = folder.join("text");
    fs::write(&text, "no journal at all, but long enough for a header of SQLite").expect("written");
    let foreign = folder.join("foreign");
    Connection::open(&foreign)
        .and_then(|db| db.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1"))
        .expect("another program's");
    let newer = folder.join("newer");
    written(&newer, 1);
    Connection::open(&newer)
        .and_then(|db| db.execute_batch("PRAGMA user_version = 2"))
        .expect("a later version's");
    for (path, why) in [
        (text, "it is no SQLite file"),
        (foreign, "it is empty, or the file of another program"),
        (newer, "its layout is 2, this version knows 1"),
    ] {
        let before = fs::read(&path).expect("readable");
        for error in [
            Journal::open(&path).map(drop).expect_err("refused"),
            Reader::open(&path).map(drop).expect_err("refused"),
        ] {
            let told = error.to_string();
            assert!(told.ends_with(why), "{told}");
            assert!(told.contains(&path.display().to_string()), "{told}");
        }
        assert_eq!(fs::read(&path).expect("readable"), before);
    }
}
