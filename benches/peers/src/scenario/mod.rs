//! The scenarios, one a file.

pub mod by_key;
pub mod cold;
pub mod cost;
pub mod mixed;
pub mod near_hit;
pub mod scale;
pub mod writes;

use std::time::Duration;

use anyhow::Result;

use crate::{place::Place, sheet::Sheet};

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub quick: bool,
    /// Rounds that count, after one that does not.
    pub rounds: usize,
    /// How long one turn of a round takes.
    pub turn: Duration,
    /// Rows of the table.
    pub rows: usize,
}

impl Plan {
    /// The run whose figures are quoted. It has some 830 turns, of which `mixed` takes half, so their length
    /// is what decides how long it takes: a good half hour.
    pub const FULL: Self = Self { quick: false, rounds: 5, turn: Duration::from_millis(1500), rows: 100_000 };
    /// To see that it works.
    pub const QUICK: Self = Self { quick: true, rounds: 5, turn: Duration::from_millis(60), rows: 2000 };

    /// A number of things: so many, and that many in a quick run.
    pub const fn size<T: Copy>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// The names of the scenarios, as `--only` takes them, in the order in which they run.
pub const NAMES: &[&str] = &["by-key", "near-hit", "mixed", "writes", "scale", "cost", "cold"];

/// Runs one.
pub async fn run(name: &str, place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    sheet.begin(name, plan.quick);
    place.flush().await?;
    match name {
        "by-key" => by_key::run(place, plan, sheet).await,
        "near-hit" => near_hit::run(place, plan, sheet).await,
        "mixed" => mixed::run(place, plan, sheet).await,
        "writes" => writes::run(place, plan, sheet).await,
        "scale" => scale::run(place, plan, sheet).await,
        "cost" => cost::run(place, plan, sheet).await,
        "cold" => cold::run(place, plan, sheet).await,
        other => anyhow::bail!("no such scenario: {other}; there are {}", NAMES.join(", ")),
    }
}
