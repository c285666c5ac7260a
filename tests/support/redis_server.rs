//! The Redis that tests share, and one of a test's own that may be stopped, frozen and robbed of its data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use redis::{AsyncConnectionConfig, Client, RedisResult, Value};
use tokio::time::{Instant, sleep};

use super::environment::{self, REDIS, REDIS_SERVER};
use super::ports::free_port;
use super::scratch::ScratchDir;

/// How long a server may take to come up or go down; a busy machine is slow, a broken one is slower.
const DEADLINE: Duration = Duration::from_secs(20);

/// The URL of the shared Redis. Tests that use it keep to a [`unique_namespace`](super::unique_namespace) and
/// never flush, stop or configure it. `None` (and a line that says so) when the environment names none.
pub fn shared_redis_url() -> Option<String> {
    environment::variable(REDIS).or_else(|| environment::skip("Redis", REDIS))
}

/// What a restarted server finds in its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// What it had: saved now if it is still running, else whatever the last [`PrivateRedis::save`] wrote,
    /// which may be old.
    Keep,
    /// Nothing.
    Forget,
}

/// A `redis-server` of the test's own, on a free port of 127.0.0.1, in a scratch directory. It saves only when
/// told to. Dropping it kills it.
#[derive(Debug)]
pub struct PrivateRedis {
    executable: PathBuf,
    /// Of a configuration in its directory, if it has one.
    file: Option<&'static str>,
    arguments: Vec<String>,
    directory: ScratchDir,
    port: u16,
    /// `None` while it is down.
    child: Option<Child>,
}

impl PrivateRedis {
    /// Starts one. `None` (and a line that says so) when there is no `redis-server` to start.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Starts one with more arguments, such as `["--maxmemory", "2mb"]`.
    pub async fn start_with(arguments: &[&str]) -> Option<Self> {
        Self::start_from(None, arguments).await
    }

    /// Starts a sentinel, with this configuration.
    pub async fn start_sentinel(configuration: &str) -> Option<Self> {
        Self::start_from(Some(("sentinel.conf", configuration)), &["--sentinel"]).await
    }

    async fn start_from(file: Option<(&'static str, &str)>, arguments: &[&str]) -> Option<Self> {
        let Some(executable) = executable() else {
            return environment::skip("redis-server", REDIS_SERVER);
        };
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let directory = ScratchDir::create("redis");
        if let Some((name, configuration)) = file {
            fs::write(directory.path().join(name), configuration).expect("write the configuration");
        }
        let file = file.map(|(name, _)| name);
        let mut server = Self { executable, file, arguments, directory, port: 0, child: None };
        // Between looking for a free port and taking it somebody else may have taken it.
        for _ in 0..8 {
            server.port = free_port();
            if server.launch().await {
                return Some(server);
            }
        }
        panic!("redis-server does not start:\n{}", server.log());
    }

    /// `redis://127.0.0.1:<port>/`
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// `127.0.0.1:<port>`, the same over restarts.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs one command on a connection of its own, and panics if the server is away or says no.
    pub async fn command(&self, arguments: &[&str]) -> Value {
        redis_command(&self.url(), arguments).await
    }

    /// The same, where a server that is just becoming another one may hang up.
    pub async fn try_command(&self, arguments: &[&str]) -> Option<Value> {
        ask(&self.url(), arguments).await.ok()
    }

    /// How often each command was called since the start or the last [`reset_stats`](Self::reset_stats), by its
    /// lower-case name (`get`, `client|setinfo`). Asking makes calls of its own: `info`, `client|setinfo`.
    pub async fn commandstats(&self) -> BTreeMap<String, u64> {
        commandstats(&self.url()).await
    }

    /// Sets the counts of [`commandstats`](Self::commandstats) to zero.
    pub async fn reset_stats(&self) {
        self.command(&["CONFIG", "RESETSTAT"]).await;
    }

    /// Writes a snapshot, for a later `restart(Restart::Keep)` to come back from.
    pub async fn save(&self) {
        self.command(&["SAVE"]).await;
    }

    /// Stops it in good order (SIGTERM): clients see their connections closed. Saves nothing.
    pub async fn stop(&mut self) {
        self.resume();
        self.signal("TERM");
        self.reap().await;
    }

    /// Ends it at once (SIGKILL).
    pub async fn kill(&mut self) {
        self.signal("KILL");
        self.reap().await;
    }

    /// Starts it again, after stopping it if it is running: on the same port, in the same directory, as a new
    /// incarnation (`run_id`).
    pub async fn restart(&mut self, data: Restart) {
        if self.child.is_some() {
            self.resume();
            if data == Restart::Keep {
                self.save().await;
            }
            self.stop().await;
        }
        if data == Restart::Forget {
            let _ = fs::remove_file(self.directory.path().join("dump.rdb"));
        }
        // The port may be in use for a moment, as somebody's outgoing one.
        let end = Instant::now() + DEADLINE;
        while !self.launch().await {
            assert!(Instant::now() < end, "redis-server does not start again:\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Freezes it (SIGSTOP): connections stay open and are even accepted, and nothing answers.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Thaws it (SIGCONT): it answers what was sent in the meantime.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Whether it is up (frozen or not).
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("redis.log")).unwrap_or_default()
    }

    /// Starts the process and waits until it answers; `false` if it ended instead, as when its port is taken.
    async fn launch(&mut self) -> bool {
        let child = Command::new(&self.executable)
            .args(self.file)
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", "redis.log"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.arguments)
            // The log's name is taken from where the server is started, not from its --dir.
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", self.executable.display()));
        let pid = child.id().to_string();
        self.child = Some(child);
        let end = Instant::now() + DEADLINE;
        loop {
            let exited =
                self.child.as_mut().and_then(|child| child.try_wait().expect("ask for redis-server"));
            if exited.is_some() {
                self.child = None;
                return false;
            }
            // The pid, because an answer alone may come from somebody else's server on this port.
            if let Ok(info) = ask::<String>(&self.url(), &["INFO", "server"]).await
                && info.lines().any(|line| line.strip_prefix("process_id:") == Some(pid.as_str()))
            {
                return true;
            }
            assert!(Instant::now() < end, "redis-server does not answer:\n{}", self.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a signal, if the server is up. The child is not yet waited for, so its pid is nobody else's.
    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        // The shell has `kill` built in, on machines where there is no such program.
        let script = format!("kill -s {signal} {}", child.id());
        let status = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
        // A server that is already dead cannot be signalled, and need not be.
        assert!(status.is_ok(), "no shell to run: {script}");
    }

    async fn reap(&mut self) {
        let Some(child) = &mut self.child else { return };
        let end = Instant::now() + DEADLINE;
        while child.try_wait().expect("wait for redis-server").is_none() {
            if Instant::now() >= end {
                let _ = child.kill();
            }
            sleep(Duration::from_millis(2)).await;
        }
        self.child = None;
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        // SIGKILL also ends a frozen process.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs one command on a connection of its own to the Redis at `url`, and panics if that fails.
pub async fn redis_command(url: &str, arguments: &[&str]) -> Value {
    ask(url, arguments).await.unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// [`PrivateRedis::commandstats`] of the Redis at `url`. In a shared one, other tests count as well.
pub async fn commandstats(url: &str) -> BTreeMap<String, u64> {
    let info: String = ask(url, &["INFO", "commandstats"])
        .await
        .unwrap_or_else(|error| panic!("INFO commandstats: {error}"));
    info.lines()
        .filter_map(|line| {
            let (name, numbers) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = numbers.split(',').find_map(|number| number.strip_prefix("calls="))?;
            Some((name.to_owned(), calls.parse().ok()?))
        })
        .collect()
}

async fn ask<T: redis::FromRedisValue>(url: &str, arguments: &[&str]) -> RedisResult<T> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(Some(Duration::from_secs(10)));
    let mut connection = Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?;
    let mut command = redis::Cmd::new();
    for argument in arguments {
        command.arg(argument);
    }
    command.query_async(&mut connection).await
}

/// The server to start: the one `cargo xtask test` found, else what is on the path.
fn executable() -> Option<PathBuf> {
    if let Some(path) = environment::variable(REDIS_SERVER) {
        return Some(path.into());
    }
    let path = env::var_os("PATH")?;
    ["redis-server", "valkey-server"]
        .iter()
        .flat_map(|name| env::split_paths(&path).map(move |directory| directory.join(name)))
        .find(|candidate| candidate.is_file())
}
