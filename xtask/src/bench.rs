//! The benches: the suite of `benches/peers`, a workspace of its own, and criterion's.

use std::ffi::OsString;

use crate::Failure;
use crate::process::{run, shown};
use crate::servers::Servers;
use crate::workspace::cargo;

const MANIFEST: &str = "benches/peers/Cargo.toml";

/// What is asked for.
#[derive(Debug)]
pub enum Bench {
    /// The suite, with these arguments.
    Suite(Vec<OsString>),
    /// `cargo bench` with these arguments.
    Micro(Vec<OsString>),
}

/// `cargo xtask bench`.
pub fn bench(bench: &Bench) -> Result<(), Failure> {
    match bench {
        Bench::Suite(arguments) => suite(arguments),
        Bench::Micro(arguments) => {
            let servers = Servers::start()?;
            let mut command = cargo(["bench", "--package", "sea-orm-cache"]);
            print_and_run(command.args(arguments).envs(servers.environment()))
        }
    }
}

fn suite(arguments: &[OsString]) -> Result<(), Failure> {
    // Before the servers: it takes minutes, and nothing else should run while they wait.
    print_and_run(&mut cargo(["build", "--release", "--manifest-path", MANIFEST]))?;
    let mut command = cargo(["run", "--quiet", "--release", "--manifest-path", MANIFEST, "--"]);
    command.args(arguments);
    // Nothing is measured when figures are only shown.
    if arguments.iter().any(|argument| argument == "--render" || argument == "--help" || argument == "-h") {
        return print_and_run(&mut command);
    }
    let servers = Servers::start()?;
    print_and_run(command.envs(servers.environment()))
}

fn print_and_run(command: &mut std::process::Command) -> Result<(), Failure> {
    println!("{}", shown(command));
    run(command)
}
