//! The feed of changed tags, on a connection of its own. Either the server says which keys under the tags'
//! prefixes were changed (`CLIENT TRACKING` in broadcast mode, RESP3), or whoever changes them says so
//! (`published.rs`).
//!
//! A connection can be cut without anybody noticing. So the watcher lets the server say something for it
//! alone, by the connection that purges take too, and waits to hear it: when it does, everything that was
//! changed before has been told. A server that tracks keys is made to speak by writing a key of the
//! watcher's own. It tells of a batch of changes prefix by prefix, in the order of the prefixes; the
//! watcher's own is the last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::{sync::Notify, time::timeout};

use super::{
    backoff::{Backoff, chance},
    command,
    config::RedisFeed,
    dial::{Dialer, Refusal},
    published::{Subscription, channels},
    reply,
    supervisor::Supervisor,
};
use crate::store::{StoreError, TagListener, Watch};

/// How long the watcher's keys live; they are of no use any more once they have been told of.
const KEY_LIFE: Duration = Duration::from_secs(5);
/// A beat that is not heard after so long will not be.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the key of the published feed lives after a beat: so long do all who purge tell of it after
/// the last listener is gone.
const FEED_LIFE: Duration = Duration::from_secs(30);
/// Often enough to keep it there.
const SLOWEST_PUBLISHED_BEAT: Duration = Duration::from_secs(5);

/// What the connection's reader has heard.
pub(super) struct Ear {
    own: Vec<u8>,
    listener: Arc<dyn TagListener>,
    /// The last beat that was heard; `CUT` once the connection has ended.
    beat: AtomicU64,
    heard: Notify,
}

const CUT: u64 = u64::MAX;

impl Ear {
    pub(super) fn new(watch: &Watch, listener: Arc<dyn TagListener>, beat: u64) -> Self {
        let own = watch.own.clone().into_bytes();
        Self { own, listener, beat: AtomicU64::new(beat), heard: Notify::new() }
    }

    pub(super) fn changed(&self, key: &[u8]) {
        self.listener.changed(key);
    }

    pub(super) fn lost(&self) {
        self.listener.lost();
    }

    /// A beat. Of an older one we may be told once more: a key of ours has reached the end of its life.
    pub(super) fn heard(&self, beat: u64) {
        if self.beat.fetch_max(beat, Ordering::AcqRel) < beat {
            self.heard.notify_one();
        }
    }

    /// The connection has ended.
    pub(super) fn cut(&self) {
        self.lost();
        self.beat.store(CUT, Ordering::Release);
        self.heard.notify_one();
    }

    fn is_cut(&self) -> bool {
        self.last() == CUT
    }

    pub(super) fn last(&self) -> u64 {
        self.beat.load(Ordering::Acquire)
    }

    /// What a server says that tracks keys.
    fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => match &push.data[..] {
                [Value::Array(keys)] => keys.iter().for_each(|key| self.hear_of(key)),
                // Everything was flushed; or nothing that we understand.
                _ => self.lost(),
            },
            PushKind::Disconnection => self.cut(),
            _ => {}
        }
    }

    fn hear_of(&self, key: &Value) {
        let Value::BulkString(key) = key else { return self.lost() };
        match key.strip_prefix(&self.own[..]) {
            None => self.changed(key),
            Some(number) => {
                if let Some(beat) = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()) {
                    self.heard(beat);
                }
            }
        }
    }

    /// Waits for the end of the connection.
    async fn ended(&self) {
        // There is no such beat.
        let _ = self.hears(CUT).await;
    }

    /// Waits for a beat; false if the connection has ended.
    async fn hears(&self, beat: u64) -> bool {
        loop {
            match self.last() {
                CUT => return false,
                last if last >= beat => return true,
                _ => self.heard.notified().await,
            }
        }
    }
}

/// Where it is heard. Ends when it is dropped.
enum Line {
    Tracked(#[expect(dead_code, reason = "held, for it ends when it is dropped")] MultiplexedConnection),
    Published(#[expect(dead_code, reason = "held, for it ends when it is dropped")] Subscription),
}

/// Feeds the listener for as long as it is polled.
pub(super) async fn watch(
    dialer: &Dialer,
    supervisor: &Supervisor,
    feed: RedisFeed,
    watch: &Watch,
    listener: Arc<dyn TagListener>,
) -> StoreError {
    let mut backoff = Backoff::default();
    let mut beat = 0;
    loop {
        let ear = Arc::new(Ear::new(watch, listener.clone(), beat));
        match open(dialer, feed, watch, &ear).await {
            Ok(line) => {
                // What changed until now was told to nobody.
                listener.lost();
                let (pace, way) = match line {
                    Line::Tracked(_) => (watch.pace, "tracking"),
                    Line::Published(_) => (watch.pace.min(SLOWEST_PUBLISHED_BEAT), "publish/subscribe"),
                };
                tracing::debug!(way, "listening for changes of tags");
                while let Some(since) = one_beat(supervisor, watch, &line, &ear, &mut beat).await {
                    if let Some(since) = since {
                        listener.complete_until(since);
                        backoff.reset();
                    }
                    // Whichever comes first.
                    let _ = timeout(pace, ear.ended()).await;
                }
                drop(line);
                listener.lost();
                tracing::warn!("the feed of changed tags was lost; connecting again");
            }
            Err(Refusal::ForGood(reason)) => {
                let operation = "CLIENT TRACKING and SUBSCRIBE";
                return StoreError::Refused { operation, reason };
            }
            Err(Refusal::ForNow(reason)) => {
                tracing::debug!(reason, "no feed of changed tags yet");
            }
        }
        tokio::time::sleep(backoff.next(chance())).await;
    }
}

/// Lets the server say something for us, and waits to hear it. When it was asked to; or `Some(None)` if the
/// store did not do it, and `None` if the feed has to be replaced.
async fn one_beat(
    supervisor: &Supervisor,
    watch: &Watch,
    line: &Line,
    ear: &Ear,
    beat: &mut u64,
) -> Option<Option<Instant>> {
    *beat += 1;
    let since = Instant::now();
    let sent = match line {
        Line::Tracked(_) => {
            let command = command::beat(&format!("{}{beat}", watch.own), KEY_LIFE);
            supervisor.ask("a beat", PATIENCE, &command, |values, _| reply::stored(values, 1).map(drop)).await
        }
        Line::Published(_) => {
            let command = command::published_beat(&watch.own, *beat, FEED_LIFE);
            supervisor.ask("a beat", PATIENCE, &command, |values, _| reply::removed(&values).map(drop)).await
        }
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "the feed of changed tags is not proven: the store did not take a beat");
        // The other connection may be all right; if not, its end is heard.
        return (!ear.is_cut()).then_some(None);
    }
    match timeout(PATIENCE, ear.hears(*beat)).await {
        Ok(true) => Some(Some(since)),
        _ => None,
    }
}

async fn open(dialer: &Dialer, feed: RedisFeed, watch: &Watch, ear: &Arc<Ear>) -> Result<Line, Refusal> {
    if feed == RedisFeed::Automatic {
        match track(dialer, watch, ear).await {
            Err(Refusal::ForGood(reason)) => {
                tracing::info!(
                    reason,
                    "the server does not track keys for us: changes are told by publishing"
                );
            }
            other => return other.map(Line::Tracked),
        }
    }
    let connection = dialer.dial_for_messages(&channels(watch)).await?;
    Ok(Line::Published(Subscription::start(connection, watch, ear.clone())))
}

async fn track(dialer: &Dialer, watch: &Watch, ear: &Arc<Ear>) -> Result<MultiplexedConnection, Refusal> {
    let hear = {
        let ear = ear.clone();
        move |push: &PushInfo| ear.hear(push)
    };
    let mut connection = dialer.dial_for_pushes(hear).await?;
    let question = command::track(&watch.prefixes, &watch.own);
    match timeout(PATIENCE, connection.send_packed_commands(&question, 0, question.len())).await {
        Ok(Ok(values)) => match &values[..] {
            [Value::Okay] => Ok(connection),
            [Value::ServerError(error)] if reply::is_unsupported(error) => {
                Err(Refusal::ForGood(reply::refusal(error)))
            }
            [Value::ServerError(error)] => Err(Refusal::ForNow(reply::refusal(error))),
            _ => Err(Refusal::ForNow("the server's reply does not fit the question".to_owned())),
        },
        Ok(Err(error)) => Err(Refusal::ForNow(reply::failure(&error))),
        Err(_) => Err(Refusal::ForNow("no answer in time".to_owned())),
    }
}
