use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use agent_core::{Silence, SilenceKind};
use tokio::time::{Instant, advance, timeout};

use super::*;

/// Follows tokio's paused clock, so that a test moves both at once.
fn clock() -> Now {
    let start = started();
    Arc::new(move || {
        let elapsed = SignedDuration::try_from(start.elapsed_so_far()).expect("short");
        Timestamp::UNIX_EPOCH + elapsed
    })
}

struct Started(Instant);

impl Started {
    #[expect(clippy::disallowed_methods, reason = "the test's clock is tokio's paused one")]
    fn elapsed_so_far(&self) -> Duration {
        self.0.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's clock is tokio's paused one")]
fn started() -> Started {
    Started(Instant::now())
}

/// Takes so long for each look, and counts them.
struct Slow {
    takes: Duration,
    looks: Arc<AtomicU32>,
}

impl Look for Slow {
    fn vantage(&self) -> Vantage {
        Vantage::SqlServer
    }

    fn look(&mut self, _limit: Duration) -> impl Future<Output = Vec<(LinkId, Seen)>> + Send {
        let takes = self.takes;
        let looks = Arc::clone(&self.looks);
        async move {
            looks.fetch_add(1, Ordering::Relaxed);
            sleep(takes).await;
            let silence = Silence { kind: SilenceKind::TimedOut, detail: String::new() };
            ["one", "two"]
                .map(|name| (LinkId::new(name).expect("a name"), Seen::Silence(silence.clone())))
                .to_vec()
        }
    }
}

#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Observation>>>);

impl Inbox {
    fn taker(&self) -> impl Fn(Observation) + Send + 'static {
        let all = Arc::clone(&self.0);
        move |observation| all.lock().expect("one holder").push(observation)
    }

    fn all(&self) -> Vec<Observation> {
        self.0.lock().expect("one holder").clone()
    }
}

fn slow(takes: Duration) -> (Slow, Arc<AtomicU32>) {
    let looks = Arc::new(AtomicU32::new(0));
    (Slow { takes, looks: Arc::clone(&looks) }, looks)
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn looks_begin_an_interval_apart_give_or_take_a_tenth() {
    let inbox = Inbox::default();
    let (look, _) = slow(SECOND / 5);
    let schedule = Schedule::new(SECOND, SECOND / 2);
    let run = watch(look, schedule, clock(), inbox.taker(), CancellationToken::new());
    timeout(100 * SECOND, run).await.expect_err("it goes on until it is stopped");

    let all = inbox.all();
    let begun: Vec<_> =
        all.iter().filter(|seen| seen.link.as_str() == "one").map(|seen| seen.begun_at).collect();
    assert_eq!(all.len(), 2 * begun.len(), "one observation for each link");
    assert_eq!(begun[0], Timestamp::UNIX_EPOCH, "the first look comes at once");
    assert!((90..=112).contains(&begun.len()), "{} looks in 100 s", begun.len());
    let gaps: Vec<_> = begun.windows(2).map(|pair| between(pair[0], pair[1])).collect();
    let bounds = Duration::from_millis(899)..=Duration::from_millis(1102);
    assert!(gaps.iter().all(|gap| bounds.contains(gap)), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap != gaps[0]), "there is jitter");
    assert!(all.iter().all(|seen| !seen.late));
    assert!(all.iter().all(|seen| between(seen.begun_at, seen.at) >= SECOND / 5));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_outlasts_the_interval_delays_the_next_and_is_not_caught_up_with() {
    let inbox = Inbox::default();
    let (look, looks) = slow(3 * SECOND);
    let run = watch(
        look,
        Schedule::new(SECOND, 3 * SECOND),
        clock(),
        inbox.taker(),
        CancellationToken::new(),
    );
    timeout(Duration::from_millis(30_500), run).await.expect_err("it goes on");
    assert!((10..=11).contains(&looks.load(Ordering::Relaxed)));
    assert!(inbox.all().iter().all(|seen| !seen.late), "slow is not late");
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_our_own_that_ran_late_is_owned_up_to() {
    let inbox = Inbox::default();
    let (look, looks) = slow(SECOND / 10);
    let stop = CancellationToken::new();
    let run = watch(look, Schedule::new(SECOND, SECOND), clock(), inbox.taker(), stop.clone());
    let watching = tokio::spawn(run);
    sleep(SECOND / 2).await;
    // Nothing runs for a minute, while the pause before the second look is under way.
    advance(60 * SECOND).await;
    while looks.load(Ordering::Relaxed) < 3 {
        sleep(SECOND / 20).await;
    }
    // And again, while the third look itself is under way.
    advance(60 * SECOND).await;
    while looks.load(Ordering::Relaxed) < 5 {
        sleep(SECOND / 20).await;
    }
    stop.cancel();
    watching.await.expect("it ends");
    let late: Vec<_> = inbox
        .all()
        .iter()
        .filter(|seen| seen.link.as_str() == "one")
        .map(|seen| seen.late)
        .take(4)
        .collect();
    assert_eq!(late, [false, true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_told_to_even_in_the_middle_of_a_look() {
    let inbox = Inbox::default();
    let (look, looks) = slow(3600 * SECOND);
    let stop = CancellationToken::new();
    let schedule = Schedule::new(SECOND, 3600 * SECOND);
    let watching = tokio::spawn(watch(look, schedule, clock(), inbox.taker(), stop.clone()));
    sleep(SECOND).await;
    stop.cancel();
    timeout(SECOND, watching).await.expect("soon").expect("without a panic");
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    assert!(inbox.all().is_empty(), "a look that was given up says nothing");
}
