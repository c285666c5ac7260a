//! [`CachedConnection`]: stands wherever a `DatabaseConnection` stood.

use std::{future::Future, pin::Pin};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, IsolationLevel,
    QueryResult, Statement, TransactionError, TransactionOptions, TransactionTrait,
};

use super::{CachedTransaction, effects::Effects};
use crate::{Cache, freshness::Finishing};

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
/// **Cost.** One round trip to the store per autocommit write or transaction that writes, none for
/// reads that are not `.cached()`.
#[derive(Clone, Debug)]
pub struct CachedConnection {
    inner: DatabaseConnection,
    cache: Cache,
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

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::CachedConnection {}
    impl Sealed for super::CachedTransaction {}
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
        Self { inner, cache }
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

    /// Runs a write that was sent outside any transaction, then purges; both even if the caller
    /// goes away meanwhile.
    async fn write<T, F>(
        &self,
        effects: Effects,
        run: impl FnOnce(DatabaseConnection) -> F + Send + 'static,
    ) -> Result<T, DbErr>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DbErr>> + Send,
    {
        let freshness = self.cache.inner.freshness.clone();
        let connection = self.inner.clone();
        let runtime = freshness.runtime().clone();
        Finishing::new(&runtime, async move {
            let ticket = freshness.ticket(effects.writes.into_purge());
            let result = run(connection).await;
            // Also after an error: the statement may have had its effect, in whole or in part.
            ticket.deliver().await;
            result
        })
        .await
    }
}

#[async_trait]
impl ConnectionTrait for CachedConnection {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self.cache.inner.effects(&statement) {
            None => self.inner.execute_raw(statement).await,
            Some(effects) => self.write(effects, |db| async move { db.execute_raw(statement).await }).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self.cache.inner.effects_of(ConnectionTrait::get_database_backend(self), sql, &[]) {
            None => self.inner.execute_unprepared(sql).await,
            Some(effects) => {
                let sql = sql.to_owned();
                self.write(effects, |db| async move { db.execute_unprepared(&sql).await }).await
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self.cache.inner.effects(&statement) {
            None => self.inner.query_one_raw(statement).await,
            Some(effects) => self.write(effects, |db| async move { db.query_one_raw(statement).await }).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self.cache.inner.effects(&statement) {
            None => self.inner.query_all_raw(statement).await,
            Some(effects) => self.write(effects, |db| async move { db.query_all_raw(statement).await }).await,
        }
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
        Ok(CachedTransaction::outermost(self.inner.begin().await?, self.cache.clone()))
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<CachedTransaction, DbErr> {
        let inner = self.inner.begin_with_config(isolation_level, access_mode).await?;
        Ok(CachedTransaction::outermost(inner, self.cache.clone()))
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<CachedTransaction, DbErr> {
        let inner = self.inner.begin_with_options(options).await?;
        Ok(CachedTransaction::outermost(inner, self.cache.clone()))
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
