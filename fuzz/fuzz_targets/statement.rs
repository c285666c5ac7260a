#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sea_orm_cache_fuzz::check(data);
});

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 8 == 0 {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let mutated = sea_orm_cache_fuzz::mutate(&data[..size], max_size, seed);
    data[..mutated.len()].copy_from_slice(&mutated);
    mutated.len()
});
