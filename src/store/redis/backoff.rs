//! How long to wait before the next attempt to connect: exponential, with full jitter.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The bound of the first pause.
const FIRST: Duration = Duration::from_millis(50);
/// The bound of every pause: a server that is back is noticed within this time.
const LONGEST: Duration = Duration::from_secs(2);

/// Counts attempts. The first one is not delayed; those after it are, by a random time between
/// nothing and a bound that doubles, so that a thousand clients do not come back in one moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The pause before the next attempt. `chance` is in `0.0..1.0`.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let bound = match self.attempts.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)),
        };
        self.attempts = self.attempts.saturating_add(1);
        bound.min(LONGEST).mul_f64(chance.clamp(0.0, 1.0))
    }

    /// All was well for some time: the next attempt is a first one again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A random number in `0.0..1.0`, from the keys that the standard library gives its hash maps.
/// Good for spreading load, not for secrets.
pub(super) fn chance() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_at_once_and_the_bound_doubles_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..50).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(pauses[..8], [0, 50, 100, 200, 400, 800, 1600, 2000]);
        assert!(pauses[8..].iter().all(|pause| *pause == 2000));
        backoff.reset();
        assert_eq!(backoff.next(1.0), Duration::ZERO);
    }

    #[test]
    fn chance_goes_from_nothing_to_all_of_it() {
        let mut backoff = Backoff { attempts: 3 };
        assert_eq!(backoff.next(0.0), Duration::ZERO);
        let chances: Vec<_> = (0..1000).map(|_| chance()).collect();
        assert!(chances.iter().all(|chance| (0.0..1.0).contains(chance)));
        let mean = chances.iter().sum::<f64>() / 1000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }
}
