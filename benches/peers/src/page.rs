//! The tables, as Markdown, between two marks of a page.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

use crate::{
    bounds::{bounds, shown},
    sheet::Sheet,
};

const BEGIN: &str = "<!-- figures: begin (written by `cargo xtask bench --table`) -->";
const END: &str = "<!-- figures: end -->";

/// Puts the tables in the place of those that the page has.
pub fn write(sheet: &Sheet, path: &Path) -> Result<()> {
    let page = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let marks = || format!("{} lacks the marks {BEGIN} and {END}", path.display());
    let (before, rest) = page.split_once(BEGIN).with_context(marks)?;
    let (_, after) = rest.split_once(END).with_context(marks)?;
    let page = format!("{before}{BEGIN}\n\n{}\n{END}{after}", tables(sheet)?);
    fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}

/// All figures.
fn tables(sheet: &Sheet) -> Result<String> {
    let mut text = String::new();
    for (name, value) in &sheet.machine {
        writeln!(text, "- {name}: {value}")?;
    }
    let quick: Vec<_> =
        sheet.scenarios.iter().filter(|(_, run)| run.quick).map(|(name, _)| name.as_str()).collect();
    if !quick.is_empty() {
        writeln!(text, "- **quick runs, not to be quoted**: {}", quick.join(", "))?;
    }
    writeln!(text, "\n| what | bound | figure (ours and theirs) | |\n|---|---|---|---|")?;
    for bound in bounds(sheet) {
        let figure = bound.figure.as_ref().map_or_else(Clone::clone, Clone::clone);
        writeln!(text, "| {} | {} | {figure} | {} |", bound.what, bound.bound, bound.verdict())?;
    }
    for (scenario, run) in &sheet.scenarios {
        writeln!(text, "\n### {scenario}\n")?;
        for note in &run.notes {
            writeln!(text, "- {note}")?;
        }
        for case in sheet.cases(scenario) {
            table(sheet, scenario, case, &mut text)?;
        }
    }
    Ok(text)
}

fn table(sheet: &Sheet, scenario: &str, case: &str, text: &mut String) -> Result<()> {
    let metrics = sheet.metrics(scenario, case);
    writeln!(text, "\n| {case} | {} |\n|---|{}", metrics.join(" | "), "---|".repeat(metrics.len()))?;
    for system in sheet.systems(scenario, case) {
        let cells = metrics
            .iter()
            .map(|metric| sheet.median(scenario, case, system, metric).map_or(String::new(), shown));
        writeln!(text, "| {system} | {} |", cells.collect::<Vec<_>>().join(" | "))?;
    }
    Ok(())
}
