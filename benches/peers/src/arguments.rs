//! The command line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::scenario::NAMES;

/// What is asked for.
pub enum Task {
    /// A process of the mixed load, with its role.
    Worker(String),
    Run(Arguments),
    Help,
}

/// How a run goes.
pub struct Arguments {
    /// Scenarios; all if there are none.
    pub only: Vec<String>,
    pub quick: bool,
    /// Where figures are kept. Those of scenarios that are not run stay as they are.
    pub json: PathBuf,
    pub table: Option<PathBuf>,
    pub chart: Option<PathBuf>,
    /// Measure nothing: only show what the file holds.
    pub render: bool,
}

/// From the command line.
pub fn parse() -> Result<Task> {
    let mut parser = Parser::from_env();
    let mut arguments = Arguments {
        only: Vec::new(),
        quick: false,
        json: PathBuf::from("target/bench.json"),
        table: None,
        chart: None,
        render: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("worker") => return Ok(Task::Worker(parser.value()?.string()?)),
            Arg::Long("only") => {
                let name = parser.value()?.string()?;
                if !NAMES.contains(&name.as_str()) {
                    bail!("no such scenario: {name}; there are {}", NAMES.join(", "));
                }
                arguments.only.push(name);
            }
            Arg::Long("quick") => arguments.quick = true,
            Arg::Long("render") => arguments.render = true,
            Arg::Long("json") => arguments.json = parser.value()?.into(),
            Arg::Long("table") => arguments.table = Some(parser.value()?.into()),
            Arg::Long("chart") => arguments.chart = Some(parser.value()?.into()),
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            argument => return Err(argument.unexpected().into()),
        }
    }
    Ok(Task::Run(arguments))
}

/// How to use it.
pub fn usage() -> String {
    format!(
        "\
cargo xtask bench [--only SCENARIO]... [--quick] [--json FILE] [--table FILE] [--chart FILE] [--render]
    --only SCENARIO   of {}; may be given several times
    --quick           small and short, to see that it works
    --json FILE       where the figures are kept (target/bench.json); those of other scenarios stay
    --table FILE      a Markdown page, between whose marks the tables are put
    --chart FILE      an SVG
    --render          measure nothing: bounds, tables and chart from the file",
        NAMES.join(", ")
    )
}
