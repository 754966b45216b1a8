//! The journal as a sink follows it: changes, each with the place to which its telling leads.

use std::{collections::BTreeSet, time::Duration};

use agent_core::{LinkId, Seq};
use jiff::Timestamp;

use super::{
    AlertError,
    files::{Files, Found, Place},
    notice::Notice,
    story::{Change, News, Stories},
};
use crate::journal::{Mark, Stored, redact};

/// Entries that are read at once.
const PAGE: usize = 64;

/// A change, and where the sink is once it has been told. None: another one of the same place
/// comes behind it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) change: Change,
    pub(super) place: Option<Place>,
}

/// What there is to tell.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "the large variant is the ordinary one")]
pub(super) enum Told {
    Change(Item),
    Notice(Notice),
}

impl Told {
    /// Where the sink is once it has been told.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Change(item) => item.place,
            Self::Notice(notice) => Some(notice.place),
        }
    }
}

/// What there is to do at the beginning.
pub(super) struct Begun {
    /// What follows from the beginning itself: a new receiver is told how things stand, an old one
    /// of the links that are not configured any more.
    pub(super) untold: Vec<Item>,
    /// All open episodes, told or not.
    pub(super) standing: Vec<Change>,
}

const START: Place = Place { mark: Mark::START, timed: 0, calm: true };

pub(super) struct Tail {
    files: Files,
    stories: Stories,
    /// Everything up to here is in the stories.
    at: Place,
    saved: Option<Place>,
}

impl Tail {
    pub(super) fn new(files: Files, page_after: Duration) -> Self {
        Self { files, stories: Stories::new(page_after), at: START, saved: None }
    }

    /// Reads again what has been told already, from the last place at which no episode was open.
    /// To a sink that is new here all has been told: it begins with how things stand.
    pub(super) async fn begin(
        &mut self,
        links: &BTreeSet<LinkId>,
        now: Timestamp,
    ) -> Result<Begun, AlertError> {
        let Found { place, base, head } = self.files.find().await?;
        let end = place.map_or(head, |place| place.mark);
        self.stories.clear();
        self.at = Place { mark: base, ..START };
        let mut calm = self.at;
        while self.at.mark.seq < end.seq {
            let left = usize::try_from(end.seq - self.at.mark.seq).unwrap_or(PAGE).min(PAGE);
            let page = self.files.read_after(self.at.mark.seq, left).await?;
            if page.is_empty() {
                break;
            }
            for stored in &page {
                self.take(stored);
                if self.at.calm {
                    calm = self.at;
                }
            }
        }
        match place {
            Some(place) => {
                self.stories.told(place.timed);
                self.at.timed = place.timed;
            }
            // As long as it has not been told how things stand, a restart goes on from before them.
            None => self.save(calm).await?,
        }
        let dropped = self.stories.drop_others(links, now);
        self.at.calm = self.stories.calm();
        let standing = self.stories.standing();
        let untold = if place.is_some() { dropped } else { standing.clone() };
        let item = |change| Item { change, place: None };
        let mut untold: Vec<Item> = untold.into_iter().map(item).collect();
        if let Some(last) = untold.last_mut() {
            last.place = Some(self.at);
        }
        Ok(Begun { untold, standing })
    }

    /// The next changes, if there are any by now. `head` is the newest entry.
    pub(super) async fn more(
        &mut self,
        head: Seq,
        now: Timestamp,
    ) -> Result<Vec<Told>, AlertError> {
        let mut items = Vec::new();
        if self.at.mark.seq < head {
            for stored in self.files.read_after(self.at.mark.seq, PAGE).await? {
                items.extend(self.take(&stored));
            }
        }
        if self.at.mark.seq >= head {
            while let Some(change) = self.stories.pass(now) {
                items.push(Told::Change(self.passed(change)));
            }
        }
        Ok(items)
    }

    /// Where everything is that has been read.
    pub(super) fn at(&self) -> Place {
        self.at
    }

    /// Writes down how far the sink has come; never that it has come less far.
    pub(super) async fn save(&mut self, place: Place) -> Result<(), AlertError> {
        let order = |place: Place| (place.mark.seq, place.timed);
        if self.saved.is_none_or(|saved| order(saved) < order(place)) {
            self.files.save(place).await?;
            self.saved = Some(place);
        }
        Ok(())
    }

    /// When something is due that follows from time alone.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        self.stories.wake()
    }

    fn take(&mut self, stored: &Stored) -> Vec<Told> {
        let entry = redact(&stored.entry);
        let mut items = Vec::new();
        while let Some(change) = self.stories.pass(entry.at) {
            items.push(Told::Change(self.passed(change)));
        }
        let change = self.stories.take(&entry);
        self.at.mark = Mark { seq: entry.seq, hash: stored.hash };
        self.at.calm = self.stories.calm();
        items.extend(change.map(|change| Told::Change(Item { change, place: Some(self.at) })));
        if Notice::is(&entry.event) {
            let (at, seq, event) = (entry.at, entry.seq, Box::new(entry.event));
            items.push(Told::Notice(Notice { at, seq, event, place: self.at }));
        }
        items
    }

    fn passed(&mut self, change: Change) -> Item {
        match change.news {
            News::Lasting { started } | News::Calm { started } => {
                self.at.timed = started;
            }
            News::Entry { .. } | News::Dropped | News::Standing => {}
        }
        Item { change, place: Some(self.at) }
    }
}
