//! The executor over scripted hands and a desk that changes the list as the loop would, on paused
//! time.

use std::{collections::VecDeque, sync::Mutex};

use agent_core::{Action, InstanceId, Method};
use jiff::SignedDuration;
use tokio::time::Instant;

use super::*;

/// What the hands meet. The last sight is repeated.
#[derive(Default)]
struct Script {
    sights: VecDeque<Sight>,
    sents: VecDeque<(Duration, Sent)>,
    polls: VecDeque<Polled>,
    /// Looks that panic before the first sight.
    panics: u32,
    /// Looks that never end.
    hangs: bool,
    permission: Option<String>,
    log: Vec<String>,
}

#[derive(Clone)]
struct Bench {
    script: Arc<Mutex<Script>>,
    list: Arc<watch::Sender<Vec<Work>>>,
    zero: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "the paused time of the test runtime")]
    fn new(script: Script, work: Vec<Work>) -> Self {
        let list = Arc::new(watch::Sender::new(work));
        Self { script: Arc::new(Mutex::new(script)), list, zero: Instant::now() }
    }

    fn start(&self, cancel: &CancellationToken) -> tokio::task::JoinHandle<()> {
        tokio::spawn(follow(self.list.subscribe(), Arc::new(self.clone()), cancel.clone()))
    }

    /// Runs until nothing is listed any more, and tells what was done.
    async fn play(&self) -> String {
        let cancel = CancellationToken::new();
        let following = self.start(&cancel);
        let mut list = self.list.subscribe();
        let empty = list.wait_for(Vec::is_empty);
        drop(timeout(Duration::from_secs(3600), empty).await.expect("the list is done in an hour"));
        cancel.cancel();
        following.await.expect("no panic");
        self.told()
    }

    fn told(&self) -> String {
        self.with(|script| script.log.join("\n"))
    }

    fn with<T>(&self, body: impl FnOnce(&mut Script) -> T) -> T {
        body(&mut self.script.lock().expect("not poisoned"))
    }

    fn log(&self, what: &str) {
        let seconds = self.zero.elapsed_ms() / 1000;
        self.with(|script| script.log.push(format!("at {seconds:>3} s {what}")));
    }

    fn change(
        &self,
        step: StepRef,
        body: impl FnOnce(&mut Vec<Work>, usize),
    ) -> Result<(), String> {
        let mut result = Ok(());
        self.list.send_modify(|list| match list.iter().position(|work| work.step == step) {
            Some(place) => body(list, place),
            None => result = Err("not under way".to_owned()),
        });
        result
    }
}

trait ElapsedMs {
    fn elapsed_ms(&self) -> u128;
}

impl ElapsedMs for Instant {
    #[expect(clippy::disallowed_methods, reason = "the paused time of the test runtime")]
    fn elapsed_ms(&self) -> u128 {
        self.elapsed().as_millis()
    }
}

impl Shop for Bench {
    type Hand = Bench;

    fn now(&self) -> Timestamp {
        let ms = i64::try_from(self.zero.elapsed_ms()).expect("small");
        Timestamp::from_millisecond(ms).expect("small")
    }

    fn hand(&self, _work: &Work) -> Bench {
        self.log("begin");
        self.clone()
    }

    async fn report(&self, step: StepRef, report: Report) -> Result<Result<(), String>, Ended> {
        let words = match &report {
            Report::Sending => "ask permission".to_owned(),
            Report::Noted { operation } => format!("note {operation}"),
            Report::Done { seen, .. } => format!("report done: {seen}"),
            Report::NotDone { why, again } => format!("report not done, {again:?}: {why}"),
            Report::Unknown { why } => format!("report unknown: {why}"),
        };
        self.log(&words);
        if let (Report::Sending, Some(refusal)) =
            (&report, self.with(|script| script.permission.clone()))
        {
            return Ok(Err(refusal));
        }
        Ok(self.change(step, |list, place| match report {
            Report::Sending => list[place].sent = true,
            Report::Noted { operation } => list[place].operation = Some(operation),
            Report::Unknown { .. } => list[place].overdue = true,
            Report::Done { .. } | Report::NotDone { .. } => drop(list.remove(place)),
        }))
    }
}

impl Hand for Bench {
    async fn look(&mut self, _now: Timestamp) -> Sight {
        let (falls, hangs) = self.with(|script| {
            let falls = script.panics > 0;
            script.panics = script.panics.saturating_sub(1);
            (falls, script.hangs)
        });
        assert!(!falls, "as the script says");
        if hangs {
            std::future::pending::<()>().await;
        }
        self.with(|script| {
            let sight = script.sights.front().cloned().expect("a sight in the script");
            if script.sights.len() > 1 {
                script.sights.pop_front();
            }
            sight
        })
    }

    async fn send(&mut self, _route: &Route, limit: Duration) -> Sent {
        self.log(&format!("send, {} s left", limit.as_secs()));
        let (takes, sent) =
            self.with(|script| script.sents.pop_front()).expect("a command in the script");
        sleep(takes).await;
        self.log("the reply is there");
        sent
    }

    async fn poll(&mut self, operation: &str) -> Polled {
        self.log(&format!("poll {operation}"));
        self.with(|script| script.polls.pop_front()).expect("a poll in the script")
    }
}

fn work(route: Option<Route>) -> Work {
    let (group, database) = ("dag".to_owned(), "shop".to_owned());
    let start = Timestamp::UNIX_EPOCH;
    Work {
        link: LinkId::new("link").expect("a name"),
        step: StepRef { proposal: 17, lane: 0, step: 1, attempt: 1, undo: false },
        action: Action::TargetPrimary { instance: instance(), group, database },
        route,
        started_at: start,
        deadline: start.checked_add(SignedDuration::from_secs(120)).expect("in range"),
        sent: false,
        operation: None,
        overdue: false,
        turned_at: None,
    }
}

fn instance() -> InstanceId {
    InstanceId::new("mi").expect("a name")
}

fn tsql() -> Option<Route> {
    Some(Route::Tsql { instance: instance(), statement: "FORCE".into() })
}

fn arm() -> Option<Route> {
    Some(Route::Arm { method: Method::Post, path: "/p".into(), body: "{}".into() })
}

fn not() -> Sight {
    Sight::Not { seen: "SECONDARY".into(), first_hand: true }
}

fn holds() -> Sight {
    Sight::Holds { seen: "PRIMARY".into() }
}

fn coming() -> Sight {
    Sight::Coming { seen: "RESOLVING".into() }
}

fn second() -> Duration {
    Duration::from_secs(1)
}

fn unknown() -> Sent {
    Sent::Unknown { why: "the connection broke".into() }
}

async fn told(script: Script, work: Work) -> String {
    Bench::new(script, vec![work]).play().await
}

#[tokio::test(start_paused = true)]
async fn look_do_look_by_one_task() {
    let script = Script {
        sights: [not(), coming(), holds()].into(),
        sents: [(second(), Sent::Accepted { operation: None })].into(),
        ..Script::default()
    };
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at   1 s the reply is there
        at   1 s report done: PRIMARY"#]]
    .assert_eq(&told(script, work(tsql())).await);
}

#[tokio::test(start_paused = true)]
async fn without_permission_nothing_leaves() {
    let script = Script {
        sights: [not()].into(),
        permission: Some("the primary serves again".into()),
        ..Script::default()
    };
    let mut short = work(tsql());
    short.deadline = short.started_at + SignedDuration::from_secs(4);
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s ask permission
        at   0 s ask permission
        at   1 s ask permission
        at   3 s ask permission
        at   5 s report not done, SameRoute: the primary serves again"#]]
    .assert_eq(&told(script, short).await);
}

#[tokio::test(start_paused = true)]
async fn a_statement_of_unknown_outcome_is_settled_by_looking() {
    let landed = Script {
        sights: [not(), coming(), coming(), holds()].into(),
        sents: [(second(), unknown())].into(),
        ..Script::default()
    };
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at   1 s the reply is there
        at   1 s report done: PRIMARY"#]]
    .assert_eq(&told(landed, work(tsql())).await);
    let lost = Script {
        sights: [not()].into(),
        sents: [(second(), unknown())].into(),
        ..Script::default()
    };
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at   1 s the reply is there
        at   6 s report not done, SameRoute: SECONDARY"#]]
    .assert_eq(&told(lost, work(tsql())).await);
}

#[tokio::test(start_paused = true)]
async fn a_post_of_unknown_outcome_stays_unknown_and_is_looked_after() {
    let mut sights = VecDeque::from([not()]);
    sights.extend(std::iter::repeat_n(not(), 100));
    sights.push_back(holds());
    let script = Script { sights, sents: [(second(), unknown())].into(), ..Script::default() };
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at   1 s the reply is there
        at 120 s report unknown: SECONDARY
        at 120 s begin
        at 191 s report done: PRIMARY"#]]
    .assert_eq(&told(script, work(arm())).await);
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_noted_and_polled() {
    let script = Script {
        sights: [not(), holds()].into(),
        sents: [(second(), Sent::Accepted { operation: Some("op".into()) })].into(),
        polls: [Polled::Running { again_in: Duration::from_secs(15) }, Polled::Succeeded].into(),
        ..Script::default()
    };
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at   1 s the reply is there
        at   1 s note op
        at   1 s poll op
        at   1 s report done: PRIMARY"#]]
    .assert_eq(&told(script, work(arm())).await);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_was_sent_is_not_sent_again() {
    let sent = |route, operation: Option<&str>| Work {
        sent: true,
        operation: operation.map(str::to_owned),
        ..work(route)
    };
    let landed = Script { sights: [coming(), holds()].into(), ..Script::default() };
    let not_landed = Script { sights: [not()].into(), ..Script::default() };
    let noted =
        Script { sights: [holds()].into(), polls: [Polled::Succeeded].into(), ..Script::default() };
    let told = [
        told(landed, sent(tsql(), None)).await,
        told(not_landed, sent(tsql(), None)).await,
        told(noted, sent(arm(), Some("op"))).await,
    ]
    .join("\n--\n");
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s report done: PRIMARY
        --
        at   0 s begin
        at   5 s report not done, SameRoute: SECONDARY
        --
        at   0 s begin
        at   0 s poll op
        at   0 s report done: PRIMARY"#]]
    .assert_eq(&told);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_longer_listed_is_left_and_a_command_in_flight_after_half_a_minute() {
    let script = Script {
        sights: [not()].into(),
        sents: [(Duration::from_secs(60), unknown())].into(),
        ..Script::default()
    };
    let bench = Bench::new(script, vec![work(tsql())]);
    let cancel = CancellationToken::new();
    let following = bench.start(&cancel);
    sleep(second()).await;
    bench.list.send_modify(Vec::clear);
    sleep(second()).await;
    // The same link is wanted again, by another proposal, while the command is in flight.
    let next = StepRef { proposal: 30, lane: 0, step: 0, attempt: 1, undo: false };
    bench.with(|script| script.sights = [holds()].into());
    bench.list.send_modify(|list| list.push(Work { step: next, ..work(None) }));
    bench.list.subscribe().wait_for(Vec::is_empty).await.expect("the list is done");
    cancel.cancel();
    following.await.expect("no panic");
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at  31 s begin
        at  31 s report done: PRIMARY"#]]
    .assert_eq(&bench.told());
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_awaits_the_command_and_nothing_else() {
    let script = Script {
        sights: [not()].into(),
        sents: [(Duration::from_secs(60), Sent::Accepted { operation: Some("op".into()) })].into(),
        ..Script::default()
    };
    let bench = Bench::new(script, vec![work(arm())]);
    let cancel = CancellationToken::new();
    let following = bench.start(&cancel);
    sleep(second()).await;
    cancel.cancel();
    following.await.expect("no panic");
    // The address of the operation is in the journal for the next start, and nothing was polled.
    expect_test::expect![[r#"
        at   0 s begin
        at   0 s ask permission
        at   0 s send, 120 s left
        at  60 s the reply is there
        at  60 s note op"#]]
    .assert_eq(&bench.told());

    let hanging = Script { hangs: true, ..Script::default() };
    let bench = Bench::new(hanging, vec![work(tsql())]);
    let cancel = CancellationToken::new();
    let following = bench.start(&cancel);
    sleep(second()).await;
    cancel.cancel();
    following.await.expect("no panic");
    assert_eq!(bench.told(), "at   0 s begin");
}

#[tokio::test(start_paused = true)]
async fn a_look_without_end_is_blind() {
    let script = Script { hangs: true, ..Script::default() };
    expect_test::expect![[r#"
        at   0 s begin
        at  30 s report not done, NextRoute: it can't be seen: no end within the time allowed"#]]
    .assert_eq(&told(script, work(tsql())).await);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_begun_again_a_few_times_and_then_told() {
    let mends = Script { sights: [holds()].into(), panics: 2, ..Script::default() };
    let never = Script { panics: u32::MAX, ..Script::default() };
    let told = [told(mends, work(tsql())).await, told(never, work(tsql())).await].join("\n--\n");
    expect_test::expect![[r#"
        at   0 s begin
        at   1 s begin
        at   3 s begin
        at   3 s report done: PRIMARY
        --
        at   0 s begin
        at   1 s begin
        at   3 s begin
        at   7 s begin
        at  15 s begin
        at  31 s report not done, Never: carrying it out panicked 5 times; the log of the agent says where"#]].assert_eq(&told);
}
