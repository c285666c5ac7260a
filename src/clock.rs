//! The time as one number, for what looks at it on every read.

use std::{sync::LazyLock, time::Instant};

static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since this process first asked. Goes on while the process is stopped; never goes back.
pub(crate) fn now() -> u64 {
    since_beginning(Instant::now())
}

/// The same of a moment in the past; zero if it was before the beginning.
pub(crate) fn since_beginning(then: Instant) -> u64 {
    let nanos = then.saturating_duration_since(*BEGINNING).as_nanos();
    // More than five hundred years.
    u64::try_from(nanos).unwrap_or(u64::MAX)
}
