//! Keeps connections alive. Calls go through a connection while it is good and fail at once while
//! there is none; a background task per connection replaces it.
//!
//! The client library reconnects by itself only after an error on the socket. A connection that
//! went dead silently (a firewall that forgot it, a host that froze) would time out for ever.
//! Here, timeouts in a row are a reason to replace it.

use std::{
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use redis::{ConnectionInfo, Pipeline, Value, aio::MultiplexedConnection};
use tokio::{
    runtime::Handle,
    sync::Notify,
    task::{AbortHandle, unconstrained},
    time::timeout,
};
use tracing::Instrument as _;

use super::{
    backoff::{Backoff, chance},
    breaker::{Admission, Breaker, Limits, Refusal},
    command,
    config::Plan,
    dial::{Dialed, Dialer},
    introduction::{self, Introduction},
    reply::{self, Fault},
    span,
    topology::Place,
};
use crate::store::StoreError;

/// Timeouts in a row, one after the other, after which a connection is replaced.
const TIMEOUTS: u32 = 3;
/// An idle connection is asked for a sign of life this often. Often enough that firewalls do not
/// forget it.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// A connection that lasted this long was a good one: its loss is a new event, not one more in a
/// series of failed attempts.
const LASTING: Duration = Duration::from_secs(5);
const BREAKER: Limits = Limits {
    failures: TIMEOUTS,
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(5),
};

/// Looks in a row at which nobody said where the primary is, after which a connection is given up:
/// who can reach nobody that knows may be cut off together with an old one.
const LOOKS_IN_VAIN: u32 = 5;

/// Owns the connections. Dropping it ends its background tasks.
pub(super) struct Supervisor(Arc<Links>);

struct Links {
    dialer: Dialer,
    address: String,
    patience: Duration,
    links: Box<[Link]>,
    breaker: Mutex<Breaker>,
    /// The breaker is closed and has nothing to count: saves its lock on every call.
    calm: AtomicBool,
    /// Why there is no connection, or why the breaker is open.
    trouble: Mutex<String>,
    /// Something got better.
    better: Notify,
}

/// One place for one connection.
#[derive(Default)]
struct Link {
    live: ArcSwapOption<Live>,
    /// The connection was lost, or is in doubt.
    attention: Notify,
    keeper: Mutex<Option<AbortHandle>>,
}

/// A connection in use.
struct Live {
    connection: MultiplexedConnection,
    server: Introduction,
    at: ConnectionInfo,
    since: Instant,
    /// The client library has seen its end.
    lost: Arc<AtomicBool>,
    /// Timeouts in a row, and when the last one was counted.
    strain: Mutex<(u32, Instant)>,
    strained: AtomicBool,
}

/// Leave to make one call. Dropped without a word, it was given up by the caller.
struct Ticket<'a> {
    links: &'a Links,
    admission: Admission,
    began: Instant,
    settled: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these, and the state would still be a state.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Supervisor {
    /// Makes the first attempt to connect, and goes on in the background.
    pub(super) async fn start(plan: &Plan) -> Result<Self, StoreError> {
        if Handle::try_current().is_err() {
            return Err(StoreError::Config("a Redis store must be made inside a tokio runtime".to_owned()));
        }
        let links = Arc::new(Links {
            dialer: Dialer::new(plan),
            address: plan.address.clone(),
            patience: plan.read_timeout.max(plan.write_timeout),
            links: (0..plan.connections).map(|_| Link::default()).collect(),
            breaker: Mutex::new(Breaker::new(BREAKER)),
            calm: AtomicBool::new(true),
            trouble: Mutex::new("not connected yet".to_owned()),
            better: Notify::new(),
        });
        join_all((0..plan.connections).map(|index| links.replace(index))).await;
        links.keep_all();
        Ok(Self(links))
    }

    /// Sends `commands` in one write and reads their answers. One round trip.
    ///
    /// Nothing is awaited before the commands are in the connection's queue: a call that has been
    /// polled once comes before every call that the same task begins later.
    pub(super) async fn ask<T>(
        &self,
        operation: &'static str,
        after: Duration,
        commands: &Pipeline,
        read: impl FnOnce(Vec<Value>, Introduction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let links = &self.0;
        let Some((link, live)) = links.pick() else {
            links.keep_all();
            return Err(StoreError::Unreachable { reason: lock(&links.trouble).clone() });
        };
        let mut ticket = links.admit()?;
        let span = span::of(operation, commands, &live.at);
        match links.exchange(link, &live, commands, after).instrument(span.clone()).await {
            Ok(values) => {
                ticket.answered();
                read(values, live.server).map_err(|fault| match fault {
                    Fault::Refused(reason) => {
                        span.record("error.type", "refused");
                        StoreError::Refused { operation, reason }
                    }
                    Fault::Misshapen => {
                        span.record("error.type", "misshapen");
                        let reason = "the server's reply does not fit the question".to_owned();
                        links.retire(link, &live, &reason);
                        StoreError::Unreachable { reason }
                    }
                })
            }
            Err(Failure::Timeout) => {
                span.record("error.type", "timeout");
                ticket.failed(|| format!("no answer within {after:?}, several times in a row"));
                Err(StoreError::Timeout { operation, after })
            }
            Err(Failure::Lost(reason)) => {
                span.record("error.type", "connection");
                ticket.failed(|| reason.clone());
                Err(StoreError::Unreachable { reason })
            }
        }
    }

    /// Resolves when a call has a chance: there is a connection, and the breaker lets one through.
    pub(super) async fn recovered(&self) {
        let links = &self.0;
        loop {
            let mut better = pin!(links.better.notified());
            better.as_mut().enable();
            let connected = links.links.iter().any(|link| link.live.load().is_some());
            if !connected {
                links.keep_all();
            }
            let check = lock(&links.breaker).check(Instant::now());
            match check {
                Ok(()) if connected => return,
                Err(Refusal::OpenFor(pause)) if connected => {
                    // Whichever comes first.
                    let _ = timeout(pause, better).await;
                }
                _ => better.await,
            }
        }
    }

    /// Whether a call would have a chance now.
    pub(super) fn is_ready(&self) -> bool {
        let links = &self.0;
        links.links.iter().any(|link| link.live.load().is_some())
            && (links.calm.load(Ordering::Acquire) || lock(&links.breaker).check(Instant::now()).is_ok())
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let links = &self.0;
        let live = links.links.iter().filter(|link| link.live.load().is_some()).count();
        f.debug_struct("Supervisor")
            .field("address", &links.address)
            .field("connections", &links.links.len())
            .field("live", &live)
            .field("calm", &links.calm)
            .finish()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for link in &self.0.links {
            if let Some(keeper) = lock(&link.keeper).take() {
                keeper.abort();
            }
        }
    }
}

/// Why there is no answer.
enum Failure {
    Timeout,
    Lost(String),
}

impl Links {
    /// A connection for this call. The same one for all calls of a task, as long as it lives, so
    /// that what a task asks is answered in the order of asking.
    fn pick(&self) -> Option<(&Link, Arc<Live>)> {
        let count = self.links.len();
        let first = match tokio::task::try_id() {
            Some(id) if count > 1 => {
                BuildHasherDefault::<DefaultHasher>::default().hash_one(id) as usize % count
            }
            _ => 0,
        };
        (0..count).find_map(|step| {
            let link = &self.links[(first + step) % count];
            Some((link, link.live.load_full()?))
        })
    }

    fn admit(&self) -> Result<Ticket<'_>, StoreError> {
        let began = Instant::now();
        let admission = if self.calm.load(Ordering::Acquire) {
            Admission::Regular
        } else {
            lock(&self.breaker).admit(began).map_err(|_| {
                let reason = format!("the circuit breaker is open: {}", lock(&self.trouble));
                StoreError::Unreachable { reason }
            })?
        };
        Ok(Ticket { links: self, admission, began, settled: false })
    }

    /// Sends and receives, and draws the conclusions for the connection.
    async fn exchange(
        &self,
        link: &Link,
        live: &Arc<Live>,
        commands: &Pipeline,
        after: Duration,
    ) -> Result<Vec<Value>, Failure> {
        let began = Instant::now();
        let mut connection = live.connection.clone();
        // Unconstrained, for a task that has used up its time slice could not enqueue otherwise.
        // One command alone is spared the bookkeeping of many.
        let mut alone = commands.cmd_iter().take(2);
        let answer = unconstrained(async {
            match (alone.next(), alone.next()) {
                (Some(command), None) => {
                    connection.send_packed_command(command).await.map(|value| vec![value])
                }
                _ => connection.send_packed_commands(commands, 0, commands.len()).await,
            }
        });
        match timeout(after, answer).await {
            Ok(Ok(values)) => {
                live.answered();
                let fatal = values.iter().find_map(|value| match value {
                    Value::ServerError(error) if reply::ends_the_connection(error, self.dialer.setting()) => {
                        Some(error)
                    }
                    _ => None,
                });
                if let Some(error) = fatal {
                    self.retire(link, live, &reply::refusal(error));
                }
                Ok(values)
            }
            Ok(Err(error)) => {
                let reason = reply::failure(&error);
                self.retire(link, live, &reason);
                Err(Failure::Lost(reason))
            }
            Err(_) => {
                if live.timed_out(began) >= TIMEOUTS {
                    self.retire(link, live, "several calls in a row were not answered in time");
                }
                // Its keeper finds out now whether it is dead, without more callers to pay for it.
                link.attention.notify_one();
                Err(Failure::Timeout)
            }
        }
    }

    /// Takes a connection out of use. Calls that are under way on it go on to their own end.
    fn retire(&self, link: &Link, live: &Arc<Live>, reason: &str) {
        let current = link.live.load();
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            return;
        }
        let before = link.live.compare_and_swap(&current, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, live)) {
            reason.clone_into(&mut lock(&self.trouble));
            tracing::warn!(server = self.address, reason, "a connection to the cache store is given up");
            link.attention.notify_one();
        }
    }

    /// Makes one attempt to connect.
    async fn replace(self: &Arc<Self>, index: usize) {
        let link = &self.links[index];
        let lost = Arc::new(AtomicBool::new(false));
        // Weak, for the connection holds this, and the links hold the connection.
        let on_loss = {
            let (links, lost) = (Arc::downgrade(self), lost.clone());
            move || {
                lost.store(true, Ordering::SeqCst);
                if let Some(links) = links.upgrade() {
                    links.retire_if_lost(index);
                }
            }
        };
        match self.dialer.dial(on_loss).await {
            Ok(Dialed { connection, server, at }) => {
                let live = Live {
                    connection,
                    server,
                    at,
                    since: Instant::now(),
                    lost,
                    strain: Mutex::new((0, Instant::now())),
                    strained: AtomicBool::new(false),
                };
                link.live.store(Some(Arc::new(live)));
                // It may have ended before it was in its place.
                self.retire_if_lost(index);
                lock(&self.breaker).try_now();
                tracing::info!(server = self.address, "connected to the cache store");
                self.better.notify_waiters();
            }
            Err(reason) => {
                let mut trouble = lock(&self.trouble);
                if *trouble == reason {
                    tracing::debug!(server = self.address, reason, "the cache store is still unreachable");
                } else {
                    tracing::warn!(
                        server = self.address,
                        reason,
                        "the cache store is unreachable; trying again"
                    );
                    *trouble = reason;
                }
            }
        }
    }

    fn retire_if_lost(&self, index: usize) {
        let link = &self.links[index];
        if let Some(live) = link.live.load_full()
            && live.lost.load(Ordering::SeqCst)
        {
            self.retire(link, &live, "the connection was closed");
        }
    }

    /// Sees to it that every link has its background task. They can have died with the runtime
    /// that they were started on.
    fn keep_all(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else { return };
        for (index, link) in self.links.iter().enumerate() {
            let mut keeper = lock(&link.keeper);
            if keeper.as_ref().is_none_or(AbortHandle::is_finished) {
                *keeper = Some(runtime.spawn(keep(self.clone(), index)).abort_handle());
            }
        }
    }
}

/// The background task of one link: replaces the connection when it is lost, and asks for a sign
/// of life when it is idle or in doubt. Ends when the supervisor is dropped.
async fn keep(links: Arc<Links>, index: usize) {
    let mut backoff = Backoff::default();
    // The first attempt was made by `start`.
    backoff.next(0.0);
    let mut since = None;
    let mut in_vain = 0;
    let pace = links.dialer.pace(SIGN_OF_LIFE);
    let link = &links.links[index];
    loop {
        let Some(live) = link.live.load_full() else {
            if since.take().is_some_and(|since: Instant| since.elapsed() >= LASTING) {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next(chance())).await;
            links.replace(index).await;
            in_vain = 0;
            continue;
        };
        since = Some(live.since);
        let in_doubt = live.strained.load(Ordering::Acquire);
        if in_doubt || timeout(pace, link.attention.notified()).await.is_err() {
            match links.dialer.place(&live.at).await {
                Place::Right => in_vain = 0,
                Place::Wrong => links.retire(link, &live, "another server is the primary now"),
                Place::Unknown => {
                    in_vain += 1;
                    if in_vain >= LOOKS_IN_VAIN {
                        links.retire(link, &live, "nobody says any more whether it is the primary");
                    }
                }
            }
            let question = command::introduction(live.server.informs, links.dialer.setting());
            if let Ok(values) = links.exchange(link, &live, &question, links.patience).await {
                match introduction::introduced(values, links.dialer.setting()) {
                    // Behind the same connection there is another server, or the same in another
                    // role; the next connection begins with the right number.
                    Ok(server) if server != live.server => {
                        links.retire(link, &live, "the server is not the one it was");
                    }
                    Ok(_) => {}
                    Err(reason) => links.retire(link, &live, &reason),
                }
            }
        }
    }
}

impl Live {
    fn answered(&self) {
        if self.strained.load(Ordering::Acquire) {
            let mut strain = lock(&self.strain);
            strain.0 = 0;
            self.strained.store(false, Ordering::Release);
        }
    }

    /// How many timeouts in a row there were, this one included. Calls that timed out side by side
    /// count once: a server that hiccups is not a dead connection.
    fn timed_out(&self, began: Instant) -> u32 {
        let mut strain = lock(&self.strain);
        if strain.0 == 0 || began >= strain.1 {
            *strain = (strain.0.saturating_add(1), Instant::now());
        }
        self.strained.store(true, Ordering::Release);
        strain.0
    }
}

impl Ticket<'_> {
    fn answered(&mut self) {
        self.settled = true;
        if self.admission == Admission::Probe || !self.links.calm.load(Ordering::Acquire) {
            let mut breaker = lock(&self.links.breaker);
            breaker.succeeded(self.admission);
            self.links.calm.store(breaker.is_calm(), Ordering::Release);
            drop(breaker);
            self.links.better.notify_waiters();
        }
    }

    fn failed(&mut self, reason: impl FnOnce() -> String) {
        self.settled = true;
        let mut breaker = lock(&self.links.breaker);
        let opened = breaker.failed(self.admission, self.began, Instant::now(), chance());
        self.links.calm.store(breaker.is_calm(), Ordering::Release);
        drop(breaker);
        if opened {
            let reason = reason();
            tracing::warn!(server = self.links.address, reason, "the cache store is left alone for a moment");
            *lock(&self.links.trouble) = reason;
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.settled && self.admission == Admission::Probe {
            lock(&self.links.breaker).abandoned(self.admission);
            self.links.better.notify_waiters();
        }
    }
}
