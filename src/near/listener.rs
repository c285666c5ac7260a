//! What the store's feed tells goes into the generations.

use std::{fmt, sync::Arc, time::Instant};

use super::Generations;
use crate::store::TagListener;

pub(super) struct Listener(Arc<Generations>);

impl Listener {
    pub(super) fn new(generations: Arc<Generations>) -> Self {
        Self(generations)
    }

    /// There will be nothing more to hear.
    pub(super) fn ended(&self) {
        self.0.lost();
    }
}

impl TagListener for Listener {
    fn changed(&self, key: &[u8]) {
        self.0.changed(key);
    }

    fn lost(&self) {
        self.0.lost();
    }

    fn complete_until(&self, then: Instant) {
        self.0.complete_until(then);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
