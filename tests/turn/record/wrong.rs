//! Recordings and journals that are not as they were written.

use std::{fs, path::PathBuf};

use agent_core::{Entry, Event, Seen, SilenceKind};
use dr_agent::{
    journal::{Hash, Journal, JournalError, Store as _},
    recorder::{Found, Frame, Life, Recording, tape},
    replay::{Broken, Extent, Rerun},
    turn::Turn,
};

use super::{data::BlackBox, scene};
use crate::{
    disk::{Disk, Fault},
    story::{Scene, at, failover, healthy, lost, settings},
};

#[test]
fn a_byte_that_changed_in_the_recording_is_found() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover());
    let file = black.files().remove(0);
    let whole = fs::read(&file).expect("readable");
    let lines = whole.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > 10);
    for at in (0..whole.len() - 1).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&file, bytes).expect("written");
        let (report, _) = black.replay(Extent::default());
        assert_eq!(report.damages.len(), 1, "byte {at}: {report:#?}");
        assert!(!report.is_good());
    }
}

#[test]
fn the_end_may_be_missing_and_the_next_start_goes_on_behind_it() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover());
    let file = black.files().remove(0);
    let whole = fs::read(&file).expect("readable");
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
    let before = black.head();
    for torn in [last + 1, last + 30, last + 60, whole.len() - 1] {
        for zeros in [0, 512] {
            let mut bytes = whole[..torn].to_vec();
            bytes.resize(torn + zeros, 0);
            fs::write(&file, bytes).expect("written");
            let (report, _) = black.replay(Extent::default());
            assert!(report.is_good(), "{torn}: {report:#?}");
            assert!(report.gaps.iter().all(|gap| gap.to == before), "{torn}: {report:#?}");
        }
    }
    // Power failed there; the agent starts again and goes on in the same segment.
    fs::write(&file, &whole[..last + 30]).expect("written");
    let scenes = [scene(300, healthy("orders", 300)), scene(301, lost("orders", 301))];
    black.live(settings(&["orders"]), &scenes);
    let (report, _) = black.replay(Extent::default());
    assert!(report.is_good(), "{report:#?}");
    assert_eq!((report.lives, black.segments()), (2, 1));
    let missing: u64 = report.gaps.iter().map(|gap| gap.to - gap.after).sum();
    assert_eq!(report.same + missing, black.head(), "{report:#?}");
}

#[test]
fn an_entry_that_changed_in_the_journal_is_found() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover());
    let entries = black.entries();
    let mut forgeries = 0;
    for place in 0..entries.len() {
        let mut forged = entries.clone();
        let Some(seq) = forge(&mut forged[place]) else { continue };
        forgeries += 1;
        let journal = rewritten(&black, &forged);
        let (report, _) = black.replay_with(&journal, Extent::default());
        let difference = report.difference.as_ref().unwrap_or_else(|| panic!("{seq}: {report:#?}"));
        assert_eq!(difference.seq, seq, "{difference:#?}");
        assert_eq!(difference.why, "the journal has another entry than what is decided now");
        let (then, now) = difference.parting().expect("two texts");
        assert_ne!(then, now);
        assert!(difference.given[0].starts_with("a turn at 2026-01-02T03:0"), "{difference:#?}");
    }
    assert!(forgeries > 7, "{forgeries}");
}

#[test]
fn a_journal_that_lost_its_end_is_found() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover());
    let entries = black.entries();
    for kept in 1..entries.len() - 2 {
        let journal = rewritten(&black, &entries[..kept]);
        let (report, _) = black.replay_with(&journal, Extent::default());
        let difference =
            report.difference.as_ref().unwrap_or_else(|| panic!("{kept}: {report:#?}"));
        assert!(difference.seq <= u64::try_from(kept).expect("few") + 1, "{difference:#?}");
        assert_eq!(difference.journal, None, "{difference:#?}");
    }
}

/// A recording that was altered with all its hashes made anew still has to bring about the journal.
#[test]
fn a_look_that_was_put_in_afterwards_is_found() {
    let mut black = BlackBox::new();
    black.live(settings(&["orders"]), &failover());
    let mut frames = frames(&black);
    assert!(rerun(&black, frames.clone()).is_ok());
    let seen = frames.iter_mut().find_map(|frame| match frame {
        Frame::Turn(given) => given.seen.iter_mut().find_map(|look| match &mut look.seen {
            Seen::Silence(silence) => Some(silence),
            Seen::Side(_) | Seen::Control(_) => None,
        }),
        Frame::Mark(_) | Frame::Foreign { .. } => None,
    });
    seen.expect("a silence was recorded").kind = SilenceKind::LoginFailed;
    assert!(matches!(rerun(&black, frames), Err(Broken::Difference(_))));
}

/// The disk of the journal fails at each append in turn; the next agent goes on, and both lives are
/// decided again.
#[test]
fn a_turn_that_was_never_stored_is_told_and_no_difference() {
    let mut appends = 1;
    let mut append = 0;
    while append < appends {
        for fault in [None, Some(Fault::Lost), Some(Fault::Unheard)] {
            let disk = Disk::default();
            if let Some(fault) = fault {
                disk.fail(append, fault);
            }
            let mut frames = Vec::new();
            let scenes = failover();
            for (part, later) in [(&scenes[..], 0), (&scenes[..6], 1_000)] {
                frames.extend(live(&disk, part, later));
            }
            appends = appends.max(disk.appends());
            let head = u64::try_from(disk.texts().len()).expect("few");
            let mut rerun = Rerun::new(text_of(disk.texts()), false, |_| {});
            let run = frames.into_iter().try_for_each(|frame| rerun.frame(frame));
            run.unwrap_or_else(|broken| panic!("append {append}, {fault:?}: {broken:?}"));
            let report = rerun.finish(head).expect("readable");
            assert!(report.is_good(), "append {append}, {fault:?}: {report:#?}");
            assert_eq!(report.same, head, "append {append}, {fault:?}: {report:#?}");
            let told = report.gaps.iter().any(|gap| gap.why.contains("its append failed"));
            assert_eq!(told, fault == Some(Fault::Lost), "append {append}, {fault:?}: {report:#?}");
        }
        append += 1;
    }
    assert!(appends > 8);
}

/// One agent until it ends, or its journal fails.
fn live(disk: &Disk, scenes: &[Scene], later: i64) -> Vec<Frame> {
    let settings = settings(&["orders"]);
    let mut estate = settings.estate();
    let (head, term) = disk.fold(&mut estate);
    let life = Life::new(env!("CARGO_PKG_VERSION"), term, "sha256:00", &settings);
    let (recorder, mut feed) = tape(life);
    let mut turn = Turn::new(estate, disk.clone(), head, term).recorded(recorder);
    for scene in scenes {
        let inputs = (scene.inputs)(turn.estate(), scene.second);
        if turn.take(at(scene.second + later), scene.seen.clone(), inputs).is_err() {
            break;
        }
    }
    feed.take()
}

fn forge(entry: &mut Entry) -> Option<u64> {
    match &mut entry.event {
        Event::AgentStarted { version, .. } => version.push('9'),
        Event::HealthChanged { reasons, .. } => drop(reasons.pop()?),
        Event::StepDone { seen, .. } => seen.push('!'),
        Event::ProposalClosed { why, .. } => why.push('!'),
        Event::ProposalApproved { break_glass, .. } => *break_glass = !*break_glass,
        Event::StepNotDone { why, .. } => why.push('!'),
        Event::ProposalOpened { .. }
        | Event::BallotReceived { .. }
        | Event::StepStarted { .. }
        | Event::StepSending { .. }
        | Event::StepNoted { .. }
        | Event::StepUnknown { .. }
        | Event::UndoStarted { .. }
        | Event::EpisodeAcknowledged { .. }
        | Event::GuardLifted { .. }
        | Event::StateReported { .. }
        | Event::RunbookIssued { .. } => return None,
    }
    Some(entry.seq)
}

/// A journal with these entries and a chain that is whole.
fn rewritten(black: &BlackBox, entries: &[Entry]) -> PathBuf {
    let folder = black.path().join(format!("forged-{}-{}", entries.len(), fastrand::u64(..)));
    let path = folder.join("journal.db");
    let mut journal = Journal::open(&path).expect("a journal");
    journal.append(0, &Hash::GENESIS, 1, entries).expect("it takes them");
    path
}

fn frames(black: &BlackBox) -> Vec<Frame> {
    let mut recording = Recording::open(&black.recording()).expect("a recording");
    let segments = recording.segments().to_vec();
    let mut frames = Vec::new();
    for number in segments {
        let segment = recording.segment(number).expect("readable").expect("it is there");
        frames.extend(segment.map(|found| match found {
            Found::Frame(frame) => frame,
            Found::Torn | Found::Altered { .. } => panic!("{found:?}"),
        }));
    }
    frames
}

fn rerun(black: &BlackBox, frames: Vec<Frame>) -> Result<(), Broken> {
    let texts = black.entries().iter().map(agent_core::write).collect();
    let mut rerun = Rerun::new(text_of(texts), false, |_| {});
    frames.into_iter().try_for_each(|frame| rerun.frame(frame))
}

/// A journal in memory.
fn text_of(texts: Vec<String>) -> impl FnMut(u64) -> Result<Option<String>, JournalError> {
    move |seq| {
        let place = usize::try_from(seq).expect("few").checked_sub(1);
        Ok(place.and_then(|place| texts.get(place).cloned()))
    }
}
