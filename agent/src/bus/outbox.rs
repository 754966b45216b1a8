//! The entries that are on their way, and in which order they may leave.
//!
//! Entries of one subject leave one after the other: the next only when the broker has confirmed
//! the one before it. Whatever fails in between, be it a confirm that never comes, a refusal or a
//! message that no queue wanted, the next one is still here, so consumers see each subject in
//! order and at worst something again that they have seen, under the same id. Entries of different
//! subjects don't wait for each other, up to the size of the window. The cursor moves only over
//! entries that are confirmed without a gap.

use std::collections::VecDeque;

use agent_core::{Seq, Subject};
use jiff::Timestamp;

use crate::journal::{Mark, Stored};

/// Entries in memory at the most.
pub(super) const WINDOW: usize = 64;

#[derive(Debug)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    cursor: Mark,
}

#[derive(Debug)]
struct Item {
    stored: Stored,
    state: State,
    /// How often it was returned or refused.
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Sent,
    /// Returned or refused; it rests before it is sent again.
    Resting,
    Confirmed,
}

impl Outbox {
    /// Nothing is loaded, all up to `cursor` is confirmed.
    pub(super) fn new(cursor: Mark) -> Self {
        Self { items: VecDeque::new(), cursor }
    }

    pub(super) fn cursor(&self) -> Mark {
        self.cursor
    }

    /// The newest entry that is loaded.
    pub(super) fn loaded_to(&self) -> Seq {
        self.items.back().map_or(self.cursor.seq, |item| item.stored.entry.seq)
    }

    /// How many entries to load: none until half of the window is free, so that the journal is read
    /// in pages.
    pub(super) fn room(&self) -> usize {
        let room = WINDOW.saturating_sub(self.items.len());
        if room >= WINDOW / 2 { room } else { 0 }
    }

    pub(super) fn load(&mut self, page: Vec<Stored>) {
        let new = |stored| Item { stored, state: State::Waiting, tries: 0 };
        self.items.extend(page.into_iter().map(new));
    }

    /// The next entry that may leave; it counts as sent from now on.
    pub(super) fn send_next(&mut self) -> Option<&Stored> {
        let mut busy: Vec<&Subject> = Vec::new();
        let mut found = None;
        for (place, item) in self.items.iter().enumerate() {
            let subject = &item.stored.entry.subject;
            match item.state {
                State::Confirmed => {}
                State::Waiting if !busy.contains(&subject) => {
                    found = Some(place);
                    break;
                }
                State::Waiting | State::Sent | State::Resting => busy.push(subject),
            }
        }
        let item = self.items.get_mut(found?)?;
        item.state = State::Sent;
        Some(&item.stored)
    }

    pub(super) fn confirmed(&mut self, seq: Seq) {
        if let Some(item) = self.item(seq) {
            item.state = State::Confirmed;
        }
    }

    /// The broker did not take it: it rests. Gives how often that has happened.
    pub(super) fn held_up(&mut self, seq: Seq) -> u32 {
        let Some(item) = self.item(seq) else { return 0 };
        item.state = State::Resting;
        item.tries = item.tries.saturating_add(1);
        item.tries
    }

    pub(super) fn rested(&mut self, seq: Seq) {
        if let Some(item) = self.item(seq).filter(|item| item.state == State::Resting) {
            item.state = State::Waiting;
        }
    }

    /// The connection is gone: what is not confirmed will be sent again.
    pub(super) fn lost(&mut self) {
        for item in self.items.iter_mut().filter(|item| item.state != State::Confirmed) {
            item.state = State::Waiting;
        }
    }

    /// Forgets the confirmed entries at the front and gives the place that was reached, if it moved.
    pub(super) fn advance(&mut self) -> Option<Mark> {
        let before = self.cursor;
        while let Some(item) = self.items.pop_front_if(|item| item.state == State::Confirmed) {
            self.cursor = Mark { seq: item.stored.entry.seq, hash: item.stored.hash };
        }
        (self.cursor != before).then_some(self.cursor)
    }

    /// Time of the oldest entry that is not confirmed.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let mut open = self.items.iter().filter(|item| item.state != State::Confirmed);
        open.next().map(|item| item.stored.entry.at)
    }

    /// Entries that were returned or refused and are not confirmed yet.
    pub(super) fn in_trouble(&self) -> usize {
        let trouble = |item: &&Item| item.tries > 0 && item.state != State::Confirmed;
        self.items.iter().filter(trouble).count()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.items.iter().filter(|item| item.state == State::Sent).count()
    }

    fn item(&mut self, seq: Seq) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.stored.entry.seq == seq)
    }
}

#[cfg(test)]
mod tests {
    use agent_core::{Entry, Event, FORMAT, LinkId};

    use super::*;
    use crate::journal::Hash;

    /// One entry for each letter, about the link of that name.
    fn page(from: Seq, links: &str) -> Vec<Stored> {
        let at = "2026-01-02T03:04:05Z".parse().expect("a timestamp");
        let entries = (from..).zip(links.chars()).map(|(seq, link)| Entry {
            v: FORMAT,
            seq,
            at,
            subject: Subject::Link(LinkId::new(&link.to_string()).expect("a name")),
            rule: None,
            event: Event::EpisodeAcknowledged { by: "x".into(), note: String::new() },
        });
        entries
            .map(|entry| {
                let text = agent_core::write(&entry);
                let hash = Hash::GENESIS.then(&text);
                Stored { entry, text, hash }
            })
            .collect()
    }

    fn outbox(links: &str) -> Outbox {
        let mut outbox = Outbox::new(Mark::START);
        outbox.load(page(1, links));
        outbox
    }

    fn send(outbox: &mut Outbox) -> Vec<Seq> {
        let mut sent = Vec::new();
        while let Some(stored) = outbox.send_next() {
            sent.push(stored.entry.seq);
        }
        sent
    }

    fn confirm(outbox: &mut Outbox, seqs: &[Seq]) -> Option<Seq> {
        for seq in seqs {
            outbox.confirmed(*seq);
        }
        outbox.advance().map(|mark| mark.seq)
    }

    #[test]
    fn one_of_each_link_is_on_its_way() {
        let mut outbox = outbox("aabacb");
        assert_eq!(send(&mut outbox), [1, 3, 5]);
        assert_eq!(outbox.in_flight(), 3);
        // The cursor waits for the first, although the third is with the broker.
        assert_eq!(confirm(&mut outbox, &[3]), None);
        assert_eq!(send(&mut outbox), [6]);
        assert_eq!(confirm(&mut outbox, &[1]), Some(1));
        assert_eq!(send(&mut outbox), [2]);
        assert_eq!(confirm(&mut outbox, &[2, 5]), Some(3));
        assert_eq!(send(&mut outbox), [4]);
        assert_eq!(confirm(&mut outbox, &[4, 6]), Some(6));
        assert_eq!((outbox.oldest(), outbox.loaded_to()), (None, 6));
    }

    #[test]
    fn what_comes_back_holds_up_its_own_link_only() {
        let mut outbox = outbox("abab");
        assert_eq!(send(&mut outbox), [1, 2]);
        assert_eq!(outbox.held_up(1), 1);
        outbox.confirmed(2);
        assert_eq!(send(&mut outbox), [4], "entry 3 must not overtake entry 1");
        assert_eq!(confirm(&mut outbox, &[4]), None);
        outbox.rested(1);
        assert_eq!(send(&mut outbox), [1], "only what came back is sent again");
        assert_eq!(outbox.held_up(1), 2);
        assert_eq!(outbox.in_trouble(), 1);
        outbox.rested(1);
        assert_eq!(send(&mut outbox), [1]);
        assert_eq!(confirm(&mut outbox, &[1]), Some(2));
        assert_eq!(outbox.in_trouble(), 0);
        assert_eq!(send(&mut outbox), [3]);
        assert_eq!(confirm(&mut outbox, &[3]), Some(4));
    }

    #[test]
    fn a_lost_connection_sends_again_what_was_not_confirmed_and_nothing_else() {
        let mut outbox = outbox("abca");
        assert_eq!(send(&mut outbox), [1, 2, 3]);
        outbox.confirmed(2);
        outbox.held_up(3);
        outbox.lost();
        assert_eq!(send(&mut outbox), [1, 3]);
        // A rest that ends after the connection was lost changes nothing.
        outbox.rested(3);
        assert_eq!(send(&mut outbox), [] as [Seq; 0]);
        assert_eq!(confirm(&mut outbox, &[1, 3]), Some(3));
    }

    #[test]
    fn the_window_is_loaded_in_pages_and_never_exceeded() {
        let mut outbox = outbox(&"a".repeat(WINDOW));
        assert_eq!(outbox.room(), 0);
        for seq in 1..=WINDOW as Seq / 2 {
            assert_eq!(outbox.room(), 0, "before {seq}");
            assert_eq!(send(&mut outbox), [seq]);
            assert_eq!(confirm(&mut outbox, &[seq]), Some(seq));
        }
        assert_eq!(outbox.room(), WINDOW / 2);
        outbox.load(page(outbox.loaded_to() + 1, &"b".repeat(WINDOW / 2)));
        assert_eq!((outbox.room(), outbox.items.len()), (0, WINDOW));
    }
}
