//! A model checker over the protocol: it goes through every order in which the steps of readers,
//! writers, the network and the store can interleave, and looks at what each read returns.
//!
//! What decides is the code that runs in production: [`Cell`](crate::store::Cell), which the in-process
//! store keeps and the script of the Redis store copies, and the [rules](super::rules) of readers. The
//! rest of the model stands for what is around them: the database, the writers' sequence of steps,
//! messages, clocks, and a store that loses things.
//!
//! - [`scene`]: who takes part, and what may go wrong.
//! - [`world`]: one state, and when two of them are one.
//! - [`writer`], [`reader`], [`surroundings`]: what can happen next.
//! - [`check`]: the promises, and the search.
//! - [`promises`], [`seeded`]: the tests. `docs/protocol.md` says what they cover.

mod check;
mod promises;
mod reader;
mod scene;
mod seeded;
mod surroundings;
mod world;
mod writer;
