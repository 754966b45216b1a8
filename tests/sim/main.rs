//! Seeded universes. Each seed draws a schedule of faults, tempers of the humans and clocks that
//! differ; after every step the invariants of ARCHITECTURE.md are checked against the truth.
//!
//! `SIM_SEEDS=1000000 cargo test -p tests --test sim universes` runs a million, `SIM_FIRST` says
//! where to begin. A failing seed is shrunk and prints the one command that shows it again:
//! `SIM_SEED=… SIM_KEEP=… cargo test -p tests --test sim one_universe`.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use agent_core::{Health, StandingOrder, Status};
use jiff::SignedDuration;
use tests::universe::{
    Coverage, Sabotage, Scheduled, Settings, Universe, Violation, cutover_schedule, group_schedule,
    planned_schedule, schedule, several,
};

/// What a universe is about.
#[derive(Clone, Copy, PartialEq)]
enum Story {
    Outage,
    OverAndBack,
    /// A SQL Server that can't change roles over its link gives it up.
    Cutting,
    /// The primary of such a link is lost: only a deletion lets the copy in Azure go on.
    Severing,
    /// Either of them where SQL Server is a group of replicas that fails over by itself too.
    Group,
}

impl Story {
    /// Draws from a seed what goes wrong.
    fn draw(self, seed: u64) -> Vec<Scheduled> {
        match self {
            Self::Outage | Self::Severing => schedule(seed),
            Self::OverAndBack => planned_schedule(seed),
            Self::Cutting => cutover_schedule(seed),
            Self::Group => group_schedule(seed),
        }
    }
}

/// Faults go on for this long.
const STORM: SignedDuration = SignedDuration::from_secs(130);
/// After it every approved plan has closed, and the agent knows the health again.
const CALM: SignedDuration = SignedDuration::from_secs(300);

#[test]
fn universes() {
    let coverage = live_through(Story::Outage);
    // Rare edges need many seeds: a short run by hand proves less, and says so.
    if seeds() >= 5_000 {
        let missing = coverage.missing();
        assert!(missing.is_empty(), "never reached: {missing:#?}");
    }
}

/// Over and back, with everything going wrong that can go wrong on the way.
#[test]
fn planned_universes() {
    let coverage = live_through(Story::OverAndBack);
    if seeds() >= 10_000 {
        let missing = coverage.missing_planned();
        assert!(missing.is_empty(), "never reached: {missing:#?}");
    }
}

/// A cutover, with everything going wrong that can go wrong on the way.
#[test]
fn cutover_universes() {
    let coverage = live_through(Story::Cutting);
    if seeds() >= 5_000 {
        let missing = coverage.missing_cutting();
        assert!(missing.is_empty(), "never reached: {missing:#?}");
    }
}

/// An outage of a link that can't be failed over.
#[test]
fn severed_universes() {
    let coverage = live_through(Story::Severing);
    if seeds() >= 5_000 {
        let missing = coverage.missing_severing();
        assert!(missing.is_empty(), "never reached: {missing:#?}");
    }
}

/// A local failover, the loss of one replica or a rolling restart in the middle of it all.
#[test]
fn group_universes() {
    let coverage = live_through(Story::Group);
    if seeds() >= 5_000 {
        let missing = coverage.missing_group();
        assert!(missing.is_empty(), "never reached: {missing:#?}");
    }
}

fn live_through(story: Story) -> Coverage {
    let seeds = match story {
        Story::Group => seeds() / 5,
        Story::Cutting | Story::Severing => seeds() / 2,
        Story::Outage | Story::OverAndBack => seeds(),
    };
    let first = number("SIM_FIRST").unwrap_or(1);
    let next = AtomicU64::new(first);
    let failed = AtomicBool::new(false);
    let total = Mutex::new((Coverage::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut mine = Coverage::default();
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let (coverage, verdict) = live(story, seed, &story.draw(seed), None);
                    mine.merge(&coverage);
                    if let Err(violation) = verdict {
                        failed.store(true, Ordering::Relaxed);
                        total.lock().expect("no panic").1.push((seed, violation));
                    }
                }
                total.lock().expect("no panic").0.merge(&mine);
            });
        }
    });
    let (coverage, failures) = total.into_inner().expect("no panic");
    if let Some((seed, violation)) = failures.first() {
        panic!("{}", shrink(*seed, violation, story));
    }
    for (name, count) in coverage.iter() {
        eprintln!("{count:>8} {name}");
    }
    coverage
}

fn seeds() -> u64 {
    number("SIM_SEEDS").unwrap_or(10_000)
}

#[test]
fn one_universe() {
    let seed = number("SIM_SEED").unwrap_or(1);
    let set = |name| std::env::var_os(name).is_some();
    let story = match (set("SIM_PLANNED"), set("SIM_GROUP")) {
        _ if set("SIM_CUTTING") => Story::Cutting,
        _ if set("SIM_SEVERING") => Story::Severing,
        (false, false) => Story::Outage,
        (true, _) => Story::OverAndBack,
        (false, true) => Story::Group,
    };
    let kept = kept(&story.draw(seed), &keep());
    let (_, verdict) = live(story, seed, &kept, None);
    if let Err(violation) = verdict {
        panic!("seed {seed}: {violation}");
    }
}

/// Each invariant has been seen to fail: the house is broken in one place at a time, and the
/// checker has to notice, by the right number.
#[test]
fn each_invariant_is_seen_to_fail() {
    let cases = [
        (Sabotage::ForgetfulDisk, &["1", "6"][..]),
        (Sabotage::NoPermission, &["2"]),
        (Sabotage::AnyVote, &["2"]),
        (Sabotage::BlindToPrimary, &["5"]),
        (Sabotage::Twice, &["4"]),
        (Sabotage::Amnesia, &["2", "4"]),
        (Sabotage::OpenBounds, &["8"]),
        (Sabotage::Unattested, &["3"]),
        (Sabotage::Asleep, &["12"]),
        (Sabotage::AnySave, &["10"]),
        (Sabotage::WrongSide, &["10"]),
    ];
    for (sabotage, numbers) in cases {
        let caught = (1..2_000).find_map(|seed| {
            let (_, verdict) = live(Story::Outage, seed, &schedule(seed), Some(sabotage));
            verdict.err().filter(|violation| numbers.contains(&violation.invariant))
        });
        assert!(caught.is_some(), "{sabotage:?} goes unnoticed");
    }
    for (sabotage, numbers) in [
        (Sabotage::ForceInstead, &["3", "7"][..]),
        (Sabotage::LyingHook, &["3"]),
        (Sabotage::TrustsTheHook, &["7"]),
        (Sabotage::Impatient, &["7"]),
        (Sabotage::AnyLsn, &["7"]),
    ] {
        let caught = (1..2_000).find_map(|seed| {
            let (_, verdict) =
                live(Story::OverAndBack, seed, &planned_schedule(seed), Some(sabotage));
            verdict.err().filter(|violation| numbers.contains(&violation.invariant))
        });
        assert!(caught.is_some(), "{sabotage:?} goes unnoticed");
    }
    for (sabotage, numbers) in
        [(Sabotage::EarlyDeletion, &["3", "7"][..]), (Sabotage::TrustsTheHook, &["7"])]
    {
        let caught = (1..2_000).find_map(|seed| {
            let (_, verdict) = live(Story::Cutting, seed, &cutover_schedule(seed), Some(sabotage));
            verdict.err().filter(|violation| numbers.contains(&violation.invariant))
        });
        assert!(caught.is_some(), "{sabotage:?} goes unnoticed in a cutover");
    }
    for (sabotage, numbers) in [
        (Sabotage::BlindToPrimary, &["5"][..]),
        (Sabotage::Unattested, &["3"]),
        (Sabotage::WrongSide, &["10"]),
    ] {
        let caught = (1..2_000).find_map(|seed| {
            let (_, verdict) = live(Story::Severing, seed, &schedule(seed), Some(sabotage));
            verdict.err().filter(|violation| numbers.contains(&violation.invariant))
        });
        assert!(caught.is_some(), "{sabotage:?} goes unnoticed where a link is deleted");
    }
}

/// Lives through one universe to its end.
fn live(
    story: Story,
    seed: u64,
    faults: &[Scheduled],
    sabotage: Option<Sabotage>,
) -> (Coverage, Result<(), Violation>) {
    let mut universe = Universe::new(settings(story, seed, sabotage), seed);
    universe.cast_tempers(seed);
    universe.disturb(faults);
    let verdict = through(&mut universe);
    (universe.coverage, verdict)
}

fn through(universe: &mut Universe) -> Result<(), Violation> {
    let storm_ends = universe.now + STORM;
    universe.run(storm_ends)?;
    universe.calm();
    // Long enough for looks to come in and for the engines to reconnect.
    let settled = universe.now + SignedDuration::from_secs(25);
    universe.run(settled)?;
    universe.run_while(settled + CALM, |universe| !at_rest(universe))?;
    if !at_rest(universe) {
        let what = "a plan is approved and does not come to an end";
        return Err(Violation::new("12", what));
    }
    let health = universe
        .estate()
        .and_then(|estate| estate.record(&Universe::link()))
        .map(|record| record.health);
    if health.is_none_or(|health| health == Health::Unknown) {
        return Err(Violation::new(
            "12",
            "all is in reach, and the agent does not know the health",
        ));
    }
    universe.finish()
}

fn at_rest(universe: &Universe) -> bool {
    let Some(estate) = universe.estate() else { return false };
    let record = estate.record(&Universe::link());
    !record
        .and_then(|record| record.live())
        .is_some_and(|run| matches!(run.status, Status::Approved { .. } | Status::Undoing { .. }))
}

fn settings(story: Story, seed: u64, sabotage: Option<Sabotage>) -> Settings {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x5E77);
    // A replay costs as much as the life itself: one in four is run again.
    let replay = seed.is_multiple_of(4);
    let mut settings = Settings { sabotage, replay, skew_ms: 1_500, ..Settings::default() };
    if story == Story::Group {
        settings.world = several();
    }
    if matches!(story, Story::Cutting | Story::Severing) {
        settings.grown_old();
    }
    if rng.u8(0..6) == 0 {
        settings.managed_instance_domain.clone_from(&settings.agent_domain);
    }
    if rng.u8(0..3) == 0 {
        settings.break_glass = Some(std::time::Duration::from_secs(rng.u64(10..40)));
    }
    for link in &mut settings.world.links {
        link.session_timeout_s = rng.u32(2..8);
        // What an engine writes by itself goes on while everybody is out.
        link.log.background_ms = rng.u32(100..3_000);
    }
    for workload in &mut settings.world.workloads {
        workload.commits_per_s = 4.0;
        workload.bytes = rng.u32(300..12_000);
    }
    for instance in &mut settings.world.instances {
        instance.restart_ms = rng.u32(1_000..8_000);
    }
    match rng.u8(0..4) {
        0 => settings.guard.logins.clear(),
        1 => settings.guard = StandingOrder { on: false, logins: Vec::new() },
        _ => {}
    }
    settings
}

/// Leaves out faults as long as the same invariant still fails.
fn shrink(seed: u64, violation: &Violation, story: Story) -> String {
    let all = story.draw(seed);
    let mut keep: BTreeSet<usize> = (0..all.len()).collect();
    for place in 0..all.len() {
        let mut fewer = keep.clone();
        fewer.remove(&place);
        let (_, verdict) = live(story, seed, &kept(&all, &Some(fewer.clone())), None);
        if verdict.is_err_and(|found| found.invariant == violation.invariant) {
            keep = fewer;
        }
    }
    let what: Vec<String> = keep
        .iter()
        .map(|place| format!("  {} {:?}", all[*place].after, all[*place].chaos))
        .collect();
    let list: Vec<String> = keep.iter().map(ToString::to_string).collect();
    format!(
        "seed {seed}: {violation}\nwith\n{}\nagain: {}SIM_SEED={seed} SIM_KEEP={} cargo test -p tests --test sim one_universe",
        what.join("\n"),
        match story {
            Story::Outage => "",
            Story::OverAndBack => "SIM_PLANNED=1 ",
            Story::Cutting => "SIM_CUTTING=1 ",
            Story::Severing => "SIM_SEVERING=1 ",
            Story::Group => "SIM_GROUP=1 ",
        },
        list.join(",")
    )
}

fn kept(all: &[Scheduled], keep: &Option<BTreeSet<usize>>) -> Vec<Scheduled> {
    let wanted = |place: &usize| keep.as_ref().is_none_or(|keep| keep.contains(place));
    (0..all.len()).filter(wanted).map(|place| all[place].clone()).collect()
}

fn keep() -> Option<BTreeSet<usize>> {
    let list = std::env::var("SIM_KEEP").ok()?;
    Some(list.split(',').filter_map(|place| place.trim().parse().ok()).collect())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
