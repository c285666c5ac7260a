//! The feed of changed tags by publish/subscribe, for servers that do not track keys.
//!
//! Whoever changes a tag says so in the same step (`feed.lua`), on a channel that all listeners share, if
//! the key of the feed is there; listeners keep it there. What the key holds changes with each message, and
//! each message says what it held before and what it holds now: a chain. A beat (`beat.lua`) says what it
//! holds, on a channel of the listener's own. If that is the end of the chain as it was heard, everything was
//! heard. So it does not matter what lies between here and there, in what order it delivers and what it
//! loses; nor that the key is evicted, or that another server takes over: the chain is another one then, for
//! tokens are never used twice.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::aio::PubSub;
use tokio::{runtime::Handle, task::AbortHandle};

use super::{command, feed::Ear};
use crate::store::Watch;

/// Hears what is published until it is dropped.
pub(super) struct Subscription(AbortHandle);

impl Subscription {
    /// On a connection that has subscribed to both channels.
    pub(super) fn start(connection: PubSub, watch: &Watch, ear: Arc<Ear>) -> Self {
        let chain = Chain::new(watch, ear);
        Self(Handle::current().spawn(hear(connection, chain)).abort_handle())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn hear(mut connection: PubSub, mut chain: Chain) {
    let mut messages = connection.on_message();
    while let Some(message) = messages.next().await {
        chain.hear(message.get_channel_name().as_bytes(), message.get_payload_bytes());
    }
    chain.ear.cut();
}

/// The channels to subscribe to.
pub(super) fn channels(watch: &Watch) -> [String; 2] {
    [command::feed_of(&watch.own), watch.own.clone()]
}

/// How far the chain was heard.
struct Chain {
    prefixes: Vec<Vec<u8>>,
    own: Vec<u8>,
    /// What the feed's key held last, if nothing is missing before it.
    end: Option<Vec<u8>>,
    ear: Arc<Ear>,
}

impl Chain {
    fn new(watch: &Watch, ear: Arc<Ear>) -> Self {
        let prefixes = watch.prefixes.iter().map(|prefix| prefix.clone().into_bytes()).collect();
        Self { prefixes, own: watch.own.clone().into_bytes(), end: None, ear }
    }

    fn hear(&mut self, channel: &[u8], payload: &[u8]) {
        let read = if channel == self.own { self.beat(payload) } else { self.changes(payload) };
        if read.is_none() {
            // Nothing that we understand.
            self.missed(None);
        }
    }

    fn changes(&mut self, payload: &[u8]) -> Option<()> {
        let (before, rest) = split_once(payload, b'\n')?;
        let (after, told) = split_once(rest, b'\n')?;
        match &mut self.end {
            Some(end) if end == before => after.clone_into(end),
            Some(end) if root(end) == root(before) => self.missed(None),
            // Another chain: of the same namespace in another database of the server, or of one that began
            // after the key was lost. Our next beat will tell.
            Some(_) | None => {}
        }
        let mut told = told;
        while !told.is_empty() {
            let (length, rest) = split_once(told, b':')?;
            let length = std::str::from_utf8(length).ok()?.parse().ok()?;
            let (key, rest) = rest.split_at_checked(length)?;
            if self.prefixes.iter().any(|prefix| key.starts_with(prefix)) {
                self.ear.changed(key);
            }
            told = rest;
        }
        Some(())
    }

    fn beat(&mut self, payload: &[u8]) -> Option<()> {
        let (number, now) = split_once(payload, b'\n')?;
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        if self.end.as_deref() != Some(now) {
            // From here on nothing is missed; what was before is not known.
            self.missed(Some(now.to_owned()));
        }
        self.ear.heard(number);
        Some(())
    }

    fn missed(&mut self, end: Option<Vec<u8>>) {
        self.ear.lost();
        self.end = end;
    }
}

/// What stays the same from the beginning of a chain to its end.
fn root(link: &[u8]) -> &[u8] {
    link.split(|byte| *byte == b' ').next().unwrap_or(link)
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Mutex, PoisonError},
        time::{Duration, Instant},
    };

    use super::*;
    use crate::store::TagListener;

    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Notes {
        fn note(&self, text: impl Into<String>) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
        }

        fn taken(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl TagListener for Notes {
        fn changed(&self, key: &[u8]) {
            self.note(String::from_utf8_lossy(key));
        }

        fn lost(&self) {
            self.note("lost");
        }

        fn complete_until(&self, _: Instant) {}
    }

    fn chain() -> (Chain, Arc<Notes>) {
        let notes = Arc::new(Notes::default());
        let watch = Watch { prefixes: vec!["n:t".into()], own: "n:~me:".into(), pace: Duration::ZERO };
        let ear = Arc::new(Ear::new(&watch, notes.clone(), 0));
        (Chain::new(&watch, ear), notes)
    }

    fn changes(chain: &mut Chain, text: &str) {
        chain.hear(b"n:~feed", text.as_bytes());
    }

    fn beat(chain: &mut Chain, text: &str) {
        chain.hear(b"n:~me:", text.as_bytes());
    }

    #[test]
    fn an_unbroken_chain_tells_what_changed_and_loses_nothing() {
        let (mut chain, notes) = chain();
        beat(&mut chain, "1\nw1 0 w1");
        assert_eq!((notes.taken(), chain.ear.last()), (vec!["lost".to_owned()], 1));
        changes(&mut chain, "w1 0 w1\nw1 1 w2\n5:n:t:a3:n:t3:n:s");
        changes(&mut chain, "w1 1 w2\nw1 2 w3\n7:n:t:\n:b");
        assert_eq!(notes.taken(), ["n:t:a", "n:t", "n:t:\n:b"], "and no key that is no tag");
        beat(&mut chain, "2\nw1 2 w3");
        assert_eq!((notes.taken(), chain.ear.last()), (vec![], 2));
    }

    #[test]
    fn a_link_that_is_missing_is_noticed_by_the_next_message_or_beat() {
        for gap in ["w1 1 w2\nw1 2 w3\n", "w1 0 w9\nw1 1 w2\n", "w1 7 w2\nw1 8 w3\n"] {
            let (mut chain, notes) = chain();
            beat(&mut chain, "1\nw1 0 w1");
            notes.taken();
            changes(&mut chain, &format!("{gap}5:n:t:a"));
            assert_eq!(notes.taken(), ["lost", "n:t:a"], "{gap}");
            changes(&mut chain, "w1 2 w3\nw1 3 w4\n5:n:t:a");
            assert_eq!(notes.taken(), ["n:t:a"]);
            // What came in between may be told by nobody: all before this beat is unknown.
            beat(&mut chain, "2\nw1 3 w4");
            assert_eq!((notes.taken(), chain.ear.last()), (vec!["lost".to_owned()], 2));
        }
        let (mut chain, notes) = chain();
        beat(&mut chain, "1\nw1 0 w1");
        beat(&mut chain, "2\nw1 1 w2");
        assert_eq!(notes.taken(), ["lost", "lost"]);
    }

    #[test]
    fn another_chain_is_no_gap_until_it_is_our_own() {
        let (mut chain, notes) = chain();
        beat(&mut chain, "1\nw1 0 w1");
        notes.taken();
        changes(&mut chain, "w8 3 w7\nw8 4 w6\n5:n:t:a");
        beat(&mut chain, "2\nw1 0 w1");
        assert_eq!(notes.taken(), ["n:t:a"], "of the same namespace in another database");
        changes(&mut chain, "w1 0 w1\nw1 1 w2\n5:n:t:b");
        beat(&mut chain, "3\nw8 4 w6");
        assert_eq!(notes.taken(), ["n:t:b", "lost"], "the key was lost, and somebody put it there anew");
    }

    #[test]
    fn what_is_not_understood_is_something_missed() {
        for odd in
            ["", "w1 0 w1", "w1 0 w1\nw1 1 w2\n9:n:t", "w1 0 w1\nw1 1 w2\n-1:n", "w1 0 w1\nw1 1 w2\nn:t"]
        {
            let (mut chain, notes) = chain();
            beat(&mut chain, "1\nw1 0 w1");
            notes.taken();
            changes(&mut chain, odd);
            assert_eq!(notes.taken(), ["lost"], "{odd}");
            beat(&mut chain, odd);
            assert_eq!((notes.taken(), chain.ear.last()), (vec!["lost".to_owned()], 1), "{odd}");
        }
    }
}
