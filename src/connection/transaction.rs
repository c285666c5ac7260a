//! [`CachedTransaction`]: collects what it writes, and purges once, after COMMIT.

mod selecting;
#[cfg(feature = "stream")]
mod stream;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel,
    QueryResult, Statement, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
    Value,
};

use super::{
    ReadThrough, WriteSet,
    ask::{Answer, Ask},
    barrier::{guard_commit, is_in_doubt, refused},
    effects::is_quiet,
    plan::Plan,
    preselect::Proven,
};
use crate::{
    Cache,
    cache::Inner,
    freshness::{Finishing, PurgeTicket},
    schema::{Knowledge, SchemaWatch},
    watched::{self, Refusal},
};

#[cfg(feature = "stream")]
pub use stream::CachedTransactionStream;

/// A transaction on a [`CachedConnection`](crate::CachedConnection).
///
/// What it writes is purged after COMMIT, before `commit()` returns, in one round trip. A nested
/// transaction (savepoint) hands its writes to the one around it; rolled back, it hands over
/// nothing. Rolled back or dropped, the outermost purges nothing. `.cached()` reads inside go to
/// the database, see the transaction's own writes, and store nothing.
///
/// If the future of `commit()` is dropped half-way, a background task finishes the COMMIT and the
/// purge.
pub struct CachedTransaction {
    inner: DatabaseTransaction,
    cache: Cache,
    writes: Arc<Writes>,
    seen: Seen,
}

/// The schema as it was when the outermost transaction began.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) watch: Arc<SchemaWatch>,
    pub(super) proven: Arc<Proven>,
    pub(super) knowledge: Knowledge,
    /// The watch's count of changes then.
    pub(super) changes: u64,
}

/// What a transaction has written so far, and the one around it.
#[derive(Default)]
struct Writes {
    // A std lock: held for set operations, never across an await. A transaction may be written to
    // by several tasks at once.
    set: Mutex<Written>,
    around: Option<Arc<Writes>>,
    /// The database's transaction may have ended without this one: by a statement that commits, or
    /// because the one around a nested one was committed first. What is written from then on is
    /// visible at once.
    ended: AtomicBool,
}

/// What one level has written.
#[derive(Clone, Default)]
struct Written {
    done: WriteSet,
    /// Statements under way, or whose future was dropped: what they make wrong at most.
    under_way: BTreeMap<u64, WriteSet>,
    next: u64,
}

impl Written {
    fn all(self, inner: &Inner) -> WriteSet {
        let mut all = self.done;
        for set in self.under_way.into_values() {
            all.merge(set, inner);
        }
        all
    }
}

/// Marks a transaction as ended when it is dropped, unless it is taken out before.
struct EndsUnlessBegun<'a>(Option<&'a Writes>);

impl Drop for EndsUnlessBegun<'_> {
    fn drop(&mut self) {
        if let Some(writes) = self.0 {
            writes.end();
        }
    }
}

impl Writes {
    fn set(&self) -> MutexGuard<'_, Written> {
        self.set.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes what this level has written.
    fn take(&self, cache: &Cache) -> WriteSet {
        std::mem::take(&mut *self.set()).all(&cache.inner)
    }

    /// This level and those around it.
    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.around.as_deref())
    }

    fn has_ended(&self) -> bool {
        self.levels().any(|level| level.ended.load(Ordering::Acquire))
    }

    /// Marks the outermost level, which all levels ask.
    fn end(&self) {
        if let Some(outermost) = self.levels().last() {
            outermost.ended.store(true, Ordering::Release);
        }
    }

    /// What all levels have written.
    fn all(&self, cache: &Cache) -> WriteSet {
        let mut all = WriteSet::default();
        for level in self.levels() {
            let written = level.set().clone();
            all.merge(written.all(&cache.inner), &cache.inner);
        }
        all
    }
}

impl ReadThrough for CachedTransaction {
    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn in_transaction(&self) -> bool {
        true
    }
}

impl CachedTransaction {
    pub(super) fn outermost(inner: DatabaseTransaction, cache: Cache, seen: Seen) -> Self {
        Self { inner, cache, writes: Arc::default(), seen }
    }

    pub(super) fn schema_at_begin(&self) -> Knowledge {
        self.seen.knowledge.clone()
    }

    fn nested(&self, inner: DatabaseTransaction) -> Self {
        let writes = Writes { around: Some(self.writes.clone()), ..Writes::default() };
        Self { inner, cache: self.cache.clone(), writes: Arc::new(writes), seen: self.seen.clone() }
    }

    /// The cache, which knows nothing of this transaction: do not store in it what was read here,
    /// with `set` or `get_or_load`. It may never be committed.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Begins a nested transaction. If that fails, or its future is dropped, the driver rolls the
    /// outermost one back, and what is written from then on is on its own.
    async fn begin_nested(
        &self,
        begin: impl Future<Output = Result<DatabaseTransaction, DbErr>>,
    ) -> Result<Self, DbErr> {
        let mut ends = EndsUnlessBegun(Some(&self.writes));
        let inner = begin.await?;
        ends.0 = None;
        Ok(self.nested(inner))
    }

    /// Notes what a statement will write, before it is sent: if its future is dropped, it may have
    /// been executed all the same. The ticket is for what becomes visible with the statement
    /// itself, whatever becomes of this transaction: a statement that commits makes everything
    /// before it durable, and after it every write is on its own.
    fn note(&self, plan: &Plan) -> (u64, Option<PurgeTicket>) {
        if plan.changes_schema {
            self.seen.watch.changed();
        }
        let number = {
            let mut set = self.writes.set();
            set.next += 1;
            let number = set.next;
            set.under_way.insert(number, plan.writes.clone());
            number
        };
        let on_its_own = self.writes.has_ended();
        if plan.ends {
            self.writes.end();
        }
        let ticket = (plan.commits || on_its_own)
            .then(|| self.cache.inner.freshness.ticket(self.writes.all(&self.cache).into_purge()));
        (number, ticket)
    }

    /// For a statement that waited for its turn, or for its reader, while the transaction ended.
    fn ticket_if_ended(&self) -> Option<PurgeTicket> {
        let all = || self.writes.all(&self.cache).into_purge();
        self.writes.has_ended().then(|| self.cache.inner.freshness.ticket(all()))
    }

    /// The statement has run: what it was noted with is replaced by what it wrote.
    fn settle(&self, number: u64, writes: WriteSet) {
        let mut set = self.writes.set();
        // It is gone if this transaction has ended meanwhile, and was purged then.
        if set.under_way.remove(&number).is_some() {
            set.done.merge(writes, &self.cache.inner);
        }
    }

    fn plan(&self, backend: DbBackend, sql: &str, values: &[Value]) -> Option<Plan> {
        watched::refuse(Refusal::Transaction);
        let inner = &self.cache.inner;
        let analysis = inner.analyse(backend, sql);
        if is_quiet(&analysis) {
            return None;
        }
        let plan = inner.plan(backend, analysis.clone(), values, &self.seen.knowledge)?;
        inner.count(&analysis, &plan);
        Some(plan)
    }

    async fn send(&self, ask: Ask) -> Result<Answer, DbErr> {
        let backend = ask.backend(ConnectionTrait::get_database_backend(&self.inner));
        let result = match self.plan(backend, ask.sql(), ask.values()) {
            None => ask.send(&self.inner).await,
            Some(plan) => self.write(plan, ask).await,
        };
        self.saw(result.as_ref().err());
        result
    }

    fn saw(&self, error: Option<&DbErr>) {
        if error.is_some_and(|error| self.may_end(error)) {
            self.writes.end();
        }
    }

    /// May the database have ended the transaction together with the statement that failed? In MySQL
    /// a deadlock does that, in SQLite `OR ROLLBACK` and a full disk; what is written from then on is
    /// on its own, and no ROLLBACK takes it back.
    fn may_end(&self, error: &DbErr) -> bool {
        match ConnectionTrait::get_database_backend(&self.inner) {
            // The transaction is there until it is rolled back, and takes no more statements.
            DbBackend::Postgres => false,
            // A constraint is the end of the statement alone.
            DbBackend::MySql => error.sql_err().is_none(),
            _ => true,
        }
    }

    async fn write(&self, plan: Plan, ask: Ask) -> Result<Answer, DbErr> {
        let (number, mut ticket) = self.note(&plan);
        let mut selected = self.select_before(&plan).await?;
        let result = match &mut ticket {
            // What it makes visible is visible at once.
            Some(ticket) => {
                ticket.arm().await.map_err(refused)?;
                ticket.while_armed(ask.send(&self.inner)).await
            }
            None => ask.send(&self.inner).await,
        };
        selected.after = match &result {
            Ok(_) => self.select_after(&plan, selected.before.as_deref()).await?,
            Err(_) => None,
        };
        let writes = match &result {
            Ok(answer) if plan.can_narrow() => {
                let images = answer.images(&plan, selected);
                plan.narrowed(&self.cache.inner, images).unwrap_or(plan.writes)
            }
            // Also after an error: the statement may have had its effect, in whole or in part.
            _ => plan.writes,
        };
        self.settle(number, writes);
        if let Some(ticket) = ticket.or_else(|| self.ticket_if_ended()) {
            ticket.deliver().await;
        }
        result
    }

    /// Like [`TransactionTrait::transaction`], with an async closure.
    ///
    /// # Errors
    /// The closure's, after a rollback, or the connection's.
    pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c Self) -> Result<T, E>,
        E: std::fmt::Display + std::fmt::Debug,
    {
        self.begin().await.map_err(TransactionError::Connection)?.run_async(callback).await
    }

    pub(super) async fn run_async<F, T, E>(self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c Self) -> Result<T, E>,
        E: std::fmt::Display + std::fmt::Debug,
    {
        let result = callback(&self).await.map_err(TransactionError::Transaction);
        let end = if result.is_ok() { self.commit().await } else { self.rollback().await };
        end.map_err(TransactionError::Connection)?;
        result
    }

    pub(super) async fn run<F, T, E>(self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let result = callback(&self).await.map_err(TransactionError::Transaction);
        let end = if result.is_ok() { self.commit().await } else { self.rollback().await };
        end.map_err(TransactionError::Connection)?;
        result
    }
}

impl fmt::Debug for CachedTransaction {
    /// Without what was written: a handler that records its arguments must not log keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedTransaction").field("cache", &self.cache).finish_non_exhaustive()
    }
}

#[async_trait]
impl TransactionSession for CachedTransaction {
    async fn commit(self) -> Result<(), DbErr> {
        Self::commit(self).await
    }

    async fn rollback(self) -> Result<(), DbErr> {
        Self::rollback(self).await
    }
}

impl CachedTransaction {
    /// Commits, then purges what was written; a nested transaction hands its writes to the one
    /// around it. Two round trips to the store, before and after the COMMIT; one under
    /// [`Consistency::AfterCommit`](crate::Consistency::AfterCommit); none if nothing was written.
    ///
    /// If the future of the outermost one is dropped half-way, a background task finishes both.
    ///
    /// # Errors
    /// The database's. It is purged then too: a COMMIT whose answer was lost may have happened. And
    /// that of a write that was refused because the store is away, if
    /// [`OnOutage::RefuseWrites`](crate::OnOutage::RefuseWrites) was chosen; it is rolled back.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { inner, cache, writes, seen } = self;
        if let Some(around) = &writes.around {
            // Before the savepoint is released: if that fails half-way, too much is purged later,
            // never too little.
            let set = writes.set().clone().all(&cache.inner);
            around.set().done.merge(set, &cache.inner);
            if !writes.has_ended() {
                return inner.commit().await;
            }
        }
        // A nested transaction that outlives the one around it is the one that commits. It may also be
        // that none has ended after all; then what is purged now is purged again by the outermost.
        writes.end();
        let freshness = cache.inner.freshness.clone();
        let runtime = freshness.runtime().clone();
        let mut ticket = freshness.ticket(writes.all(&cache).into_purge());
        Finishing::new(&runtime, async move {
            if let Err(error) = guard_commit(&mut ticket, &inner, Vec::new()).await {
                inner.rollback().await?;
                return Err(error);
            }
            let result = ticket.while_armed(inner.commit()).await;
            if result.as_ref().is_err_and(is_in_doubt) {
                ticket.doubt();
            }
            if seen.watch.changes() != seen.changes {
                // What was reached was worked out by a schema that has changed, perhaps here.
                seen.watch.changed();
                let mut all = writes.all(&cache);
                all.add_everything(&cache.inner);
                ticket.narrow(all.into_purge());
            }
            // Also after an error: a COMMIT whose answer was lost may have happened.
            ticket.deliver().await;
            result
        })
        .await
    }

    /// Rolls back. Nothing is purged, unless a statement has committed on its own.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let Self { inner, cache, writes, .. } = self;
        let result = inner.rollback().await;
        if writes.has_ended() {
            // What was written after that point may not have been rolled back.
            cache.inner.freshness.purge(writes.all(&cache).into_purge()).await;
        } else if result.is_err()
            && let Some(around) = &writes.around
        {
            // It is not known whether the savepoint's writes are gone.
            let set = writes.take(&cache);
            around.set().done.merge(set, &cache.inner);
        }
        result
    }
}

#[async_trait]
impl ConnectionTrait for CachedTransaction {
    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.inner)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.send(Ask::Execute(statement)).await?.done()
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.send(Ask::Unprepared(sql.to_owned())).await?.done()
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.send(Ask::One(statement)).await?.one()
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.send(Ask::All(statement)).await?.all()
    }

    fn support_returning(&self) -> bool {
        self.inner.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.inner.is_mock_connection()
    }
}

#[async_trait]
impl TransactionTrait for CachedTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        self.begin_nested(self.inner.begin()).await
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        self.begin_nested(self.inner.begin_with_config(isolation_level, access_mode)).await
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        self.begin_nested(self.inner.begin_with_options(options)).await
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        self.begin().await.map_err(TransactionError::Connection)?.run(callback).await
    }

    async fn transaction_with_config<F, T, E>(
        &self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c Self) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>> + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let transaction = self.begin_with_config(isolation_level, access_mode).await;
        transaction.map_err(TransactionError::Connection)?.run(callback).await
    }
}
