//! Which of the known hard cases have a test, and which are a line in the contract.
//!
//! The cases are listed in `docs/cases.md`. A test names those that it shows in a comment (`// case D5, D6`),
//! and so does the contract those that it speaks of.

mod tags;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Failure, workspace};

pub use tags::{CaseId, tags};
use tags::{Named, named_in_contract};

/// Sections of which every case needs a test, or a line in the contract.
const REQUIRED: [char; 7] = ['A', 'B', 'C', 'D', 'E', 'F', 'G'];

/// Where the code is that may name cases.
const SOURCES: [&str; 4] = ["src", "macros", "tests", "examples"];
/// Where all code is there to test: what a function is called by does not matter.
const TESTS: [&str; 2] = ["tests", "examples"];

const LIST: &str = "docs/cases.md";
const CONTRACT: &str = "docs/contract.md";

/// What is known of a case.
#[derive(Debug, Default)]
struct Case {
    what: String,
    /// `file:line function`
    tests: Vec<String>,
    /// Comments elsewhere than in tests.
    mentions: Vec<String>,
    /// `file:line`
    contract: Vec<String>,
}

/// All cases, and what is wrong with the list or with names in the code.
#[derive(Debug, Default)]
struct Coverage {
    cases: BTreeMap<CaseId, Case>,
    wrong: Vec<String>,
}

/// `cargo xtask cases`: the table of all cases, or what names the ones that are asked for.
pub fn show(asked: &[String]) -> Result<(), Failure> {
    let coverage = Coverage::of(&workspace::root())?;
    if asked.is_empty() {
        println!("{}", coverage.table());
        return coverage.verdict();
    }
    for word in asked {
        let known = CaseId::parse(word).and_then(|id| coverage.cases.get(&id));
        let case = known.ok_or_else(|| format!("{word} is no case of {LIST}"))?;
        println!("{word}: {}", case.what);
        let places = [("test", &case.tests), ("contract", &case.contract), ("comment", &case.mentions)];
        for (kind, places) in places {
            places.iter().for_each(|place| println!("    {kind:<8} {place}"));
        }
    }
    Ok(())
}

/// The step of `cargo xtask test`.
pub fn check() -> Result<(), Failure> {
    let coverage = Coverage::of(&workspace::root())?;
    println!("{}", coverage.summary());
    coverage.verdict()
}

impl Coverage {
    fn of(root: &Path) -> Result<Self, Failure> {
        let mut coverage = Self::default();
        coverage.list(&read(&root.join(LIST))?);
        for place in SOURCES {
            for file in rust_files(&root.join(place))? {
                let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
                coverage.code(&shown, TESTS.contains(&place), &read(&file)?);
            }
        }
        coverage.contract(&read(&root.join(CONTRACT))?);
        Ok(coverage)
    }

    /// The rows of the tables: `| D5 | what it is |`.
    fn list(&mut self, text: &str) {
        for (at, line) in text.lines().enumerate() {
            let Some((id, what)) = line.strip_prefix('|').and_then(|row| row.split_once('|')) else {
                continue;
            };
            let Some(id) = CaseId::parse(id.trim()) else { continue };
            let line = at + 1;
            let before = id.number.checked_sub(1).filter(|number| *number > 0);
            if before.is_some_and(|number| !self.cases.contains_key(&CaseId { number, ..id })) {
                self.wrong.push(format!("{LIST}:{line}: {id} does not follow the case before it"));
            }
            let what = what.trim().trim_end_matches('|').trim().to_owned();
            if self.cases.insert(id, Case { what, ..Case::default() }).is_some() {
                self.wrong.push(format!("{LIST}:{line}: {id} is there twice"));
            }
        }
    }

    fn code(&mut self, file: &str, all_is_tests: bool, source: &str) {
        for tag in tags("case", source) {
            let place = format!("{file}:{}", tag.named.line);
            let is_test = all_is_tests || tag.function.as_ref().is_some_and(|function| function.is_test);
            let name = tag.function.map_or_else(String::new, |function| format!(" {}", function.name));
            let Some(case) = self.known(&tag.named, &place) else { continue };
            let places = if is_test { &mut case.tests } else { &mut case.mentions };
            // Two comments in one test are one test.
            if name.is_empty() || !places.iter().any(|it| it.starts_with(file) && it.ends_with(&name)) {
                places.push(format!("{place}{name}"));
            }
        }
    }

    fn contract(&mut self, text: &str) {
        for named in named_in_contract(text) {
            let place = format!("{CONTRACT}:{}", named.line);
            if let Some(case) = self.known(&named, &place) {
                case.contract.push(place);
            }
        }
    }

    /// The case that is named at the place, which must be one.
    fn known(&mut self, named: &Named, place: &str) -> Option<&mut Case> {
        match &named.id {
            Ok(id) if self.cases.contains_key(id) => return self.cases.get_mut(id),
            Ok(id) => self.wrong.push(format!("{place}: {id} is no case of {LIST}")),
            Err(word) => self.wrong.push(format!("{place}: {word} is not the name of a case")),
        }
        None
    }

    fn table(&self) -> String {
        let mut table = format!("{:<5} {:>5}  {:<8}  what\n", "case", "tests", "contract");
        for (id, case) in &self.cases {
            let contract = if case.contract.is_empty() { "" } else { "yes" };
            let (id, tests) = (id.to_string(), case.tests.len());
            writeln!(table, "{id:<5} {tests:>5}  {contract:<8}  {}", case.what)
                .expect("a string takes everything");
        }
        format!("{table}\n{}", self.summary())
    }

    fn summary(&self) -> String {
        let mut summary = format!(
            "{:<8} {:>5} {:>9} {:>13} {:>7}",
            "section", "cases", "with test", "contract only", "neither"
        );
        let mut sections: Vec<char> = self.cases.keys().map(|id| id.section).collect();
        sections.dedup();
        for section in sections {
            let cases = || self.cases.iter().filter(|(id, _)| id.section == section).map(|(_, case)| case);
            let (all, tested) = (cases().count(), cases().filter(|case| !case.tests.is_empty()).count());
            let open = cases().filter(|case| case.is_open()).count();
            let required = if REQUIRED.contains(&section) { "  required" } else { "" };
            let told = all - tested - open;
            write!(summary, "\n{section:<8} {all:>5} {tested:>9} {told:>13} {open:>7}{required}")
                .expect("a string takes everything");
        }
        summary
    }

    fn verdict(&self) -> Result<(), Failure> {
        let mut wrong = self.wrong.clone();
        let open = self.cases.iter().filter(|(id, case)| REQUIRED.contains(&id.section) && case.is_open());
        wrong.extend(
            open.map(|(id, case)| format!("{id} has no test and no line in the contract: {}", case.what)),
        );
        if self.cases.is_empty() {
            wrong.push(format!("{LIST} lists no cases"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

impl Case {
    fn is_open(&self) -> bool {
        self.tests.is_empty() && self.contract.is_empty()
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// The Rust files in a directory and those in it, by name.
pub fn rust_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failure = |error| format!("cannot list {}: {error}", directory.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(failure)? {
        entries.push(entry.map_err(failure)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            // What is built there is not what was written.
            if !path.ends_with("target") {
                files.extend(rust_files(&path)?);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str =
        "## D. Writes\n\n| case | what |\n|---|---|\n| D1 | Inserts |\n| D2 | Deletes |\n| H1 | Keys |\n";

    fn coverage(list: &str, code: &[(&str, bool, &str)], contract: &str) -> Coverage {
        let mut coverage = Coverage::default();
        coverage.list(list);
        code.iter().for_each(|(file, is_test, source)| coverage.code(file, *is_test, source));
        coverage.contract(contract);
        coverage
    }

    #[test]
    fn a_required_case_needs_a_test_or_a_line_in_the_contract() {
        let tested = ("src/a.rs", false, "// case D1\n#[test]\nfn works() {}\n");
        assert!(coverage(CASES, &[tested], "case D2").verdict().is_ok(), "H1 is not required yet");
        let neither = coverage(CASES, &[tested], "").verdict().unwrap_err();
        assert!(neither.contains("D2 has no test") && neither.contains("Deletes"), "{neither}");
        let comment = ("src/a.rs", false, "// case D1\nfn works() {}\n");
        let neither = coverage(CASES, &[comment], "case D2").verdict().unwrap_err();
        assert!(neither.contains("D1 has no test"), "a comment elsewhere is no test: {neither}");
        let table = ("tests/a.rs", true, "// case D1\nfn forms() {}\n");
        assert!(coverage(CASES, &[table], "| D2 | told |").verdict().is_ok());
    }

    #[test]
    fn a_case_that_is_not_on_the_list_fails() {
        let typo = ("tests/a.rs", true, "// case D1, D2, D99\n#[test]\nfn works() {}\n");
        let wrong = coverage(CASES, &[typo], "").verdict().unwrap_err();
        assert_eq!(wrong, "tests/a.rs:1: D99 is no case of docs/cases.md");
        let word = ("tests/a.rs", true, "// case D1, D2, d2\n#[test]\nfn works() {}\n");
        let wrong = coverage(CASES, &[word], "").verdict().unwrap_err();
        assert_eq!(wrong, "tests/a.rs:1: d2 is not the name of a case");
        let wrong = coverage(CASES, &[], "cases D1, D2\nand H2").verdict().unwrap_err();
        assert_eq!(wrong, "docs/contract.md:2: H2 is no case of docs/cases.md");
    }

    #[test]
    fn the_list_has_every_number_once() {
        assert!(
            coverage("| H1 | a |\n| H3 | b |", &[], "").verdict().unwrap_err().contains("H3 does not follow")
        );
        assert!(
            coverage("| H1 | a |\n| H1 | b |", &[], "").verdict().unwrap_err().contains("H1 is there twice")
        );
        assert!(coverage("", &[], "").verdict().is_err());
    }

    #[test]
    fn the_summary_counts_by_section() {
        let tested = ("src/a.rs", false, "// case D1\n#[test]\nfn works() {\n    // case D1\n}\n");
        let coverage = coverage(CASES, &[tested], "case D1, D2");
        assert_eq!(coverage.cases[&CaseId { section: 'D', number: 1 }].tests, ["src/a.rs:1 works"]);
        let summary: Vec<Vec<String>> = coverage
            .summary()
            .lines()
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect();
        assert_eq!(summary[1], ["D", "2", "1", "1", "0", "required"]);
        assert_eq!(summary[2], ["H", "1", "0", "0", "1"]);
    }
}
