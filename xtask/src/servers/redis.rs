//! Redis: nothing to prepare.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{Launch, Server, launch, ports};
use crate::Failure;
use crate::install::Programs;

pub fn start(programs: &Programs, directory: &Path) -> Result<Server, Failure> {
    let command = |port: u16| {
        let mut command = Command::new(&programs.redis);
        command.current_dir(directory);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no"]);
        command.args(["--save", "", "--appendonly", "no"]).arg("--dir").arg(directory);
        command
    };
    launch(&Launch {
        name: "Redis",
        log: &directory.join("redis.log"),
        signal: Signal::SIGTERM,
        command: &command,
        is_ready: &is_ready,
    })
}

/// An answer that names our process.
fn is_ready(port: u16, pid: u32) -> bool {
    let Ok(answer) = ports::greet(port, b"INFO server\r\n") else { return false };
    let pid = format!("process_id:{pid}");
    String::from_utf8_lossy(&answer).lines().any(|line| line == pid)
}

pub fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}/")
}
