//! Being told which tags change.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// What [`Store::watch`](super::Store::watch) is to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// What the keys of all tags begin with; none is the beginning of another.
    pub prefixes: Vec<String>,
    /// What the watcher's own keys begin with, which it uses to hear from itself. Sorts behind the
    /// others, and nobody else has it.
    pub own: String,
    /// How often the listener wants to know that nothing was missed.
    pub pace: Duration,
}

/// Who wants to know which tags change. Called from the task that reads the connection, so quick.
pub trait TagListener: Debug + Send + Sync + 'static {
    /// What stands under this key was changed or removed: by a writer, by its end of life, by
    /// eviction.
    fn changed(&self, key: &[u8]);

    /// Changes may have been missed until now, and may be missed until the next
    /// [`complete_until`](Self::complete_until).
    fn lost(&self);

    /// Everything that changed before `then` has been told.
    fn complete_until(&self, then: Instant);
}
