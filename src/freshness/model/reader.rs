//! What a reader can do next: look, put down stamps, load, store.
//!
//! The same steps as in `freshness/look.rs` and `freshness/fill.rs`, by the same rules. A reader begins
//! again when it is done; it may give up at any point; what it stores may come at any later time.

use super::{
    super::{Bypass, rules},
    scene::{Fault, Looking, PerTag, Scene, TAGS},
    world::{Begun, DIRTY, FRESH, Kept, Name, Reader, Sight, Stage, World, stamp},
};
use crate::store::TagState;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReaderStep {
    /// Asks for the entry and its tags.
    Looks,
    /// Asks for the entry alone.
    LooksAtEntry,
    /// Asks for one more tag.
    LooksAtTag(usize),
    /// Puts down a stamp where none was.
    Proposes(usize),
    /// Asks again for the tags that had none.
    LooksAgain,
    Loads,
    Stores,
    /// Its caller went away, or its entry was lost on the way.
    GivesUp,
}

use ReaderStep as Step;

/// Everything that this reader may do next.
pub(super) fn steps(scene: &Scene, world: &World, number: usize, mut add: impl FnMut(ReaderStep)) {
    let kind = scene.entries[scene.readers[number].entry];
    match &world.readers[number] {
        Reader::Idle => match scene.looking {
            Looking::AtOnce => add(Step::Looks),
            Looking::OneByOne => add(Step::LooksAtEntry),
        },
        Reader::Asking { sights, .. } => {
            // In order.
            let next = kind.depends().iter().find(|tag| sights[*tag] == Sight::Unasked);
            add(next.map_or(Step::GivesUp, Step::LooksAtTag));
        }
        Reader::Proposing { sights, .. } => {
            for tag in kind.depends().iter().filter(|tag| sights[*tag] == Sight::Absent) {
                if world.server.tags[tag].look(0) == TagState::Absent {
                    add(Step::Proposes(tag));
                }
            }
            add(Step::LooksAgain);
            add(Step::GivesUp);
        }
        Reader::Loading { .. } => {
            add(Step::Loads);
            add(Step::GivesUp);
        }
        Reader::Filling(_) => {
            add(Step::Stores);
            add(Step::GivesUp);
        }
    }
}

/// Takes the step.
pub(super) fn take(scene: &Scene, world: &mut World, number: usize, step: ReaderStep) {
    let entry = scene.readers[number].entry;
    let kind = scene.entries[entry];
    let reader = world.readers[number];
    world.readers[number] = match (step, reader) {
        (Step::Looks, _) if held_back(scene, world, number) => Reader::Idle,
        (Step::Looks, _) => {
            let mut sights = [Sight::Unasked; TAGS];
            for tag in kind.depends().iter() {
                sights[tag] = world.server.tags[tag].look(0).into();
            }
            let (kept, begun) = (world.server.entries[entry], begun(scene, world, number));
            judge(scene, world, number, kept, sights, begun)
        }
        (Step::LooksAtEntry, _) if held_back(scene, world, number) => Reader::Idle,
        (Step::LooksAtEntry, _) => Reader::Asking {
            kept: world.server.entries[entry],
            sights: [Sight::Unasked; TAGS],
            begun: begun(scene, world, number),
        },
        (Step::LooksAtTag(tag), Reader::Asking { kept, mut sights, begun }) => {
            sights[tag] = world.server.tags[tag].look(0).into();
            let done = kind.depends().iter().all(|tag| sights[tag] != Sight::Unasked);
            match done {
                false => Reader::Asking { kept, sights, begun },
                true if held_back(scene, world, number) => Reader::Idle,
                true => judge(scene, world, number, kept, sights, begun),
            }
        }
        (Step::Proposes(tag), reader) => {
            if let Some(stamp) = kind.tags[tag].and_then(|label| stamp(FRESH, label)) {
                world.server.tags[tag].propose(stamp, u64::MAX, 0);
            }
            reader
        }
        (Step::LooksAgain, Reader::Proposing { made_in, mut sights, begun }) => {
            for tag in kind.depends().iter() {
                if sights[tag] == Sight::Absent {
                    sights[tag] = world.server.tags[tag].look(0).into();
                }
            }
            match taken(scene, number, &sights) {
                // It would be asked in another life of the store.
                _ if made_in != world.server.incarnation => Reader::Idle,
                Ok(stamps) => board(scene, world, number, made_in, stamps, begun),
                Err(_) => Reader::Idle,
            }
        }
        (Step::Loads, Reader::Loading { made_in, stamps }) => {
            let mut value = world.rows;
            if scene.is(Fault::LoadsUncommitted) {
                for (writer, write) in world.writers.iter().zip(&scene.writers) {
                    if writer.stage == Stage::Guarding {
                        write.rows.iter().for_each(|row| value[row] = DIRTY);
                    }
                }
            }
            (0..TAGS).filter(|row| !kind.rows.has(*row)).for_each(|row| value[row] = 0);
            answer(scene, world, number, value, begun(scene, world, number));
            Reader::Filling(Kept { made_in, stamps, value })
        }
        (Step::Stores, Reader::Filling(mut kept)) => {
            if scene.is(Fault::StampAfterLoad) {
                for tag in kind.depends().iter() {
                    if let Sight::Stamp(name, _) = world.server.tags[tag].look(0).into() {
                        kept.stamps[tag] = name;
                    }
                }
            }
            world.server.entries[entry] = Some(kept);
            for tag in kind.depends().iter() {
                world.server.tags[tag].extend(u64::MAX, 0);
            }
            Reader::Idle
        }
        (Step::GivesUp, _) => Reader::Idle,
        (_, reader) => reader,
    };
}

/// Is a purge of one of its tags waiting in its process?
fn held_back(scene: &Scene, world: &World, number: usize) -> bool {
    let read = scene.readers[number];
    read.at_home && scene.entries[read.entry].depends().meets(world.queued())
}

fn begun(scene: &Scene, world: &World, number: usize) -> Begun {
    let at_home = scene.readers[number].at_home;
    let mut returned = world.returned;
    if at_home {
        for (returned, home) in returned.iter_mut().zip(world.returned_at_home) {
            *returned = home.max(*returned);
        }
    }
    Begun { committed: world.rows, returned }
}

/// A hit, a bypass, or a miss.
fn judge(
    scene: &Scene,
    world: &mut World,
    number: usize,
    kept: Option<Kept>,
    sights: PerTag<Sight>,
    begun: Begun,
) -> Reader {
    if let Some(kept) = kept {
        let now = sights.map(TagState::from);
        let bound = if scene.is(Fault::UnboundEntries) { world.server.incarnation } else { kept.made_in };
        let incarnation = u64::from(world.server.incarnation);
        if rules::holds(u64::from(bound), &kept.stamps.map(u64::from), incarnation, &now) {
            answer(scene, world, number, kept.value, begun);
            return Reader::Idle;
        }
    }
    let made_in = world.server.incarnation;
    match taken(scene, number, &sights) {
        Ok(stamps) => board(scene, world, number, made_in, stamps, begun),
        Err(Bypass::NoStamp) if !sights.contains(&Sight::Barrier) => {
            Reader::Proposing { made_in, sights, begun }
        }
        Err(_) => Reader::Idle,
    }
}

/// The stamps to load under.
fn taken(scene: &Scene, number: usize, sights: &PerTag<Sight>) -> Result<PerTag<Name>, Bypass> {
    let kind = scene.entries[scene.readers[number].entry];
    let mut stamps = [0; TAGS];
    for tag in kind.depends().iter() {
        let stamp = rules::takes(Some(sights[tag].into()), kind.tags[tag])?;
        stamps[tag] = Name::try_from(stamp.get()).unwrap_or(Name::MAX);
    }
    Ok(stamps)
}

/// It leads a flight. That it might also have joined one that has the same stamps, and landed, is looked
/// at here: what that brought must be good enough for it.
fn board(
    scene: &Scene,
    world: &mut World,
    number: usize,
    made_in: u8,
    stamps: PerTag<Name>,
    begun: Begun,
) -> Reader {
    for other in 0..world.readers.len() {
        if let Reader::Filling(kept) = world.readers[other]
            && scene.readers[other].entry == scene.readers[number].entry
            && (kept.made_in, kept.stamps) == (made_in, stamps)
            && !scene.is(Fault::StampAfterLoad)
        {
            answer(scene, world, number, kept.value, begun);
        }
    }
    Reader::Loading { made_in, stamps }
}

/// A read returns: does it keep the promises?
fn answer(scene: &Scene, world: &mut World, number: usize, value: PerTag<u8>, begun: Begun) {
    let kind = scene.entries[scene.readers[number].entry];
    // What is not promised once a key went that a writer relied upon, nor without barriers.
    let never_back = scene.demanding || scene.strict && !world.lost_guard;
    let broken = &mut world.broken;
    for row in kind.rows.iter() {
        let (unknown, forgotten, old) = (
            value[row] == DIRTY || value[row] > world.rows[row],
            value[row] < begun.returned[row],
            value[row] < begun.committed[row] && never_back,
        );
        broken.f3 |= unknown;
        broken.f1 |= forgotten;
        broken.f2 |= old;
        broken.f4 |= world.crashed && (old || scene.strict && forgotten);
        broken.f5 |= world.lost_data && (old || forgotten);
    }
}
