//! Who takes part, and what may go wrong.

use crate::store::Fate;

/// Tags at most, and rows: the row with the number of a tag is what the tag stands for.
pub(super) const TAGS: usize = 2;

/// One value per tag.
pub(super) type PerTag<T> = [T; TAGS];

/// How many steps of the clock a mark lives. Two: so one can end before another, and a COMMIT can come
/// in the first half of a life or in the second.
pub(super) const LIFE: u64 = 2;

/// A set of tags or rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tags(u8);

impl Tags {
    pub(super) const NONE: Self = Self(0);
    pub(super) const FIRST: Self = Self(1);
    pub(super) const SECOND: Self = Self(2);
    pub(super) const BOTH: Self = Self(3);

    pub(super) fn has(self, tag: usize) -> bool {
        self.0 & (1 << tag) != 0
    }

    pub(super) fn add(&mut self, tag: usize) {
        self.0 |= 1 << tag;
    }

    pub(super) fn remove(&mut self, tag: usize) {
        self.0 &= !(1 << tag);
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        (0..TAGS).filter(move |tag| self.has(*tag))
    }
}

/// A transaction that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// The rows that it changes.
    pub(super) rows: Tags,
    /// The tags on which it leaves marks.
    pub(super) marks: Tags,
    /// What becomes of each after COMMIT.
    pub(super) fates: PerTag<Fate>,
    /// Leaves its mark also on a stamp whose label says that it need not.
    pub(super) marks_labels: bool,
    /// Stores its first row, with the purge of that row's tag, as this entry.
    pub(super) stores: Option<usize>,
}

impl Write {
    /// Changes these rows, marks and purges their tags.
    pub(super) fn of(rows: Tags) -> Self {
        let fates = std::array::from_fn(|tag| if rows.has(tag) { Fate::Purge } else { Fate::Spare });
        Self { rows, marks: rows, fates, marks_labels: false, stores: None }
    }

    /// Marks these too, in case.
    pub(super) fn marking(self, more: Tags) -> Self {
        Self { marks: self.marks.and(more), ..self }
    }

    /// Has the row in hand, and stores it.
    pub(super) fn storing(self, entry: usize) -> Self {
        Self { stores: Some(entry), ..self }
    }

    /// The label of a stamp that needs no mark; zero is none.
    pub(super) fn unless(self, tag: usize) -> u64 {
        match self.fates[tag] {
            Fate::PurgeUnless(label) if !self.marks_labels => label,
            _ => 0,
        }
    }
}

/// An entry, as its readers know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The tags that it depends on, each with the label that the stamp must carry.
    pub(super) tags: PerTag<Option<u64>>,
    /// The rows that are in it.
    pub(super) rows: Tags,
}

impl Kind {
    /// These rows, which depend on their tags.
    pub(super) fn of(rows: Tags) -> Self {
        Self { tags: std::array::from_fn(|tag| rows.has(tag).then_some(0)), rows }
    }

    pub(super) fn depends(self) -> Tags {
        let mut tags = Tags::NONE;
        (0..TAGS).filter(|tag| self.tags[*tag].is_some()).for_each(|tag| tags.add(tag));
        tags
    }
}

/// A reader, which reads the same entry again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    /// Which entry.
    pub(super) entry: usize,
    /// In the process of the writers, whose undelivered purges it knows.
    pub(super) at_home: bool,
}

/// How a store answers a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looking {
    /// Entry and tags in one atomic step, as MGET does.
    AtOnce,
    /// The entry, then one tag after the other, as the in-process store does.
    OneByOne,
}

/// A COMMIT whose answer never came, while the writer lives on. It may yet be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Does not happen.
    Never,
    /// The writer purges, and takes its marks away.
    Releases,
    /// The writer purges, and leaves marks for a whole life.
    Waits,
}

/// How often things may go wrong in one run. Crashes, expiry, rollbacks and abandoned reads are free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Mishaps {
    /// Messages that get no answer. They may arrive later all the same.
    pub(super) silences: u8,
    /// Keys that are evicted, and FLUSHALL.
    pub(super) losses: u8,
    /// Restarts of the store, empty or from a snapshot, and failovers.
    pub(super) restarts: u8,
}

/// A fault put into the protocol, for the checker to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A reader takes the stamps when it stores, not before it loads.
    StampAfterLoad,
    /// A writer that is done takes away everybody's marks.
    ReleasesOthers,
    /// A writer purges, and then commits.
    PurgesBeforeCommit,
    /// The stamp that a barrier covers stands again when the barrier's life is over.
    ExpiryRestores,
    /// A writer that touched nothing restores the stamp although another writer came by.
    SparesBlindly,
    /// Entries do not name the life of the store that they were made in.
    UnboundEntries,
    /// A load returns what is not committed yet.
    LoadsUncommitted,
    /// A writer that stores its row puts down a new stamp although another writer came by.
    RenewsBlindly,
    /// A writer stores its row although it has sent its marks more than once.
    RenewsAfterRenewal,
    /// A writer stores its row under stamps that it took after its COMMIT.
    LooksAfterCommit,
}

/// Who takes part, and what may go wrong.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// Do writers leave marks (`Consistency::Strict`)?
    pub(super) strict: bool,
    pub(super) writers: Vec<Write>,
    pub(super) entries: Vec<Kind>,
    pub(super) readers: Vec<Read>,
    pub(super) looking: Looking,
    pub(super) doubt: Doubt,
    pub(super) mishaps: Mishaps,
    /// May a key go that a writer relies on, between its mark and its COMMIT?
    pub(super) loses_guards: bool,
    /// Holds reads to F2 also where it is not promised: without barriers, or after the loss of one.
    pub(super) demanding: bool,
    pub(super) fault: Option<Fault>,
    /// Leave out what can make no difference any more: see `World::canonical`.
    pub(super) reduced: bool,
}

impl Scene {
    /// Strict writers of these, and readers who all read one entry of both rows, half of them at home.
    pub(super) fn of(name: &'static str, writers: &[Write], readers: usize) -> Self {
        Self {
            name,
            strict: true,
            writers: writers.to_vec(),
            entries: vec![Kind::of(Tags::BOTH)],
            readers: (0..readers).map(|number| Read { entry: 0, at_home: number % 2 == 0 }).collect(),
            looking: Looking::AtOnce,
            doubt: Doubt::Never,
            mishaps: Mishaps::default(),
            loses_guards: false,
            demanding: false,
            fault: None,
            reduced: true,
        }
    }

    pub(super) fn with(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    pub(super) fn mishaps(self, silences: u8, losses: u8, restarts: u8) -> Self {
        Self { mishaps: Mishaps { silences, losses, restarts }, ..self }
    }

    pub(super) fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}
