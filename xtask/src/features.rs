//! Which tests and examples show what the crate is to do, feature by feature, and how they went the last time
//! they ran.
//!
//! The features are listed in `xtask/src/features/list.txt`. A test names those that it shows in a comment
//! (`// feature B7, B8`), an example in its first lines. How it went is read from the log of the last
//! `cargo xtask test`; nothing of it is typed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::cases::{CaseId, rust_files, tags};
use crate::{Failure, workspace};

const LIST: &str = include_str!("features/list.txt");
const PAGE: &str = "docs/features.md";
const BEGIN: &str = "<!-- features: begin (written by `cargo xtask features --write`) -->";
const END: &str = "<!-- features: end -->";

/// Where the last run of all tests has left what it printed.
pub fn log() -> PathBuf {
    workspace::root().join("target/xtask-test.log")
}

/// How a test went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It is not in the log.
    NotRun,
}

/// `cargo xtask features`: the table; with `write`, in the page.
pub fn show(write: bool) -> Result<(), Failure> {
    let root = workspace::root();
    let shown_by = shown_by(&root)?;
    let printed = fs::read_to_string(log()).unwrap_or_default();
    let went = outcomes(&printed);
    let (table, open) = table(&shown_by, &went);
    println!("{table}");
    if write {
        let page = root.join(PAGE);
        let text = fs::read_to_string(&page).map_err(|error| format!("cannot read {PAGE}: {error}"))?;
        let (before, rest) = text.split_once(BEGIN).ok_or_else(|| format!("{PAGE} has no {BEGIN}"))?;
        let (_, after) = rest.split_once(END).ok_or_else(|| format!("{PAGE} has no {END}"))?;
        let text = format!("{before}{BEGIN}\n\n{table}\n{END}{after}");
        fs::write(&page, text).map_err(|error| format!("cannot write {PAGE}: {error}"))?;
    }
    if open.is_empty() { Ok(()) } else { Err(format!("nothing shows {}", open.join(", "))) }
}

/// Feature by feature, the functions and examples that name it.
fn shown_by(root: &Path) -> Result<BTreeMap<CaseId, BTreeSet<String>>, Failure> {
    let mut shown_by: BTreeMap<CaseId, BTreeSet<String>> = BTreeMap::new();
    let known: BTreeSet<CaseId> = features().map(|(id, _)| id).collect();
    for place in ["src", "macros", "tests", "examples", "migration"] {
        for file in rust_files(&root.join(place))? {
            let source = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            for tag in tags("feature", &source) {
                let place = format!("{}:{}", file.display(), tag.named.line);
                let id = tag.named.id.map_err(|word| format!("{place}: {word} is no feature"))?;
                if !known.contains(&id) {
                    return Err(format!("{place}: {id} is no feature"));
                }
                let name = match tag.function {
                    _ if file.starts_with(root.join("examples")) => {
                        format!("example {}", file.file_stem().unwrap_or_default().display())
                    }
                    Some(function) if function.is_test => function.name,
                    _ => return Err(format!("{place}: the comment stands at no test")),
                };
                shown_by.entry(id).or_default().insert(name);
            }
        }
    }
    Ok(shown_by)
}

fn features() -> impl Iterator<Item = (CaseId, &'static str)> {
    LIST.lines().filter_map(|line| {
        let (id, what) = line.split_once(' ')?;
        Some((CaseId::parse(id)?, what.trim()))
    })
}

/// `test module::name ... ok`, `example name ... ok`, by the last part of the name. One that failed anywhere
/// has failed.
fn outcomes(log: &str) -> BTreeMap<String, Outcome> {
    let mut outcomes = BTreeMap::new();
    for line in log.lines() {
        let Some((what, result)) = line.split_once(" ... ") else { continue };
        let name = match what.strip_prefix("test ") {
            Some(path) => path.split(" - ").next().unwrap_or(path).rsplit("::").next().unwrap_or(path).trim(),
            None if what.starts_with("example ") => what,
            None => continue,
        };
        let outcome = match result.trim() {
            "ok" => Outcome::Passed,
            "FAILED" => Outcome::Failed,
            _ => continue,
        };
        let there = outcomes.entry(name.to_owned()).or_insert(outcome);
        if outcome == Outcome::Failed {
            *there = outcome;
        }
    }
    outcomes
}

/// The table, and the features that nothing shows.
fn table(
    shown_by: &BTreeMap<CaseId, BTreeSet<String>>,
    went: &BTreeMap<String, Outcome>,
) -> (String, Vec<String>) {
    let mut table = "| | feature | shown by | |\n|---|---|---|---|\n".to_owned();
    let mut open = Vec::new();
    for (id, what) in features() {
        let names: Vec<_> = shown_by.get(&id).into_iter().flatten().collect();
        let of = |name: &&String| went.get(*name).copied().unwrap_or(Outcome::NotRun);
        let count = |outcome| names.iter().filter(|name| of(name) == outcome).count();
        let result = match (count(Outcome::Failed), count(Outcome::NotRun), names.len()) {
            (_, _, 0) => {
                open.push(id.to_string());
                "**nothing**".to_owned()
            }
            (0, 0, _) => "passed".to_owned(),
            (0, not_run, all) => format!("{} passed, {not_run} not run", all - not_run),
            (failed, ..) => format!("**{failed} failed**"),
        };
        let shown: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(table, "| {id} | {what} | {} | {result} |", shown.join("<br>"))
            .expect("a string takes everything");
    }
    (table, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_how_tests_and_examples_went() {
        let log = "running 2 tests\ntest a::works ... ok\ntest b::works ... FAILED\ntest c ... ignored\n\
                   example bookshop ... ok\ntest src/x.rs - y::Z (line 3) ... ok\n";
        let went = outcomes(log);
        assert_eq!(went["works"], Outcome::Failed, "of the same name, one failed");
        assert_eq!(went["example bookshop"], Outcome::Passed);
        assert!(!went.contains_key("c"));
    }

    #[test]
    fn the_table_says_what_is_shown_and_how_it_went() {
        let id = CaseId::parse("B7").unwrap();
        let shown = [(id, BTreeSet::from(["one".to_owned(), "two".to_owned()]))].into();
        let row = |went: &[(&str, Outcome)]| {
            let went = went.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect();
            let (table, open) = table(&shown, &went);
            assert!(!open.contains(&"B7".to_owned()) && open.contains(&"B1".to_owned()));
            table.lines().find(|line| line.starts_with("| B7 ")).unwrap().to_owned()
        };
        assert!(row(&[("one", Outcome::Passed), ("two", Outcome::Passed)]).ends_with("| passed |"));
        assert!(row(&[("one", Outcome::Passed)]).ends_with("| 1 passed, 1 not run |"));
        assert!(row(&[("one", Outcome::Passed), ("two", Outcome::Failed)]).ends_with("| **1 failed** |"));
    }
}
