//! The promises, and the search through everything that can happen.

use std::fmt::Write as _;

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::{
    reader::{self, ReaderStep},
    scene::Scene,
    surroundings::{self, Event},
    world::World,
    writer::{self, WriterStep},
};

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Writer(usize, WriterStep),
    Reader(usize, ReaderStep),
    Store(Event),
}

impl Model for Scene {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::first(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken != Default::default() {
            return;
        }
        for number in 0..world.writers.len() {
            writer::steps(self, world, number, |step| actions.push(Action::Writer(number, step)));
        }
        for number in 0..world.readers.len() {
            reader::steps(self, world, number, |step| actions.push(Action::Reader(number, step)));
        }
        surroundings::events(self, world, |event| actions.push(Action::Store(event)));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut world = world.clone();
        match action {
            Action::Writer(number, step) => writer::take(self, &mut world, number, step),
            Action::Reader(number, step) => reader::take(self, &mut world, number, step),
            Action::Store(event) => surroundings::take(self, &mut world, event),
        }
        Some(world.canonical(self))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(F1, |_, world: &World| !world.broken.f1),
            Property::always(F2, |_, world: &World| !world.broken.f2),
            Property::always(F3, |_, world: &World| !world.broken.f3),
            Property::always(F4, |_, world: &World| !world.broken.f4),
            Property::always(F5, |_, world: &World| !world.broken.f5),
        ]
    }
}

pub(super) const F1: &str = "F1 a read that begins after commit() has returned sees the write";
pub(super) const F2: &str = "F2 no read that begins after the COMMIT returns an older row";
pub(super) const F3: &str = "F3 nothing uncommitted is returned";
pub(super) const F4: &str = "F4 a crash of a writer makes no read stale";
pub(super) const F5: &str = "F5 data that the store loses makes no read stale";

/// What a search came to.
pub(super) struct Verdict {
    /// The promises that can be broken, each with the steps that do it.
    pub(super) broken: Vec<(&'static str, String)>,
    pub(super) states: usize,
}

/// Goes through everything that can happen in a scene, or until enough promises are broken.
#[expect(clippy::print_stdout, reason = "how much was searched is part of the result")]
pub(super) fn search(scene: Scene, enough: HasDiscoveries) -> Verdict {
    let (name, threads) = (scene.name, std::thread::available_parallelism().map_or(1, usize::from));
    let checker = scene.checker().threads(threads).finish_when(enough).spawn_bfs().join();
    let (states, transitions, depth) =
        (checker.unique_state_count(), checker.state_count(), checker.max_depth());
    let mut broken = Vec::new();
    for (property, path) in checker.discoveries() {
        let mut steps = String::new();
        for action in path.into_actions() {
            let _ = writeln!(steps, "  {action:?}");
        }
        broken.push((property, steps));
    }
    broken.sort();
    println!("{name}: {states} states, {transitions} transitions, depth {depth}");
    for (property, steps) in &broken {
        println!("broken: {property}\n{steps}");
    }
    Verdict { broken, states }
}
