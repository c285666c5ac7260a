//! PostgreSQL: a cluster of its own, which root may not run.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{EXAMPLE_DATABASE, Launch, Server, launch, ports};
use crate::install::{Programs, User, is_root, user};
use crate::{Failure, process};

/// The superuser of the cluster. Nobody needs a password: nobody but this machine gets there.
const USER: &str = "postgres";

pub fn start(programs: &Programs, scratch: &Path) -> Result<Server, Failure> {
    let directory = scratch.join("postgres");
    let data = directory.join("data");
    let log = scratch.join("postgres.log");
    let unprivileged = if is_root() { Some(user(&["postgres", "nobody"])?) } else { None };
    let command = |program: &Path| command(program, &directory, unprivileged);

    fs::create_dir(&directory)
        .and_then(|()| unprivileged.map_or(Ok(()), |user| chown(&directory, Some(user.uid), Some(user.gid))))
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let mut initdb = command(&programs.initdb);
    initdb.arg("--pgdata").arg(&data).args(["--username", USER, "--auth", "trust"]);
    // The same everywhere, whatever the machine's language.
    initdb.args(["--encoding", "UTF8", "--no-locale", "--no-sync"]);
    process::run_logged(&mut initdb, &log)?;
    create_example_database(&mut command(&programs.postgres), &data, &log)?;

    let server = |port: u16| {
        let mut server = command(&programs.postgres);
        server.arg("-D").arg(&data);
        let mut set = |name: &str, value: &str| {
            server.arg("-c").arg(format!("{name}={value}"));
        };
        set("listen_addresses", "127.0.0.1");
        set("port", &port.to_string());
        set("unix_socket_directories", &directory.display().to_string());
        set("max_connections", "300");
        // The data is thrown away: durable commits would only make the tests slow.
        set("fsync", "off");
        set("full_page_writes", "off");
        server
    };
    let is_ready = |port: u16, pid: u32| is_up(&data, pid) && accepts(port);
    launch(&Launch {
        name: "PostgreSQL",
        log: &log,
        // Immediate shutdown: without a last checkpoint.
        signal: Signal::SIGQUIT,
        command: &server,
        is_ready: &is_ready,
    })
}

/// A command that runs where, and as who, it may.
fn command(program: &Path, directory: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    // Another user may not be allowed into the directory that we are in.
    command.current_dir(directory);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// In single-user mode, which needs no client, and no server that runs.
fn create_example_database(postgres: &mut Command, data: &Path, log: &Path) -> Result<(), Failure> {
    let script = log.with_extension("sql");
    let input = fs::write(&script, format!("CREATE DATABASE {EXAMPLE_DATABASE}\n"))
        .and_then(|()| File::open(&script))
        .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    postgres.args(["--single", "-D"]).arg(data).args(["-c", "fsync=off", "postgres"]);
    process::run_with_input(postgres, input, log)
}

/// Whether our process has written that it is ready: the answer on the port alone could be another server's.
fn is_up(data: &Path, pid: u32) -> bool {
    let state = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = state.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.any(|line| line == "ready")
}

/// Whether it lets us in: it answers a start-up message (protocol 3.0) with a message of type `R`.
fn accepts(port: u16) -> bool {
    let mut parameters = Vec::from(3_i32.wrapping_shl(16).to_be_bytes());
    for text in ["user", USER, "database", "postgres", ""] {
        parameters.extend_from_slice(text.as_bytes());
        parameters.push(0);
    }
    let length = u32::try_from(parameters.len() + 4).expect("a short message");
    let hello = [length.to_be_bytes().as_slice(), &parameters].concat();
    ports::greet(port, &hello).is_ok_and(|answer| answer.first() == Some(&b'R'))
}

pub fn url(port: u16, database: &str) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{database}")
}
