//! [`CachedConnection`]: stands wherever a `DatabaseConnection` stood.

use std::{future::Future, pin::Pin, sync::Arc};

use async_trait::async_trait;
use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    IsolationLevel, QueryResult, SqliteTransactionMode, Statement, TransactionError, TransactionOptions,
    TransactionTrait,
};

use super::{
    CachedTransaction,
    ask::{Answer, Ask},
    barrier::{guard_commit, is_in_doubt, refused},
    effects::is_quiet,
    images::Selected,
    plan::Plan,
    preselect::{PreSelect, Proven},
    transaction::Seen,
};
use crate::{
    Cache,
    entity::TablePolicy,
    freshness::{Finishing, PurgeSet, PurgeTicket},
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
        let schema = Arc::new(SchemaWatch::new(cache.inner.clone()));
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
    /// read, after DDL through this connection, and again in the background when what is known is
    /// older than five minutes; call this after a migration by other means, or to see at start-up
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

    /// Runs a write that was sent outside any transaction, then purges; both even if the caller
    /// goes away meanwhile.
    pub(super) async fn write(&self, plan: Plan, ask: Ask) -> Result<Answer, DbErr> {
        let runtime = self.cache.inner.freshness.runtime().clone();
        let this = self.clone();
        Finishing::new(&runtime, async move {
            let mut written = Written { changes: this.schema.changes(), plan, selected: Selected::default() };
            if written.plan.changes_schema {
                this.schema.changed();
                written.changes = this.schema.changes();
            }
            let mut ticket = this.cache.inner.freshness.ticket(written.plan.writes.clone().into_purge());
            let result = match this.runs_in_a_transaction(&written.plan) {
                true => this.run_in_a_transaction(&mut written, ask, &mut ticket).await,
                false => this.run_alone(&mut written, ask, &mut ticket).await,
            };
            ticket.deliver().await;
            result
        })
        .await
    }

    /// Behind a select of the rows that it will touch, or where the barrier is to stand for no longer
    /// than a COMMIT takes: a statement on its own may wait for a lock, and be executed by the
    /// database when its sender, and the barrier, are long gone. Or before the COMMIT stamps are to be
    /// taken for the rows that came back.
    fn runs_in_a_transaction(&self, plan: &Plan) -> bool {
        let freshness = &self.cache.inner.freshness;
        let outlives = self.inner.get_database_backend() != DbBackend::Sqlite
            && freshness.store().outlives_the_process();
        let gains = freshness.leaves_barriers() && (outlives || plan.writes_through());
        let may_be = plan.may_be_wrapped() && !self.inner.is_mock_connection();
        plan.pre_select().is_some() || gains && may_be
    }

    /// The barrier stands before the statement is sent, on all that it could touch.
    async fn run_alone(
        &self,
        written: &mut Written,
        ask: Ask,
        ticket: &mut PurgeTicket,
    ) -> Result<Answer, DbErr> {
        ticket.arm().await.map_err(refused)?;
        let result = ticket.while_armed(ask.send(&self.inner)).await;
        if result.as_ref().is_err_and(is_in_doubt) {
            ticket.doubt();
        }
        // Also after an error: the statement may have had its effect, in whole or in part.
        ticket.narrow(written.purge(self, result.as_ref().ok()));
        if written.plan.changes_schema {
            self.schema.changed();
        }
        result
    }

    /// The barrier stands before the COMMIT is sent, on what the statement has touched.
    async fn run_in_a_transaction(
        &self,
        written: &mut Written,
        ask: Ask,
        ticket: &mut PurgeTicket,
    ) -> Result<Answer, DbErr> {
        let options = TransactionOptions {
            // A transaction that reads first and writes then would fail if another wrote in between.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        // MyISAM keeps what a statement wrote before it failed.
        if self.inner.get_database_backend() != DbBackend::MySql {
            ticket.narrow(PurgeSet::default());
        }
        let transaction = self.inner.begin_with_options(options).await?;
        let select = written.plan.pre_select().zip(written.plan.policy());
        let selected = match select {
            None => Ok(Selected::default()),
            Some((select, policy)) => select_first(&transaction, &written.plan, select, policy).await,
        };
        let Selected { before, below, .. } = match selected {
            Ok(selected) => selected,
            Err(error) => {
                // It was ours; the statement itself may do better.
                tracing::warn!(%error, "the rows of a write could not be read before it: purging more");
                transaction.rollback().await?;
                ticket.narrow(written.plan.writes.clone().into_purge());
                return self.run_alone(written, ask, ticket).await;
            }
        };
        let answer = ask.send(&transaction).await?;
        let after = select
            .zip(before.as_deref())
            .and_then(|((select, policy), before)| Some((select, policy, select.after(before)?)));
        let after = match after {
            None => None,
            // The rows are there: they were just written here, and are locked.
            Some((select, policy, again)) => match transaction.query_all_raw(again).await {
                Ok(rows) => select.images(&rows, policy),
                // In PostgreSQL that was the end of the transaction.
                Err(error) if self.inner.get_database_backend() == DbBackend::Postgres => return Err(error),
                Err(_) => None,
            },
        };
        written.selected = Selected { before, after, below };
        ticket.narrow(written.purge(self, Some(&answer)));
        let new_rows = match self.session {
            None => written.plan.new_rows(&self.cache, answer.rows()),
            // Others may see another row under this key.
            Some(_) => Vec::new(),
        };
        guard_commit(ticket, &transaction, new_rows).await?;
        if let Err(error) = ticket.while_armed(transaction.commit()).await {
            if is_in_doubt(&error) {
                ticket.doubt();
            }
            return Err(error);
        }
        if written.schema_changed(self) {
            ticket.narrow(written.purge(self, None));
        } else {
            ticket.committed();
        }
        Ok(answer)
    }
}

/// Reads the rows that a write will touch, and those that the database will touch because of them.
async fn select_first(
    transaction: &DatabaseTransaction,
    plan: &Plan,
    select: &PreSelect,
    policy: &TablePolicy,
) -> Result<Selected, DbErr> {
    let rows = transaction.query_all_raw(select.statement.clone()).await?;
    let before = select.images(&rows, policy);
    let below = match plan.descent(&rows, before.as_deref()) {
        None => None,
        Some(mut descent) => {
            while let Some(statement) = descent.next() {
                descent.take(Some(&transaction.query_all_raw(statement).await?));
            }
            descent.finish()
        }
    };
    Ok(Selected { before, after: None, below })
}

/// A write under way outside any transaction of the user's.
struct Written {
    plan: Plan,
    /// The count of changes of the schema when it began.
    changes: u64,
    selected: Selected,
}

impl Written {
    /// What the write reached was worked out by a schema that was changing.
    fn schema_changed(&self, db: &CachedConnection) -> bool {
        db.schema.changes() != self.changes
    }

    /// What it made wrong, as far as is known.
    fn purge(&mut self, db: &CachedConnection, answer: Option<&Answer>) -> PurgeSet {
        let (inner, plan) = (&db.cache.inner, &self.plan);
        let mut writes = match answer {
            Some(answer) if plan.can_narrow() && !self.schema_changed(db) => {
                let images = answer.images(plan, std::mem::take(&mut self.selected));
                plan.narrowed(inner, images)
            }
            _ => plan.writes.clone(),
        };
        if self.schema_changed(db) {
            writes.add_everything(inner);
        }
        writes.into_purge()
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
