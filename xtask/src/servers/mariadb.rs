//! MariaDB: a data directory of its own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{EXAMPLE_DATABASE, Launch, Server, launch, ports};
use crate::install::{Programs, is_root, user};
use crate::{Failure, process};

/// The user that the tests come as, over TCP.
const USER: &str = "tester";
const PASSWORD: &str = "tester";

pub fn start(programs: &Programs, scratch: &Path) -> Result<Server, Failure> {
    let directory = scratch.join("mariadb");
    let data = directory.join("data");
    let log = scratch.join("mariadb.log");
    let pid_file = directory.join("pid");
    let init_file = directory.join("init.sql");
    let init = format!(
        "CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;
CREATE DATABASE {EXAMPLE_DATABASE} CHARACTER SET utf8mb4;
"
    );
    fs::create_dir(&directory)
        .and_then(|()| fs::write(&init_file, init))
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;

    // Root must say who the server is to run as.
    let run_as = if is_root() {
        let (name, user) = user(&["mysql"]).map_or(("root", None), |user| ("mysql", Some(user)));
        user.map_or(Ok(()), |user| chown(&directory, Some(user.uid), Some(user.gid)))
            .map_err(|error| format!("cannot hand over {}: {error}", directory.display()))?;
        Some(format!("--user={name}"))
    } else {
        None
    };
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command.current_dir(&directory);
        // First, or not at all: the machine's own configuration is for the machine's own server.
        command.arg("--no-defaults").args(&run_as);
        command.arg(option("--datadir", &data));
        command
    };
    let mut install = command(&programs.mariadb_install);
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    process::run_logged(&mut install, &log)?;

    let server = |port: u16| {
        let mut server = command(&programs.mariadb);
        server.args(["--bind-address=127.0.0.1", &format!("--port={port}")]);
        server.arg(option("--socket", &directory.join("socket")));
        server.arg(option("--pid-file", &pid_file));
        server.arg(option("--init-file", &init_file));
        server.args(["--skip-name-resolve", "--skip-log-bin", "--max-connections=300"]);
        server.arg("--character-set-server=utf8mb4");
        // The data is thrown away: durable commits would only make the tests slow.
        server.args(["--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-doublewrite=0"]);
        server
    };
    let is_ready = |port: u16, pid: u32| is_up(&pid_file, pid) && greets(port);
    launch(&Launch {
        name: "MariaDB",
        log: &log,
        // It is one process, and leaves nothing outside its directory; a clean shutdown takes seconds.
        signal: Signal::SIGKILL,
        command: &server,
        is_ready: &is_ready,
    })
}

/// Whether our process has written its id: the answer on the port alone could be another server's.
fn is_up(pid_file: &Path, pid: u32) -> bool {
    fs::read_to_string(pid_file).is_ok_and(|text| text.trim() == pid.to_string())
}

/// Whether it offers a handshake (version 10 of the protocol) and not an error.
fn greets(port: u16) -> bool {
    const HEADER: usize = 4;
    ports::greet(port, b"").is_ok_and(|answer| answer.get(HEADER) == Some(&10))
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

pub fn url(port: u16, database: &str) -> String {
    format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/{database}")
}
