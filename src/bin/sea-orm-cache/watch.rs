//! `watch`: which tags change, as it happens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use sea_orm_cache::stores::{Store, TagListener};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{failure::Failure, output::Output, server::Server};

/// How often the feed is proven to be complete.
const PACE: Duration = Duration::from_millis(500);

enum Heard {
    /// From now on nothing is missed.
    Listening,
    /// Something may have been missed.
    Lost,
    Changed(String),
}

#[derive(Debug)]
struct Listener {
    to: UnboundedSender<Heard>,
    listening: AtomicBool,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heard")
    }
}

impl TagListener for Listener {
    fn changed(&self, key: &[u8]) {
        let _ = self.to.send(Heard::Changed(String::from_utf8_lossy(key).into_owned()));
    }

    fn lost(&self) {
        if self.listening.swap(false, Ordering::Relaxed) {
            let _ = self.to.send(Heard::Lost);
        }
    }

    fn complete_until(&self, _: Instant) {
        if !self.listening.swap(true, Ordering::Relaxed) {
            let _ = self.to.send(Heard::Listening);
        }
    }
}

pub async fn run(server: &Server, during: Option<Duration>, output: &mut Output) -> Result<(), Failure> {
    let (to, mut heard) = unbounded_channel();
    let listener = Arc::new(Listener { to, listening: AtomicBool::new(false) });
    let watch = server.namespace.watch(PACE);
    // What no clock reaches, if no end was given.
    let end = tokio::time::sleep(during.unwrap_or(Duration::from_secs(100 * 366 * 24 * 3600)));
    tokio::select! {
        error = server.store.watch(&watch, listener) => Err(error.into()),
        outcome = tell(server, &mut heard, output) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = end => Ok(()),
    }
}

async fn tell(
    server: &Server,
    heard: &mut UnboundedReceiver<Heard>,
    output: &mut Output,
) -> Result<(), Failure> {
    while let Some(heard) = heard.recv().await {
        let (event, tag, state) = match heard {
            Heard::Listening => ("listening", None, None),
            Heard::Lost => ("lost", None, None),
            Heard::Changed(tag) => {
                // As it is by now: quick writers have purged what they armed before anybody looks.
                let state = match server.standing(&[&tag]).await {
                    Ok(mut standing) => standing.pop().map(|standing| standing.word()),
                    Err(Failure::Unreachable(_)) => None,
                    Err(failure) => return Err(failure),
                };
                let event = match state {
                    Some("absent") => "purged",
                    Some("barrier") => "armed",
                    Some("stamp") => "stamped",
                    _ => "changed",
                };
                (event, Some(tag), state)
            }
        };
        let now = SystemTime::now();
        let at = humantime::format_rfc3339_millis(now).to_string();
        let document = json!({ "at": at, "event": event, "tag": tag, "state": state });
        output.answer(&document, |output| {
            output.line(format!("{at}  {event:<9} {}", tag.as_deref().unwrap_or_default()).trim_end())
        })?;
        output.flush()?;
    }
    Ok(())
}
