//! What the tests run against: private servers, a proxy that can go silent, and a server that says
//! whatever it is told to.

use std::{
    future::Future,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until the condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < end, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// A redis-server of its own for one test, ended with it.
pub(crate) struct Server {
    process: Option<Child>,
    directory: PathBuf,
    port: u16,
    arguments: Vec<String>,
}

impl Server {
    /// On a unix socket. `None`, with a line that says so, if there is no redis-server here.
    pub(crate) fn start(arguments: &[&str]) -> Option<Self> {
        Self::start_at(0, arguments)
    }

    /// On a TCP port of 127.0.0.1.
    pub(crate) fn start_on_tcp(arguments: &[&str]) -> Option<Self> {
        Self::start_at(free_port(), arguments)
    }

    fn start_at(port: u16, arguments: &[&str]) -> Option<Self> {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("cache-store-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { process: None, directory, port, arguments };
        server.run().then_some(server)
    }

    /// Starts the process (again); false if there is no such program and none is required.
    #[expect(clippy::print_stderr, reason = "a test that did not run must say so")]
    pub(crate) fn run(&mut self) -> bool {
        let socket = self.socket();
        let _ = std::fs::remove_file(&socket);
        let program = std::env::var("SEA_ORM_CACHE_TEST_REDIS_SERVER");
        let program = program.unwrap_or_else(|_| "redis-server".to_owned());
        let spawned = Command::new(&program)
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &self.port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(&self.directory)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Ok(process) => self.process = Some(process),
            Err(_) => {
                let required = std::env::var("SEA_ORM_CACHE_TEST_REQUIRE").is_ok_and(|value| value == "1");
                assert!(!required, "{program} does not start, and SEA_ORM_CACHE_TEST_REQUIRE=1");
                eprintln!("skipped: {program} does not start");
                return false;
            }
        }
        let end = Instant::now() + DEADLINE;
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "redis-server does not come up");
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let Some(process) = &self.process else { return };
        let status = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// TCP if started so, else the unix socket.
    pub(crate) fn url(&self) -> String {
        match self.port {
            0 => format!("unix://{}", self.socket().display()),
            port => format!("redis://127.0.0.1:{port}/"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// One command, on a connection of its own.
    pub(crate) fn tell<T: ::redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.tell_as("", words)
    }

    /// The same with `?user=..&pass=..` appended to the address.
    pub(crate) fn tell_as<T: ::redis::FromRedisValue>(&self, login: &str, words: &[&str]) -> T {
        let client = ::redis::Client::open(format!("unix://{}{login}", self.socket().display())).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut command = ::redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(word);
        }
        command.query(&mut connection).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thaw();
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Passes bytes on, until it is told to swallow those of the connections that exist.
pub(crate) struct Proxy {
    port: u16,
    /// One flag per connection, so that later ones work while earlier ones are dead.
    swallow: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
}

impl Proxy {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let swallow = Arc::<Mutex<Vec<Arc<AtomicBool>>>>::default();
        let flags = Arc::clone(&swallow);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(server) else { continue };
                let flag = Arc::new(AtomicBool::new(false));
                flags.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&flag));
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)]
                {
                    let flag = Arc::clone(&flag);
                    thread::spawn(move || {
                        let mut buffer = [0; 65536];
                        while let Ok(length @ 1..) = from.read(&mut buffer) {
                            if !flag.load(Ordering::SeqCst) && to.write_all(&buffer[..length]).is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { port, swallow }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The connections that exist now go silent, and stay open.
    pub(crate) fn black_hole(&self) -> usize {
        let flags = self.swallow.lock().unwrap_or_else(PoisonError::into_inner);
        flags.iter().for_each(|flag| flag.store(true, Ordering::SeqCst));
        flags.len()
    }
}

/// A server that answers as it is told, in RESP2, and remembers what it was asked.
pub(crate) struct Puppet {
    port: u16,
    /// The commands that arrived in one piece each.
    bursts: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Puppet {
    /// `answer` gets the words of a command and gives the reply, in RESP; empty means none at all.
    pub(crate) fn new(answer: impl Fn(&[String]) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bursts = Arc::<Mutex<Vec<Vec<String>>>>::default();
        let (seen, answer) = (Arc::clone(&bursts), Arc::new(answer));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 20];
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        let commands = commands(&String::from_utf8_lossy(&buffer[..length]));
                        let replies: String = commands.iter().map(|command| answer(command)).collect();
                        let burst = commands.iter().map(|command| command.join(" ")).collect();
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(burst);
                        if stream.write_all(replies.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port, bursts }
    }

    /// One that greets like a Redis 6.2 and knows no RESP3; the rest is up to `answer`.
    pub(crate) fn polite(answer: impl Fn(&[String]) -> String + Send + Sync + 'static) -> Self {
        Self::new(move |words| match words[0].as_str() {
            "HELLO" => "-ERR unknown command 'HELLO'\r\n".to_owned(),
            "CLIENT" => "+OK\r\n".to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            "INFO" => bulk("redis_version:6.2.14\r\nrole:master\r\n"),
            _ => answer(words),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn bursts(&self) -> Vec<Vec<String>> {
        self.bursts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// The words of each command in `text`, which holds whole commands.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut lines = text.split("\r\n");
    let mut commands = Vec::new();
    while let Some(count) = lines.next().and_then(|line| line.strip_prefix('*')?.parse().ok()) {
        let words = (0..count).filter_map(|_| {
            lines.next()?;
            lines.next().map(str::to_owned)
        });
        commands.push(words.collect());
    }
    commands
}
