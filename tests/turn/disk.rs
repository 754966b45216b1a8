//! A journal in memory that fails when it is told to.

use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use agent_core::{Entry, Estate, Seq};
use dr_agent::journal::{Hash, Head, JournalError, Store};

/// A disk that several processes use, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

/// When an append goes wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing of it gets to the disk.
    Lost,
    /// All of it gets to the disk, and the writer never hears of it.
    Unheard,
}

/// Lets one append through each time it is opened.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Says that an append is waiting.
    waiting: mpsc::Sender<()>,
    open: mpsc::Receiver<()>,
}

/// The other side of a [`Gate`].
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) waiting: mpsc::Receiver<()>,
    pub(crate) open: mpsc::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    texts: Vec<String>,
    head: Option<Head>,
    appends: usize,
    fault: Option<(usize, Fault)>,
    gate: Option<Gate>,
}

impl Disk {
    /// The append of this number, counted from 0, goes wrong.
    pub(crate) fn fail(&self, append: usize, fault: Fault) {
        self.lock().fault = Some((append, fault));
    }

    pub(crate) fn gate(&self) -> Keeper {
        let (waiting, told) = mpsc::channel();
        let (opened, open) = mpsc::channel();
        self.lock().gate = Some(Gate { waiting, open });
        Keeper { waiting: told, open: opened }
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.lock().texts.clone()
    }

    /// Appends so far, those too that failed.
    pub(crate) fn appends(&self) -> usize {
        self.lock().appends
    }

    /// What a process that starts does with it.
    pub(crate) fn fold(&self, estate: &mut Estate) -> (Hash, u64) {
        let inner = self.lock();
        for text in &inner.texts {
            let entry = agent_core::read(text).expect("it was written");
            estate.apply(&entry).expect("it follows");
        }
        let head = inner.head();
        (head.hash, head.term + 1)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no test panics while it holds the disk")
    }
}

impl Store for Disk {
    fn append(
        &mut self,
        after: Seq,
        prev: &Hash,
        term: u64,
        entries: &[Entry],
    ) -> Result<Hash, JournalError> {
        let gate = self.lock().gate.take();
        if let Some(gate) = gate {
            gate.waiting.send(()).expect("the test waits for it");
            gate.open.recv().expect("the test opens it");
        }
        let mut inner = self.lock();
        let number = inner.appends;
        inner.appends += 1;
        let found = inner.head();
        if found.seq != after || found.hash != *prev || found.term > term {
            let expected = Box::new(Head { seq: after, hash: *prev, term });
            return Err(JournalError::Conflict { expected, found: Box::new(found) });
        }
        let fault = inner.fault.filter(|(append, _)| *append == number).map(|(_, fault)| fault);
        if fault != Some(Fault::Lost) {
            let mut head = Head { term, ..found };
            for entry in entries {
                let text = agent_core::write(entry);
                head = Head { seq: entry.seq, hash: head.hash.then(&text), term };
                inner.texts.push(text);
            }
            inner.head = Some(head);
        }
        match fault {
            Some(_) => {
                let source = std::io::ErrorKind::StorageFull.into();
                Err(JournalError::Io { doing: "write to", path: "journal".into(), source })
            }
            None => Ok(inner.head().hash),
        }
    }
}

impl Inner {
    fn head(&self) -> Head {
        self.head.unwrap_or(Head::EMPTY)
    }
}
