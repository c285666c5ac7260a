//! [`CachedTransaction`]: collects what it writes, and purges once, after COMMIT.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, IsolationLevel,
    QueryResult, Statement, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use super::{ReadThrough, WriteSet, effects::Effects};
use crate::{Cache, freshness::Finishing};

/// A transaction on a [`CachedConnection`](crate::CachedConnection).
///
/// What it writes is purged after COMMIT, before `commit()` returns, in one round trip. A nested
/// transaction (savepoint) hands its writes to the one around it; rolled back, it hands over
/// nothing. Rolled back or dropped, the outermost purges nothing. `.cached()` reads inside go to
/// the database, see the transaction's own writes, and store nothing.
///
/// If the future of `commit()` is dropped half-way, a background task finishes the COMMIT and the
/// purge.
#[derive(Debug)]
pub struct CachedTransaction {
    inner: DatabaseTransaction,
    cache: Cache,
    writes: Arc<Writes>,
}

/// What a transaction has written so far, and the one around it.
#[derive(Debug, Default)]
struct Writes {
    // A std lock: held for set operations, never across an await. A transaction may be written to
    // by several tasks at once.
    set: Mutex<WriteSet>,
    around: Option<Arc<Writes>>,
}

impl Writes {
    fn set(&self) -> MutexGuard<'_, WriteSet> {
        self.set.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
    pub(super) fn outermost(inner: DatabaseTransaction, cache: Cache) -> Self {
        Self { inner, cache, writes: Arc::default() }
    }

    fn nested(&self, inner: DatabaseTransaction) -> Self {
        let writes = Writes { set: Mutex::default(), around: Some(self.writes.clone()) };
        Self { inner, cache: self.cache.clone(), writes: Arc::new(writes) }
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Notes what a statement will write, before it is sent: if its future is dropped, it may have
    /// been executed all the same.
    fn note(&self, effects: Option<Effects>) -> AfterStatement {
        let Some(effects) = effects else { return AfterStatement::Nothing };
        self.writes.set().merge(effects.writes, &self.cache.inner);
        if effects.commits { AfterStatement::Purge } else { AfterStatement::Nothing }
    }

    /// A statement that commits by itself has made everything before it durable, whatever becomes
    /// of this transaction.
    async fn after(&self, next: AfterStatement) {
        if next == AfterStatement::Nothing {
            return;
        }
        let mut all = WriteSet::default();
        let mut level = Some(&self.writes);
        while let Some(writes) = level {
            all.merge(writes.set().clone(), &self.cache.inner);
            level = writes.around.as_ref();
        }
        self.cache.inner.freshness.purge(all.into_purge()).await;
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum AfterStatement {
    Nothing,
    Purge,
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
    /// around it. One round trip to the store, none if nothing was written.
    ///
    /// If the future is dropped half-way, a background task finishes both.
    ///
    /// # Errors
    /// The database's. It is purged then too: a COMMIT whose answer was lost may have happened.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { inner, cache, writes } = self;
        let set = std::mem::take(&mut *writes.set());
        if let Some(around) = &writes.around {
            // Before the savepoint is released: if that fails half-way, too much is purged later,
            // never too little.
            around.set().merge(set, &cache.inner);
            return inner.commit().await;
        }
        let freshness = cache.inner.freshness.clone();
        let runtime = freshness.runtime().clone();
        Finishing::new(&runtime, async move {
            let ticket = freshness.ticket(set.into_purge());
            let result = inner.commit().await;
            // Also after an error: a COMMIT whose answer was lost may have happened.
            ticket.deliver().await;
            result
        })
        .await
    }

    /// Rolls back. Nothing is purged.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollback(self) -> Result<(), DbErr> {
        let Self { inner, cache, writes } = self;
        let result = inner.rollback().await;
        if result.is_err()
            && let Some(around) = &writes.around
        {
            // It is not known whether the savepoint's writes are gone.
            let set = std::mem::take(&mut *writes.set());
            around.set().merge(set, &cache.inner);
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
        let after = self.note(self.cache.inner.effects(&statement));
        let result = self.inner.execute_raw(statement).await;
        self.after(after).await;
        result
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let after =
            self.note(self.cache.inner.effects_of(ConnectionTrait::get_database_backend(self), sql, &[]));
        let result = self.inner.execute_unprepared(sql).await;
        self.after(after).await;
        result
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let after = self.note(self.cache.inner.effects(&statement));
        let result = self.inner.query_one_raw(statement).await;
        self.after(after).await;
        result
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let after = self.note(self.cache.inner.effects(&statement));
        let result = self.inner.query_all_raw(statement).await;
        self.after(after).await;
        result
    }

    fn support_returning(&self) -> bool {
        self.inner.support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.inner.is_mock_connection()
    }
}

#[cfg(feature = "stream")]
impl sea_orm::StreamTrait for CachedTransaction {
    type Stream<'a> = sea_orm::TransactionStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.inner)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            // A stream in a transaction is purged with the transaction; a statement that commits
            // by itself returns no rows to stream.
            let _ = self.note(self.cache.inner.effects(&statement));
            self.inner.stream_raw(statement).await
        })
    }
}

#[async_trait]
impl TransactionTrait for CachedTransaction {
    type Transaction = Self;

    async fn begin(&self) -> Result<Self, DbErr> {
        Ok(self.nested(self.inner.begin().await?))
    }

    async fn begin_with_config(
        &self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Result<Self, DbErr> {
        Ok(self.nested(self.inner.begin_with_config(isolation_level, access_mode).await?))
    }

    async fn begin_with_options(&self, options: TransactionOptions) -> Result<Self, DbErr> {
        Ok(self.nested(self.inner.begin_with_options(options).await?))
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
