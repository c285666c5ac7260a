//! `cargo xtask`: everything that is checked about this workspace, on a machine that has nothing but Rust.
//!
//! The tests need Redis, PostgreSQL and MariaDB. `cargo xtask test` finds or installs them, runs private
//! instances in a scratch directory for as long as it takes, and leaves nothing behind.

// A command-line program talks to its user on these.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(unix))]
compile_error!("xtask runs servers in Unix process groups: use Linux, macOS or WSL");

mod arguments;
mod bench;
mod cases;
mod features;
mod install;
mod interrupt;
mod process;
mod report;
mod scratch;
mod servers;
mod steps;
mod workspace;

use std::process::ExitCode;

use arguments::Task;

/// Why something did not work, for a person to read.
type Failure = String;

fn main() -> ExitCode {
    let task = match arguments::parse() {
        Ok(task) => task,
        Err(error) => {
            eprintln!("{error}\n\n{}", arguments::usage());
            return ExitCode::from(2);
        }
    };
    let done = interrupt::listen().and_then(|()| match task {
        Task::Help => {
            println!("{}", arguments::usage());
            Ok(true)
        }
        Task::Test(options) => steps::test(&options),
        Task::Cases(asked) => cases::show(&asked).map(|()| true),
        Task::Features { write } => features::show(write).map(|()| true),
        Task::Chaos(options) => steps::chaos(options).map(|()| true),
        Task::Servers => steps::servers().map(|()| true),
        Task::Bench(asked) => bench::bench(&asked).map(|()| true),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // What a shell reports for a program that Ctrl-C ended.
        _ if interrupt::requested() => ExitCode::from(130),
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
