//! How often each referee had something to say: a check that nobody reaches finds nothing.

use std::sync::atomic::{AtomicU64, Ordering};

pub static TEXTS: AtomicU64 = AtomicU64::new(0);
pub static POSTGRES: AtomicU64 = AtomicU64::new(0);
pub static SQLITE: AtomicU64 = AtomicU64::new(0);
pub static CACHEABLE: AtomicU64 = AtomicU64::new(0);
pub static SELECTS_RUN: AtomicU64 = AtomicU64::new(0);
pub static WRITES_RUN: AtomicU64 = AtomicU64::new(0);
pub static FILTERS_RUN: AtomicU64 = AtomicU64::new(0);

/// One more; the first says from time to time how many of each there were.
pub fn count(what: &AtomicU64) {
    let n = what.fetch_add(1, Ordering::Relaxed) + 1;
    if std::ptr::eq(what, &TEXTS) && n % 500_000 == 0 {
        let of = |what: &AtomicU64| what.load(Ordering::Relaxed);
        eprintln!(
            "texts {n}, accepted by PostgreSQL {}, by SQLite {}, cacheable {}; run: selects with a scope {}, \
             writes {}, filters {}",
            of(&POSTGRES),
            of(&SQLITE),
            of(&CACHEABLE),
            of(&SELECTS_RUN),
            of(&WRITES_RUN),
            of(&FILTERS_RUN),
        );
    }
}
