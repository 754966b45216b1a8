//! Many cases of one test, some of them at once.

use std::sync::mpsc;

/// Runs every case, `at_once` of them side by side; all that fail are told.
pub(crate) fn side_by_side<C, R>(cases: Vec<C>, at_once: usize, run: fn(C) -> R) -> Vec<R>
where
    C: std::fmt::Debug + Send,
    R: Send,
{
    let (to_workers, queue) = mpsc::channel();
    let queue = std::sync::Mutex::new(queue);
    for case in cases {
        to_workers.send(case).expect("the queue is open");
    }
    drop(to_workers);
    let (results, failed) = std::thread::scope(|scope| {
        let work = || {
            let (mut results, mut failed) = (Vec::new(), Vec::new());
            loop {
                let next = queue.lock().expect("nobody panics in here").recv();
                let Ok(case) = next else { return (results, failed) };
                let shown = format!("{case:?}");
                let run = std::panic::AssertUnwindSafe(|| run(case));
                match std::panic::catch_unwind(run) {
                    Ok(result) => results.push(result),
                    Err(_) => failed.push(shown),
                }
            }
        };
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut all = (Vec::new(), Vec::new());
        for worker in workers {
            let (results, failed) = worker.join().expect("panics are caught");
            all.0.extend(results);
            all.1.extend(failed);
        }
        all
    });
    assert!(failed.is_empty(), "failed: {failed:#?}");
    results
}
