//! Private instances of the three servers, for as long as they are needed.

mod mariadb;
mod ports;
mod postgres;
mod redis;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::process::{self, Group};
use crate::scratch::ScratchDir;
use crate::{Failure, install, interrupt};

/// The database that the examples get on the servers. Tests make their own.
const EXAMPLE_DATABASE: &str = "bookshop";

/// Redis, PostgreSQL and MariaDB, up and reachable. Dropping this stops them and removes their data.
#[derive(Debug)]
pub struct Servers {
    redis: Server,
    postgres: Server,
    mariadb: Server,
    redis_program: PathBuf,
    /// After the servers, which write to it until they are stopped.
    scratch: ScratchDir,
}

/// One running server.
#[derive(Debug)]
struct Server {
    name: &'static str,
    group: Group,
    port: u16,
    log: PathBuf,
}

impl Servers {
    /// Finds, installs if need be, and starts all three at once.
    pub fn start() -> Result<Self, Failure> {
        let programs = install::programs()?;
        let scratch = ScratchDir::create()?;
        let directory = scratch.path();
        // Each waits mostly for its own disk writes.
        let (redis, postgres, mariadb) = thread::scope(|scope| {
            let redis = scope.spawn(|| redis::start(&programs, directory));
            let postgres = scope.spawn(|| postgres::start(&programs, directory));
            let mariadb = scope.spawn(|| mariadb::start(&programs, directory));
            (join(redis), join(postgres), join(mariadb))
        });
        let redis_program = programs.redis;
        Ok(Self { redis: redis?, postgres: postgres?, mariadb: mariadb?, redis_program, scratch })
    }

    /// What the tests are told.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SEA_ORM_CACHE_TEST_REDIS", self.redis_url()),
            ("SEA_ORM_CACHE_TEST_REDIS_SERVER", self.redis_program.display().to_string()),
            ("SEA_ORM_CACHE_TEST_POSTGRES", postgres::url(self.postgres.port, "postgres")),
            ("SEA_ORM_CACHE_TEST_MARIADB", mariadb::url(self.mariadb.port, "mysql")),
        ]
    }

    /// The Redis.
    pub fn redis_url(&self) -> String {
        redis::url(self.redis.port)
    }

    /// A database of the examples' own on PostgreSQL.
    pub fn postgres_example_url(&self) -> String {
        postgres::url(self.postgres.port, EXAMPLE_DATABASE)
    }

    /// A database of the examples' own on MariaDB.
    pub fn mariadb_example_url(&self) -> String {
        mariadb::url(self.mariadb.port, EXAMPLE_DATABASE)
    }

    /// A database file of the examples' own.
    pub fn sqlite_example_url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.scratch.path().join("bookshop.db").display())
    }

    /// Waits for an interrupt; an error if a server ends before.
    pub fn watch(&mut self) -> Result<(), Failure> {
        while !interrupt::requested() {
            for server in [&mut self.redis, &mut self.postgres, &mut self.mariadb] {
                if let Some(status) = server.group.exited()? {
                    return Err(format!("{} ended: {status}\n{}", server.name, process::tail(&server.log)));
                }
            }
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How a server is started.
struct Launch<'a> {
    name: &'static str,
    log: &'a Path,
    /// What ends it soonest without leaving anything (shared memory, say) behind. Its data is thrown away.
    signal: Signal,
    command: &'a dyn Fn(u16) -> Command,
    /// Whether the server that answers on the port is up, and is the one with this process id.
    is_ready: &'a dyn Fn(u16, u32) -> bool,
}

/// Starts a server on a free port and waits until it answers. Between looking for a port and taking it somebody
/// else may take it: then the server ends, and another port is tried.
fn launch(launch: &Launch<'_>) -> Result<Server, Failure> {
    const ATTEMPTS: u32 = 4;
    const DEADLINE: Duration = Duration::from_secs(90);
    for _ in 0..ATTEMPTS {
        let port = ports::free_port();
        let mut command = (launch.command)(port);
        process::log_to(&mut command, launch.log)?;
        let mut group = Group::spawn(command.stdin(Stdio::null()), launch.signal)?;
        let end = Instant::now() + DEADLINE;
        while group.exited()?.is_none() {
            if (launch.is_ready)(port, group.id()) {
                return Ok(Server { name: launch.name, group, port, log: launch.log.to_owned() });
            }
            if Instant::now() >= end {
                let tail = process::tail(launch.log);
                return Err(format!("{} does not answer after {DEADLINE:?}\n{tail}", launch.name));
            }
            interrupt::check()?;
            sleep(Duration::from_millis(10));
        }
    }
    Err(format!("{} does not start\n{}", launch.name, process::tail(launch.log)))
}
