//! Child processes that do not outlive their owner.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::{Failure, interrupt};

/// How long a process that is told to end may take before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a process is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// A process in a group of its own, which is ended with all its children when this is dropped.
///
/// A group of its own also keeps the terminal's Ctrl-C from it: it is ended by us, in order.
#[derive(Debug)]
pub struct Group {
    child: Child,
    /// How it is told to end.
    signal: Signal,
    exited: Option<ExitStatus>,
}

impl Group {
    /// Starts `command`.
    pub fn spawn(command: &mut Command, signal: Signal) -> Result<Self, Failure> {
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
        Ok(Self { child, signal, exited: None })
    }

    /// Its process id, which is the group's as well.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>, Failure> {
        if self.exited.is_none() {
            self.exited =
                self.child.try_wait().map_err(|error| format!("cannot wait for a child: {error}"))?;
        }
        Ok(self.exited)
    }

    /// Waits for its end. An interrupt ends the waiting, and then the process with it.
    pub fn wait(mut self) -> Result<ExitStatus, Failure> {
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            interrupt::check()?;
            sleep(PAUSE);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Whether a process of the group is left. The system gives the group's id to nobody else until then.
    fn is_alive(&mut self) -> bool {
        // Reaps the leader, which would count as alive otherwise.
        let _ = self.exited();
        killpg(self.pid(), None).is_ok()
    }

    fn wait_until_gone(&mut self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() >= end || interrupt::insisted() {
                return false;
            }
            sleep(PAUSE);
        }
        true
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.exited.is_some() {
            return;
        }
        // A server's processes are its own business, so that is who gets the signal; the children of a command
        // (compilers, test binaries and what those started) would not hear of it.
        let _ = match self.signal {
            Signal::SIGTERM => killpg(self.pid(), self.signal),
            signal => kill(self.pid(), signal),
        };
        if !self.wait_until_gone(PATIENCE) {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs a command, without an input, to its end; an error unless it succeeds.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    finish(command.stdin(Stdio::null()))
}

fn finish(command: &mut Command) -> Result<(), Failure> {
    let status = Group::spawn(command, Signal::SIGTERM)?.wait()?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command))) }
}

/// Runs a command, and writes what it prints to a file too.
pub fn run_and_keep(command: &mut Command, log: &Path) -> Result<(), Failure> {
    let failure = |error| format!("cannot write {}: {error}", log.display());
    // Cargo may build elsewhere, and leave no directory here.
    let place = log.parent().map_or(Ok(()), std::fs::create_dir_all);
    let mut kept = place.and_then(|()| File::create(log)).map_err(failure)?;
    let (mut reader, writer) = pipe().map_err(failure)?;
    command.stdout(writer);
    // Ends when the last process that prints there has.
    let copying = std::thread::spawn(move || {
        let mut part = [0; 8192];
        while let Ok(read @ 1..) = reader.read(&mut part) {
            let _ = std::io::stdout().write_all(&part[..read]);
            let _ = kept.write_all(&part[..read]);
        }
    });
    let done = run(command);
    // The command holds an end of the pipe.
    command.stdout(Stdio::null());
    let _ = copying.join();
    done
}

/// Runs a command with its output in a file, of which the end is shown if it fails.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<(), Failure> {
    log_to(command, log)?;
    run(command).map_err(|failure| format!("{failure}\n{}", tail(log)))
}

/// Like [`run_logged`], with something to read.
pub fn run_with_input(command: &mut Command, input: File, log: &Path) -> Result<(), Failure> {
    log_to(command, log)?;
    finish(command.stdin(input)).map_err(|failure| format!("{failure}\n{}", tail(log)))
}

/// Sends what a command prints to the end of a file.
pub fn log_to(command: &mut Command, log: &Path) -> Result<(), Failure> {
    let open = || File::options().create(true).append(true).open(log);
    let (output, errors) = open()
        .and_then(|output| Ok((output, open()?)))
        .map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    command.stdout(output).stderr(errors);
    Ok(())
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    const LINES: usize = 30;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let start = lines.len().saturating_sub(LINES);
    format!("--- the end of {}\n{}\n---", log.display(), lines[start..].join("\n"))
}

/// A command as one would type it.
pub fn shown(command: &Command) -> String {
    let mut shown = command.get_program().to_string_lossy().into_owned();
    if let Some(name) = Path::new(&shown).file_name() {
        shown = name.to_string_lossy().into_owned();
    }
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}
