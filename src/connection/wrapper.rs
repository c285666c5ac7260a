//! [`CachedConnection`]: stands wherever a `DatabaseConnection` stood.

mod alone;

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    IsolationLevel, QueryResult, Statement, TransactionError, TransactionOptions, TransactionTrait,
};

use super::{
    CachedTransaction,
    ask::{Answer, Ask},
    effects::is_quiet,
    preselect::Proven,
    transaction::Seen,
};
use crate::{
    Cache,
    freshness::Finishing,
    schema::{Knowledge, SchemaReport, SchemaWatch},
    watched,
};

/// A database connection whose writes purge what they made wrong, and whose `.cached()` reads are
/// served from the cache.
///
/// It implements SeaORM's `ConnectionTrait`, `TransactionTrait` and `StreamTrait`, so code that
/// takes `&impl ConnectionTrait` compiles unchanged. Cheap to clone; clones share the pool and the
/// cache. There is no `Deref` to the inner connection, because writes could slip past through it.
///
/// **Purge.** An autocommit write purges before its future is ready; a transaction purges once,
/// after COMMIT and before `commit()` returns. If the future of a write is dropped half-way, a
/// background task finishes the write and purges. A purge that the store does not confirm is queued
/// and delivered later; it never turns a durable write into an error.
///
/// **Cost.** Per autocommit write or transaction that writes, two round trips to the store under
/// [`Consistency::Strict`](crate::Consistency::Strict) (barrier, purge), one under
/// [`AfterCommit`](crate::Consistency::AfterCommit); none for reads that are not `.cached()`. A
/// statement on its own whose rows have to be asked for first, or under `Strict`, runs in a transaction
/// of its own.
#[derive(Clone, Debug)]
pub struct CachedConnection {
    inner: DatabaseConnection,
    cache: Cache,
    schema: Arc<SchemaWatch>,
    proven: Arc<Proven>,
    session: Option<Arc<str>>,
    /// The same over another connection, for the loads of cached reads.
    primary: Option<Arc<CachedConnection>>,
}

/// The constructor on the connection itself.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use sea_orm::Database;
/// use sea_orm_cache::{Cache, CachedBy};
///
/// let db = Database::connect("postgres://localhost/shop").await?.cached_by(Cache::from_env().await?);
/// # Ok(()) }
/// ```
pub trait CachedBy {
    /// Wraps the connection; see [`CachedConnection`].
    fn cached_by(self, cache: Cache) -> CachedConnection;
}

impl CachedBy for DatabaseConnection {
    fn cached_by(self, cache: Cache) -> CachedConnection {
        CachedConnection::new(self, cache)
    }
}

pub(super) mod sealed {
    use std::future::Future;

    use crate::{CachedConnection, schema::Knowledge};

    pub trait Sealed {
        /// What is known of the schema.
        fn knowledge(&self) -> impl Future<Output = Knowledge> + Send;

        /// A number for the schema, if it is known and need not be learned anew.
        fn schema_mark(&self, now: u64) -> Option<u64>;

        /// What tells the sessions apart whose reads differ.
        fn session(&self) -> Option<&str>;

        /// Where cached reads load from.
        fn source(&self) -> &Self {
            self
        }

        /// The same connection, for work that goes on when the caller is gone.
        fn on_its_own(&self) -> Option<CachedConnection>;
    }
}

impl sealed::Sealed for CachedConnection {
    async fn knowledge(&self) -> Knowledge {
        self.schema.current(&self.inner).await
    }

    fn schema_mark(&self, now: u64) -> Option<u64> {
        self.schema.mark(now)
    }

    fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    fn source(&self) -> &Self {
        self.primary.as_deref().unwrap_or(self)
    }

    fn on_its_own(&self) -> Option<CachedConnection> {
        Some(self.clone())
    }
}

impl sealed::Sealed for CachedTransaction {
    async fn knowledge(&self) -> Knowledge {
        self.schema_at_begin()
    }

    fn schema_mark(&self, _: u64) -> Option<u64> {
        None
    }

    fn session(&self) -> Option<&str> {
        None
    }

    fn on_its_own(&self) -> Option<CachedConnection> {
        None
    }
}

/// What a `.cached()` read can be given: a [`CachedConnection`], or a [`CachedTransaction`], in
/// which such reads go to the database and store nothing.
#[diagnostic::on_unimplemented(
    message = "a `.cached()` read needs a `CachedConnection`, not `{Self}`",
    label = "this connection has no cache",
    note = "wrap it once, where it is made: `connection.cached_by(cache)`"
)]
pub trait ReadThrough: ConnectionTrait + sealed::Sealed {
    /// The cache.
    fn cache(&self) -> &Cache;

    /// Is this a transaction?
    fn in_transaction(&self) -> bool;
}

impl ReadThrough for CachedConnection {
    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn in_transaction(&self) -> bool {
        false
    }
}

impl CachedConnection {
    /// Wraps a connection. Wrap once and clone.
    ///
    /// Two databases need two caches with different namespaces: the cache tells tables apart by
    /// their names only.
    #[must_use]
    pub fn new(inner: DatabaseConnection, cache: Cache) -> Self {
        let schema = Arc::new(SchemaWatch::new(cache.inner.clone(), cache.inner.schema_changes.clone()));
        Self { inner, cache, schema, proven: Arc::default(), session: None, primary: None }
    }

    /// For a connection to a replica: cached reads load from this one, which is to the primary. A
    /// replica that lags would bring back, after a purge, what was there before. Everything else goes
    /// on as before, reads that are not cached to the replica.
    ///
    /// ```no_run
    /// # async fn run(cache: sea_orm_cache::Cache) -> Result<(), sea_orm::DbErr> {
    /// use sea_orm::Database;
    /// use sea_orm_cache::CachedBy;
    ///
    /// let primary = Database::connect("postgres://primary/shop").await?;
    /// let db = Database::connect("postgres://replica/shop").await?.cached_by(cache).loading_from(primary);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn loading_from(mut self, primary: DatabaseConnection) -> Self {
        self.primary = None;
        self.schema.loads_elsewhere();
        let primary = Self { inner: primary, ..self.clone() };
        self.primary = Some(Arc::new(primary));
        self
    }

    /// Does not ask the database's catalogue how its tables hang together, and takes it that there
    /// are no foreign keys with actions, views, triggers, partitions or generated columns. For
    /// databases whose catalogue cannot be read. (Mock connections are never asked.)
    #[must_use]
    pub fn without_schema(self) -> Self {
        self.schema.switch_off();
        self
    }

    /// Asks the database's catalogue now. It is asked by itself before the first write or cached
    /// read, after DDL through any connection of this cache, and again in the background when what is known is
    /// older than five minutes; call this after a migration by other means, or at start-up to see
    /// which tables have triggers that nobody declared.
    ///
    /// # Errors
    /// The catalogue could not be read. Until it can, every write purges the whole namespace, and
    /// cached reads go to the database.
    pub async fn learn_schema(&self) -> Result<SchemaReport, DbErr> {
        self.schema.learn_now(&self.inner).await
    }

    /// The same connection, for sessions whose reads differ from those of others: row-level
    /// security, another `search_path`, another role. The key becomes part of the key of every
    /// entry that this connection reads or fills; purges reach all of them. It is for you to set the
    /// session up so that its reads depend on nothing else.
    ///
    /// ```no_run
    /// # fn run(db: sea_orm_cache::CachedConnection, tenant: u32) {
    /// let db = db.with_session_key(format!("tenant {tenant}"));
    /// # }
    /// ```
    #[must_use]
    pub fn with_session_key(&self, key: impl Into<String>) -> Self {
        Self { session: Some(key.into().into()), ..self.clone() }
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The wrapped connection, **whose writes purge nothing**. For what the wrapper does not offer
    /// (`ping`, pool access); after writing through it, invalidate by hand.
    #[must_use]
    pub fn inner(&self) -> &DatabaseConnection {
        &self.inner
    }

    /// Is the database there?
    ///
    /// # Errors
    /// The database's.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.inner.ping().await
    }

    /// Like [`TransactionTrait::transaction`], with an async closure.
    ///
    /// # Errors
    /// The closure's, after a rollback, or the connection's.
    pub async fn transaction_async<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> AsyncFnOnce(&'c CachedTransaction) -> Result<T, E>,
        E: std::fmt::Display + std::fmt::Debug,
    {
        self.begin().await.map_err(TransactionError::Connection)?.run_async(callback).await
    }

    /// Delivers the queued purges, waiting up to ten seconds, then closes the pool.
    ///
    /// # Errors
    /// Those of closing the pool. Purges that could not be delivered in time are logged; the
    /// entries they were for live until their time is over.
    pub async fn close(self) -> Result<(), DbErr> {
        let patience = std::time::Duration::from_secs(10);
        self.cache.drain(patience).await;
        let closed = self.inner.close().await;
        // Writes that were under way when the pool closed have ended now.
        if !self.cache.drain(patience).await {
            tracing::error!(
                tags = self.cache.stats().undelivered_tags,
                "closing with purges that could not be delivered"
            );
        }
        closed
    }

    /// Do cached reads load from elsewhere?
    pub(super) fn has_primary(&self) -> bool {
        self.primary.is_some()
    }

    pub(super) fn session_key(&self) -> Option<&str> {
        self.session.as_deref()
    }

    #[cfg(feature = "stream")]
    pub(super) fn schema(&self) -> &Arc<SchemaWatch> {
        &self.schema
    }

    /// Begins to the end, also if whoever waits for it goes away: behind a BEGIN whose future was
    /// dropped, the drivers leave a transaction open, and who gets that connection next would write
    /// into it, and never commit.
    async fn begun<F>(
        &self,
        begin: impl FnOnce(DatabaseConnection) -> F,
    ) -> Result<DatabaseTransaction, DbErr>
    where
        F: Future<Output = Result<DatabaseTransaction, DbErr>> + Send + 'static,
    {
        Finishing::new(self.cache.inner.freshness.runtime(), begin(self.inner.clone())).await
    }

    fn outermost(&self, inner: DatabaseTransaction, knowledge: Knowledge) -> CachedTransaction {
        let (watch, proven) = (self.schema.clone(), self.proven.clone());
        let seen = Seen { changes: watch.changes(), knowledge, watch, proven };
        CachedTransaction::outermost(inner, self.cache.clone(), seen)
    }

    async fn send(&self, ask: Ask) -> Result<Answer, DbErr> {
        let inner = &self.cache.inner;
        let backend = ask.backend(self.inner.get_database_backend());
        let analysis = inner.analyse(backend, ask.sql());
        if watched::is_watched() {
            self.report(&analysis).await;
        }
        if is_quiet(&analysis) {
            return ask.send(&self.inner).await;
        }
        let knowledge = self.schema.current(&self.inner).await;
        match inner.plan(backend, analysis.clone(), ask.values(), &knowledge) {
            None => ask.send(&self.inner).await,
            Some(plan) => {
                inner.count(&analysis, &plan);
                self.write(plan, ask).await
            }
        }
    }
}

#[async_trait]
impl ConnectionTrait for CachedConnection {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
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
impl TransactionTrait for CachedConnection {
    type Transaction = CachedTransaction;

    async fn begin(&self) -> Result<CachedTransaction, DbErr> {
        let knowledge = self.schema.current(&self.inner).await;
        let inner = self.begun(|inner| async move { inner.begin().await }).await?;
        Ok(self.outermost(inner, knowledge))
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<CachedTransaction, DbErr> {
        let knowledge = self.schema.current(&self.inner).await;
        let begin = move |inner: DatabaseConnection| async move {
            inner.begin_with_config(isolation_level, access_mode).await
        };
        let inner = self.begun(begin).await?;
        Ok(self.outermost(inner, knowledge))
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<CachedTransaction, DbErr> {
        let knowledge = self.schema.current(&self.inner).await;
        let inner = self.begun(|inner| async move { inner.begin_with_options(options).await }).await?;
        Ok(self.outermost(inner, knowledge))
    }

    async fn transaction<F, T, E>(&self, callback: F) -> Result<T, TransactionError<E>>
    where
        F: for<'c> FnOnce(&'c CachedTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
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
        F: for<'c> FnOnce(&'c CachedTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send,
        T: Send,
        E: std::fmt::Display + std::fmt::Debug + Send,
    {
        let transaction = self.begin_with_config(isolation_level, access_mode).await;
        transaction.map_err(TransactionError::Connection)?.run(callback).await
    }
}
