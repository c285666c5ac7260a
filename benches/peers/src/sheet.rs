//! The figures of a run: gathered here, written to one JSON file, read back from it for the table and the
//! chart.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One thing that was measured, round by round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// `by-key`, `mixed`, ...
    pub scenario: String,
    /// Of the scenario: `64 tasks`, `95/5, 2 processes`, ...
    pub case: String,
    /// Who was measured: ours, a limit or a peer.
    pub system: String,
    /// What of it: `ops/s`, `p50 us`, ...
    pub metric: String,
    /// Of the rounds.
    pub median: f64,
    /// In the order in which they were run.
    pub rounds: Vec<f64>,
}

/// How a scenario was run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// Short and small, to see that it works: figures to look at, not to quote.
    pub quick: bool,
    /// What a reader of the figures has to know: sizes, and what was left out and why.
    pub notes: Vec<String>,
}

/// All figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sheet {
    pub machine: BTreeMap<String, String>,
    pub scenarios: BTreeMap<String, Run>,
    pub figures: Vec<Figure>,
}

impl Sheet {
    /// From a file, or empty if there is none.
    pub fn read(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} does not hold figures of this bench", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// To a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
        }
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Forgets what an earlier run of the scenario measured.
    pub fn begin(&mut self, scenario: &str, quick: bool) {
        self.figures.retain(|figure| figure.scenario != scenario);
        self.scenarios.insert(scenario.to_owned(), Run { quick, notes: Vec::new() });
    }

    /// Says something about a scenario, at once and in the file.
    pub fn note(&mut self, scenario: &str, text: impl Into<String>) {
        let text = text.into();
        println!("  note: {text}");
        self.scenarios.entry(scenario.to_owned()).or_default().notes.push(text);
    }

    /// Adds one round of a figure.
    pub fn add(&mut self, scenario: &str, case: &str, system: &str, metric: &str, value: f64) {
        let place = self.figures.iter().position(|it| {
            it.scenario == scenario && it.case == case && it.system == system && it.metric == metric
        });
        let figure = match place {
            Some(place) => &mut self.figures[place],
            None => {
                self.figures.push(Figure {
                    scenario: scenario.to_owned(),
                    case: case.to_owned(),
                    system: system.to_owned(),
                    metric: metric.to_owned(),
                    median: 0.0,
                    rounds: Vec::new(),
                });
                let last = self.figures.len() - 1;
                &mut self.figures[last]
            }
        };
        figure.rounds.push(value);
        figure.median = median(&figure.rounds);
    }

    /// The median of a figure, if it was measured.
    pub fn median(&self, scenario: &str, case: &str, system: &str, metric: &str) -> Option<f64> {
        self.figures
            .iter()
            .find(|it| {
                it.scenario == scenario && it.case == case && it.system == system && it.metric == metric
            })
            .map(|figure| figure.median)
    }

    /// The names of what was measured, each once, in the order in which it came.
    pub fn cases(&self, scenario: &str) -> Vec<&str> {
        distinct(self.figures.iter().filter(|it| it.scenario == scenario).map(|it| it.case.as_str()))
    }

    /// Likewise, the systems of a case.
    pub fn systems(&self, scenario: &str, case: &str) -> Vec<&str> {
        self.of(scenario, case, |figure| &figure.system)
    }

    /// Likewise, the metrics of a case.
    pub fn metrics(&self, scenario: &str, case: &str) -> Vec<&str> {
        self.of(scenario, case, |figure| &figure.metric)
    }

    fn of<'a>(&'a self, scenario: &str, case: &str, name: impl Fn(&'a Figure) -> &'a String) -> Vec<&'a str> {
        let figures = self.figures.iter().filter(|it| it.scenario == scenario && it.case == case);
        distinct(figures.map(|figure| name(figure).as_str()))
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// The middle one; of an even number, the mean of the middle two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_one_bad_round_does_not_move_it() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[3.0, 1.0, 2.0, 100.0]), 2.5);
    }

    #[test]
    fn a_scenario_that_is_run_again_replaces_its_figures_and_no_others() {
        let mut sheet = Sheet::default();
        sheet.add("a", "case", "ours", "ops/s", 1.0);
        sheet.add("b", "case", "ours", "ops/s", 2.0);
        sheet.begin("a", true);
        sheet.add("a", "case", "ours", "ops/s", 3.0);
        assert_eq!(sheet.median("a", "case", "ours", "ops/s"), Some(3.0));
        assert_eq!(sheet.median("b", "case", "ours", "ops/s"), Some(2.0));
    }
}
