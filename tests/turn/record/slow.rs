//! A disk that is slow, full or failing: the turn does not wait, and what is missing is told.

use std::{
    io,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use dr_agent::{
    recorder::{Bounds, Disk, Folder},
    replay::Extent,
};
use tests::harness::wait;

use super::{
    data::{Alive, BlackBox, PLENTY},
    outages, scene,
};
use crate::story::{lost, settings};

/// Reached only if something does not happen.
const LIMIT: Duration = Duration::from_secs(30);

/// A folder on a disk that does what it is told.
struct Trouble {
    folder: Folder,
    orders: Arc<Mutex<Orders>>,
}

#[derive(Default)]
struct Orders {
    /// Writes fail after so many bytes of them.
    fails: Option<usize>,
    /// A write says that it begins, and waits.
    gate: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
}

impl Disk for Trouble {
    fn list(&mut self) -> io::Result<Vec<(u64, u64)>> {
        self.folder.list()
    }

    fn read(&mut self, segment: u64) -> io::Result<Vec<u8>> {
        self.folder.read(segment)
    }

    fn make(&mut self, segment: u64) -> io::Result<()> {
        self.folder.make(segment)
    }

    fn go_on(&mut self, segment: u64, bytes: u64) -> io::Result<()> {
        self.folder.go_on(segment, bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let gate = self.orders.lock().expect("no panic").gate.take();
        if let Some((waiting, open)) = gate {
            waiting.send(()).expect("the test waits for it");
            open.recv().expect("the test opens it");
        }
        let fails = self.orders.lock().expect("no panic").fails;
        let Some(after) = fails else { return self.folder.write(bytes) };
        self.folder.write(&bytes[..after.min(bytes.len())])?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.folder.sync()
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.folder.remove(segment)
    }

    fn free(&mut self) -> io::Result<u64> {
        self.folder.free()
    }
}

fn begin(black: &BlackBox) -> (Alive, Arc<Mutex<Orders>>) {
    let orders = Arc::<Mutex<Orders>>::default();
    let disk = Trouble { folder: Folder::new(&black.recording()), orders: Arc::clone(&orders) };
    (black.start_on(settings(&["orders"]), disk), orders)
}

#[test]
fn a_disk_that_hangs_holds_up_no_turn() {
    let black = BlackBox::new();
    let (mut alive, orders) = begin(&black);
    let (waits, waiting) = mpsc::channel();
    let (open, opened) = mpsc::channel();
    orders.lock().expect("no panic").gate = Some((waits, opened));
    let scenes = outages(60);
    alive.play(&scenes[0]);
    waiting.recv_timeout(LIMIT).expect("the writer begins to write, and hangs");
    // More than the queue takes. If one of these waited, the test would never end.
    scenes[1..].iter().for_each(|scene| alive.play(scene));
    let dropped = alive.gauge.dropped();
    assert!(dropped > 1000, "{dropped} turns were dropped");
    open.send(()).expect("the writer waits");
    let gauge = alive.gauge.clone();
    wait::until("the queue to empty", LIMIT, || (gauge.waiting() == 0).then_some(()));
    // What comes now is recorded again.
    for second in 12_100..12_200 {
        alive.play(&scene(second, lost("orders", second)));
    }
    assert_eq!(alive.gauge.dropped(), dropped);
    alive.stop();
    let (report, _) = black.replay(Extent::default());
    assert!(report.is_good(), "{report:#?}");
    let [gap] = report.gaps.as_slice() else { panic!("{report:#?}") };
    assert_eq!(gap.why, format!("{dropped} turns could not be recorded"));
    assert!(gap.after > 20 && gap.to > gap.after, "{gap:?}");
    assert_eq!(report.same + (gap.to - gap.after), black.head(), "{report:#?}");
    assert!(report.last > Some(gap.to), "{report:#?}");
}

#[test]
fn a_disk_that_fails_in_the_middle_of_a_line_leaves_a_gap_and_no_damage() {
    for half in [0, 1, 60, 4000] {
        let black = BlackBox::new();
        let (mut alive, orders) = begin(&black);
        let scenes = outages(3);
        let gauge = alive.gauge.clone();
        let settle = |turns: u64| {
            wait::until("the writer", LIMIT, || {
                (gauge.written() + gauge.dropped() >= turns).then_some(())
            });
        };
        scenes[..250].iter().for_each(|scene| alive.play(scene));
        settle(250);
        orders.lock().expect("no panic").fails = Some(half);
        scenes[250..340].iter().for_each(|scene| alive.play(scene));
        settle(340);
        orders.lock().expect("no panic").fails = None;
        for (place, scene) in (341..).zip(&scenes[340..]) {
            alive.play(scene);
            settle(place);
        }
        let dropped = alive.gauge.dropped();
        alive.stop();
        assert!((90..250).contains(&dropped), "{dropped}");
        let (report, _) = black.replay(Extent::default());
        assert!(report.is_good(), "{half}: {report:#?}");
        let [gap] = report.gaps.as_slice() else { panic!("{half}: {report:#?}") };
        assert_eq!(gap.why, format!("{dropped} turns could not be recorded"), "{half}");
        assert_eq!(dropped + report.turns, 601, "{half}: {report:#?}");
        assert_eq!(report.same + (gap.to - gap.after), black.head(), "{half}: {report:#?}");
    }
}

#[test]
fn a_full_disk_is_left_to_the_journal() {
    let bounds = Bounds { leave_bytes: u64::MAX, ..PLENTY };
    let mut black = BlackBox::bounded(bounds);
    let scenes = outages(1);
    let alive = black.start(settings(&["orders"]));
    let gauge = alive.gauge.clone();
    alive.stop();
    assert_eq!((gauge.written(), gauge.dropped(), gauge.bytes()), (0, 0, 0));
    black.live(settings(&["orders"]), &scenes);
    assert!(!black.recording().exists(), "nothing is written");
    assert!(black.head() > 3, "decisions go on");
}
