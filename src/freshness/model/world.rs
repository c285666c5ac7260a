//! One state of everything, and when two of them are one.

use std::collections::HashMap;

use super::scene::{Mishaps, PerTag, Scene, TAGS, Tags};
use crate::store::{Cell, Stamp, TagState, WriterId};

/// What a row holds that is not committed.
pub(super) const DIRTY: u8 = u8::MAX;

/// A stamp by its name in the model; zero is none.
pub(super) type Name = u8;

/// Names that no stamp has yet.
pub(super) const FRESH: Name = 200;

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// How many commits each row has seen.
    pub(super) rows: PerTag<u8>,
    /// What of it any process can rely on: those commits have returned.
    pub(super) returned: PerTag<u8>,
    /// The same for readers in the writers' process.
    pub(super) returned_at_home: PerTag<u8>,
    pub(super) server: Server,
    pub(super) writers: Vec<Writer>,
    pub(super) readers: Vec<Reader>,
    pub(super) mishaps: Mishaps,
    /// A key went that a writer relied on between its mark and its COMMIT.
    pub(super) lost_guard: bool,
    pub(super) lost_data: bool,
    /// A writer was killed.
    pub(super) crashed: bool,
    pub(super) broken: Broken,
    /// For the seeded `SparesBlindly`: what writers believe that they cover.
    pub(super) believed: PerTag<Name>,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) tags: PerTag<Cell>,
    pub(super) entries: Vec<Option<Kept>>,
    pub(super) incarnation: u8,
    pub(super) snapshot: Option<Snapshot>,
}

/// What a restart may bring back: tags and entries.
pub(super) type Snapshot = Box<(PerTag<Cell>, Vec<Option<Kept>>)>;

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Kept {
    pub(super) made_in: u8,
    pub(super) stamps: PerTag<Name>,
    pub(super) value: PerTag<u8>,
}

/// Where a writer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Its statements are executed, its marks not yet left.
    Open,
    /// It leaves marks, renews them, or waits for its COMMIT.
    Guarding,
    /// It takes the marks away and purges.
    Releasing,
    Over,
}

/// A writer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Writer {
    pub(super) stage: Stage,
    pub(super) alive: bool,
    pub(super) rolled_back: bool,
    /// Marks under way to the store, in order to be left or renewed.
    pub(super) arming: Tags,
    /// The life that is left to those.
    pub(super) next: u8,
    /// The life that is left to the marks that all stand. The database executes no COMMIT without.
    pub(super) life: u8,
    /// The answer to its COMMIT never came: it may be executed yet.
    pub(super) doubt: bool,
    /// What its rows became.
    pub(super) versions: PerTag<u8>,
    /// Releases under way.
    pub(super) owes: Tags,
    /// Purges that wait for the store to be back.
    pub(super) queued: Tags,
    /// The other tag's stamp, taken before the COMMIT, and the life of the store that it is from.
    pub(super) looked: Option<(u8, Name)>,
    /// Its marks were sent more than once, or got no answer.
    pub(super) sent_again: bool,
    /// The row that it stores, on its way.
    pub(super) new: Option<Kept>,
    /// Messages that were given up, and may arrive yet.
    pub(super) late_arms: Tags,
    pub(super) late_releases: Tags,
}

/// What a reader saw under a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Sight {
    Unasked,
    Absent,
    Barrier,
    /// A stamp and its label.
    Stamp(Name, u64),
}

impl From<TagState> for Sight {
    fn from(state: TagState) -> Self {
        match state {
            TagState::Absent => Self::Absent,
            TagState::Barrier => Self::Barrier,
            TagState::Stamp(stamp) => Self::Stamp(name_of(stamp), stamp.label()),
        }
    }
}

impl From<Sight> for TagState {
    fn from(sight: Sight) -> Self {
        match sight {
            Sight::Unasked | Sight::Absent => Self::Absent,
            Sight::Barrier => Self::Barrier,
            Sight::Stamp(name, label) => stamp(name, label).map_or(Self::Absent, Self::Stamp),
        }
    }
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reader {
    Idle,
    /// It has asked for the entry and for some of the tags.
    Asking {
        kept: Option<Kept>,
        sights: PerTag<Sight>,
        begun: Begun,
    },
    /// A miss, and stamps are missing.
    Proposing {
        made_in: u8,
        sights: PerTag<Sight>,
        begun: Begun,
    },
    /// It has its stamps and loads.
    Loading {
        made_in: u8,
        stamps: PerTag<Name>,
    },
    /// It has loaded, and returned that. The entry is on its way to the store.
    Filling(Kept),
}

/// What a read must not fall behind: how things stood when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Begun {
    pub(super) committed: PerTag<u8>,
    pub(super) returned: PerTag<u8>,
}

/// The promises that a read has broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    pub(super) f1: bool,
    pub(super) f2: bool,
    pub(super) f3: bool,
    pub(super) f4: bool,
    pub(super) f5: bool,
}

/// The stamp of that name.
pub(super) fn stamp(name: Name, label: u64) -> Option<Stamp> {
    Stamp::from_number(u64::from(name)).map(|stamp| stamp.labelled(label))
}

fn name_of(stamp: Stamp) -> Name {
    // Names are small; a larger number would be a mistake in the model.
    Name::try_from(stamp.get()).unwrap_or(Name::MAX)
}

/// The writer with that number in the scene.
pub(super) fn writer_id(writer: usize) -> WriterId {
    WriterId::from_number(writer as u64 + 1)
}

impl World {
    pub(super) fn first(scene: &Scene) -> Self {
        let writer = Writer {
            stage: Stage::Open,
            alive: true,
            rolled_back: false,
            arming: Tags::NONE,
            next: 0,
            life: 0,
            doubt: false,
            versions: [0; TAGS],
            owes: Tags::NONE,
            queued: Tags::NONE,
            looked: None,
            sent_again: false,
            new: None,
            late_arms: Tags::NONE,
            late_releases: Tags::NONE,
        };
        Self {
            rows: [0; TAGS],
            returned: [0; TAGS],
            returned_at_home: [0; TAGS],
            server: Server {
                tags: Default::default(),
                entries: vec![None; scene.entries.len()],
                incarnation: 1,
                snapshot: None,
            },
            writers: vec![writer; scene.writers.len()],
            readers: vec![Reader::Idle; scene.readers.len()],
            mishaps: scene.mishaps,
            lost_guard: false,
            lost_data: false,
            crashed: false,
            broken: Broken::default(),
            believed: [0; TAGS],
        }
    }

    /// The clock goes on by one step.
    pub(super) fn tick(&mut self) {
        let Server { tags, snapshot, .. } = &mut self.server;
        for cell in tags.iter_mut().chain(snapshot.iter_mut().flat_map(|snapshot| &mut snapshot.0)) {
            *cell = cell.translated(1, &mut |stamp| stamp);
        }
        for writer in &mut self.writers {
            writer.life = writer.life.saturating_sub(1);
            writer.next = writer.next.saturating_sub(1);
        }
    }

    /// The one that stands for all states that nobody could tell from this one: stamps have the names
    /// 1, 2, 3 in the order in which they are met; readers of the same kind have no order.
    ///
    /// Reduced: an entry, or a load under way, with a stamp that is nowhere any more (on no tag, covered
    /// by no barrier, in no snapshot) or of an earlier life of the store is as good as none, since
    /// stamps come from there alone, and new ones are random. A test holds verdicts with and without
    /// against each other.
    pub(super) fn canonical(mut self, scene: &Scene) -> Self {
        for writer in &mut self.writers {
            let pending = writer.stage == Stage::Guarding && writer.alive || writer.life > 0;
            if writer.stage == Stage::Guarding && !pending {
                writer.stage = Stage::Over;
            }
            let may_commit = writer.stage == Stage::Guarding || writer.doubt && writer.life > 0;
            if !may_commit {
                (writer.life, writer.doubt) = (0, false);
            }
            if writer.arming.is_empty() {
                writer.next = 0;
            }
            if writer.stage == Stage::Over && !writer.doubt && writer.queued.is_empty() {
                writer.alive = true;
                writer.rolled_back &= !writer.late_releases.is_empty();
                if writer.late_releases.is_empty() {
                    (writer.versions, writer.looked, writer.sent_again) = ([0; TAGS], None, false);
                }
            }
        }
        if scene.reduced && scene.fault.is_none() {
            self.leave_out_the_dead();
        }
        self.sort_readers(scene);
        self.rename();
        self.sort_readers(scene);
        self
    }

    fn leave_out_the_dead(&mut self) {
        let mut alive = vec![0];
        let Server { tags, entries, incarnation, snapshot } = &mut self.server;
        for cell in tags.iter().chain(snapshot.iter().flat_map(|snapshot| &snapshot.0)) {
            let _ = cell.translated(0, &mut |stamp| {
                alive.push(name_of(stamp));
                stamp
            });
        }
        for reader in &self.readers {
            if let Reader::Asking { sights, .. } = reader {
                for sight in sights {
                    if let Sight::Stamp(name, _) = sight {
                        alive.push(*name);
                    }
                }
            }
        }
        let is_alive = |made_in: u8, stamps: &PerTag<Name>| {
            made_in == *incarnation && stamps.iter().all(|name| alive.contains(name))
        };
        if let Some(snapshot) = snapshot {
            snapshot.1.iter_mut().for_each(|kept| *kept = None);
        }
        let on_their_way = self.writers.iter_mut().map(|writer| &mut writer.new);
        for kept in entries.iter_mut().chain(on_their_way) {
            *kept = kept.filter(|kept| is_alive(kept.made_in, &kept.stamps));
        }
        for reader in &mut self.readers {
            let goes_on = match reader {
                Reader::Idle => true,
                Reader::Asking { kept, .. } => {
                    *kept = kept.filter(|kept| is_alive(kept.made_in, &kept.stamps));
                    true
                }
                Reader::Proposing { made_in, .. } => made_in == incarnation,
                Reader::Loading { made_in, stamps } => is_alive(*made_in, stamps),
                Reader::Filling(kept) => is_alive(kept.made_in, &kept.stamps),
            };
            if !goes_on {
                *reader = Reader::Idle;
            }
        }
    }

    fn sort_readers(&mut self, scene: &Scene) {
        for one in 0..self.readers.len() {
            for other in one + 1..self.readers.len() {
                if scene.readers[one] == scene.readers[other] && self.readers[other] < self.readers[one] {
                    self.readers.swap(one, other);
                }
            }
        }
    }

    fn rename(&mut self) {
        let mut names = HashMap::new();
        let mut rename = |name: &mut Name| {
            if *name != 0 {
                let next = names.len() as Name + 1;
                *name = *names.entry(*name).or_insert(next);
            }
        };
        let rename_all = |cell: &mut Cell, rename: &mut dyn FnMut(&mut Name)| {
            *cell = cell.translated(0, &mut |there| {
                let mut name = name_of(there);
                rename(&mut name);
                stamp(name, there.label()).unwrap_or(there)
            });
        };
        let Server { tags, entries, snapshot, .. } = &mut self.server;
        tags.iter_mut().for_each(|cell| rename_all(cell, &mut rename));
        for kept in entries.iter_mut().flatten() {
            kept.stamps.iter_mut().for_each(&mut rename);
        }
        for writer in &mut self.writers {
            if let Some((_, name)) = &mut writer.looked {
                rename(name);
            }
            if let Some(kept) = &mut writer.new {
                kept.stamps.iter_mut().for_each(&mut rename);
            }
        }
        if let Some(snapshot) = snapshot {
            snapshot.0.iter_mut().for_each(|cell| rename_all(cell, &mut rename));
            for kept in snapshot.1.iter_mut().flatten() {
                kept.stamps.iter_mut().for_each(&mut rename);
            }
        }
        for reader in &mut self.readers {
            match reader {
                Reader::Idle => {}
                Reader::Asking { kept, sights, .. } => {
                    if let Some(kept) = kept {
                        kept.stamps.iter_mut().for_each(&mut rename);
                    }
                    sights.iter_mut().for_each(|sight| rename_sight(sight, &mut rename));
                }
                Reader::Proposing { sights, .. } => {
                    sights.iter_mut().for_each(|sight| rename_sight(sight, &mut rename));
                }
                Reader::Loading { stamps, .. } => stamps.iter_mut().for_each(&mut rename),
                Reader::Filling(kept) => kept.stamps.iter_mut().for_each(&mut rename),
            }
        }
        self.believed.iter_mut().for_each(rename);
    }

    /// Tags whose purge waits in the writers' process.
    pub(super) fn queued(&self) -> Tags {
        self.writers.iter().filter(|writer| writer.alive).fold(Tags::NONE, |all, one| all.and(one.queued))
    }
}

fn rename_sight(sight: &mut Sight, rename: &mut dyn FnMut(&mut Name)) {
    if let Sight::Stamp(name, _) = sight {
        rename(name);
    }
}

/// What the seeded `ExpiryRestores` brings back: what the barrier covers, as if all were done.
pub(super) fn uncovered(cell: &Cell, writers: usize) -> Cell {
    let mut cell = cell.clone();
    for writer in 0..writers {
        cell.release(writer_id(writer), crate::store::Fate::Spare, 0, 0);
    }
    cell
}
