//! Names that no other test, test process or earlier run uses.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// `prefix_<process>_<counter>_<random>`: lower case, digits and underscores after the prefix, so that it is a
/// valid identifier in every database.
pub fn unique_name(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}_{:x}_{counter:x}_{:08x}", process::id(), random() as u32)
}

/// A cache namespace for one test, so that tests can share a Redis.
pub fn unique_namespace() -> String {
    unique_name("test")
}

/// A random number from the seed that the standard library gives its hash maps: good enough for names and
/// ports, and no dependency.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
