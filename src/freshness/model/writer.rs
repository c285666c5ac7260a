//! What a writer can do next.
//!
//! `connection/transaction.rs` and `freshness/ticket.rs` do this in order: leave the marks, renew them
//! if half their life went by, COMMIT, take them away. Here any of it can be late, lost or never come.

use super::{
    scene::{Doubt, Fault, LIFE, Scene, TAGS},
    surroundings::lose,
    world::{FRESH, Kept, Name, Sight, Stage, World, stamp, uncovered, writer_id},
};
use crate::store::{Fate, TagState, WriterId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum WriterStep {
    /// Sends its marks, for the first time or to renew them.
    SendsMarks,
    /// A mark arrives.
    MarkArrives(usize),
    /// The marks that have not arrived get no answer in time. They may arrive later.
    MarksGetNoAnswer,
    /// It takes the stamps of the tags that its row depends on besides its own.
    LooksAtOthers,
    /// The database executes its COMMIT.
    Commits,
    /// The database has rolled it back, and it knows.
    RollsBack,
    /// The answer to its COMMIT never comes; it takes it that it may have happened.
    HearsNothingOfItsCommit,
    /// kill -9.
    Crashes,
    /// Its purge of a tag arrives, and its mark there goes.
    ReleaseArrives(usize),
    /// That gets no answer in time: the purge is queued.
    ReleaseGetsNoAnswer(usize),
    /// A queued purge arrives.
    QueuedPurgeArrives(usize),
    /// A mark that was given up arrives.
    MarkArrivesLate(usize),
    /// A release that was given up arrives.
    ReleaseArrivesLate(usize),
    /// The row that it stores arrives, behind the release of its tag.
    RowArrives,
}

use WriterStep as Step;

/// Everything that this writer may do next.
pub(super) fn steps(scene: &Scene, world: &World, number: usize, mut add: impl FnMut(WriterStep)) {
    let (writer, write) = (&world.writers[number], scene.writers[number]);
    let silences = world.mishaps.silences > 0;
    match writer.stage {
        Stage::Open => add(Step::SendsMarks),
        Stage::Guarding if writer.alive => {
            let fresh = u64::from(writer.life) == LIFE;
            if scene.strict && writer.arming.is_empty() && !fresh {
                add(Step::SendsMarks);
            }
            writer.arming.iter().for_each(|tag| add(Step::MarkArrives(tag)));
            if silences && !writer.arming.is_empty() {
                add(Step::MarksGetNoAnswer);
            }
            if write.stores.is_some() && writer.looked.is_none() && !scene.is(Fault::LooksAfterCommit) {
                add(Step::LooksAtOthers);
            }
            add(Step::RollsBack);
            if writer.life > 0 && (scene.doubt != Doubt::Never || scene.is(Fault::PurgesBeforeCommit)) {
                add(Step::HearsNothingOfItsCommit);
            }
        }
        Stage::Releasing if writer.alive => {
            if write.stores.is_some() && writer.looked.is_none() && scene.is(Fault::LooksAfterCommit) {
                add(Step::LooksAtOthers);
            }
            for tag in writer.owes.iter() {
                add(Step::ReleaseArrives(tag));
                if silences {
                    add(Step::ReleaseGetsNoAnswer(tag));
                }
            }
        }
        _ => {}
    }
    // Also when it is dead: the COMMIT was sent.
    if writer.life > 0 && (writer.stage == Stage::Guarding || writer.doubt) {
        add(Step::Commits);
    }
    if writer.alive && (!matches!(writer.stage, Stage::Open | Stage::Over) || !writer.queued.is_empty()) {
        add(Step::Crashes);
    }
    if writer.alive {
        writer.queued.iter().for_each(|tag| add(Step::QueuedPurgeArrives(tag)));
    }
    writer.late_arms.iter().for_each(|tag| add(Step::MarkArrivesLate(tag)));
    writer.late_releases.iter().for_each(|tag| add(Step::ReleaseArrivesLate(tag)));
    if writer.new.is_some() {
        add(Step::RowArrives);
    }
}

/// Takes the step.
pub(super) fn take(scene: &Scene, world: &mut World, number: usize, step: WriterStep) {
    let write = scene.writers[number];
    match step {
        Step::SendsMarks => {
            let writer = &mut world.writers[number];
            writer.sent_again = writer.stage == Stage::Guarding;
            writer.stage = Stage::Guarding;
            if scene.strict {
                (writer.arming, writer.next) = (write.marks, LIFE as u8);
            } else {
                // Without marks nothing ends; the clock stands still.
                writer.life = LIFE as u8;
            }
        }
        Step::MarkArrives(tag) => {
            arm(scene, world, number, tag);
            let writer = &mut world.writers[number];
            writer.arming.remove(tag);
            if writer.arming.is_empty() {
                writer.life = writer.life.max(writer.next);
            }
        }
        Step::MarksGetNoAnswer => {
            let writer = &mut world.writers[number];
            writer.late_arms = writer.late_arms.and(std::mem::take(&mut writer.arming));
            writer.sent_again = true;
            world.mishaps.silences -= 1;
        }
        Step::LooksAtOthers => {
            // The row's own tag is the first.
            let stamp = match scene.writers[number].stores.and_then(|entry| scene.entries[entry].tags[1]) {
                None => Some(0),
                Some(_) => match Sight::from(world.server.tags[1].look(0)) {
                    Sight::Stamp(name, _) => Some(name),
                    _ => None,
                },
            };
            // Of no life of the store: nothing is stored then.
            let looked = stamp.map_or((0, 0), |stamp| (world.server.incarnation, stamp));
            world.writers[number].looked = Some(looked);
        }
        Step::RowArrives => {
            if let Some(entry) = scene.writers[number].stores {
                world.server.entries[entry] = world.writers[number].new.take();
            }
        }
        Step::Commits => {
            for row in write.rows.iter() {
                world.rows[row] += 1;
                world.writers[number].versions[row] = world.rows[row];
            }
            let writer = &mut world.writers[number];
            writer.doubt = false;
            match writer.stage {
                Stage::Guarding if writer.alive => begin_release(scene, world, number),
                Stage::Guarding => writer.stage = Stage::Over,
                _ => {}
            }
        }
        Step::RollsBack => {
            world.writers[number].rolled_back = true;
            begin_release(scene, world, number);
        }
        Step::HearsNothingOfItsCommit => {
            world.writers[number].doubt = true;
            begin_release(scene, world, number);
        }
        Step::Crashes => {
            let writer = &mut world.writers[number];
            writer.alive = false;
            if !writer.queued.is_empty() && !scene.strict {
                // Its process knew of the purge that waits; the next one does not.
                world.returned_at_home = world.returned;
            }
            // Lost. A writer that goes on too, but slowly, has them arrive later.
            (writer.arming, writer.owes, writer.queued) = Default::default();
            if writer.stage != Stage::Guarding {
                writer.stage = Stage::Over;
            }
            world.crashed = true;
        }
        Step::ReleaseArrives(tag) => {
            release(scene, world, number, tag);
            world.writers[number].owes.remove(tag);
            return_when_done(scene, world, number);
        }
        Step::ReleaseGetsNoAnswer(tag) => {
            let purges = fate(scene, world, number, tag) != Fate::Spare;
            let writer = &mut world.writers[number];
            writer.owes.remove(tag);
            writer.late_releases.add(tag);
            if purges {
                writer.queued.add(tag);
            }
            world.mishaps.silences -= 1;
            return_when_done(scene, world, number);
        }
        Step::QueuedPurgeArrives(tag) => {
            // By nobody who has left a mark, and whatever the label is.
            let nobody = WriterId::from_number(u64::MAX);
            world.server.tags[tag].release(nobody, Fate::Purge, 0, 0);
            let writer = &mut world.writers[number];
            writer.queued.remove(tag);
            let (version, returned) = (writer.versions[tag], &mut world.returned[tag]);
            *returned = version.max(*returned);
        }
        Step::MarkArrivesLate(tag) => {
            arm(scene, world, number, tag);
            world.writers[number].late_arms.remove(tag);
        }
        Step::ReleaseArrivesLate(tag) => {
            release(scene, world, number, tag);
            world.writers[number].late_releases.remove(tag);
        }
    }
}

fn arm(scene: &Scene, world: &mut World, number: usize, tag: usize) {
    let cell = &mut world.server.tags[tag];
    if scene.is(Fault::SparesBlindly)
        && let Sight::Stamp(name, _) = Sight::from(cell.look(0))
    {
        world.believed[tag] = name;
    }
    cell.arm(writer_id(number), scene.writers[number].unless(tag), LIFE, 0);
}

fn begin_release(scene: &Scene, world: &mut World, number: usize) {
    let writer = &mut world.writers[number];
    writer.stage = Stage::Releasing;
    let under_way = std::mem::take(&mut writer.arming);
    // A mark that is just being renewed may arrive after the release.
    if world.mishaps.silences > 0 && !under_way.is_empty() {
        world.mishaps.silences -= 1;
        writer.late_arms = writer.late_arms.and(under_way);
    }
    writer.owes = scene.writers[number].marks;
}

/// What becomes of a tag: as it is planned, or nothing if the writer knows that it has changed nothing.
fn fate(scene: &Scene, world: &World, number: usize, tag: usize) -> Fate {
    if world.writers[number].rolled_back { Fate::Spare } else { scene.writers[number].fates[tag] }
}

fn release(scene: &Scene, world: &mut World, number: usize, tag: usize) {
    let fate = fate(scene, world, number, tag);
    let waits = world.writers[number].doubt && scene.doubt == Doubt::Waits;
    let settle = if waits { LIFE } else { 0 };
    let new = if tag == 0 && fate == Fate::Purge { new_row(scene, world, number) } else { None };
    let fate = match new.and_then(|row| stamp(row.stamps[0], 0)) {
        Some(stamp) => Fate::Renew(stamp, u64::MAX),
        None => fate,
    };
    world.writers[number].new = new.or(world.writers[number].new);
    let cell = &mut world.server.tags[tag];
    cell.release(writer_id(number), fate, settle, 0);
    if let Fate::Renew(stamp, life) = fate
        && scene.is(Fault::RenewsBlindly)
    {
        cell.propose(stamp, life, 0);
    }
    if scene.is(Fault::ReleasesOthers) {
        for other in 0..scene.writers.len() {
            cell.release(writer_id(other), fate, 0, 0);
        }
    }
    if scene.is(Fault::SparesBlindly)
        && fate == Fate::Spare
        && cell.look(0) == TagState::Absent
        && let Some(stamp) = stamp(world.believed[tag], 0)
    {
        cell.propose(stamp, u64::MAX, 0);
    }
}

/// The row that the writer stores, under a new stamp of its tag; if it may.
fn new_row(scene: &Scene, world: &World, number: usize) -> Option<Kept> {
    let writer = &world.writers[number];
    scene.writers[number].stores?;
    let (made_in, other) = writer.looked?;
    let again = writer.sent_again && !scene.is(Fault::RenewsAfterRenewal) || made_in == 0;
    // Nobody knows whether it was committed, or it was not.
    let committed = !writer.doubt && writer.versions[0] != 0;
    let name = FRESH + 1 + number as Name;
    (committed && !again).then_some(Kept { made_in, stamps: [name, other], value: [writer.versions[0], 0] })
}

/// `commit()` returns once every purge is confirmed or queued.
fn return_when_done(scene: &Scene, world: &mut World, number: usize) {
    let writer = &mut world.writers[number];
    if !writer.owes.is_empty() {
        return;
    }
    writer.stage = Stage::Over;
    for row in 0..TAGS {
        let version = writer.versions[row];
        let home = &mut world.returned_at_home[row];
        *home = version.max(*home);
        // Without a barrier, other processes know nothing of a purge that waits here.
        if scene.strict || !writer.queued.has(row) {
            let everywhere = &mut world.returned[row];
            *everywhere = version.max(*everywhere);
        }
    }
}

/// The clock goes on; marks may end.
pub(super) fn tick(scene: &Scene, world: &mut World) {
    let before = scene.is(Fault::ExpiryRestores).then(|| world.server.tags.clone());
    world.tick();
    for (tag, before) in before.into_iter().flatten().enumerate() {
        let ended = before.look(0) == TagState::Barrier && world.server.tags[tag].look(0) == TagState::Absent;
        if ended {
            world.server.tags[tag] = uncovered(&before, scene.writers.len());
        }
    }
}

/// Does a writer rely on this tag's mark, or on a stamp that its mark spared?
pub(super) fn relied_upon(scene: &Scene, world: &World, tag: usize) -> bool {
    world.writers.iter().zip(&scene.writers).any(|(writer, write)| {
        let may_commit = writer.stage == Stage::Guarding || writer.doubt;
        may_commit && write.marks.has(tag) && (writer.life > 0 || !writer.arming.has(tag))
    })
}

/// A key goes.
pub(super) fn lose_tag(scene: &Scene, world: &mut World, tag: usize) {
    if scene.strict && relied_upon(scene, world, tag) {
        world.lost_guard = true;
    }
    world.server.tags[tag] = Default::default();
    lose(world);
}
