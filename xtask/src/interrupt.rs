//! Ctrl-C, SIGTERM and SIGHUP: noted here, and heeded by everything that waits.
//!
//! The handler does nothing but count. Whoever waits polls [`check`], returns an error, and the guards on the
//! way out stop what they guard: the same way as after any other failure.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Failure;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

/// Starts to listen for signals.
pub fn listen() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
    })
    .map_err(|error| format!("cannot listen for Ctrl-C: {error}"))
}

/// Whether to stop.
pub fn requested() -> bool {
    REQUESTS.load(Ordering::Relaxed) > 0
}

/// Whether to stop and be quick about it: somebody pressed Ctrl-C again.
pub fn insisted() -> bool {
    REQUESTS.load(Ordering::Relaxed) > 1
}

/// An error if it is time to stop.
pub fn check() -> Result<(), Failure> {
    if requested() { Err("interrupted".to_owned()) } else { Ok(()) }
}
