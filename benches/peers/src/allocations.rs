//! The allocator of everything that is measured here: mimalloc, which counts when it is told to.
//!
//! One allocator for all, so that none of the peers is slowed down by the system's. While nobody counts, a
//! call costs one more load of a flag that never changes.
#![allow(unsafe_code, reason = "there is no other way to stand between a program and its allocator")]

use std::{
    alloc::{GlobalAlloc, Layout},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

use mimalloc::MiMalloc;

static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

/// mimalloc, counted.
pub struct Counted;

fn count(allocations: u64, bytes: i64) {
    if ON.load(Relaxed) {
        COUNT.fetch_add(allocations, Relaxed);
        LIVE.fetch_add(bytes, Relaxed);
    }
}

/// No object is larger than `isize::MAX`.
fn signed(size: usize) -> i64 {
    size.cast_signed() as i64
}

// SAFETY: every call goes to mimalloc as it is.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -signed(layout.size()));
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, signed(size) - signed(layout.size()));
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}

/// Counts from now on, from zero, in all threads.
pub fn start() {
    COUNT.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    ON.store(true, Relaxed);
}

/// What has been allocated since [`start`].
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Calls that allocated or grew something.
    pub allocations: u64,
    /// Bytes asked for and not given back.
    pub live: i64,
}

/// Ends the counting.
pub fn stop() -> Count {
    ON.store(false, Relaxed);
    Count { allocations: COUNT.load(Relaxed), live: LIVE.load(Relaxed) }
}
