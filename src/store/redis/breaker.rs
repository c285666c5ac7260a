//! The circuit breaker: after repeated failures the server is left alone for a while, so that a
//! server that hangs does not add its timeout to every query.
//!
//! A pure state machine. Time and chance come in as arguments.

use std::time::{Duration, Instant};

/// How a breaker behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Failures in a row that open it.
    pub(super) failures: u32,
    /// How long it stays open at first; doubles with every probe that fails.
    pub(super) first_pause: Duration,
    /// And at most.
    pub(super) longest_pause: Duration,
}

/// Closed: calls pass. Open: calls fail at once. Half open: one call passes, and decides.
#[derive(Debug)]
pub(super) struct Breaker {
    limits: Limits,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32, counted_at: Option<Instant> },
    Open { until: Instant, openings: u32 },
    HalfOpen { probing: bool, openings: u32 },
}

/// Leave to call the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Regular,
    /// The one call that finds out whether the server is back. Its outcome must be reported.
    Probe,
}

/// No leave: try again after this time, or when a probe that is under way has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    OpenFor(Duration),
    Probing,
}

impl Breaker {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: State::Closed { failures: 0, counted_at: None } }
    }

    /// Closed, and no failure since the last success: nothing to look at.
    pub(super) fn is_calm(&self) -> bool {
        matches!(self.state, State::Closed { failures: 0, .. })
    }

    /// Would a call be admitted now?
    pub(super) fn check(&self, now: Instant) -> Result<(), Refusal> {
        match self.state {
            State::Open { until, .. } if now < until => Err(Refusal::OpenFor(until - now)),
            State::HalfOpen { probing: true, .. } => Err(Refusal::Probing),
            _ => Ok(()),
        }
    }

    /// Asks for leave to call.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admission, Refusal> {
        self.check(now)?;
        match self.state {
            State::Closed { .. } => Ok(Admission::Regular),
            State::Open { openings, .. } | State::HalfOpen { openings, .. } => {
                self.state = State::HalfOpen { probing: true, openings };
                Ok(Admission::Probe)
            }
        }
    }

    /// The server answered.
    pub(super) fn succeeded(&mut self, admission: Admission) {
        match (self.state, admission) {
            (State::Closed { .. }, _) | (State::HalfOpen { .. }, Admission::Probe) => {
                self.state = State::Closed { failures: 0, counted_at: None };
            }
            // A call from before the breaker opened: the probe decides, not the past.
            _ => {}
        }
    }

    /// The server did not answer a call that began at `began`. `chance` is in `0.0..1.0`. True if
    /// this opened the breaker.
    pub(super) fn failed(&mut self, admission: Admission, began: Instant, now: Instant, chance: f64) -> bool {
        match (self.state, admission) {
            // Calls that failed side by side are one failure: a hiccup of a moment, seen by many.
            (State::Closed { counted_at: Some(counted_at), .. }, _) if began < counted_at => false,
            (State::Closed { failures, .. }, _) => {
                let failures = failures + 1;
                self.state = State::Closed { failures, counted_at: Some(now) };
                if failures >= self.limits.failures {
                    self.open(1, now, chance);
                    return true;
                }
                false
            }
            (State::HalfOpen { openings, .. }, Admission::Probe) => {
                self.open(openings.saturating_add(1), now, chance);
                true
            }
            _ => false,
        }
    }

    /// The probe's caller went away before there was an answer: the next call is the probe.
    pub(super) fn abandoned(&mut self, admission: Admission) {
        if let (State::HalfOpen { openings, .. }, Admission::Probe) = (self.state, admission) {
            self.state = State::HalfOpen { probing: false, openings };
        }
    }

    /// There is a reason to hope (a fresh connection that answered): the next call may try now.
    pub(super) fn try_now(&mut self) {
        if let State::Open { openings, .. } = self.state {
            self.state = State::HalfOpen { probing: false, openings };
        }
    }

    fn open(&mut self, openings: u32, now: Instant, chance: f64) {
        let Limits { first_pause, longest_pause, .. } = self.limits;
        let doubled = 1_u32.checked_shl(openings - 1).unwrap_or(u32::MAX);
        let pause = first_pause.saturating_mul(doubled).min(longest_pause);
        // Between half and all of it, so that many processes do not probe in step.
        let pause = pause / 2 + (pause / 2).mul_f64(chance.clamp(0.0, 1.0));
        self.state = State::Open { until: now + pause, openings };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        failures: 3,
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(5),
    };
    const FULL: f64 = 1.0;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A breaker that has just opened, and when.
    fn opened() -> (Breaker, Instant) {
        let mut breaker = Breaker::new(LIMITS);
        let mut now = Instant::now();
        for _ in 0..LIMITS.failures {
            now += ms(1);
            breaker.failed(Admission::Regular, now, now, FULL);
        }
        (breaker, now)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_before() {
        let mut breaker = Breaker::new(LIMITS);
        let now = Instant::now();
        assert!(!breaker.failed(Admission::Regular, now, now, FULL));
        assert!(!breaker.failed(Admission::Regular, now, now, FULL));
        assert!(!breaker.is_calm());
        assert_eq!(breaker.admit(now), Ok(Admission::Regular));
        assert!(breaker.failed(Admission::Regular, now, now, FULL));
        assert_eq!(breaker.admit(now), Err(Refusal::OpenFor(ms(200))));
        assert_eq!(breaker.admit(now + ms(199)), Err(Refusal::OpenFor(ms(1))));
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut breaker = Breaker::new(LIMITS);
        let now = Instant::now();
        for _ in 0..10 {
            breaker.failed(Admission::Regular, now, now, FULL);
            breaker.failed(Admission::Regular, now, now, FULL);
            breaker.succeeded(Admission::Regular);
        }
        assert!(breaker.is_calm());
    }

    #[test]
    fn calls_that_fail_side_by_side_count_once() {
        let mut breaker = Breaker::new(LIMITS);
        let began = Instant::now();
        for call in 0..64 {
            assert!(!breaker.failed(Admission::Regular, began, began + ms(80 + call), FULL));
        }
        assert_eq!(breaker.admit(began + ms(200)), Ok(Admission::Regular));
    }

    #[test]
    fn half_open_lets_one_probe_through_and_its_success_closes() {
        let (mut breaker, now) = opened();
        let later = now + ms(200);
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
        assert_eq!(breaker.admit(later), Err(Refusal::Probing));
        breaker.succeeded(Admission::Probe);
        assert!(breaker.is_calm());
        assert_eq!(breaker.admit(later), Ok(Admission::Regular));
    }

    #[test]
    fn a_failed_probe_opens_it_again_for_twice_as_long_up_to_a_bound() {
        let (mut breaker, mut now) = opened();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            let Err(Refusal::OpenFor(pause)) = breaker.admit(now) else { panic!("not open") };
            pauses.push(pause);
            now += pause;
            assert_eq!(breaker.admit(now), Ok(Admission::Probe));
            assert!(breaker.failed(Admission::Probe, now, now, FULL));
        }
        assert_eq!(pauses[..6], [ms(200), ms(400), ms(800), ms(1600), ms(3200), ms(5000)]);
        assert!(pauses[6..].iter().all(|pause| *pause == ms(5000)));
    }

    #[test]
    fn chance_shortens_a_pause_by_half_at_most() {
        for (chance, pause) in [(0.0, ms(100)), (0.5, ms(150)), (1.0, ms(200)), (7.0, ms(200))] {
            let mut breaker = Breaker::new(Limits { failures: 1, ..LIMITS });
            let now = Instant::now();
            assert!(breaker.failed(Admission::Regular, now, now, chance));
            assert_eq!(breaker.admit(now), Err(Refusal::OpenFor(pause)));
        }
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_the_next() {
        let (mut breaker, now) = opened();
        let later = now + ms(200);
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
        breaker.abandoned(Admission::Probe);
        assert_eq!(breaker.check(later), Ok(()));
        assert_eq!(breaker.admit(later), Ok(Admission::Probe));
    }

    #[test]
    fn calls_from_before_it_opened_do_not_decide() {
        let (mut breaker, now) = opened();
        breaker.succeeded(Admission::Regular);
        assert!(breaker.admit(now).is_err());
        assert_eq!(breaker.admit(now + ms(200)), Ok(Admission::Probe));
        breaker.succeeded(Admission::Regular);
        assert!(!breaker.failed(Admission::Regular, now, now + ms(201), FULL));
        assert_eq!(breaker.admit(now + ms(201)), Err(Refusal::Probing));
    }

    #[test]
    fn a_fresh_connection_may_be_tried_at_once() {
        let (mut breaker, now) = opened();
        breaker.try_now();
        assert_eq!(breaker.admit(now), Ok(Admission::Probe));
        breaker.try_now();
        assert_eq!(breaker.admit(now), Err(Refusal::Probing), "still one probe at a time");
    }
}
