//! A TCP proxy that counts and breaks what goes through it.

mod relay;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::relay::Line;
use super::ports::free_port;
use super::resp;
use super::wait::eventually;

/// How long the proxy may take for what it is told to do.
const DEADLINE: Duration = Duration::from_secs(20);

/// A proxy on a port of 127.0.0.1 in front of one server. It runs on a thread of its own, so that neither a
/// test that blocks its runtime nor one that stops its clock holds it up.
///
/// What it counts, it counts over all its connections together.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
    /// The task that accepts connections; none while they are refused.
    listener: Mutex<Option<JoinHandle<()>>>,
    /// Only taken by drop.
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Starts a proxy in front of `host:port`. The server need not be up yet.
    pub async fn start(upstream: impl Into<String>) -> Self {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build()
            .expect("a runtime for the proxy");
        let line = Arc::new(Line::new(upstream.into()));
        let mut proxy = Self { port: 0, line, listener: Mutex::new(None), runtime: Some(runtime) };
        proxy.port = proxy.listen(None).await;
        proxy
    }

    /// Starts a proxy in front of the Redis at `url`.
    pub async fn for_redis(url: &str) -> Self {
        let authority =
            url.split_once("://").map_or(url, |(_, rest)| rest).split(['/', '?']).next().unwrap_or(url);
        let address = authority.rsplit('@').next().unwrap_or(authority);
        Self::start(if address.contains(':') { address.to_owned() } else { format!("{address}:6379") }).await
    }

    /// `127.0.0.1:<port>`, the same for as long as the proxy lives.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `redis://127.0.0.1:<port>/`
    pub fn redis_url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    // ------------------------------------------------------------------------------------------ to look at

    /// Round trips so far: how often a burst of bytes to the server was followed by bytes from it. A pipeline
    /// is one; the handshake of a connection counts too, so take the difference of two calls. Requests of
    /// several tasks that overlap on one connection melt into fewer: measure with one task.
    pub fn round_trips(&self) -> u64 {
        self.line.round_trips()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.line.accepted()
    }

    /// Connections open now, black-holed ones included.
    pub fn open(&self) -> usize {
        self.line.open()
    }

    /// Starts recording afresh what clients send.
    pub fn record(&self) {
        self.line.record();
    }

    /// The bytes that clients sent since [`record`](Self::record), for each connection.
    pub fn recorded(&self) -> Vec<Vec<u8>> {
        self.line.recorded()
    }

    /// The Redis commands that clients sent since [`record`](Self::record), connection by connection.
    pub fn recorded_commands(&self) -> Vec<Vec<String>> {
        self.recorded().iter().flat_map(|bytes| resp::commands(bytes)).collect()
    }

    // -------------------------------------------------------------------------------------------- to break

    /// Cuts all connections with a reset. They are closed when this returns; new ones work.
    pub async fn cut(&self) {
        let before = self.accepted();
        self.line.cut();
        eventually("the proxy's connections close", DEADLINE, async || self.line.open_up_to(before) == 0)
            .await;
    }

    /// From now on nothing comes through the connections there are, in either direction, and they stay open:
    /// what a silent network cut looks like. New ones work. There is no way back but [`cut`](Self::cut).
    pub fn black_hole(&self) {
        self.line.black_hole();
    }

    /// From now on, connections whose client sends these bytes (in one piece) are marked, besides those that
    /// were marked for others.
    pub fn mark(&self, bytes: &[u8]) {
        self.line.mark(bytes);
    }

    /// [`black_hole`](Self::black_hole) for the marked connections alone.
    pub fn black_hole_marked(&self) {
        self.line.black_hole_marked();
    }

    /// Every byte from the server to a marked connection arrives this much later.
    pub fn delay_marked(&self, delay: Duration) {
        self.line.delay_marked(delay);
    }

    /// Every byte from the server arrives this much later: a longer round trip, at the same throughput.
    pub fn delay(&self, delay: Duration) {
        self.line.delay_replies(delay);
    }

    /// Every byte to the server arrives this much later.
    pub fn delay_requests(&self, delay: Duration) {
        self.line.delay_requests(delay);
    }

    /// Requests go through; replies do for `after` more replies (each the end of a round trip) and are then
    /// withheld, on all connections, until [`release`](Self::release). With 0, unasked-for bytes from the
    /// server, such as pushes, are withheld as well.
    pub fn hold_replies(&self, after: u64) {
        self.line.hold_replies(after);
    }

    /// Requests that hold these bytes are withheld, with what follows them on their connection, until
    /// [`release_requests`](Self::release_requests).
    pub fn hold_requests(&self, bytes: &[u8]) {
        self.line.hold_requests(bytes);
    }

    /// Waits until a request is being withheld: its sender has sent it, and the server knows nothing of it.
    pub async fn until_holding_request(&self) {
        eventually("the proxy withholds a request", DEADLINE, async || self.line.is_holding_request()).await;
    }

    /// Lets withheld requests go, and those to come.
    pub fn release_requests(&self) {
        self.line.release_requests();
    }

    /// Waits until a reply is being withheld: its request has then reached the server and been answered.
    pub async fn until_holding(&self) {
        eventually("the proxy withholds a reply", DEADLINE, async || self.line.is_holding()).await;
    }

    /// Lets withheld replies go, and those to come.
    pub fn release(&self) {
        self.line.release();
    }

    /// Connections accepted from now on go to this server: what an address does after a failover. Those there
    /// are stay where they are, until they are [`cut`](Self::cut).
    pub fn redirect(&self, upstream: impl Into<String>) {
        self.line.redirect(upstream.into());
    }

    /// Refuses new connections (nothing listens any more); those there are stay.
    pub async fn refuse(&self) {
        if let Some(listener) = self.listener.lock().await.take() {
            listener.abort();
            // The port is free once the task, which owns the listener, is gone.
            let _ = listener.await;
        }
    }

    /// Accepts connections again after [`refuse`](Self::refuse), on the same port.
    pub async fn accept(&self) {
        self.listen(Some(self.port)).await;
    }

    async fn listen(&self, port: Option<u16>) -> u16 {
        let mut slot = self.listener.lock().await;
        if slot.is_some() {
            return self.port;
        }
        let runtime = self.runtime.as_ref().expect("a proxy that is not being dropped");
        let line = Arc::clone(&self.line);
        // A socket belongs to the runtime it is made on.
        let (port, task) = runtime
            .spawn(async move {
                let listener = bind(port).await;
                let port = listener.local_addr().expect("the proxy's address").port();
                (port, tokio::spawn(accept_all(listener, line)))
            })
            .await
            .expect("the proxy listens");
        *slot = Some(task);
        port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Without waiting: drop may run inside a runtime, where one may not wait for another.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Binds `port`, or a free one. One given up a moment ago may be in use for a while, as an outgoing one.
async fn bind(port: Option<u16>) -> TcpListener {
    let end = Instant::now() + DEADLINE;
    loop {
        let port = port.unwrap_or_else(free_port);
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return listener,
            Err(error) if Instant::now() >= end => panic!("listen on port {port}: {error}"),
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn accept_all(listener: TcpListener, line: Arc<Line>) {
    loop {
        // An error is about one connection that went away before it was accepted.
        let Ok((client, _)) = listener.accept().await else { continue };
        let connection = line.open_connection();
        let line = Arc::clone(&line);
        tokio::spawn(async move {
            match TcpStream::connect(line.upstream()).await {
                Ok(server) => relay::relay(client, server, connection).await,
                // To the client it looks like a server that hangs up: the best a proxy can do.
                Err(_) => {
                    let _ = client.set_zero_linger();
                }
            }
        });
    }
}
