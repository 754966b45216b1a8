//! The loop, run again frame by frame.

use std::sync::Arc;

use agent_core::{Entry, Estate, Event, Input, Report as Told, Seq};

use super::report::{Decided, Difference, Gap, Report};
use crate::{
    journal::{Hash, JournalError, Store},
    recorder::{Frame, Given, Life, Mark, Why},
    turn::Turn,
};

/// This version of the agent.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Gaps that are told at the most.
const GAPS: usize = 1000;
/// Why the end of a life is missing.
const UNRECORDED: &str = "the agent ended, or was asked, before they were recorded";

/// Runs frames again. `journal` gives the exact text of an entry, or None where the journal ends.
pub struct Rerun<J, E> {
    journal: J,
    each: E,
    any_version: bool,
    /// The life that the newest mark belongs to.
    life: Option<Arc<Life>>,
    /// None: what comes before the next mark can't be decided again.
    turn: Option<Turn<Nowhere>>,
    /// What came of the newest turn, as long as it is not what the journal has.
    pending: Option<Pending>,
    /// The newest entry that is accounted for.
    at: Seq,
    /// Why those before the next mark are not.
    because: Option<Because>,
    report: Report,
}

/// Why it can't go on.
#[derive(Debug)]
pub enum Broken {
    Difference(Box<Difference>),
    Journal(JournalError),
}

/// A turn whose entries are not in the journal: the append may have failed, and then the life ends
/// here, or it may be under way.
struct Pending {
    given: Given,
    entries: Vec<Entry>,
    difference: Difference,
}

struct Because {
    why: String,
    /// Worth a word even if there are no such entries: looks are missing.
    always: bool,
}

/// Keeps nothing: what is appended is compared by whoever runs the turn.
#[derive(Debug)]
struct Nowhere;

impl Store for Nowhere {
    fn append(
        &mut self,
        _after: Seq,
        prev: &Hash,
        _term: u64,
        _entries: &[Entry],
    ) -> Result<Hash, JournalError> {
        Ok(*prev)
    }
}

impl<J, E> Rerun<J, E>
where
    J: FnMut(Seq) -> Result<Option<String>, JournalError>,
    E: FnMut(&Decided<'_>),
{
    pub fn new(journal: J, any_version: bool, each: E) -> Self {
        Self {
            journal,
            each,
            any_version,
            life: None,
            turn: None,
            pending: None,
            at: 0,
            because: because("the recording begins later", false),
            report: Report::default(),
        }
    }

    /// What comes before the first mark is not missed.
    pub fn begin_anywhere(&mut self) {
        self.because = None;
    }

    /// The newest entry that is accounted for.
    pub fn at(&self) -> Seq {
        self.at
    }

    /// Runs one frame.
    ///
    /// # Errors
    ///
    /// The first difference; or the journal can't be read.
    pub fn frame(&mut self, frame: Frame) -> Result<(), Broken> {
        self.judge_pending(&frame)?;
        match frame {
            Frame::Mark(mark) => self.mark(*mark),
            Frame::Turn(given) => self.given(*given),
            Frame::Foreign { life, why } => {
                self.enter(&life, false);
                let version = &life.version;
                self.break_off(&format!(
                    "version {version} recorded what this one can't read: {why}"
                ));
                Ok(())
            }
        }
    }

    /// What comes before the next mark can't be decided again.
    pub fn break_off(&mut self, why: &str) {
        self.turn = None;
        self.because = because(why, true);
    }

    /// The recording is not what was written.
    pub fn altered(&mut self, what: String) {
        self.break_off("the recording is damaged");
        self.report.damages.push(what);
    }

    /// What was found, the journal ending with entry `head`.
    ///
    /// # Errors
    ///
    /// The journal can't be read.
    pub fn finish(mut self, head: Seq) -> Result<Report, JournalError> {
        if let Some(pending) = self.pending.take() {
            match self.compare(&pending.entries) {
                Ok(()) => self.accept(&pending.given, &pending.entries),
                Err(Broken::Journal(error)) => return Err(error),
                Err(Broken::Difference(difference)) if !self.ended_there(&pending, &difference) => {
                    return Ok(self.differs(*with_given(difference, &pending.given)));
                }
                Err(Broken::Difference(_)) => self.gap(
                    self.at,
                    "the last turn decided what the journal does not have: its append failed, or is under way",
                ),
            }
        }
        if head > self.at {
            let why = self.because.take().map_or(UNRECORDED.to_owned(), |because| because.why);
            self.gap(head, &why);
        }
        Ok(self.report)
    }

    /// What was found up to a difference.
    pub fn differs(mut self, difference: Difference) -> Report {
        self.report.difference = Some(difference);
        self.report
    }

    /// Whether the journal ends before the turn, or goes on with another life there. The entries of a
    /// turn are stored together or not at all: a journal with some of them was cut off.
    fn ended_there(&self, pending: &Pending, difference: &Difference) -> bool {
        if difference.seq > pending.given.follows + 1 {
            return false;
        }
        let entry = difference.journal.as_ref().map(|text| agent_core::read(text));
        match entry {
            None => true,
            Some(Ok(entry)) => matches!(entry.event, Event::AgentStarted { .. }),
            Some(Err(_)) => false,
        }
    }

    /// One that wrote nothing to the journal leaves its term to the next one.
    fn is_new(&self, life: &Life, started: bool) -> bool {
        started || self.life.as_ref().is_none_or(|known| known.term != life.term)
    }

    fn enter(&mut self, life: &Arc<Life>, started: bool) -> bool {
        let new = self.is_new(life, started);
        if new {
            let first = self.life.replace(Arc::clone(life)).is_none();
            self.report.lives += 1;
            self.turn = None;
            if !first && self.because.is_none() {
                self.because = because(UNRECORDED, false);
            }
        }
        new
    }

    fn mark(&mut self, mark: Mark) -> Result<(), Broken> {
        let new = self.enter(&mark.life, mark.why == Why::Started);
        if mark.follows < self.at {
            let why = format!(
                "a mark of the recording says that entry {} was the newest, and later ones were decided before it",
                mark.follows
            );
            return Err(different(Difference::new(mark.follows + 1, why)));
        }
        let goes_on = self.turn.as_ref().filter(|_| !new && mark.why == Why::Segment);
        if let Some(turn) = goes_on.filter(|turn| turn.estate().last_seq() == mark.follows) {
            let same = turn.estate().evidence().eq(mark.evidence.iter().map(|(id, e)| (id, e)));
            if !same {
                let why = "the evidence at the beginning of a segment is not what the looks before it add up to";
                return Err(different(Difference::new(mark.follows + 1, why)));
            }
            return Ok(());
        }
        if let Why::Lost { turns } = mark.why {
            self.because = because(&format!("{turns} turns could not be recorded"), true);
        }
        if let Some(Because { why, always }) = self.because.take() {
            if always || mark.follows > self.at {
                self.gap(mark.follows, &why);
            }
        } else if mark.follows > self.at && self.report.turns > 0 {
            return Err(self.not_decided());
        }
        self.at = mark.follows;
        if let Some(why) = self.refuses(&mark.life) {
            self.break_off(&why);
            return Ok(());
        }
        let mut estate = self.folded(&mark)?;
        estate.go_on_from(mark.evidence);
        self.turn = Some(Turn::new(estate, Nowhere, Hash::GENESIS, 0));
        Ok(())
    }

    /// Why the turns of a life are not decided again by this version.
    fn refuses(&self, life: &Life) -> Option<String> {
        if life.version != VERSION && !self.any_version {
            let version = &life.version;
            return Some(format!(
                "version {version} decided it, and this is {VERSION}: run the replay of that version, or allow any"
            ));
        }
        life.read_settings().err()
    }

    /// The estate as the journal has it at a mark.
    fn folded(&mut self, mark: &Mark) -> Result<Estate, Broken> {
        let settings = mark.life.read_settings();
        let settings = settings.map_err(|why| different(Difference::new(mark.follows, why)))?;
        let (mut estate, mut from) = (settings.estate(), 1);
        if let Some(turn) = self.turn.take() {
            from = turn.estate().last_seq() + 1;
            estate = turn.estate().clone();
        }
        for seq in from..=mark.follows {
            let text = (self.journal)(seq).map_err(Broken::Journal)?;
            let Some(text) = text else {
                let why = format!(
                    "the journal ends before entry {}, which was durable when this was recorded: its end was cut off",
                    mark.follows
                );
                return Err(different(Difference::new(seq, why)));
            };
            let applied = agent_core::read(&text)
                .and_then(|entry| estate.apply(&entry).map_err(|illegal| illegal.to_string()));
            applied.map_err(|why| {
                let why = format!("it can't follow from the entries before it: {why}");
                different(Difference::new(seq, why).texts(Some(&text), None))
            })?;
        }
        Ok(estate)
    }

    fn given(&mut self, given: Given) -> Result<(), Broken> {
        let Some(turn) = self.turn.as_mut() else { return Ok(()) };
        let last = turn.estate().last_seq();
        if given.follows > last {
            return Err(self.not_decided());
        }
        if given.follows < last {
            let why = format!(
                "the recording says that nothing was decided behind entry {}, and it is decided now",
                given.follows
            );
            return Err(different(Difference::new(given.follows + 1, why)));
        }
        let taken = turn.take(given.now, given.seen.clone(), given.inputs.clone());
        self.report.turns += 1;
        self.report.looks += u64::try_from(given.seen.len()).unwrap_or(u64::MAX);
        let differs = |why: String| {
            let difference = Box::new(Difference::new(given.follows + 1, why));
            Broken::Difference(with_given(difference, &given))
        };
        let taken = taken.map_err(|error| differs(format!("the turn fails now: {error}")))?;
        if let Some(refusal) = taken.verdicts.iter().find_map(|verdict| verdict.as_ref().err()) {
            return Err(differs(format!("an input that was accepted is refused now: {refusal}")));
        }
        match self.compare(&taken.appended) {
            Ok(()) => self.accept(&given, &taken.appended),
            Err(Broken::Difference(difference)) => {
                let difference = *with_given(difference, &given);
                self.pending = Some(Pending { given, entries: taken.appended, difference });
            }
            Err(error @ Broken::Journal(_)) => return Err(error),
        }
        Ok(())
    }

    /// A turn that is not in the journal is no difference if it was the last of its life.
    fn judge_pending(&mut self, next: &Frame) -> Result<(), Broken> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let begins = match next {
            Frame::Mark(mark) if mark.follows == pending.given.follows => {
                self.is_new(&mark.life, mark.why == Why::Started)
            }
            Frame::Foreign { life, .. } => self.is_new(life, false),
            Frame::Mark(_) | Frame::Turn(_) => false,
        };
        if begins {
            self.gap(
                self.at,
                "the last turn of a life decided what was never stored: its append failed",
            );
            return Ok(());
        }
        match self.compare(&pending.entries) {
            Ok(()) => {
                self.accept(&pending.given, &pending.entries);
                Ok(())
            }
            Err(Broken::Difference(_)) => Err(different(pending.difference)),
            Err(error @ Broken::Journal(_)) => Err(error),
        }
    }

    fn compare(&mut self, entries: &[Entry]) -> Result<(), Broken> {
        for entry in entries {
            let now = agent_core::write(entry);
            let then = (self.journal)(entry.seq).map_err(Broken::Journal)?;
            if then.as_ref() == Some(&now) {
                continue;
            }
            let why = match &then {
                Some(_) => "the journal has another entry than what is decided now",
                None => "it is decided now, and the journal does not have it",
            };
            let difference = Difference::new(entry.seq, why);
            return Err(different(difference.texts(then.as_deref(), Some(&now))));
        }
        Ok(())
    }

    fn accept(&mut self, given: &Given, entries: &[Entry]) {
        let Some(turn) = &self.turn else { return };
        for entry in entries {
            self.at = entry.seq;
            self.report.same += 1;
            self.report.first.get_or_insert(entry.seq);
            self.report.last = Some(entry.seq);
            (self.each)(&Decided { entry, given, estate: turn.estate() });
        }
    }

    /// The journal has an entry that nothing brings about.
    fn not_decided(&mut self) -> Broken {
        let seq = self.at + 1;
        match (self.journal)(seq) {
            Ok(text) => {
                let why = "the journal has it, and nothing that was recorded brings it about";
                different(Difference::new(seq, why).texts(text.as_deref(), None))
            }
            Err(error) => Broken::Journal(error),
        }
    }

    fn gap(&mut self, to: Seq, why: &str) {
        if self.report.gaps.len() < GAPS {
            self.report.gaps.push(Gap { after: self.at, to, why: why.to_owned() });
        }
    }
}

fn because(why: &str, always: bool) -> Option<Because> {
    Some(Because { why: why.to_owned(), always })
}

fn different(difference: Difference) -> Broken {
    Broken::Difference(Box::new(difference))
}

fn with_given(mut difference: Box<Difference>, given: &Given) -> Box<Difference> {
    let turn = format!("a turn at {:.3}, behind entry {}", given.now, given.follows);
    let looks = given.seen.iter().map(|look| {
        format!(
            "look at {} by {}, begun {:.3}: {:?}",
            look.link, look.vantage, look.begun_at, look.seen
        )
    });
    let inputs = given.inputs.iter().map(|input| match input {
        // Its address is signed: that stays in the journal.
        Input::Report { step, report: Told::Noted { .. } } => {
            format!("input: the operation of {step:?}")
        }
        Input::Start { .. }
        | Input::Propose { .. }
        | Input::ProposeForAlert { .. }
        | Input::AlertResolved { .. }
        | Input::Cast { .. }
        | Input::Report { .. }
        | Input::Acknowledge { .. }
        | Input::LiftGuard { .. }
        | Input::ReportState { .. }
        | Input::IssueRunbook { .. } => format!("input {input:?}"),
    });
    difference.given = [turn].into_iter().chain(looks).chain(inputs).collect();
    difference
}
