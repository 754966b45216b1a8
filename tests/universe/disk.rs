//! The journal on a disk that fails: commits that are lost, commits that are kept and not
//! confirmed, and a disk that says yes and forgets.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use agent_core::{Entry, Seq};
use dr_agent::journal::{Hash, JournalError, Store};
use jiff::SignedDuration;

/// What the disk is going to do with the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFault {
    /// Nothing is written, and it says so: full, or power was lost before the commit.
    Refuse,
    /// It is written, and nobody is told: power was lost after the commit.
    KeepAndDie,
}

/// What survives the agent.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    lines: Rc<RefCell<Vec<String>>>,
    pub faults: Rc<Cell<Option<DiskFault>>>,
    /// The next append takes this long.
    pub stall: Rc<Cell<Option<SignedDuration>>>,
    /// Broken on purpose: the next append is confirmed and not kept.
    pub forgetful: Rc<Cell<bool>>,
}

/// One life's handle.
#[derive(Debug)]
pub struct DiskStore {
    disk: Disk,
    head: Hash,
}

impl Disk {
    pub fn entries(&self) -> Vec<Entry> {
        let lines = self.lines.borrow();
        lines.iter().map(|line| agent_core::read(line).expect("what was written")).collect()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    pub fn len(&self) -> usize {
        self.lines.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn store(&self, faults: Rc<Cell<Option<DiskFault>>>) -> (DiskStore, Hash) {
        let mut disk = self.clone();
        disk.faults = faults;
        // The chain itself is the real journal's business and tested there: here a hash only has
        // to be handed back and forth.
        (DiskStore { disk, head: Hash::GENESIS }, Hash::GENESIS)
    }
}

impl Store for DiskStore {
    fn append(
        &mut self,
        after: Seq,
        prev: &Hash,
        _term: u64,
        entries: &[Entry],
    ) -> Result<Hash, JournalError> {
        let found = u64::try_from(self.disk.len()).unwrap_or(u64::MAX);
        if found != after || *prev != self.head {
            return Err(JournalError::Illegal(format!("expected {after}, found {found}")));
        }
        let fault = self.disk.faults.take();
        if fault == Some(DiskFault::Refuse) {
            return Err(broken());
        }
        let mut lines: Vec<String> = entries.iter().map(agent_core::write).collect();
        if self.disk.forgetful.take() {
            lines.pop();
        }
        self.disk.lines.borrow_mut().extend(lines);
        if fault == Some(DiskFault::KeepAndDie) {
            return Err(broken());
        }
        Ok(self.head)
    }
}

fn broken() -> JournalError {
    let source = std::io::Error::other("the disk fails");
    JournalError::Io { doing: "append to", path: "journal".into(), source }
}
