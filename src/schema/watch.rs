//! Keeps what was learned of the schema, and learns it anew when it may have changed.

use std::{
    fmt,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};

use super::{
    Schema,
    catalogue::{SchemaReport, Surroundings, learn},
    replica::is_replica,
};
use crate::clock;

/// Older knowledge is learned anew in the background: somebody may have changed the tables past
/// this process.
const FRESH_FOR: Duration = Duration::from_secs(300);

/// After an attempt that failed, nobody tries again for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the schema.
#[derive(Clone, Debug)]
pub enum Knowledge {
    Known(Arc<Schema>),
    /// The catalogue could not be read.
    Unknown,
}

/// One per wrapped connection, shared by its clones.
pub(crate) struct SchemaWatch {
    // A std lock: held for a clone of an Arc, never across an await.
    state: RwLock<State>,
    /// Counts what may have changed the schema. All connections of a cache share it: what one of them
    /// changes, the others have to learn too.
    changes: Arc<AtomicU64>,
    /// One learns, the others wait.
    learning: tokio::sync::Mutex<()>,
    refreshing: AtomicBool,
    /// Cached reads load from another connection than the one that is asked.
    loads_elsewhere: AtomicBool,
    /// The same as `state`, as far as it takes no lock to say that nothing is new.
    settled: Settled,
    surroundings: Arc<dyn Surroundings>,
}

struct Settled {
    off: AtomicBool,
    /// One more than the count of changes when what is known was learned; zero: nothing is.
    at: AtomicU64,
    /// Until when that need not be learned anew, as [`clock::now`] counts.
    until: AtomicU64,
}

impl Settled {
    fn new() -> Self {
        let (at, until) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { off: AtomicBool::new(false), at, until }
    }

    fn at(&self, changes: u64) {
        let until = clock::since_beginning(Instant::now() + FRESH_FOR);
        self.until.store(until, Ordering::Release);
        self.at.store(changes + 1, Ordering::Release);
    }
}

#[derive(Default)]
struct State {
    /// The caller does not want it learned: taken to be without anything out of the ordinary.
    off: bool,
    known: Option<Known>,
    failed: Option<Instant>,
}

struct Known {
    schema: Arc<Schema>,
    at: Instant,
    /// The count of changes when learning began.
    changes: u64,
}

impl SchemaWatch {
    pub(crate) fn new(surroundings: Arc<dyn Surroundings>, changes: Arc<AtomicU64>) -> Self {
        Self {
            state: RwLock::default(),
            changes,
            learning: tokio::sync::Mutex::new(()),
            refreshing: AtomicBool::new(false),
            loads_elsewhere: AtomicBool::new(false),
            settled: Settled::new(),
            surroundings,
        }
    }

    /// Nothing is learned from now on.
    pub(crate) fn switch_off(&self) {
        self.settled.off.store(true, Ordering::Release);
        self.write().off = true;
    }

    /// Whether this connection is to a replica does not matter.
    pub(crate) fn loads_elsewhere(&self) {
        self.loads_elsewhere.store(true, Ordering::Release);
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A number for the schema that is known, if it need not be learned anew: what was asked with the
    /// same number was asked of the same schema. Takes no lock.
    pub(crate) fn mark(&self, now: u64) -> Option<u64> {
        let changes = self.changes();
        let Settled { off, at, until } = &self.settled;
        let fresh = || now < until.load(Ordering::Acquire);
        (off.load(Ordering::Acquire) || at.load(Ordering::Acquire) == changes + 1 && fresh())
            .then_some(changes)
    }

    /// A statement that may change the schema was sent, or has ended.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was. Who acted on a schema and finds another number afterwards may have acted
    /// on an old one.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The schema; learned first if it is not known or may have changed. Costs nothing most of the
    /// time; some queries the first time.
    pub(crate) async fn current(self: &Arc<Self>, db: &DatabaseConnection) -> Knowledge {
        if let Some(knowledge) = self.at_hand(db) {
            return knowledge;
        }
        let _one = self.learning.lock().await;
        // Somebody may have learned it meanwhile.
        if let Some(knowledge) = self.at_hand(db) {
            return knowledge;
        }
        match self.learn(db).await {
            Ok((schema, _)) => Knowledge::Known(schema),
            Err(_) => Knowledge::Unknown,
        }
    }

    /// Learns it now, whatever is known.
    pub(crate) async fn learn_now(&self, db: &DatabaseConnection) -> Result<SchemaReport, DbErr> {
        let _one = self.learning.lock().await;
        Ok(self.learn(db).await?.1)
    }

    /// To be called by one at a time.
    async fn learn(&self, db: &DatabaseConnection) -> Result<(Arc<Schema>, SchemaReport), DbErr> {
        let changes = self.changes();
        match learn(db, &*self.surroundings).await {
            Ok((schema, report)) => {
                let schema = Arc::new(schema);
                let before = {
                    let mut state = self.write();
                    state.failed = None;
                    let known = Known { schema: schema.clone(), at: Instant::now(), changes };
                    self.settled.at(changes);
                    state.known.replace(known)
                };
                let is_other = before.as_ref().map(|known| known.schema != schema);
                self.surroundings.learned(&schema, is_other == Some(true));
                if is_other != Some(false) {
                    report.log();
                }
                if !self.loads_elsewhere.load(Ordering::Acquire) {
                    // Only advice is made of it: a server that does not say is taken for no replica.
                    self.surroundings.loads_from_replica(is_replica(db).await.unwrap_or(false));
                }
                Ok((schema, report))
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the database's catalogue could not be read: until it can, every write purges the \
                     whole namespace, and cached reads go to the database"
                );
                self.write().failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// What can be said without asking.
    fn at_hand(self: &Arc<Self>, db: &DatabaseConnection) -> Option<Knowledge> {
        let state = self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        if state.off || db.is_mock_connection() {
            return Some(Knowledge::Known(Arc::default()));
        }
        if let Some(known) = &state.known
            && known.changes == self.changes()
        {
            let failing = state.failed.is_some_and(|failed| failed.elapsed() < FRESH_FOR / 10);
            if known.at.elapsed() > FRESH_FOR && !failing {
                self.refresh(db.clone());
            }
            return Some(Knowledge::Known(known.schema.clone()));
        }
        let failed = state.failed.is_some_and(|failed| failed.elapsed() < PAUSE);
        failed.then_some(Knowledge::Unknown)
    }

    /// Learns it in the background, once at a time.
    fn refresh(self: &Arc<Self>, db: DatabaseConnection) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        runtime.spawn(async move {
            // What is known stays in use if this fails; it was logged.
            let _ = this.learn_now(&db).await;
            this.refreshing.store(false, Ordering::Release);
        });
    }
}

impl fmt::Debug for SchemaWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaWatch").field("changes", &self.changes()).finish_non_exhaustive()
    }
}
