//! Reads that go together: while some are under way, those that come meanwhile wait and are then sent as
//! one MGET, which asks for what they have in common once.
//!
//! Who comes alone is sent at once, so a read by itself is not slower. Under load a question costs the
//! server less than one command, and this process less than one turn of the connection.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{runtime::Handle, sync::oneshot};

use super::super::{EntryKey, Found, StoreError, TagKey, TagProbe};

/// Questions under way at a time. One of them is on its way to the server or back while the other is
/// being worked on.
const AT_A_TIME: usize = 2;

/// Entries in one question. The server answers it in one go, in tens of microseconds.
const MOST: usize = 64;

/// Asks the store, in one round trip.
pub(super) trait Asks: Send + Sync + 'static {
    /// Both in the order in which they are asked for.
    fn ask(
        &self,
        entries: &[EntryKey],
        tags: &[TagProbe],
    ) -> impl Future<Output = Result<Found, StoreError>> + Send;
}

/// See the module.
pub(super) struct Together<A>(Arc<Inner<A>>);

struct Inner<A> {
    asks: A,
    // A std lock: held for a push or a take, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: usize,
    waiting: Vec<Waiting>,
}

/// Somebody who waits.
struct Waiting {
    entries: Vec<EntryKey>,
    tags: Vec<TagKey>,
    answer: oneshot::Sender<Result<Found, StoreError>>,
}

/// One of the questions under way. Whoever drops it sees to those who wait.
struct Turn<A: Asks> {
    inner: Arc<Inner<A>>,
    /// A task was made for it, which serves those who wait.
    hired: bool,
    /// Nobody waited any more.
    over: bool,
}

impl<A: Asks> Together<A> {
    pub(super) fn new(asks: A) -> Self {
        Self(Arc::new(Inner { asks, state: Mutex::default() }))
    }

    /// Asks, together with others if there are any. Proposals go alone: what they put down is their own.
    pub(super) async fn read(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
        if entries.len() > MOST / 2 || tags.iter().any(|probe| probe.propose.is_some()) {
            return self.0.asks.ask(entries, tags).await;
        }
        let answer = {
            let mut state = self.0.lock();
            if state.under_way < AT_A_TIME {
                state.under_way += 1;
                None
            } else {
                let (answer, later) = oneshot::channel();
                let tags = tags.iter().map(|probe| probe.key.clone()).collect();
                state.waiting.push(Waiting { entries: entries.to_vec(), tags, answer });
                Some(later)
            }
        };
        match answer {
            None => {
                let _turn = Turn { inner: self.0.clone(), hired: false, over: false };
                self.0.asks.ask(entries, tags).await
            }
            // Each question has an end of its own, so this has one.
            Some(later) => later.await.unwrap_or_else(|_| {
                let reason = "the runtime on which it was asked has ended".to_owned();
                Err(StoreError::Unreachable { reason })
            }),
        }
    }
}

impl<A> Inner<A> {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it, and the state would still be a state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A: Asks> Turn<A> {
    /// Asks for those who wait, and again for those who have come meanwhile.
    async fn serve(mut self) {
        loop {
            let batch = {
                let mut state = self.inner.lock();
                let batch = take(&mut state.waiting);
                if batch.is_empty() {
                    // Under the same lock, or somebody might just have come to wait for nobody.
                    state.under_way -= 1;
                    self.over = true;
                    return;
                }
                batch
            };
            let mut merged = Merged::default();
            let places: Vec<_> = batch
                .iter()
                .map(|one| {
                    let entries = one.entries.iter().map(|key| merged.entries.place(key));
                    let entries: Vec<_> = entries.collect();
                    let tags: Vec<_> = one.tags.iter().map(|key| merged.tags.place(key)).collect();
                    (entries, tags)
                })
                .collect();
            let probes: Vec<_> =
                merged.tags.all.into_iter().map(|key| TagProbe { key, propose: None }).collect();
            let found = self.inner.asks.ask(&merged.entries.all, &probes).await;
            for (one, (entries, tags)) in batch.into_iter().zip(places) {
                let share = |found: &Found| {
                    Some(Found {
                        entries: entries
                            .iter()
                            .map(|at| found.entries.get(*at).cloned())
                            .collect::<Option<_>>()?,
                        tags: tags.iter().map(|at| found.tags.get(*at).copied()).collect::<Option<_>>()?,
                        incarnation: found.incarnation,
                    })
                };
                let answer = match &found {
                    Ok(found) => share(found).ok_or_else(|| StoreError::Unreachable {
                        reason: "the server's reply does not fit the question".to_owned(),
                    }),
                    Err(error) => Err(error.clone()),
                };
                // Who has gone away meanwhile does not want it.
                let _ = one.answer.send(answer);
            }
        }
    }
}

impl<A: Asks> Drop for Turn<A> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut state = self.inner.lock();
        state.under_way -= 1;
        if state.waiting.is_empty() {
            return;
        }
        // A task that ends while others wait was ended with its runtime. They go on with the next turn, if there
        // is one, and else hear that nobody will answer.
        match Handle::try_current() {
            Ok(runtime) if !self.hired => {
                state.under_way += 1;
                drop(state);
                let turn = Self { inner: self.inner.clone(), hired: true, over: false };
                runtime.spawn(turn.serve());
            }
            _ if state.under_way == 0 => state.waiting.clear(),
            _ => {}
        }
    }
}

/// The first of those who wait, as many as go together; without those who wait no more.
fn take(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    waiting.retain(|one| !one.answer.is_closed());
    let mut entries = 0;
    let count = waiting.iter().take_while(|one| {
        entries += one.entries.len().max(1);
        entries <= MOST
    });
    let count = count.count().max(1).min(waiting.len());
    waiting.drain(..count).collect()
}

/// What several ask for, each once.
#[derive(Default)]
struct Merged {
    entries: Once<EntryKey>,
    tags: Once<TagKey>,
}

struct Once<K> {
    all: Vec<K>,
    places: HashMap<K, usize>,
}

impl<K> Default for Once<K> {
    fn default() -> Self {
        Self { all: Vec::new(), places: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Once<K> {
    fn place(&mut self, key: &K) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        self.places.insert(key.clone(), self.all.len());
        self.all.push(key.clone());
        self.all.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc};

    use super::*;
    use crate::store::{Stamp, TagState};

    /// Says what it is asked, and answers when it is let: each entry is its own key, each tag a stamp.
    struct Slow {
        asked: mpsc::UnboundedSender<(Vec<EntryKey>, Vec<TagKey>)>,
        leave: Arc<Semaphore>,
        fails: bool,
    }

    struct Scene {
        reads: Arc<Together<Slow>>,
        asked: AsyncMutex<mpsc::UnboundedReceiver<(Vec<EntryKey>, Vec<TagKey>)>>,
        leave: Arc<Semaphore>,
    }

    impl Asks for Slow {
        async fn ask(&self, entries: &[EntryKey], tags: &[TagProbe]) -> Result<Found, StoreError> {
            let tag_keys = tags.iter().map(|probe| probe.key.clone()).collect();
            self.asked.send((entries.to_vec(), tag_keys)).unwrap();
            self.leave.acquire().await.unwrap().forget();
            if self.fails {
                return Err(StoreError::Refused { operation: "a read", reason: "LOADING".to_owned() });
            }
            let bytes = entries.iter().map(|key| Some(Bytes::from(key.as_str().to_owned())));
            Ok(Found {
                entries: bytes.collect(),
                tags: tags.iter().map(|_| TagState::Stamp(Stamp::fresh())).collect(),
                incarnation: 7,
            })
        }
    }

    fn scene(fails: bool) -> Arc<Scene> {
        let (to, asked) = mpsc::unbounded_channel();
        let leave = Arc::new(Semaphore::new(0));
        let reads = Together::new(Slow { asked: to, leave: leave.clone(), fails });
        Arc::new(Scene { reads: Arc::new(reads), asked: AsyncMutex::new(asked), leave })
    }

    impl Scene {
        /// The next question: how many entries and tags.
        async fn question(&self) -> (usize, usize) {
            let (entries, tags) = self.asked.lock().await.recv().await.unwrap();
            (entries.len(), tags.len())
        }

        fn read(&self, row: usize) -> tokio::task::JoinHandle<Result<Found, StoreError>> {
            let reads = self.reads.clone();
            tokio::spawn(async move {
                let tags = ["t:book".to_owned(), format!("t:book:{row}")];
                let tags = tags.map(|tag| TagProbe { key: TagKey::from_full(tag), propose: None });
                reads.read(&[EntryKey::from_full(format!("row:{row}"))], &tags).await
            })
        }

        async fn waiting(&self, count: usize) {
            while self.reads.0.lock().waiting.len() != count {
                tokio::task::yield_now().await;
            }
        }

        /// Two that are under way, so that who comes now waits.
        async fn busy(&self) -> [tokio::task::JoinHandle<Result<Found, StoreError>>; 2] {
            let tasks = [self.read(100), self.read(101)];
            assert_eq!([self.question().await, self.question().await], [(1, 2), (1, 2)]);
            tasks
        }
    }

    #[tokio::test]
    async fn who_comes_alone_is_asked_for_at_once_and_leaves_nothing_behind() {
        let scene = scene(false);
        for row in 0..3 {
            let read = scene.read(row);
            assert_eq!(scene.question().await, (1, 2));
            scene.leave.add_permits(1);
            assert_eq!(read.await.unwrap().unwrap().entries, [Some(Bytes::from(format!("row:{row}")))]);
        }
        assert_eq!(scene.reads.0.lock().under_way, 0);
    }

    #[tokio::test]
    async fn those_who_come_meanwhile_are_asked_for_together_and_each_gets_its_own() {
        let scene = scene(false);
        let busy = scene.busy().await;
        // The same row twice.
        let rows = [1, 2, 3, 3];
        let reads = rows.map(|row| scene.read(row));
        scene.waiting(4).await;
        scene.leave.add_permits(1);
        // Three rows, their tags, and the one that they share.
        assert_eq!(scene.question().await, (3, 4));
        scene.leave.add_permits(2);
        for (row, read) in rows.into_iter().zip(reads) {
            let found = read.await.unwrap().unwrap();
            assert_eq!(found.entries, [Some(Bytes::from(format!("row:{row}")))]);
            assert_eq!((found.tags.len(), found.incarnation), (2, 7));
        }
        for one in busy {
            one.await.unwrap().unwrap();
        }
        while scene.reads.0.lock().under_way > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_question_is_for_no_more_than_the_server_answers_quickly() {
        let scene = scene(false);
        let busy = scene.busy().await;
        let reads: Vec<_> = (0..MOST + 5).map(|row| scene.read(row)).collect();
        scene.waiting(MOST + 5).await;
        scene.leave.add_permits(1);
        assert_eq!(scene.question().await, (MOST, MOST + 1));
        scene.leave.add_permits(3);
        assert_eq!(scene.question().await, (5, 6));
        for one in reads.into_iter().chain(busy) {
            one.await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn who_goes_away_keeps_nobody_waiting() {
        let scene = scene(false);
        let [one, other] = scene.busy().await;
        let (goes, stays) = (scene.read(1), scene.read(2));
        scene.waiting(2).await;
        goes.abort();
        assert!(goes.await.unwrap_err().is_cancelled());
        // Whose question was under way, and whose answer the next are waiting for.
        one.abort();
        assert!(one.await.unwrap_err().is_cancelled());
        assert_eq!(scene.question().await, (1, 2));
        scene.leave.add_permits(2);
        assert_eq!(stays.await.unwrap().unwrap().entries, [Some(Bytes::from_static(b"row:2"))]);
        other.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_goes_wrong_all_of_them_hear() {
        let scene = scene(true);
        let busy = scene.busy().await;
        let reads = [1, 2].map(|row| scene.read(row));
        scene.waiting(2).await;
        scene.leave.add_permits(3);
        for one in reads.into_iter().chain(busy) {
            assert!(matches!(one.await.unwrap(), Err(StoreError::Refused { .. })));
        }
    }

    #[test]
    fn a_runtime_that_ends_takes_nobody_of_another_with_it() {
        let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let (first, second) = (runtime(), runtime());
        let scene = scene(false);
        let busy = first.block_on(scene.busy());
        let reads = {
            let _in = first.enter();
            [scene.read(1), scene.read(2)]
        };
        first.block_on(async {
            scene.waiting(2).await;
            scene.leave.add_permits(1);
            assert_eq!(scene.question().await, (2, 3));
        });
        // One question is served by a task of the first, the other is the caller's own.
        let late = {
            let _in = second.enter();
            scene.read(3)
        };
        second.block_on(scene.waiting(1));
        first.shutdown_timeout(std::time::Duration::from_secs(20));
        drop((busy, reads));
        assert!(matches!(second.block_on(late).unwrap(), Err(StoreError::Unreachable { .. })));
        // And it goes on.
        let read = {
            let _in = second.enter();
            scene.read(4)
        };
        assert_eq!(second.block_on(scene.question()), (1, 2));
        scene.leave.add_permits(1);
        second.block_on(read).unwrap().unwrap();
    }
}
