//! What stands under one tag key, and everything that may happen to it: the protocol as a pure state
//! machine. No I/O; the time comes in as milliseconds on a clock of the store's own.
//!
//! ```text
//!            propose                     arm
//!  absent ------------> stamp --------------------------> barrier (covers the stamp)
//!    ^  ^                 |                                 |  |
//!    |  +-----------------+ purge, expiry                   |  | released by its only writer, who
//!    |                                                      |  | wrote nothing here: stamp again
//!    +------------------------------------------------------+  v
//!      released by the last writer, or expired               stamp
//! ```
//!
//! A barrier carries a mark for each writer whose COMMIT is in flight. A writer takes away its own
//! mark and no other. A barrier never expires into the stamp that it covers: whoever left it there
//! may have committed.
//!
//! The in-process store keeps cells; the scripts of the Redis store do the same in Lua. A property
//! test holds one against the other, and a model checker runs this code with readers and writers.

use super::{Stamp, TagState, WriterId};

/// The content of a tag key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Cell(Option<Standing>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Standing {
    Stamp(Dated<Stamp>),
    /// Never without a mark.
    Barrier {
        marks: Vec<Dated<WriterId>>,
        /// The stamp that was there before the only writer came.
        covered: Option<Dated<Stamp>>,
    },
}

/// Something that is over from `until` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Dated<T> {
    what: T,
    until: u64,
}

impl<T> Dated<T> {
    fn is_alive(&self, now: u64) -> bool {
        self.until > now
    }
}

/// What becomes of a tag when its writer is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Its entries are wrong now: it becomes absent.
    Purge,
    /// The same, unless its stamp carries this label: then its entries also depend on tags that the
    /// writer has named.
    PurgeUnless(u64),
    /// It becomes absent if it carries this very stamp: a lease that is given back.
    End(Stamp),
    /// The writer left a mark in case, and then touched nothing: what was covered stands again.
    Spare,
    /// Its entries are wrong now, and the writer has a new one in hand: it carries this stamp for so many
    /// milliseconds, if the writer's mark has stood all the time, over a stamp, and nobody else came by.
    /// Otherwise it becomes absent.
    Renew(Stamp, u64),
}

impl Cell {
    /// What a reader sees.
    pub(crate) fn look(&self, now: u64) -> TagState {
        match &self.0 {
            Some(Standing::Stamp(stamp)) if stamp.is_alive(now) => TagState::Stamp(stamp.what),
            Some(Standing::Barrier { marks, .. }) if marks.iter().any(|mark| mark.is_alive(now)) => {
                TagState::Barrier
            }
            _ => TagState::Absent,
        }
    }

    /// When nothing is left of it; `None` if nothing is there.
    pub(crate) fn until(&self) -> Option<u64> {
        match self.0.as_ref()? {
            Standing::Stamp(stamp) => Some(stamp.until),
            Standing::Barrier { marks, .. } => marks.iter().map(|mark| mark.until).max(),
        }
    }

    /// Puts a stamp there, if nothing stands.
    pub(crate) fn propose(&mut self, stamp: Stamp, life: u64, now: u64) {
        self.expire(now);
        if self.0.is_none() {
            self.0 = Some(Standing::Stamp(Dated { what: stamp, until: now.saturating_add(life) }));
        }
    }

    /// Makes a stamp live at least so long from now. Nothing else changes.
    pub(crate) fn extend(&mut self, life: u64, now: u64) {
        self.expire(now);
        if let Some(Standing::Stamp(stamp)) = &mut self.0 {
            stamp.until = stamp.until.max(now.saturating_add(life));
        }
    }

    /// A writer is about to commit: it leaves its mark, or renews it. A stamp with the label that
    /// `unless` says is left alone (zero is none). True if its mark stood already.
    pub(crate) fn arm(&mut self, writer: WriterId, unless: u64, life: u64, now: u64) -> bool {
        self.expire(now);
        let mark = Dated { what: writer, until: now.saturating_add(life) };
        match &mut self.0 {
            Some(Standing::Stamp(stamp)) if unless != 0 && stamp.what.label() == unless => false,
            Some(Standing::Barrier { marks, covered }) => {
                if let Some(mine) = marks.iter_mut().find(|there| there.what == writer) {
                    *mine = mark;
                    return true;
                }
                // Two writers cannot know of each other what became of the stamp's entries.
                *covered = None;
                marks.push(mark);
                false
            }
            there => {
                let covered = match there.take() {
                    Some(Standing::Stamp(stamp)) => Some(stamp),
                    _ => None,
                };
                *there = Some(Standing::Barrier { marks: vec![mark], covered });
                false
            }
        }
    }

    /// A writer is done: its mark goes, and what `fate` says happens to the rest. With `settle`, a
    /// purged tag stays a barrier for so long. True if its mark still stood.
    pub(crate) fn release(&mut self, writer: WriterId, fate: Fate, settle: u64, now: u64) -> bool {
        self.expire(now);
        let mut marks = Vec::new();
        let (mut stood, mut stamp) = (false, None);
        match self.0.take() {
            None => {}
            Some(Standing::Stamp(there)) => stamp = Some(there),
            Some(Standing::Barrier { marks: there, covered }) => {
                (marks, stamp) = (there, covered);
                marks.retain(|mark| {
                    mark.what != writer || {
                        stood = true;
                        false
                    }
                });
            }
        }
        // A writer that came by may have committed after this one did, and may have purged already.
        let alone = stood && marks.is_empty() && stamp.is_some() && settle == 0;
        let gone = match (fate, &stamp) {
            (Fate::Purge | Fate::Renew(..), _) | (Fate::PurgeUnless(_), None) => true,
            (Fate::PurgeUnless(label), Some(stamp)) => stamp.what.label() != label,
            (Fate::End(held), Some(stamp)) => stamp.what == held,
            (Fate::End(_), None) | (Fate::Spare, _) => false,
        };
        if gone {
            stamp = match fate {
                Fate::Renew(new, life) if alone => Some(Dated { what: new, until: now.saturating_add(life) }),
                _ => None,
            };
        }
        if gone && settle > 0 {
            marks.push(Dated { what: writer, until: now.saturating_add(settle) });
        }
        self.0 = match (marks.is_empty(), stamp) {
            (false, covered) => Some(Standing::Barrier { marks, covered }),
            (true, Some(stamp)) => Some(Standing::Stamp(stamp)),
            (true, None) => None,
        };
        // A stamp may have ended its life under the barrier.
        self.expire(now);
        stood
    }

    fn expire(&mut self, now: u64) {
        if let Some(Standing::Barrier { marks, covered }) = &mut self.0 {
            marks.retain(|mark| mark.is_alive(now));
            *covered = covered.filter(|stamp| stamp.is_alive(now));
        }
        let alive = match &self.0 {
            None => true,
            Some(Standing::Stamp(stamp)) => stamp.is_alive(now),
            Some(Standing::Barrier { marks, .. }) => !marks.is_empty(),
        };
        if !alive {
            self.0 = None;
        }
    }
}

#[cfg(test)]
impl Cell {
    /// The same cell by a clock that began `later`, its stamps under other names: for the model checker,
    /// to which two states are one if nobody could tell them apart.
    pub(crate) fn translated(&self, later: u64, name: &mut impl FnMut(Stamp) -> Stamp) -> Self {
        fn shifted<T: Copy>(dated: Dated<T>, later: u64) -> Dated<T> {
            // For ever stays for ever.
            let until = if dated.until == u64::MAX { u64::MAX } else { dated.until - later };
            Dated { what: dated.what, until }
        }
        let mut cell = self.clone();
        cell.expire(later);
        let mut named = |stamp: Dated<Stamp>| Dated { what: name(stamp.what), ..shifted(stamp, later) };
        Self(cell.0.map(|standing| match standing {
            Standing::Stamp(stamp) => Standing::Stamp(named(stamp)),
            Standing::Barrier { marks, covered } => Standing::Barrier {
                marks: marks.into_iter().map(|mark| shifted(mark, later)).collect(),
                covered: covered.map(named),
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: u64 = 1000;

    fn stamped() -> (Cell, Stamp) {
        let (mut cell, stamp) = (Cell::default(), Stamp::from_number(7).unwrap());
        cell.propose(stamp, LIFE, 0);
        (cell, stamp)
    }

    fn writers() -> (WriterId, WriterId) {
        (WriterId::from_number(1), WriterId::from_number(2))
    }

    #[test]
    fn a_proposal_never_replaces_what_stands() {
        let (mut cell, stamp) = stamped();
        cell.propose(Stamp::fresh(), LIFE, 1);
        assert_eq!(cell.look(1), TagState::Stamp(stamp));
        cell.arm(writers().0, 0, 10, 2);
        cell.propose(Stamp::fresh(), LIFE, 3);
        assert_eq!(cell.look(3), TagState::Barrier);
    }

    #[test]
    fn a_writer_that_touched_nothing_gives_the_stamp_back() {
        let (mut cell, stamp) = stamped();
        cell.arm(writers().0, 0, 10, 1);
        assert!(cell.release(writers().0, Fate::Spare, 0, 2));
        assert_eq!(cell.look(3), TagState::Stamp(stamp));
        assert_eq!(cell.look(LIFE), TagState::Absent, "with the life that it had");
    }

    #[test]
    fn a_writer_that_touched_nothing_gives_nothing_back_if_another_came_by() {
        let (one, other) = writers();
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        cell.arm(other, 0, 10, 1);
        cell.release(other, Fate::Purge, 0, 2);
        assert_eq!(cell.look(2), TagState::Barrier, "one's COMMIT is still in flight");
        cell.release(one, Fate::Spare, 0, 3);
        assert_eq!(cell.look(3), TagState::Absent);
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        // A purge by hand, or by a writer that armed nothing.
        cell.release(other, Fate::Purge, 0, 2);
        cell.release(one, Fate::Spare, 0, 3);
        assert_eq!(cell.look(3), TagState::Absent);
    }

    // case C2
    #[test]
    fn a_barrier_expires_into_nothing() {
        let (mut cell, _) = stamped();
        cell.arm(writers().0, 0, 10, 1);
        assert_eq!(cell.look(10), TagState::Barrier);
        assert_eq!(cell.look(11), TagState::Absent);
        assert!(!cell.release(writers().0, Fate::Spare, 0, 12), "its mark is gone");
        assert_eq!(cell.look(12), TagState::Absent);
    }

    #[test]
    fn a_label_spares_a_stamp_and_no_other() {
        let (one, _) = writers();
        let stamp = Stamp::fresh().labelled(5);
        let mut cell = Cell::default();
        cell.propose(stamp, LIFE, 0);
        cell.arm(one, 5, 10, 1);
        assert_eq!(cell.look(1), TagState::Stamp(stamp));
        cell.release(one, Fate::PurgeUnless(5), 0, 2);
        assert_eq!(cell.look(2), TagState::Stamp(stamp));
        cell.arm(one, 6, 10, 3);
        assert_eq!(cell.look(3), TagState::Barrier);
        cell.release(one, Fate::PurgeUnless(6), 0, 4);
        assert_eq!(cell.look(4), TagState::Absent);
    }

    #[test]
    fn a_writer_with_the_new_row_in_hand_leaves_a_new_stamp_if_it_was_alone() {
        let (one, other) = writers();
        let new = Stamp::from_number(8).unwrap();
        let renews = Fate::Renew(new, 100);
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        assert!(cell.release(one, renews, 0, 2));
        assert_eq!((cell.look(101), cell.look(102)), (TagState::Stamp(new), TagState::Absent));
        // Another came and went, with a row that is newer.
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        cell.arm(other, 0, 10, 2);
        cell.release(other, Fate::Purge, 0, 3);
        cell.release(one, renews, 0, 4);
        assert_eq!(cell.look(4), TagState::Absent);
        // Another is there still.
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        cell.arm(other, 0, 10, 2);
        cell.release(one, renews, 0, 3);
        assert_eq!(cell.look(3), TagState::Barrier);
        cell.release(other, Fate::Spare, 0, 4);
        assert_eq!(cell.look(4), TagState::Absent);
        // Its mark was over, and a reader has put down a stamp since.
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        cell.propose(Stamp::fresh(), LIFE, 20);
        assert!(!cell.release(one, renews, 0, 21));
        assert_eq!(cell.look(21), TagState::Absent);
        // Nothing stood there: whoever came by before has left no trace.
        let mut cell = Cell::default();
        cell.arm(one, 0, 10, 1);
        cell.release(one, renews, 0, 2);
        assert_eq!(cell.look(2), TagState::Absent);
        // Nobody takes a stamp before it has settled.
        let (mut cell, _) = stamped();
        cell.arm(one, 0, 10, 1);
        cell.release(one, renews, 50, 2);
        assert_eq!((cell.look(51), cell.look(52)), (TagState::Barrier, TagState::Absent));
    }

    #[test]
    fn a_purged_tag_settles() {
        let (mut cell, _) = stamped();
        cell.release(writers().0, Fate::Purge, 50, 0);
        assert_eq!(cell.look(49), TagState::Barrier);
        assert_eq!(cell.look(50), TagState::Absent);
    }

    #[test]
    fn a_crashed_writers_mark_outlives_anothers_release() {
        let (crashed, other) = writers();
        let mut cell = Cell::default();
        cell.arm(crashed, 0, 10, 0);
        cell.arm(other, 0, 10, 9);
        cell.release(other, Fate::Purge, 0, 9);
        assert_eq!(cell.until(), Some(10), "no longer than the mark that is left");
        assert_eq!((cell.look(9), cell.look(10)), (TagState::Barrier, TagState::Absent));
    }
}
