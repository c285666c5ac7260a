//! `sea-orm-cache`: what stands in a cache's namespace in Redis, and how to purge it.

mod arguments;
mod explain;
mod failure;
mod keys;
mod output;
mod purge;
mod server;
mod show;
mod status;
mod tags;
mod verify;
mod watch;

use std::{io::Write, process::ExitCode};

use clap::{CommandFactory, Parser};

use self::{
    arguments::{Arguments, Command},
    failure::Failure,
    output::Output,
    server::Server,
};

fn main() -> ExitCode {
    // Usage errors end the process here, with 2; `--help` with 0.
    let arguments = Arguments::parse();
    let mut output = Output::new(arguments.json);
    let outcome = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(arguments, &mut output)),
        Err(error) => Err(Failure::Failed(error.to_string())),
    };
    match outcome.and_then(|()| Ok(output.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                // If nobody reads that either, the exit code still says it.
                let _ = writeln!(std::io::stderr(), "sea-orm-cache: {text}");
            }
            failure.exit_code()
        }
    }
}

async fn run(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let connection = &arguments.connection;
    match arguments.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sea-orm-cache", &mut script);
            Ok(output.raw(&script)?)
        }
        Command::Explain(question) => explain::run(connection, question, output).await,
        Command::Status { scan } => status::run(&Server::connect(connection).await?, scan, output).await,
        Command::Keys(question) => keys::run(&Server::connect(connection).await?, question, output).await,
        Command::Show(question) => show::run(&Server::connect(connection).await?, question, output).await,
        Command::Tags(question) => tags::run(&Server::connect(connection).await?, question, output).await,
        Command::Purge(what) => purge::run(&Server::connect(connection).await?, what, output).await,
        Command::Verify { sample } => verify::run(&Server::connect(connection).await?, sample, output).await,
        Command::Watch { during } => watch::run(&Server::connect(connection).await?, during, output).await,
    }
}
