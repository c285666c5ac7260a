//! What is checked, in which order.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use crate::arguments::{ChaosOptions, TestOptions};
use crate::process::{run, run_and_keep, run_logged, shown};
use crate::report::{Outcome, Report, seconds};
use crate::scratch::ScratchDir;
use crate::servers::Servers;
use crate::workspace::cargo;
use crate::{Failure, cases, features, install, interrupt};

/// One thing that is checked.
struct Step {
    name: &'static str,
    work: Work,
}

/// How it is checked.
enum Work {
    /// By a command.
    Alone(fn(&TestOptions) -> Result<(), Failure>),
    /// By a command that needs the servers.
    WithServers(fn(&TestOptions, &Servers) -> Result<(), Failure>),
}

/// The examples that end by themselves.
const EXAMPLES: &[&str] =
    &["bookshop", "quickstart", "rate_limit", "sessions", "answers", "cached_fn", "http_cache"];

/// The quick ones first.
const STEPS: &[Step] = &[
    Step { name: "format", work: Work::Alone(format) },
    Step { name: "cases", work: Work::Alone(cases) },
    Step { name: "lint", work: Work::Alone(lint) },
    Step { name: "no-default-features", work: Work::Alone(no_default_features) },
    Step { name: "test", work: Work::WithServers(tests) },
    Step { name: "chaos", work: Work::WithServers(a_minute_of_chaos) },
    Step { name: "docs", work: Work::Alone(docs) },
    Step { name: "package", work: Work::Alone(package) },
    Step { name: "examples", work: Work::Alone(examples) },
    Step { name: "bookshop-sqlite", work: Work::WithServers(bookshop_sqlite) },
    Step { name: "bookshop-postgres", work: Work::WithServers(bookshop_postgres) },
    Step { name: "bookshop-mariadb", work: Work::WithServers(bookshop_mariadb) },
];

/// The names of the steps, as `--only` takes them.
pub fn names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|step| step.name)
}

/// `cargo xtask test`. Prints the report; whether all is well.
pub fn test(options: &TestOptions) -> Result<bool, Failure> {
    let start = Instant::now();
    let mut report = Report::default();
    let mut servers = None;
    // A step that cannot run for want of a server has not failed itself.
    let mut no_servers = false;
    for step in
        STEPS.iter().filter(|step| options.only.is_empty() || options.only.iter().any(|it| it == step.name))
    {
        let blocked = interrupt::requested() || !(report.passed() || options.keep_going);
        match step.work {
            _ if blocked => report.add(step.name, Outcome::NotRun),
            Work::Alone(work) => timed(&mut report, step.name, || work(options)).unwrap_or(()),
            Work::WithServers(work) => {
                if servers.is_none() && !no_servers {
                    servers = timed(&mut report, "servers", Servers::start);
                    no_servers = servers.is_none();
                }
                match &servers {
                    Some(servers) => timed(&mut report, step.name, || work(options, servers)).unwrap_or(()),
                    None => report.add(step.name, Outcome::NotRun),
                }
            }
        }
    }
    // Stopped before the summary, which is the last word.
    drop(servers);
    println!("\n{}", report.table(start.elapsed()));
    Ok(report.passed() && !interrupt::requested())
}

/// Does a piece of work and reports how it went.
fn timed<T>(report: &mut Report, name: &'static str, work: impl FnOnce() -> Result<T, Failure>) -> Option<T> {
    println!("\n==> {name}");
    let start = Instant::now();
    let result = work();
    let time = start.elapsed();
    match &result {
        Ok(_) => {
            println!("<== {name}: passed in {} s", seconds(time));
            report.add(name, Outcome::Passed(time));
        }
        Err(failure) => {
            println!("{failure}\n<== {name}: FAILED after {} s", seconds(time));
            report.add(name, Outcome::Failed(time));
        }
    }
    result.ok()
}

/// `cargo xtask servers`.
pub fn servers() -> Result<(), Failure> {
    let mut servers = Servers::start()?;
    for (name, value) in servers.environment() {
        println!("export {name}='{value}'");
    }
    eprintln!("running until Ctrl-C");
    servers.watch()
}

/// `cargo xtask chaos`.
pub fn chaos(options: ChaosOptions) -> Result<(), Failure> {
    run_chaos(options, &Servers::start()?)
}

fn format(_: &TestOptions) -> Result<(), Failure> {
    install::toolchain_components()?;
    print_and_run(&mut cargo(["fmt", "--all", "--check"]))
}

/// Every case of the sections that are done has a test, or a line in the contract.
fn cases(_: &TestOptions) -> Result<(), Failure> {
    cases::check()
}

fn lint(_: &TestOptions) -> Result<(), Failure> {
    install::toolchain_components()?;
    // With all features, and as somebody builds it who names none.
    for features in [&["--all-features"][..], &[]] {
        let mut command = cargo(["clippy", "--workspace", "--all-targets"]);
        print_and_run(command.args(features).args(["--", "-D", "warnings"]))?;
    }
    Ok(())
}

/// Somebody who wants the in-process store alone must not find it broken.
fn no_default_features(_: &TestOptions) -> Result<(), Failure> {
    print_and_run(&mut cargo(["check", "--package", "sea-orm-cache", "--no-default-features"]))
}

/// Unit, integration, compile-fail and documentation tests. None may be skipped here: the servers are up. Only the
/// one that needs a browser may, where there is none.
fn tests(options: &TestOptions, servers: &Servers) -> Result<(), Failure> {
    let mut command = cargo(["test", "--workspace", "--all-features"]);
    if options.keep_going {
        command.arg("--no-fail-fast");
    }
    if let Some(filter) = &options.filter {
        command.args(["--", filter]);
    }
    command.envs(servers.environment()).env("SEA_ORM_CACHE_TEST_REQUIRE", "1");
    if install::browser() {
        command.env("SEA_ORM_CACHE_TEST_BROWSER", "1");
    }
    println!("{}", shown(&command));
    run_and_keep(&mut command, &features::log())
}

fn a_minute_of_chaos(_: &TestOptions, servers: &Servers) -> Result<(), Failure> {
    run_chaos(ChaosOptions::default(), servers)
}

/// A test that does nothing unless it is told for how long. The whole workspace is named, so that nothing is
/// built again that the tests were built with.
fn run_chaos(options: ChaosOptions, servers: &Servers) -> Result<(), Failure> {
    let mut command = cargo(["test", "--workspace", "--all-features", "--test", "promises", "--"]);
    command.args(["--exact", "chaos::a_run_of_random_faults", "--nocapture"]);
    command.envs(servers.environment()).env("SEA_ORM_CACHE_TEST_REQUIRE", "1");
    command.env("SEA_ORM_CACHE_CHAOS_SECONDS", options.seconds.to_string());
    command.env("SEA_ORM_CACHE_CHAOS_SEED", options.seed.to_string());
    print_and_run(&mut command)
}

fn docs(_: &TestOptions) -> Result<(), Failure> {
    print_and_run(
        cargo(["doc", "--no-deps", "--workspace", "--all-features"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// What would be published has what it needs, and nothing of what only this repository needs.
fn package(_: &TestOptions) -> Result<(), Failure> {
    let scratch = ScratchDir::create()?;
    let list = scratch.path().join("list");
    let mut command = cargo(["package", "--list", "--allow-dirty", "--package", "sea-orm-cache"]);
    println!("{}", shown(&command));
    run_logged(&mut command, &list)?;
    let list = fs::read_to_string(&list).map_err(|error| format!("cannot read the list: {error}"))?;
    let files: Vec<_> = list.lines().collect();
    for needed in ["Cargo.toml", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "src/lib.rs"] {
        if !files.contains(&needed) {
            return Err(format!("the package lacks {needed}"));
        }
    }
    for place in ["xtask/", "tests/", "benches/", "target/", ".ci/", ".cargo/"] {
        if let Some(file) = files.iter().find(|file| file.starts_with(place)) {
            return Err(format!("the package has {file}"));
        }
    }
    Ok(())
}

fn bookshop_sqlite(_: &TestOptions, servers: &Servers) -> Result<(), Failure> {
    // Without a Redis: the in-process store.
    print_and_run(bookshop().env("DATABASE_URL", servers.sqlite_example_url()).env_remove("REDIS_URL"))
}

fn bookshop_postgres(_: &TestOptions, servers: &Servers) -> Result<(), Failure> {
    let redis = servers.redis_url();
    print_and_run(bookshop().env("DATABASE_URL", servers.postgres_example_url()).env("REDIS_URL", redis))
}

fn bookshop_mariadb(_: &TestOptions, servers: &Servers) -> Result<(), Failure> {
    let redis = servers.redis_url();
    print_and_run(bookshop().env("DATABASE_URL", servers.mariadb_example_url()).env("REDIS_URL", redis))
}

fn bookshop() -> Command {
    example("bookshop")
}

/// With the features that the tests were built with.
fn example(name: &str) -> Command {
    cargo(["run", "--package", "sea-orm-cache", "--all-features", "--example", name])
}

/// Those that tell a story and end, on a database and a store in this process.
fn examples(_: &TestOptions) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for name in EXAMPLES {
        let done = print_and_run(example(name).env_remove("REDIS_URL").env_remove("DATABASE_URL"));
        let result = if done.is_ok() { "ok" } else { "FAILED" };
        let log = features::log();
        let note = |mut log: fs::File| writeln!(log, "example {name} ... {result}");
        let noted = fs::File::options().create(true).append(true).open(&log).and_then(note);
        noted.map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        failed.extend(done.is_err().then_some(*name));
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn print_and_run(command: &mut Command) -> Result<(), Failure> {
    println!("{}", shown(command));
    run(command)
}
