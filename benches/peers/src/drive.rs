//! Tasks that do one operation again and again for a while, and what came of it.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};

/// What a task does without being asked: so many operations between two offers to let others run, and that
/// many between two looks at a clock where operations are shorter than a look.
const TURN: u64 = 64;

/// How to drive.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub tasks: usize,
    pub time: Duration,
    /// One operation in so many is timed. 1 where an operation takes microseconds; more where it takes less
    /// than the clock.
    pub timed: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Sample {
    pub operations: u64,
    pub seconds: f64,
    /// CPU time of this process, user and system.
    pub cpu: Duration,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
}

impl Sample {
    pub fn per_second(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// In microseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Microseconds per operation.
    pub fn cpu_per_operation(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.operations.max(1) as f64
    }
}

/// A histogram of nanoseconds, up to a minute.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds that are fit")
}

/// CPU time of this process so far.
pub fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let time = |value: nix::sys::time::TimeVal| {
        Duration::new(value.tv_sec().cast_unsigned(), value.tv_usec().cast_unsigned() as u32 * 1000)
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// Drives `operation` over `keys`, each task from another place in them. The first error ends it.
pub async fn drive<O, F>(pace: Pace, keys: &Arc<[i64]>, operation: O) -> Result<Sample>
where
    O: Fn(i64) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let cpu_before = cpu()?;
    let start = Instant::now();
    let end = start + pace.time;
    let tasks: Vec<_> = (0..pace.tasks)
        .map(|task| {
            let (keys, operation) = (keys.clone(), operation.clone());
            tokio::spawn(async move {
                let mut latency = histogram();
                let mut done = 0_u64;
                let mut at = task * keys.len() / pace.tasks;
                loop {
                    for _ in 0..TURN {
                        let key = keys[at];
                        at = if at + 1 == keys.len() { 0 } else { at + 1 };
                        if done.is_multiple_of(pace.timed) {
                            let before = Instant::now();
                            operation(key).await?;
                            let after = Instant::now();
                            latency.saturating_record((after - before).as_nanos() as u64);
                            if after >= end {
                                return Ok::<_, anyhow::Error>((done + 1, latency));
                            }
                        } else {
                            operation(key).await?;
                        }
                        done += 1;
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut sample = Sample { operations: 0, seconds: 0.0, cpu: Duration::ZERO, latency: histogram() };
    for task in tasks {
        let (done, latency) = task.await??;
        sample.operations += done;
        sample.latency.add(latency)?;
    }
    sample.seconds = start.elapsed().as_secs_f64();
    sample.cpu = cpu()?.saturating_sub(cpu_before);
    Ok(sample)
}
