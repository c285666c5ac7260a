#![no_main]

use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};
use sea_orm_cache_fuzz::{Verdict, check, mutate};

// What is no SQL is checked, and not bred from.
fuzz_target!(|data: &[u8]| -> Corpus {
    match check(data) {
        Verdict::Rejected => Corpus::Reject,
        _ => Corpus::Keep,
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 16 == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mutated = mutate(&data[..size], max_size, seed);
    data[..mutated.len()].copy_from_slice(&mutated);
    mutated.len()
});
