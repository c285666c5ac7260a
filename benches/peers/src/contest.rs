//! Several systems measured by turns: a round is one measurement of each, and the next round begins with
//! another of them. What the machine does meanwhile hits them alike, and their ratio is that of medians.

use std::{future::Future, pin::Pin, sync::Arc};

use anyhow::{Context, Result};

use crate::{
    drive::{Pace, Sample, drive},
    sheet::Sheet,
};

type Turn<'a> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Sample>> + 'a>> + 'a>;

/// The systems of one case.
pub struct Contest<'a> {
    scenario: &'a str,
    case: String,
    entrants: Vec<(String, Turn<'a>)>,
}

impl<'a> Contest<'a> {
    pub fn new(scenario: &'a str, case: impl Into<String>) -> Self {
        Self { scenario, case: case.into(), entrants: Vec::new() }
    }

    /// One that does an operation, driven at this pace.
    pub fn enter<O, F>(&mut self, system: &str, pace: Pace, keys: &Arc<[i64]>, operation: O)
    where
        O: Fn(i64) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let keys = keys.clone();
        self.enter_with(system, move || {
            let (keys, operation) = (keys.clone(), operation.clone());
            async move { drive(pace, &keys, operation).await }
        });
    }

    /// One that measures itself.
    pub fn enter_with<F>(&mut self, system: &str, turn: impl Fn() -> F + 'a)
    where
        F: Future<Output = Result<Sample>> + 'a,
    {
        self.entrants.push((system.to_owned(), Box::new(move || Box::pin(turn()))));
    }

    /// Measures each once without looking, then `rounds` times.
    pub async fn run(self, rounds: usize, sheet: &mut Sheet) -> Result<()> {
        println!("{}: {}", self.scenario, self.case);
        for (system, turn) in &self.entrants {
            turn().await.with_context(|| format!("{system}, warming up"))?;
        }
        for round in 0..rounds {
            for place in 0..self.entrants.len() {
                let (system, turn) = &self.entrants[(place + round) % self.entrants.len()];
                let sample = turn().await.with_context(|| system.clone())?;
                let mut add =
                    |metric: &str, value| sheet.add(self.scenario, &self.case, system, metric, value);
                add("ops/s", sample.per_second());
                add("p50 us", sample.quantile(0.5));
                add("p99 us", sample.quantile(0.99));
                add("client CPU us/op", sample.cpu_per_operation());
            }
        }
        for (system, _) in &self.entrants {
            let show =
                |metric: &str| sheet.median(self.scenario, &self.case, system, metric).unwrap_or(f64::NAN);
            println!(
                "  {system:<44} {:>12.0}/s  p50 {:>9.2} us  p99 {:>9.2} us  CPU {:>7.2} us",
                show("ops/s"),
                show("p50 us"),
                show("p99 us"),
                show("client CPU us/op")
            );
        }
        Ok(())
    }
}
