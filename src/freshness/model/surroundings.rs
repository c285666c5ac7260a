//! What happens to the store and to the clock.

use super::{
    scene::{Scene, TAGS},
    world::World,
    writer::{self, lose_tag, relied_upon},
};
use crate::store::TagState;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// Marks grow older, and end.
    TimePasses,
    TagIsEvicted(usize),
    EntryIsEvicted(usize),
    /// FLUSHALL: everything goes, and the store lives on.
    AllIsFlushed,
    /// What a restart may come back with.
    SnapshotIsSaved,
    /// Another incarnation, with nothing.
    RestartsEmpty,
    /// Another incarnation, with what was saved: also a replica that takes over and is behind.
    RestartsFromSnapshot,
}

/// Everything that may happen next.
pub(super) fn events(scene: &Scene, world: &World, mut add: impl FnMut(Event)) {
    let server = &world.server;
    if scene.strict {
        let marks = server.tags.iter().any(|cell| cell.look(0) == TagState::Barrier);
        if marks || world.writers.iter().any(|writer| writer.life > 0 || writer.next > 0) {
            add(Event::TimePasses);
        }
    }
    let unguarded = |tag: &usize| scene.loses_guards || !scene.strict || !relied_upon(scene, world, *tag);
    if world.mishaps.losses > 0 {
        for tag in (0..TAGS).filter(unguarded) {
            if server.tags[tag].until().is_some() {
                add(Event::TagIsEvicted(tag));
            }
        }
        for (entry, kept) in server.entries.iter().enumerate() {
            if kept.is_some() {
                add(Event::EntryIsEvicted(entry));
            }
        }
        if (0..TAGS).all(|tag| unguarded(&tag)) {
            add(Event::AllIsFlushed);
        }
    }
    if world.mishaps.restarts > 0 {
        let unguarded = (0..TAGS).all(|tag| unguarded(&tag));
        if server.snapshot.is_none() {
            add(Event::SnapshotIsSaved);
            if unguarded {
                add(Event::RestartsEmpty);
            }
        } else if unguarded {
            add(Event::RestartsFromSnapshot);
        }
    }
}

/// It happens.
pub(super) fn take(scene: &Scene, world: &mut World, event: Event) {
    match event {
        Event::TimePasses => writer::tick(scene, world),
        Event::TagIsEvicted(tag) => {
            lose_tag(scene, world, tag);
            world.mishaps.losses -= 1;
        }
        Event::EntryIsEvicted(entry) => {
            world.server.entries[entry] = None;
            lose(world);
            world.mishaps.losses -= 1;
        }
        Event::AllIsFlushed => {
            (0..TAGS).for_each(|tag| lose_tag(scene, world, tag));
            world.server.entries.fill(None);
            world.mishaps.losses -= 1;
        }
        Event::SnapshotIsSaved => {
            world.server.snapshot = Some(Box::new((world.server.tags.clone(), world.server.entries.clone())));
        }
        Event::RestartsEmpty => {
            (0..TAGS).for_each(|tag| lose_tag(scene, world, tag));
            world.server.entries.fill(None);
            restarted(world);
        }
        Event::RestartsFromSnapshot => {
            (0..TAGS).for_each(|tag| lose_tag(scene, world, tag));
            if let Some(snapshot) = world.server.snapshot.take() {
                (world.server.tags, world.server.entries) = *snapshot;
            }
            restarted(world);
        }
    }
}

fn restarted(world: &mut World) {
    world.server.incarnation += 1;
    world.mishaps.restarts -= 1;
}

/// From now on the store is one that has lost data.
pub(super) fn lose(world: &mut World) {
    world.lost_data = true;
}
