//! The flight recorder beside the real turn and the real journal: whatever happens to it, the turn
//! goes on, and what it kept decides the same again.

mod data;
mod slow;
mod wrong;

use std::time::Duration;

use agent_core::{Event, Observation};
use dr_agent::{recorder::Bounds, replay::Extent};

use self::data::BlackBox;
use crate::story::{Scene, at, failover, healthy, lost, settings, start};

#[test]
fn a_failover_comes_out_the_same_to_the_byte() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover());
    let (report, explained) = black.replay(Extent::default());
    assert!(report.is_good() && report.gaps.is_empty(), "{report:#?}");
    assert_eq!((report.lives, report.same), (1, black.head()));
    assert!(report.looks >= 10 && report.same > 15, "{report:#?}");
    // Whoever asks why a proposal was opened gets what was seen just before.
    let opened =
        explained.iter().find(|told| matches!(told.entry.event, Event::ProposalOpened { .. }));
    let opened = opened.expect("a proposal was opened");
    assert_eq!(opened.looks.len(), 2);
    assert_eq!(opened.looks[0].begun_at, at(20));
}

#[test]
fn each_start_is_decided_again_under_its_own_configuration() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover()[..4]);
    // The second one would wait an hour before it proposes, and knows another link.
    let mut patient = settings(&["orders", "billing"]);
    patient.links[0].policy.propose_after = Duration::from_secs(3600);
    black.live(patient, &[10, 40, 42].map(|second| scene(second, lost("orders", second))));
    let proposals = |black: &BlackBox| {
        let opened = |event: &Event| matches!(event, Event::ProposalOpened { .. });
        black.entries().iter().filter(|entry| opened(&entry.event)).count()
    };
    assert_eq!(proposals(&black), 0);
    // The third one is as the first.
    let mut last = vec![scene(60, healthy("orders", 60))];
    last.extend([61, 63, 80, 90].map(|second| scene(second, lost("orders", second))));
    black.live(settings(&["orders"]), &last);
    assert_eq!(proposals(&black), 1);
    let (report, _) = black.replay(Extent::default());
    assert!(report.is_good() && report.gaps.is_empty(), "{report:#?}");
    assert_eq!((report.lives, report.same), (3, black.head()));
    assert_eq!(black.segments(), 1, "a start does not begin a new segment");
}

#[test]
fn the_oldest_segments_make_room_and_the_rest_stands_by_itself() {
    let bounds = Bounds { keep_bytes: 400_000, segment_bytes: 40_000, leave_bytes: 0 };
    let mut black = BlackBox::bounded(bounds);
    black.live(settings(&["orders"]), &outages(12));
    assert!(black.bytes() <= 400_000 && black.segments() > 3, "{} bytes", black.bytes());
    let (report, _) = black.replay(Extent::default());
    assert!(report.is_good(), "{report:#?}");
    let [gap] = report.gaps.as_slice() else { panic!("{report:#?}") };
    assert_eq!((gap.after, gap.why.as_str()), (0, "the recording begins later"));
    assert!(gap.to > 3, "{gap:?}");
    assert_eq!((report.same + gap.to, report.last), (black.head(), Some(black.head())));

    // From the middle on: less is run again, and it comes out the same.
    let extent = Extent { from: black.head() - 3, ..Extent::default() };
    let (later, _) = black.replay(extent);
    assert!(later.is_good() && later.gaps.is_empty(), "{later:#?}");
    assert!(later.turns < report.turns && later.same >= 4, "{later:#?}");
    let extent = Extent { to: Some(gap.to + 2), ..Extent::default() };
    let (sooner, _) = black.replay(extent);
    assert!(sooner.is_good() && sooner.turns < report.turns, "{sooner:#?}");
}

#[test]
fn another_version_is_not_put_into_the_mouth_of_this_one() {
    let mut black = BlackBox::new();
    black.version = "0.0.1";
    black.live(settings(&["orders"]), &failover());
    let (report, _) = black.replay(Extent::default());
    let [gap] = report.gaps.as_slice() else { panic!("{report:#?}") };
    assert_eq!((report.turns, gap.to), (0, black.head()));
    assert!(gap.why.starts_with("version 0.0.1 decided it, and this is "), "{gap:?}");
    let (report, _) = black.replay(Extent { any_version: true, ..Extent::default() });
    assert!(report.is_good() && report.same == black.head(), "{report:#?}");
}

fn scene(second: i64, seen: Vec<Observation>) -> Scene {
    Scene { second, seen, inputs: |_, _| Vec::new() }
}

/// A link that is lost and found again so many times, with a look every second.
fn outages(times: i64) -> Vec<Scene> {
    let mut scenes = vec![Scene { second: 0, seen: Vec::new(), inputs: |_, _| vec![start()] }];
    for time in 0..times {
        let begin = 1 + time * 200;
        let up = |second| scene(second, healthy("orders", second));
        let down = |second| scene(second, lost("orders", second));
        scenes.extend((begin..begin + 100).map(up));
        scenes.extend((begin + 100..begin + 130).map(down));
        scenes.extend((begin + 130..begin + 200).map(up));
    }
    scenes
}
