//! A turn whose append fails, and the process after it.

use std::collections::BTreeMap;

use agent_core::{End, Entry, Health, Refusal, Status, Work};
use dr_agent::{
    journal::{Journal, JournalError, Reader},
    turn::{BATCH, Taken, Turn},
};

use crate::{
    disk::{Disk, Fault},
    story::{Scene, approval, at, estate, failover, healthy, link, lost, propose, start},
};

const LINK: &[&str] = &["orders"];

/// A process that comes up: it folds the journal and goes on.
fn boot(disk: &Disk) -> Turn<Disk> {
    let mut estate = estate(LINK);
    let (head, term) = disk.fold(&mut estate);
    Turn::new(estate, disk.clone(), head, term)
}

fn play(turn: &mut Turn<Disk>, scene: &Scene) -> Result<Taken, JournalError> {
    let inputs = (scene.inputs)(turn.estate(), scene.second);
    turn.take(at(scene.second), scene.seen.clone(), inputs)
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(agent_core::write).collect()
}

fn events(disk: &Disk) -> Vec<String> {
    let read = |text: &String| agent_core::read(text).expect("an entry");
    disk.texts().iter().map(|text| read(text).event.name().to_owned()).collect()
}

/// The story without a fault: the events, and the work that was told when the journal was so long.
fn reference() -> (Vec<String>, BTreeMap<usize, Vec<Work>>, usize) {
    let disk = Disk::default();
    let mut turn = boot(&disk);
    let mut works = BTreeMap::from([(0, Vec::new())]);
    for scene in failover() {
        let taken = play(&mut turn, &scene).expect("no fault");
        works.insert(disk.texts().len(), taken.work);
    }
    let run = turn.estate().record(&link("orders")).and_then(|record| record.run.clone());
    assert_eq!(run.expect("a run").status, Status::Closed(End::Succeeded), "the story is whole");
    (events(&disk), works, disk.appends())
}

#[test]
fn wherever_an_append_fails_the_next_process_goes_on() {
    let (expected, works, appends) = reference();
    assert!(appends >= 8, "the story has {appends} appends");
    for append in 0..appends {
        for fault in [Fault::Lost, Fault::Unheard] {
            let disk = Disk::default();
            disk.fail(append, fault);
            let scenes = failover();
            let failed = until_it_fails(&disk, &scenes);

            let durable = disk.texts().len();
            let mut turn = boot(&disk);
            assert_eq!(&turn.estate().work(), &works[&durable], "append {append}, {fault:?}");

            // The evidence died with the process; looks bring it back. Whoever sent an input and
            // had no verdict sends it again, and it is in the journal at most once.
            let first = &scenes[failed];
            let seen = scenes[..=failed].iter().flat_map(|scene| scene.seen.clone()).collect();
            let inputs = match fault {
                Fault::Lost => (first.inputs)(turn.estate(), first.second),
                Fault::Unheard => Vec::new(),
            };
            turn.take(at(first.second), seen, inputs).expect("the disk is well again");
            for scene in &scenes[failed + 1..] {
                play(&mut turn, scene).expect("the disk is well again");
            }
            assert_eq!(events(&disk), expected, "append {append}, {fault:?}");
        }
    }
}

/// Plays until the append that fails; checks that all that was told before is durable.
fn until_it_fails(disk: &Disk, scenes: &[Scene]) -> usize {
    let mut turn = boot(disk);
    let mut told = Vec::new();
    for (place, scene) in scenes.iter().enumerate() {
        match play(&mut turn, scene) {
            Ok(taken) => {
                told.extend(texts(&taken.appended));
                let verdicts: Vec<_> = taken.verdicts.into_iter().filter_map(Result::ok).collect();
                assert!(texts(&verdicts).iter().all(|text| told.contains(text)));
                assert_eq!(disk.texts(), told, "what was told is on disk, and nothing else");
            }
            Err(error) => {
                assert!(matches!(error, JournalError::Io { .. }), "{error}");
                assert_eq!(disk.texts()[..told.len()], told);
                return place;
            }
        }
    }
    panic!("no append failed");
}

#[test]
fn two_processes_do_not_both_write() {
    let disk = Disk::default();
    let (mut one, mut two) = (boot(&disk), boot(&disk));
    one.take(at(0), Vec::new(), vec![start()]).expect("the first one writes");
    let refused = two.take(at(0), Vec::new(), vec![start()]);
    assert!(matches!(refused, Err(JournalError::Conflict { .. })), "{refused:?}");
    assert_eq!(disk.texts().len(), 1);
}

#[test]
fn a_refusal_changes_nothing() {
    let disk = Disk::default();
    let mut turn = boot(&disk);
    turn.take(at(1), healthy("orders", 1), vec![start()]).expect("written");
    for second in [2, 4] {
        turn.take(at(second), lost("orders", second), Vec::new()).expect("written");
    }
    turn.take(at(5), Vec::new(), vec![propose("orders")]).expect("written");
    turn.take(at(6), Vec::new(), vec![approval(turn.estate(), "orders", "alice", 6)])
        .expect("written");
    let (before, appends) = (format!("{:?}", turn.estate()), disk.appends());
    let again = approval(turn.estate(), "orders", "alice", 7);
    let refused = vec![propose("orders"), propose("elsewhere"), again];
    let taken = turn.take(at(7), Vec::new(), refused).expect("nothing to write");
    assert!(
        matches!(
            taken.verdicts[..],
            [
                Err(Refusal::ProposalOpen { .. }),
                Err(Refusal::UnknownLink { .. }),
                Err(Refusal::AlreadyDecided { .. })
            ]
        ),
        "{:?}",
        taken.verdicts
    );
    assert_eq!(taken.appended, []);
    assert_eq!((format!("{:?}", turn.estate()), disk.appends()), (before, appends));
}

#[test]
fn inputs_are_judged_on_what_was_seen_with_them() {
    let disk = Disk::default();
    let mut turn = boot(&disk);
    for second in [1, 2] {
        turn.take(at(second), lost("orders", second), Vec::new()).expect("written");
    }
    // The proposal and the look that contradicts it come in together.
    let taken = turn.take(at(3), healthy("orders", 3), vec![propose("orders")]).expect("written");
    assert!(matches!(taken.verdicts[..], [Err(Refusal::PrimarySeen { .. })]), "{taken:?}");
    let record = turn.estate().record(&link("orders")).expect("known");
    assert_eq!((record.health, record.run.is_none()), (Health::Healthy, true));
}

#[test]
fn a_full_turn_is_one_append_and_its_verdicts_keep_their_order() {
    let disk = Disk::default();
    let mut turn = boot(&disk);
    let mut inputs: Vec<_> = (0..BATCH).map(|_| start()).collect();
    inputs[17] = propose("elsewhere");
    let taken = turn.take(at(1), Vec::new(), inputs).expect("written");
    assert_eq!((disk.appends(), disk.texts().len()), (1, BATCH - 1));
    for (place, verdict) in taken.verdicts.iter().enumerate() {
        match verdict {
            Ok(entry) => assert_eq!(entry.seq, place as u64 + u64::from(place < 17)),
            Err(refusal) => assert_eq!((place, refusal.to_string().is_empty()), (17, false)),
        }
    }
}

/// A site goes dark, and with it everything in it. Each link has its own verdict and proposal, and
/// so many at once are no sign of a rule that does not come to rest.
#[test]
fn many_links_may_fail_in_one_turn() {
    let names: Vec<String> = (0..100).map(|number| format!("link-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let disk = Disk::default();
    let mut turn = Turn::new(estate(&names), disk.clone(), dr_agent::journal::Hash::GENESIS, 1);
    let all = |look: fn(&str, i64) -> Vec<agent_core::Observation>, second| {
        names.iter().flat_map(|name| look(name, second)).collect()
    };
    turn.take(at(1), all(healthy, 1), Vec::new()).expect("all are healthy");
    for second in [2, 4, 20] {
        turn.take(at(second), all(lost, second), Vec::new()).expect("all are lost");
    }
    assert!(disk.texts().len() > 60, "{}", disk.texts().len());
}

/// A clock that is behind the journal: entries keep their order in time.
#[test]
fn the_time_of_entries_never_goes_back() {
    let disk = Disk::default();
    let mut turn = boot(&disk);
    turn.take(at(20), Vec::new(), vec![start()]).expect("written");
    let taken = turn.take(at(5), Vec::new(), vec![start()]).expect("written");
    assert_eq!(taken.appended.iter().map(|entry| entry.at).collect::<Vec<_>>(), [at(20)]);
}

/// A link leaves the configuration while its proposal is open: nobody looks at it any more.
#[test]
fn a_proposal_whose_link_is_gone_is_closed() {
    let disk = Disk::default();
    let mut turn = boot(&disk);
    for scene in failover() {
        play(&mut turn, &scene).expect("written");
        if events(&disk).last().is_some_and(|event| event == "proposal_opened") {
            break;
        }
    }
    let mut bare = estate(&[]);
    let (head, term) = disk.fold(&mut bare);
    let mut turn = Turn::new(bare, disk.clone(), head, term);
    turn.take(at(1_000), Vec::new(), Vec::new()).expect("written");
    assert_eq!(events(&disk).last().map(String::as_str), Some("proposal_closed"));
}

/// The same over the real journal, closed and opened again after every turn.
#[test]
fn the_story_survives_a_restart_after_every_turn() {
    let (expected, works, _) = reference();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let scenes = failover();
    let mut last_term = 0;
    for (place, scene) in scenes.iter().enumerate() {
        let journal = Journal::open(&path).expect("the one before has let go of it");
        let mut folded = estate(LINK);
        let (head, term) = journal.fold(&mut folded).expect("whole");
        assert!(term > last_term || folded.last_seq() == 0, "each process has its own term");
        let durable = usize::try_from(folded.last_seq()).expect("small");
        assert_eq!(&folded.work(), &works[&durable], "before scene {place}");
        let mut turn = Turn::new(folded, journal, head, term);
        let seen = scenes[..=place].iter().flat_map(|scene| scene.seen.clone()).collect();
        let inputs = (scene.inputs)(turn.estate(), scene.second);
        let taken = turn.take(at(scene.second), seen, inputs).expect("written");
        last_term = if taken.appended.is_empty() { last_term } else { term };
    }
    let reader = Reader::open(&path).expect("readable");
    let stored = reader.read_after(0, 1000).expect("readable");
    let names: Vec<_> = stored.iter().map(|stored| stored.entry.event.name()).collect();
    assert_eq!(names, expected);
    assert_eq!(reader.verify().expect("in order").entries, names.len() as u64);
}
