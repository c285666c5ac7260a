//! The feed of changed tags: a connection of its own, on which the server says which keys under the
//! tags' prefixes were changed (`CLIENT TRACKING` in broadcast mode, RESP3).
//!
//! A connection can be cut without anybody noticing. So the watcher writes a key of its own, by the
//! connection that purges take too, and waits to be told of it: when it is, everything that was changed
//! before it was written has been told. The server tells of a batch of changes prefix by prefix, in the
//! order of the prefixes; the watcher's own is the last.

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
    dial::Dialer,
    reply,
    supervisor::Supervisor,
};
use crate::store::{StoreError, TagListener, Watch};

/// How long the watcher's keys live; they are of no use any more once they have been told of.
const KEY_LIFE: Duration = Duration::from_secs(5);
/// A beat that is not heard after so long will not be.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the connection's reader has heard.
struct Ear {
    own: Vec<u8>,
    listener: Arc<dyn TagListener>,
    /// The last beat that was heard; `CUT` once the connection has ended.
    beat: AtomicU64,
    heard: Notify,
}

const CUT: u64 = u64::MAX;

impl Ear {
    fn hear(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => match &push.data[..] {
                [Value::Array(keys)] => keys.iter().for_each(|key| self.changed(key)),
                // Everything was flushed; or nothing that we understand.
                _ => self.listener.lost(),
            },
            PushKind::Disconnection => {
                self.listener.lost();
                self.beat.store(CUT, Ordering::Release);
                self.heard.notify_one();
            }
            _ => {}
        }
    }

    fn changed(&self, key: &Value) {
        let Value::BulkString(key) = key else { return self.listener.lost() };
        match key.strip_prefix(&self.own[..]) {
            None => self.listener.changed(key),
            Some(number) => {
                if let Some(beat) = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()) {
                    // Of an older one that has reached the end of its life we are told once more.
                    if self.beat.fetch_max(beat, Ordering::AcqRel) < beat {
                        self.heard.notify_one();
                    }
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
            match self.beat.load(Ordering::Acquire) {
                CUT => return false,
                last if last >= beat => return true,
                _ => self.heard.notified().await,
            }
        }
    }
}

/// Feeds the listener for as long as it is polled.
pub(super) async fn watch(
    dialer: &Dialer,
    supervisor: &Supervisor,
    watch: &Watch,
    listener: Arc<dyn TagListener>,
) -> StoreError {
    let mut backoff = Backoff::default();
    let mut beat = 0;
    loop {
        let ear = Arc::new(Ear {
            own: watch.own.clone().into_bytes(),
            listener: listener.clone(),
            beat: AtomicU64::new(beat),
            heard: Notify::new(),
        });
        match open(dialer, watch, &ear).await {
            Ok(_connection) => {
                // What changed until now was told to nobody.
                listener.lost();
                tracing::debug!("listening for changes of tags");
                while let Some(since) = one_beat(supervisor, watch, &ear, &mut beat).await {
                    if let Some(since) = since {
                        listener.complete_until(since);
                        backoff.reset();
                    }
                    // Whichever comes first.
                    let _ = timeout(watch.pace, ear.ended()).await;
                }
                listener.lost();
                tracing::warn!("the feed of changed tags was lost; connecting again");
            }
            Err(Refusal::ForGood(reason)) => {
                return StoreError::Refused { operation: "CLIENT TRACKING", reason };
            }
            Err(Refusal::ForNow(reason)) => {
                tracing::debug!(reason, "no feed of changed tags yet");
            }
        }
        tokio::time::sleep(backoff.next(chance())).await;
    }
}

/// Writes a key and waits to be told of it. When it was written; or `Some(None)` if the store did not
/// take it, and `None` if the feed has to be replaced.
async fn one_beat(
    supervisor: &Supervisor,
    watch: &Watch,
    ear: &Ear,
    beat: &mut u64,
) -> Option<Option<Instant>> {
    *beat += 1;
    let since = Instant::now();
    let command = command::beat(&format!("{}{beat}", watch.own), KEY_LIFE);
    let written = supervisor.ask("a beat", PATIENCE, &command, |values, _| reply::stored(values, 1)).await;
    if let Err(error) = written {
        tracing::debug!(%error, "the feed of changed tags is not proven: the store did not take a beat");
        // The other connection may be all right; if not, its end is heard.
        return (ear.beat.load(Ordering::Acquire) != CUT).then_some(None);
    }
    match timeout(PATIENCE, ear.hears(*beat)).await {
        Ok(true) => Some(Some(since)),
        _ => None,
    }
}

enum Refusal {
    ForNow(String),
    /// The server does not know how, or this user may not.
    ForGood(String),
}

async fn open(dialer: &Dialer, watch: &Watch, ear: &Arc<Ear>) -> Result<MultiplexedConnection, Refusal> {
    let hear = {
        let ear = ear.clone();
        move |push: &PushInfo| ear.hear(push)
    };
    let mut connection = dialer.dial_for_pushes(hear).await.map_err(Refusal::ForNow)?;
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
