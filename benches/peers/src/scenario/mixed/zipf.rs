//! Which rows are asked for: Zipf with exponent 0.99, as YCSB has it.

use rand::{SeedableRng, rngs::StdRng};
use rand_distr::{Distribution, Zipf};

const EXPONENT: f64 = 0.99;
/// Drawn beforehand, so that no operation pays for the drawing. Tasks go round in them from places of their
/// own.
const DRAWN: usize = 1 << 20;

/// Keys from 1 to `rows`. The popular ones lie scattered over the table.
pub fn keys(rows: usize) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(0x5ea);
    let ranks = Zipf::new(rows as f64, EXPONENT).expect("at least one row");
    let stride = stride(rows as u64);
    (0..DRAWN)
        .map(|_| {
            let rank = ranks.sample(&mut random) as u64;
            (rank.wrapping_mul(stride) % rows as u64) as i64 + 1
        })
        .collect()
}

/// A prime that does not divide the number of rows, so that each rank is another row.
fn stride(rows: u64) -> u64 {
    [48_271, 69_621, 16_807, 7919].into_iter().find(|&prime| !rows.is_multiple_of(prime)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_most_popular_row_of_100_k_takes_one_read_in_thirteen() {
        let mut counts = HashMap::<i64, usize>::new();
        for key in keys(100_000) {
            assert!((1..=100_000).contains(&key));
            *counts.entry(key).or_default() += 1;
        }
        let most = counts.values().max().copied().unwrap_or_default() as f64 / DRAWN as f64;
        assert!((0.07..0.09).contains(&most), "{most}");
    }
}
