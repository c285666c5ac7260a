//! The command line.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt};

use crate::bench::Bench;
use crate::steps;

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Print the usage.
    Help,
    /// Run the steps.
    Test(TestOptions),
    /// Say which cases have tests: all, or these.
    Cases(Vec<String>),
    /// Say what shows each feature; write it down.
    Features {
        /// Into the page.
        write: bool,
    },
    /// Run readers and writers under random faults.
    Chaos(ChaosOptions),
    /// Run the servers until interrupted.
    Servers,
    /// Run benches.
    Bench(Bench),
}

/// Options of `cargo xtask test`.
#[derive(Debug, Default)]
pub struct TestOptions {
    /// The steps to run; all of them if empty.
    pub only: Vec<String>,
    /// Go on after a step that failed.
    pub keep_going: bool,
    /// Run only the tests whose names contain this.
    pub filter: Option<String>,
}

/// Options of `cargo xtask chaos`.
#[derive(Clone, Copy, Debug)]
pub struct ChaosOptions {
    /// How long faults are injected.
    pub seconds: u64,
    /// What the plan of faults is made from.
    pub seed: u64,
}

impl Default for ChaosOptions {
    fn default() -> Self {
        Self { seconds: 60, seed: 1 }
    }
}

/// The command line of this process.
pub fn parse() -> Result<Task, lexopt::Error> {
    let mut parser = Parser::from_env();
    match parser.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => Ok(Task::Help),
        Some(Arg::Value(task)) => match task.string()?.as_str() {
            "test" => test(&mut parser),
            "cases" => cases(&mut parser),
            "features" => features(&mut parser),
            "chaos" => chaos(&mut parser),
            "servers" => match parser.next()? {
                None => Ok(Task::Servers),
                Some(Arg::Short('h') | Arg::Long("help")) => Ok(Task::Help),
                Some(argument) => Err(argument.unexpected()),
            },
            "bench" => bench(&mut parser),
            "help" => Ok(Task::Help),
            other => Err(format!("no such task: {other}").into()),
        },
        Some(argument) => Err(argument.unexpected()),
    }
}

fn test(parser: &mut Parser) -> Result<Task, lexopt::Error> {
    let mut options = TestOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("only") => {
                let name = parser.value()?.string()?;
                if !steps::names().any(|step| step == name) {
                    return Err(format!("no such step: {name}").into());
                }
                options.only.push(name);
            }
            Arg::Long("keep-going") => options.keep_going = true,
            Arg::Long("filter") => options.filter = Some(parser.value()?.string()?),
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            argument => return Err(argument.unexpected()),
        }
    }
    Ok(Task::Test(options))
}

fn cases(parser: &mut Parser) -> Result<Task, lexopt::Error> {
    let mut asked = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(id) => asked.push(id.string()?),
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            argument => return Err(argument.unexpected()),
        }
    }
    Ok(Task::Cases(asked))
}

fn features(parser: &mut Parser) -> Result<Task, lexopt::Error> {
    let mut write = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("write") => write = true,
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            argument => return Err(argument.unexpected()),
        }
    }
    Ok(Task::Features { write })
}

/// Everything that follows is for the suite or for `cargo bench`, options included.
fn bench(parser: &mut Parser) -> Result<Task, lexopt::Error> {
    let mut arguments: Vec<OsString> = parser.raw_args()?.collect();
    if arguments.first().is_some_and(|first| first == "micro") {
        arguments.remove(0);
        return Ok(Task::Bench(Bench::Micro(arguments)));
    }
    Ok(Task::Bench(Bench::Suite(arguments)))
}

fn chaos(parser: &mut Parser) -> Result<Task, lexopt::Error> {
    let mut options = ChaosOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("seconds") => options.seconds = parser.value()?.parse()?,
            Arg::Long("seed") => options.seed = parser.value()?.parse()?,
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            argument => return Err(argument.unexpected()),
        }
    }
    Ok(Task::Chaos(options))
}

/// How to use it.
pub fn usage() -> String {
    let steps: Vec<_> = steps::names().collect();
    format!(
        "\
cargo xtask test [--only STEP]... [--keep-going] [--filter TESTS]
    Checks everything, with the servers it takes (found, or installed on Debian and Ubuntu).
    --only STEP      only this step; may be given several times
    --keep-going     go on after a step that failed
    --filter TESTS   of the tests, only those whose names contain TESTS
    Steps: {}

cargo xtask cases [CASE]...
    Says which of the known hard cases (docs/cases.md) have tests, or a line in the contract; of a CASE, which.

cargo xtask features [--write]
    Says which tests and examples show each feature, and how they went in the last `cargo xtask test`.
    --write          puts the table into docs/features.md

cargo xtask chaos [--seconds N] [--seed S]
    Runs readers and writers for N seconds (60) while processes are killed and frozen, Redis dies, forgets and
    fails over, and connections break; then checks all that they read. The same seed is the same plan of faults.

cargo xtask servers
    Starts Redis, PostgreSQL and MariaDB, prints the environment that the tests take them from, and stops
    them on Ctrl-C.

cargo xtask bench [--only SCENARIO]... [--quick] [--json FILE] [--table FILE] [--chart FILE] [--render]
    Runs the suite of benches/peers: ours beside its limits and beside other caches (docs/benchmarks.md).
    --only SCENARIO  only this one; may be given several times
    --quick          small and short, to see that it works
    --json FILE      where the figures are kept (target/bench.json); those of scenarios that are not run stay
    --table FILE     puts the tables between the marks of a Markdown page
    --chart FILE     draws an SVG
    --render         measures nothing, and shows what the file holds

cargo xtask bench micro [ARGUMENTS]
    Runs cargo bench with the servers up; ARGUMENTS go to cargo bench.",
        steps.join(", ")
    )
}
