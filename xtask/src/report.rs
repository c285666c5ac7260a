//! What happened to each step, for a person and for a script.

use std::fmt::{self, Write};
use std::time::Duration;

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In so much time.
    Passed(Duration),
    /// After so much time.
    Failed(Duration),
    /// A step before it failed.
    NotRun,
}

/// The steps so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// Adds a step.
    pub fn add(&mut self, step: &'static str, outcome: Outcome) {
        self.rows.push((step, outcome));
    }

    /// Whether none has failed.
    pub fn passed(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    fn count(&self, is: fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|(_, outcome)| is(outcome)).count()
    }

    /// The table; its last line is `N passed, N failed`.
    pub fn table(&self, total: Duration) -> String {
        let mut table = String::new();
        let mut row = |step: &str, result: &str, seconds: &dyn fmt::Display| {
            writeln!(table, "{step:<20} {result:<8} {seconds:>9}").expect("a string takes everything");
        };
        row("step", "result", &"seconds");
        for (step, outcome) in &self.rows {
            match outcome {
                Outcome::Passed(time) => row(step, "passed", &seconds(*time)),
                Outcome::Failed(time) => row(step, "FAILED", &seconds(*time)),
                Outcome::NotRun => row(step, "not run", &""),
            }
        }
        row("total", "", &seconds(total));
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed(_)));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        format!("{table}\n{passed} passed, {failed} failed")
    }
}

/// Seconds, to a tenth.
pub fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}
