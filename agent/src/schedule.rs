//! Calendar jobs: what is done at times of the day rather than for a reason.
//!
//! `tokio-cron-scheduler` says when. It says so by putting a word into a queue, and nothing else
//! runs within it: it neither keeps two runs of a job apart, nor ends a run when the agent stops, nor
//! tells of the times that it slept through. Each job has a worker of its own that does all that:
//! one run at a time, each with a limit; a run that panics or fails is told of; and a time that went
//! by unused, because the machine slept or the agent was down, is made up for once and counted.

mod cron;

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_cron_scheduler::{Job as Trigger, JobScheduler, JobSchedulerError};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use self::cron::{Cron, RIGHT};

/// One run of a job at the most, unless it says otherwise; after it the run is cut off.
pub const RUN: Duration = Duration::from_secs(60);
/// Whether a time went by unused is looked at this often.
const WATCH: Duration = Duration::from_secs(30);
/// So late a run is still on time.
const ON_TIME: SignedDuration = SignedDuration::from_secs(60);
/// Times that went by are counted up to here.
const COUNTED: u64 = 1000;
/// A clock that was set back by no more than this is one that is kept right; the times in between
/// have been used. One that was set back further had been wrong before.
const KEPT_RIGHT: SignedDuration = SignedDuration::from_mins(10);

/// What a job does. `missed` times went by since the last run without one.
pub type Run = Arc<dyn Fn(u64) -> Running + Send + Sync>;
/// A run of a job.
pub type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The time of the machine's wall clock, which is what calendars go by.
pub type Wall = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Something to be done at times of the calendar.
#[derive(Clone)]
pub struct Job {
    pub name: &'static str,
    pub when: Cron,
    /// When it was done last before the agent started, as far as anybody knows.
    pub last: Option<Timestamp>,
    /// After it a run is cut off.
    pub limit: Duration,
    pub run: Run,
    pub gauge: Gauge,
}

/// How a job goes, for those who watch it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
    missed: AtomicU64,
    /// When the newest run began, in microseconds since 1970; 0 if there was none.
    last: AtomicI64,
}

/// Does the jobs until `stop`.
pub async fn run(jobs: Vec<Job>, wall: Wall, stop: CancellationToken) {
    let mut workers = JoinSet::new();
    let mut triggers = Vec::new();
    for job in jobs {
        // One word that waits is enough: two runs that are due at once are one.
        let (tell, told) = mpsc::channel(1);
        triggers.push((job.when.clone(), tell));
        workers.spawn(work(job, told, Arc::clone(&wall), stop.clone()));
    }
    let scheduler = match begin(triggers).await {
        Ok(scheduler) => Some(scheduler),
        Err(error) => {
            // The workers look at the calendar themselves, a little late.
            tracing::error!(%error, "the scheduler does not begin");
            None
        }
    };
    stop.cancelled().await;
    if let Some(mut scheduler) = scheduler
        && let Err(error) = scheduler.shutdown().await
    {
        tracing::warn!(%error, "the scheduler does not end");
    }
    while workers.join_next().await.is_some() {}
}

/// Has every trigger put its word into its queue at its times.
async fn begin(triggers: Vec<(Cron, mpsc::Sender<()>)>) -> Result<JobScheduler, JobSchedulerError> {
    let scheduler = JobScheduler::new().await?;
    for (when, tell) in triggers {
        let trigger = Trigger::new_async(when.as_str(), move |_, _| {
            // If a word waits already, this one would say the same; if nobody listens, it is over.
            let _ = tell.try_send(());
            Box::pin(async {})
        })?;
        scheduler.add(trigger).await?;
    }
    scheduler.start().await?;
    Ok(scheduler)
}

/// Does one job at its times.
async fn work(job: Job, mut told: mpsc::Receiver<()>, wall: Wall, stop: CancellationToken) {
    let mut last = job.gauge.last().or(job.last).unwrap_or_else(|| wall());
    let mut owed = 0;
    let mut watch = tokio::time::interval(WATCH);
    watch.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // What is made up for after a start has been looked at by then.
    watch.reset();
    let mut triggered = true;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            word = told.recv(), if triggered => triggered = word.is_some(),
            _ = watch.tick() => {}
        }
        let now = wall();
        if last.duration_since(now) > KEPT_RIGHT {
            tracing::warn!(job = job.name, was = %last, %now, "the clock was set back: counting from now");
            last = now;
        }
        let Some(missed) = due(&job.when, last, now) else { continue };
        owed += missed;
        if missed > 0 {
            job.gauge.0.missed.fetch_add(missed, Ordering::Relaxed);
            tracing::warn!(job = job.name, missed, "times of the calendar went by unused");
        }
        last = now;
        job.gauge.0.last.store(now.as_microsecond(), Ordering::Relaxed);
        let done = tokio::select! {
            biased;
            // A run that is cut off leaves nothing half: what it writes has its name at the end.
            () = stop.cancelled() => return,
            done = once(&job, owed) => done,
        };
        // The next one tells of one that was not done.
        owed = if done { 0 } else { owed + 1 };
    }
}

/// How many times before this one went by unused, if a run is due. One that is far too late has gone
/// by itself.
fn due(when: &Cron, last: Timestamp, now: Timestamp) -> Option<u64> {
    let count = when.between(last, now, COUNTED);
    let recent = now.checked_sub(ON_TIME).unwrap_or(Timestamp::MIN).max(last);
    let on_time = when.between(recent, now, 1);
    (count > 0).then(|| count - on_time)
}

/// One run; whether it did what it was to do.
async fn once(job: &Job, missed: u64) -> bool {
    let run = AbortOnDropHandle::new(tokio::spawn((job.run)(missed)));
    let failed = match timeout(job.limit, run).await {
        Ok(Ok(Ok(()))) => {
            job.gauge.0.done.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        Ok(Ok(Err(why))) => why,
        Ok(Err(panicked)) => panicked.to_string(),
        Err(_) => format!("it took longer than {:?}", job.limit),
    };
    job.gauge.failed_at(job.name, &failed);
    false
}

impl Gauge {
    /// Runs that did what they were to do.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.0.done.load(Ordering::Relaxed)
    }

    /// Runs that did not, and what runs left undone.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::Relaxed)
    }

    /// Times of the calendar that went by without a run.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.0.missed.load(Ordering::Relaxed)
    }

    /// Tells of something that a run could not do.
    pub(crate) fn failed_at(&self, job: &str, why: &str) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
        tracing::error!(job, why, "a calendar job was not done, or not all of it");
    }

    fn last(&self) -> Option<Timestamp> {
        let micros = self.0.last.load(Ordering::Relaxed);
        (micros != 0).then(|| Timestamp::from_microsecond(micros).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A job that tells of each of its runs, a clock to move, and whoever triggers it.
    struct Bench {
        now: Arc<Mutex<Timestamp>>,
        gauge: Gauge,
        runs: mpsc::Receiver<u64>,
        trigger: mpsc::Sender<()>,
        stop: CancellationToken,
        worker: tokio::task::JoinHandle<()>,
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn bench(last: Option<&str>, how: fn(u64) -> Result<(), String>) -> Bench {
        let now = Arc::new(Mutex::new(at("2026-01-02T05:00:00Z")));
        let (tell, runs) = mpsc::channel(100);
        let (trigger, told) = mpsc::channel(1);
        let (gauge, stop) = (Gauge::default(), CancellationToken::new());
        let job = Job {
            name: "test",
            when: Cron::parse("0 0 6 * * *").expect("cron"),
            last: Some(at(last.unwrap_or("2026-01-02T05:00:00Z"))),
            limit: RUN,
            run: Arc::new(move |missed| {
                let tell = tell.clone();
                Box::pin(async move {
                    tell.send(missed).await.expect("the test listens");
                    how(missed)
                })
            }),
            gauge: gauge.clone(),
        };
        let clock = Arc::clone(&now);
        let wall: Wall = Arc::new(move || *clock.lock().expect("no panic"));
        let worker = tokio::spawn(work(job, told, wall, stop.clone()));
        Bench { now, gauge, runs, trigger, stop, worker }
    }

    impl Bench {
        fn set(&self, now: &str) {
            *self.now.lock().expect("no panic") = at(now);
        }

        async fn trigger(&self) {
            self.trigger.send(()).await.expect("the worker lives");
        }

        /// The next run, unless there is none however long one waits.
        async fn ran(&mut self) -> Option<u64> {
            timeout(WATCH * 4, self.runs.recv()).await.ok().flatten()
        }

        async fn end(self) {
            self.stop.cancel();
            timeout(RUN * 2, self.worker).await.expect("it ends").expect("it does not panic");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_at_its_time_and_one_for_each_time() {
        let mut bench = bench(None, |_| Ok(()));
        bench.trigger().await;
        assert_eq!(bench.ran().await, None, "nothing is due at five");
        bench.set("2026-01-02T06:00:00.4Z");
        bench.trigger().await;
        assert_eq!(bench.ran().await, Some(0));
        bench.trigger().await;
        assert_eq!(bench.ran().await, None, "it was done");
        // The clock is set back, and the trigger says six once more.
        bench.set("2026-01-02T05:30:00Z");
        bench.trigger().await;
        assert_eq!(bench.ran().await, None);
        assert_eq!((bench.gauge.done(), bench.gauge.missed()), (1, 0));
        bench.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_wrong_and_is_set_right_does_not_stop_the_calendar() {
        let mut bench = bench(None, |_| Ok(()));
        bench.set("2031-01-02T06:00:00Z");
        bench.trigger().await;
        assert_eq!(bench.ran().await, Some(COUNTED - 1), "years went by, as far as anybody knows");
        bench.set("2026-01-02T06:30:00Z");
        assert_eq!(bench.ran().await, None, "nothing is due yet");
        bench.set("2026-01-03T06:00:00Z");
        bench.trigger().await;
        assert_eq!(bench.ran().await, Some(0));
        bench.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_begun_again_goes_on_where_it_was() {
        let mut first = bench(None, |_| Ok(()));
        first.set("2026-01-02T06:00:00Z");
        first.trigger().await;
        assert_eq!(first.ran().await, Some(0));
        first.worker.abort();
        let (tell, mut runs) = mpsc::channel(10);
        let job = Job {
            name: "test",
            when: Cron::parse("0 0 6 * * *").expect("cron"),
            last: Some(at("2025-12-31T06:00:00Z")),
            limit: RUN,
            run: Arc::new(move |missed| {
                tell.try_send(missed).expect("the test listens");
                Box::pin(async { Ok(()) })
            }),
            gauge: first.gauge.clone(),
        };
        let (trigger, told) = mpsc::channel(1);
        let clock = Arc::clone(&first.now);
        let wall: Wall = Arc::new(move || *clock.lock().expect("no panic"));
        let worker = tokio::spawn(work(job, told, wall, CancellationToken::new()));
        trigger.send(()).await.expect("the worker lives");
        let again = timeout(WATCH * 4, runs.recv()).await;
        assert!(again.is_err(), "six o'clock has been used");
        worker.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_trigger_slept_through_is_made_up_for_once() {
        let mut bench = bench(None, |_| Ok(()));
        bench.set("2026-01-05T07:00:00Z");
        assert_eq!(bench.ran().await, Some(4), "three days, and today's is an hour late");
        assert_eq!(bench.ran().await, None);
        assert_eq!(bench.gauge.missed(), 4);
        bench.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_while_the_agent_was_down_is_made_up_for() {
        let mut bench = bench(Some("2025-12-31T06:00:00.2Z"), |_| Ok(()));
        assert_eq!(bench.ran().await, Some(1));
        bench.set("2026-01-02T06:00:00Z");
        bench.trigger().await;
        assert_eq!(bench.ran().await, Some(0));
        bench.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_fails_or_panics_is_told_of_by_the_next() {
        for how in [|_| Err("as the test wants it".to_owned()), |_| panic!("as the test wants it")]
            as [fn(u64) -> Result<(), String>; 2]
        {
            let mut bench = bench(None, how);
            for (day, missed) in [("02", 0), ("03", 1), ("04", 2)] {
                bench.set(&format!("2026-01-{day}T06:00:00Z"));
                bench.trigger().await;
                assert_eq!(bench.ran().await, Some(missed), "{day}");
            }
            bench.ran().await;
            assert_eq!((bench.gauge.failed(), bench.gauge.done()), (3, 0));
            bench.end().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_hangs_is_cut_off_and_none_begins_meanwhile() {
        let begun = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&begun);
        let job = Job {
            name: "hangs",
            when: Cron::parse("* * * * * *").expect("cron"),
            last: Some(at("2026-01-02T05:00:00Z")),
            limit: RUN,
            run: Arc::new(move |_| {
                counted.fetch_add(1, Ordering::Relaxed);
                Box::pin(std::future::pending())
            }),
            gauge: Gauge::default(),
        };
        let gauge = job.gauge.clone();
        let (trigger, told) = mpsc::channel(1);
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = Arc::clone(&seconds);
        let wall: Wall = Arc::new(move || {
            let seconds = clock.load(Ordering::Relaxed);
            at("2026-01-02T05:00:00Z") + SignedDuration::from_secs(seconds)
        });
        let worker = tokio::spawn(work(job, told, wall, CancellationToken::new()));
        for _ in 0..50 {
            seconds.fetch_add(1, Ordering::Relaxed);
            let _ = trigger.try_send(());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((begun.load(Ordering::Relaxed), gauge.failed()), (1, 0));
        tokio::time::sleep(RUN).await;
        assert!(gauge.failed() >= 1);
        worker.abort();
    }

    /// The library triggers by the wall clock, so this takes a second.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_library_triggers_and_ends() {
        let (tell, mut runs) = mpsc::channel(10);
        let job = Job {
            name: "every second",
            when: Cron::parse("* * * * * *").expect("cron"),
            last: None,
            limit: RUN,
            run: Arc::new(move |missed| {
                let _ = tell.try_send(missed);
                Box::pin(async { Ok(()) })
            }),
            gauge: Gauge::default(),
        };
        let (clock, stop) = (crate::clock::Clock::start(None), CancellationToken::new());
        let wall: Wall = Arc::new(move || clock.now() - clock.offset());
        let calendar = tokio::spawn(run(vec![job], wall, stop.clone()));
        for _ in 0..2 {
            let ran = timeout(Duration::from_secs(20), runs.recv()).await.expect("in time");
            assert!(ran.is_some());
        }
        stop.cancel();
        timeout(Duration::from_secs(20), calendar).await.expect("it ends").expect("no panic");
    }

    /// What a text means to the library is what it means here.
    #[tokio::test]
    async fn the_library_reads_the_same_times() {
        let mut scheduler = JobScheduler::new().await.expect("a scheduler");
        let now = crate::clock::Clock::start(None).now();
        for text in ["0 0 6 * * *", "30 15,45 9-17/4 * * *", "0 0 12 * * 7", "0 0 0 29 2 *"] {
            let trigger = Trigger::new_async(text, |_, _| Box::pin(async {})).expect("it reads it");
            let id = scheduler.add(trigger).await.expect("it takes it");
            let next = scheduler.next_tick_for_job(id).await.expect("known").expect("there is one");
            let ours = Cron::parse(text).expect("cron").next_after(now).expect("there is one");
            assert_eq!(next.timestamp(), ours.as_second(), "{text}");
        }
        scheduler.shutdown().await.expect("it ends");
    }
}
