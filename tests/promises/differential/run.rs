//! One schema: random steps, and after each the comparison of what the cache says with what the
//! database says.

use std::{fmt, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, join, join_all};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr, Statement,
    TransactionTrait,
};
use sea_orm_cache::{CachedBy, CachedConnection, CachedTransaction};

use super::{
    executor::{Executor, Sent, Target},
    random::Random,
    read::{Kind, Read, Source},
    schema::Schema,
    step::{End, Part, Step},
    tables::Table,
    tally::Tally,
    values::Row,
    write::{Conflict, Form, Via, Write},
};
use crate::{
    support::{Backend, TestDatabase, eventually, unique_namespace},
    world::{StoreKind, builder},
};

/// Reads that are there to be compared after a step.
const POOL: usize = 14;
/// Reads of tables that a step has nothing to do with are asked once in so many steps, and then of
/// the database too.
const AGAIN: usize = 12;

/// What one run does, as values, so that it can be repeated in parts.
#[derive(Clone, Debug)]
pub struct Plan {
    pub backend: Backend,
    pub store: StoreKind,
    /// Are answers kept in memory, and how far behind may those be?
    pub memory: Option<Duration>,
    pub schema: Schema,
    pub first_rows: Vec<(Table, Row)>,
    pub pool: Vec<Read>,
    pub steps: Vec<Planned>,
    /// Writes go past the cache: the differences that follow must be found.
    pub past_the_cache: bool,
    /// The outcome is to have the contents of the tables after every step.
    pub keeps_contents: bool,
}

#[derive(Clone, Debug)]
pub struct Planned {
    /// A read that takes the place of another.
    pub swap: Option<(usize, Read)>,
    pub step: Step,
}

/// What a run without a difference gives.
pub struct Outcome {
    pub tally: Tally,
    pub history: Vec<Vec<String>>,
}

/// The cache said something else than the database.
pub struct Difference {
    /// How many steps were done when it was found.
    pub step: usize,
    pub read: Read,
    text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Plan {
    pub fn random(backend: Backend, store: StoreKind, seed: u64, steps: usize) -> Self {
        let random = &mut Random::new(seed);
        let schema = Schema::random(backend, random);
        let first_rows = schema.rows(random);
        let pool = (0..POOL).map(|_| Read::random(&schema, random)).collect();
        let steps = (0..steps)
            .map(|_| Planned {
                swap: random.once_in(3).then(|| (random.below(POOL), Read::random(&schema, random))),
                step: Step::random(&schema, random),
            })
            .collect();
        // A process sees its own writes at once, however far behind those of others it may be.
        let memory = [None, Some(Duration::ZERO), Some(Duration::from_secs(3600))][(seed % 3) as usize];
        Self {
            backend,
            store,
            memory,
            schema,
            first_rows,
            pool,
            steps,
            past_the_cache: false,
            keeps_contents: false,
        }
    }

    /// `None` when the database or the store is not there.
    pub async fn run(&self) -> Option<Result<Outcome, Box<Difference>>> {
        let mut builder = builder(self.store, &unique_namespace())?;
        for (table, rule) in self.schema.rules() {
            builder = builder.table(table.name(), rule);
        }
        builder = match self.memory {
            None => builder,
            Some(max_staleness) => builder.near(4 << 20).max_staleness(max_staleness),
        };
        let cache = builder.build().await.unwrap();
        let database = TestDatabase::create(self.backend).await?;
        let db = connect(&database).await.cached_by(cache);
        let mut run = Run {
            plan: self,
            db: &db,
            sent: Sent::default(),
            contents: Vec::new(),
            slots: Vec::new(),
            tally: Tally { schemas: 1, ..Tally::default() },
            step: 0,
            hits: 0,
            history: Vec::new(),
        };
        Some(run.all().await.map(|()| Outcome { tally: run.tally, history: run.history }))
    }
}

/// A pool of its own: few connections, each of which keeps what it has prepared. With sqlx's usual
/// hundred statements, MariaDB would wait for a delayed acknowledgement at most of them.
async fn connect(database: &TestDatabase) -> DatabaseConnection {
    const STATEMENTS: usize = 5000;
    let mut options = ConnectOptions::new(database.url());
    options
        .max_connections(5)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| {
            let options = options.busy_timeout(Duration::from_secs(20)).statement_cache_capacity(STATEMENTS);
            options.pragma("synchronous", "OFF")
        })
        .map_sqlx_postgres_opts(|options| options.statement_cache_capacity(STATEMENTS))
        .map_sqlx_mysql_opts(|options| options.statement_cache_capacity(STATEMENTS));
    Database::connect(options).await.unwrap()
}

/// What the database does with the plan when there is no cache: the contents after every step.
pub async fn contents_without_the_cache(plan: &Plan) -> Option<Vec<Vec<String>>> {
    let database = TestDatabase::create(plan.backend).await?;
    let db = connect(&database).await;
    let sent = Sent::default();
    prepare(plan, &db).await;
    let mut all = Vec::new();
    for planned in &plan.steps {
        match &planned.step {
            Step::Write(write) | Step::Race(write, _) => {
                let executor = Executor { target: Target::Plain(&db), sent: &sent };
                let _ = write.perform(&executor, plan.backend).await;
            }
            Step::Transaction(parts, end) => {
                let transaction = db.begin().await.unwrap();
                plain_inside(transaction, parts, *end, plan.backend, &sent).await;
            }
        }
        settled(plan.backend, &db).await;
        all.push(read_contents(plan, &db).await);
    }
    Some(all)
}

/// Waits until no statement is under way: a stream that was dropped is still being executed, and a
/// transaction that was dropped rolled back, until its connection is back in the pool.
async fn settled(backend: Backend, db: &DatabaseConnection) {
    let is_idle = async || match backend {
        Backend::Sqlite => is_idle(db.get_sqlite_connection_pool()),
        Backend::Postgres => is_idle(db.get_postgres_connection_pool()),
        Backend::MariaDb => is_idle(db.get_mysql_connection_pool()),
    };
    eventually("all connections are back in the pool", Duration::from_secs(20), is_idle).await;
}

fn is_idle<D: sea_orm::sqlx::Database>(pool: &sea_orm::sqlx::Pool<D>) -> bool {
    pool.num_idle() == pool.size() as usize
}

fn plain_inside<'s>(
    transaction: DatabaseTransaction,
    parts: &'s [Part],
    end: End,
    backend: Backend,
    sent: &'s Sent,
) -> BoxFuture<'s, ()> {
    async move {
        for part in parts {
            match part {
                Part::Write(write) => {
                    let executor = Executor { target: Target::PlainTransaction(&transaction), sent };
                    let _ = write.perform(&executor, backend).await;
                }
                Part::Read(_) => before_a_read(&transaction).await,
                Part::Nested(parts, end) => {
                    if let Ok(nested) = transaction.begin().await {
                        plain_inside(nested, parts, *end, backend, sent).await;
                    }
                }
            }
        }
        // A COMMIT can be refused as any statement can.
        let _ = match end {
            End::Commit => transaction.commit().await,
            End::Rollback => transaction.rollback().await,
            End::Drop => {
                drop(transaction);
                Ok(())
            }
        };
    }
    .boxed()
}

/// When a savepoint cannot be rolled back, the driver says so to whoever sends the next statement. A
/// read is not to be compared with that.
async fn before_a_read(transaction: &impl ConnectionTrait) {
    let _ = transaction.execute_unprepared("SELECT 1").await;
}

/// The tables, and the first rows.
async fn prepare(plan: &Plan, db: &DatabaseConnection) {
    for statement in plan.schema.statements() {
        db.execute_unprepared(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    let sent = Sent::default();
    for (table, row) in &plan.first_rows {
        let form = Form::RawInsert(vec![row.clone()], Conflict::None, Via::Bound);
        let write = Write { table: *table, form };
        // A random constraint may not take it.
        let _ = write.perform(&Executor { target: Target::Plain(db), sent: &sent }, plan.backend).await;
    }
}

/// The whole content of each table, in the order of [`Table::ALL`].
async fn read_contents(plan: &Plan, db: &DatabaseConnection) -> Vec<String> {
    let statement = Statement::from_string(db.get_database_backend(), plan.schema.contents());
    let row = db.query_one_raw(statement).await.unwrap().unwrap();
    Table::ALL.iter().map(|table| row.try_get("", table.name()).unwrap()).collect()
}

struct Slot {
    read: Read,
    tables: Vec<Table>,
    /// What the database last said.
    answer: String,
    /// Is it stored, as far as is known?
    cached: bool,
    /// Was it asked right before the step?
    is_known: bool,
}

struct Run<'a> {
    plan: &'a Plan,
    db: &'a CachedConnection,
    sent: Sent,
    /// The whole content of each table, in the order of [`Table::ALL`].
    contents: Vec<String>,
    slots: Vec<Slot>,
    tally: Tally,
    step: usize,
    /// Hits that the cache has counted so far.
    hits: u64,
    /// The contents after every step, if the plan keeps them.
    history: Vec<Vec<String>>,
}

type Done = Result<(), Box<Difference>>;

impl Run<'_> {
    fn plain(&self) -> &DatabaseConnection {
        self.db.inner()
    }

    async fn all(&mut self) -> Done {
        prepare(self.plan, self.plain()).await;
        self.contents = read_contents(self.plan, self.plain()).await;
        for read in &self.plan.pool {
            let slot = self.new_slot(read).await?;
            self.slots.push(slot);
        }
        for planned in &self.plan.steps {
            if let Some((position, read)) = &planned.swap
                && *position < self.slots.len()
            {
                self.slots[*position] = self.new_slot(read).await?;
            }
            self.look_ahead(&planned.step).await?;
            self.take(&planned.step).await?;
            if self.plan.keeps_contents {
                settled(self.plan.backend, self.plain()).await;
            }
            self.compare(&planned.step).await?;
            if self.plan.keeps_contents {
                self.history.push(self.contents.clone());
            }
            self.step += 1;
            self.tally.steps += 1;
        }
        Ok(())
    }

    async fn new_slot(&mut self, read: &Read) -> Result<Slot, Box<Difference>> {
        let answer = read.answer(Source::Database(self.plain()), &self.plan.schema).await;
        let mut slot = Slot {
            read: read.clone(),
            tables: read.tables(&self.plan.schema),
            answer,
            cached: false,
            is_known: false,
        };
        self.ask(&mut slot, None).await?;
        Ok(slot)
    }

    /// Asks the cache; if the answer was not there, a second time, which says whether it is now.
    /// True if it was there at first.
    async fn ask(&mut self, slot: &mut Slot, step: Option<&Step>) -> Result<bool, Box<Difference>> {
        let mut hit = false;
        for first in [true, false] {
            let cached = slot.read.answer(Source::Cache(self.db), &self.plan.schema).await;
            let before = std::mem::replace(&mut self.hits, self.db.cache().stats().total.hits);
            slot.cached = self.hits - before == slot.read.parts();
            self.tally.compared += 1;
            self.tally.hits += u64::from(slot.cached);
            if cached != slot.answer {
                return Err(self.difference(step, &slot.read, &cached, &slot.answer, "after the step"));
            }
            if first {
                hit = slot.cached;
                if hit {
                    break;
                }
            }
        }
        Ok(hit)
    }

    /// Is it this slot's turn, whatever the step has to do with its tables?
    fn is_again(&self, position: usize) -> bool {
        (self.step + position).is_multiple_of(AGAIN)
    }

    /// Asks what will be asked after the step, so that what an earlier one purged is not counted for
    /// this one.
    async fn look_ahead(&mut self, step: &Step) -> Done {
        self.hits = self.db.cache().stats().total.hits;
        let touched = step.tables(&self.plan.schema);
        let mut slots = std::mem::take(&mut self.slots);
        for (position, slot) in slots.iter_mut().enumerate() {
            slot.is_known =
                self.is_again(position) || slot.tables.iter().any(|table| touched.contains(table));
            if slot.is_known {
                self.ask(slot, None).await?;
            }
        }
        self.slots = slots;
        Ok(())
    }

    async fn compare(&mut self, step: &Step) -> Done {
        let contents = read_contents(self.plan, self.plain()).await;
        let changed: Vec<Table> = Table::ALL
            .into_iter()
            .zip(contents.iter().zip(&self.contents))
            .filter(|(_, (after, before))| after != before)
            .map(|(table, _)| table)
            .collect();
        self.contents = contents;
        self.hits = self.db.cache().stats().total.hits;
        let kind = step.kind(!changed.is_empty(), &self.plan.schema);
        let mut touched = step.tables(&self.plan.schema);
        touched.extend(changed.iter().copied());
        let mut slots = std::mem::take(&mut self.slots);
        for (position, slot) in slots.iter_mut().enumerate() {
            let concerned = slot.tables.iter().any(|table| touched.contains(table));
            let again = self.is_again(position);
            if !concerned && !again {
                continue;
            }
            let (was_cached, mut answer_changed) = (slot.cached && slot.is_known, false);
            let entry = slot.read.kind(&slot.answer);
            let may_change = slot.tables.iter().any(|table| changed.contains(table));
            if may_change || again {
                let answer = slot.read.answer(Source::Database(self.plain()), &self.plan.schema).await;
                answer_changed = answer != slot.answer;
                assert!(may_change || !answer_changed, "{:?} depends on more than its tables", slot.read);
                slot.answer = answer;
            }
            let hit = self.ask(slot, Some(step)).await?;
            if let Some(kind) = kind
                && was_cached
                && entry != Kind::Rows
            {
                self.tally.count(kind, entry, !hit, answer_changed);
                if !hit && !answer_changed {
                    self.tally.example(kind, entry, || format!("{:?} by {step:?}", slot.read));
                }
            }
        }
        self.slots = slots;
        Ok(())
    }

    fn difference(
        &self,
        step: Option<&Step>,
        read: &Read,
        cached: &str,
        direct: &str,
        when: &str,
    ) -> Box<Difference> {
        let Plan { backend, store, schema, .. } = self.plan;
        let text = format!(
            "{backend}, {store:?}, step {}, {when}\nread:     {read:?}\ncached:   {cached}\ndatabase: {direct}\n\
             step:     {step:?}\nschema:\n  {}\nsent before:\n{}",
            self.step,
            schema.statements().join(";\n  "),
            self.sent.text()
        );
        Box::new(Difference { step: self.step, read: read.clone(), text })
    }

    async fn take(&mut self, step: &Step) -> Done {
        if self.plan.past_the_cache && !matches!(step, Step::Write(_)) {
            return Ok(());
        }
        match step {
            Step::Write(write) => {
                let result = self.perform(write).await;
                self.note(&result);
                Ok(())
            }
            Step::Race(write, reads) => {
                let answers =
                    join_all(reads.iter().map(|read| read.answer(Source::Cache(self.db), &self.plan.schema)));
                let (result, _) = join(self.perform(write), answers).await;
                self.note(&result);
                Ok(())
            }
            Step::Transaction(parts, end) => {
                self.sent.note("BEGIN");
                let transaction = self.db.begin().await.unwrap();
                let outside = !(step.locks_tables() && self.plan.backend == Backend::Postgres);
                self.inside(transaction, parts, *end, outside, step).await
            }
        }
    }

    async fn perform(&self, write: &Write) -> Result<(), DbErr> {
        let past = self.plan.past_the_cache;
        let target = if past { Target::Plain(self.plain()) } else { Target::Cached(self.db) };
        let result = write.perform(&Executor { target, sent: &self.sent }, self.plan.backend).await;
        // A stream that was dropped is read to its end in the background, and then purges.
        assert!(self.db.cache().drain(Duration::from_secs(20)).await, "a purge was not delivered");
        result
    }

    fn note(&mut self, result: &Result<(), DbErr>) {
        self.tally.writes += 1;
        if let Err(error) = result {
            self.tally.failed += 1;
            self.sent.note(format!("-- {error}"));
        }
    }

    fn inside<'s>(
        &'s mut self,
        transaction: CachedTransaction,
        parts: &'s [Part],
        end: End,
        outside: bool,
        step: &'s Step,
    ) -> BoxFuture<'s, Done> {
        async move {
            for part in parts {
                match part {
                    Part::Write(write) => {
                        let executor =
                            Executor { target: Target::InTransaction(&transaction), sent: &self.sent };
                        let result = write.perform(&executor, self.plan.backend).await;
                        self.note(&result);
                    }
                    Part::Read(read) => {
                        before_a_read(&transaction).await;
                        let cached =
                            read.answer(Source::CacheInTransaction(&transaction), &self.plan.schema).await;
                        let direct =
                            read.answer(Source::DatabaseInTransaction(&transaction), &self.plan.schema).await;
                        self.tally.in_transactions += 1;
                        if cached != direct {
                            return Err(self.difference(
                                Some(step),
                                read,
                                &cached,
                                &direct,
                                "in the transaction",
                            ));
                        }
                        if outside {
                            self.tally.in_transactions += 1;
                            let cached = read.answer(Source::Cache(self.db), &self.plan.schema).await;
                            let direct = read.answer(Source::Database(self.plain()), &self.plan.schema).await;
                            if cached != direct {
                                let when = "outside, while the transaction is open";
                                return Err(self.difference(Some(step), read, &cached, &direct, when));
                            }
                        }
                    }
                    Part::Nested(parts, end) => {
                        self.sent.note("SAVEPOINT");
                        match transaction.begin().await {
                            Ok(nested) => self.inside(nested, parts, *end, outside, step).await?,
                            Err(error) => self.sent.note(format!("-- {error}")),
                        }
                    }
                }
            }
            self.sent.note(format!("-- {end:?}"));
            let ended = match end {
                End::Commit => transaction.commit().await,
                End::Rollback => transaction.rollback().await,
                End::Drop => {
                    drop(transaction);
                    Ok(())
                }
            };
            if let Err(error) = ended {
                self.sent.note(format!("-- {error}"));
            }
            assert!(self.db.cache().drain(Duration::from_secs(20)).await, "a purge was not delivered");
            Ok(())
        }
        .boxed()
    }
}
