//! `.cached()` on a query.

use std::sync::Arc;

use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, Iterable, PaginatorTrait, PrimaryKeyToColumn, QueryTrait, Select,
    SelectTwo, SelectTwoMany, Selector, SelectorTrait, Statement, Value,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    answer::answer,
    codec::{AllModels, AllPairs, Custom, Families, OneCustom, OneModel, OnePair, unshare},
    load::{Count, Every, EveryFamily, EveryPair, First, FirstPair, model},
    near::{spot_of_answer, spot_of_row},
    question::{ReadOptions, Request},
};
use crate::{
    ReadThrough,
    connection::Capture,
    entity::{EntityDescriptor, Rebuild, TtlSpec},
};

/// Queries that can be served from the cache.
///
/// ```
/// # use sea_orm::entity::prelude::*;
/// # #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
/// # #[sea_orm(table_name = "book")]
/// # pub struct Model { #[sea_orm(primary_key)] pub id: i64, pub shelf_id: i64 }
/// # #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)] pub enum Relation {}
/// # impl ActiveModelBehavior for ActiveModel {}
/// use sea_orm_cache::prelude::*;
///
/// async fn shelf(db: &CachedConnection, shelf: i64) -> Result<Vec<Model>, DbErr> {
///     Entity::find().filter(Column::ShelfId.eq(shelf)).cached().all(db).await
/// }
/// # use sea_orm::QueryFilter;
/// ```
pub trait CachedQuery: Sized {
    /// Serve this query from the cache; read the database, and fill, when it is not there.
    ///
    /// Selects that lock rows or call volatile functions go to the database and say so in tracing
    /// (`sea_orm_cache`, debug).
    fn cached(self) -> CachedSelect<Self> {
        CachedSelect { query: self, options: ReadOptions::default() }
    }
}

impl<E: EntityTrait> CachedQuery for Select<E> {}
impl<E: EntityTrait, F: EntityTrait> CachedQuery for SelectTwo<E, F> {}
impl<E: EntityTrait, F: EntityTrait> CachedQuery for SelectTwoMany<E, F> {}
/// `into_model`, `into_partial_model`, `into_tuple`, `into_json`, `into_values`.
///
/// What these read is stored through serde: what a type's serde skips does not come back. To read
/// an entity's own model, call `.cached()` on the select itself, which stores column values.
impl<S: SelectorTrait> CachedQuery for Selector<S> {}

/// A query that is served from the cache. Made by [`CachedQuery::cached`].
///
/// Every way to read it costs one round trip to the store on a hit, and two and the query on a
/// miss; tasks that ask for the same at the same time share one query. Errors are the database's;
/// an error is not cached. Cancel safe: a waiting task takes over.
#[derive(Clone, Debug)]
#[must_use = "a query does nothing until it is read with one, all, count ..."]
pub struct CachedSelect<Q> {
    pub(super) query: Q,
    pub(super) options: ReadOptions,
}

impl<Q> CachedSelect<Q> {
    /// How long the answer lives, instead of what the entity declares; at most the cache's
    /// `max_ttl`. Zero: do not store.
    pub fn ttl(mut self, ttl: impl Into<TtlSpec>) -> Self {
        self.options.ttl = Some(ttl.into());
        self
    }

    /// A tag of the application's own on the answer;
    /// [`invalidate_tag`](crate::Cache::invalidate_tag) makes it a miss.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.options.tags.push(tag.into());
        self
    }

    /// For so long after its time, an entry that no write has purged is still served, while one
    /// caller loads it anew. So nobody but that one waits. What a write has purged is never served.
    pub fn stale_while_revalidate(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.options.stale_while_revalidate = Some(grace.into());
        self
    }

    /// For so long after its time, an entry that no write has purged is served if the load fails.
    /// What a write has purged is never served.
    pub fn stale_if_error(mut self, grace: impl Into<TtlSpec>) -> Self {
        self.options.stale_if_error = Some(grace.into());
        self
    }

    /// Load the answer anew before its time is over, in the background: whoever finds that it is time is
    /// served what is there at once. When it is, each reader decides by lot, the sooner the longer the
    /// load takes (XFetch); so an entry that is read often does not expire under its readers, and one
    /// that is read seldom ends with its time. `beta` is the distance from the end, on average, in times
    /// that the load takes: 1.0 is a good choice, more is earlier. Zero, the default: not at all.
    ///
    /// One process loads at a time. It costs the background two round trips more than a miss; a hit
    /// costs what it did. If the load fails, the entry stays as it is; it is counted
    /// ([`CacheStats::refreshes_failed`](crate::CacheStats::refreshes_failed)).
    pub fn refresh_early(mut self, beta: f64) -> Self {
        self.options.refresh_early = Some(beta);
        self
    }

    /// Do not look in the cache: read the database, and store what it says.
    pub fn fresh(mut self) -> Self {
        self.options.fresh = true;
        self
    }
}

impl<E: Rebuild> CachedSelect<Select<E>> {
    /// The first row. By primary key (`find_by_id`) it is the row's own entry, which only writes
    /// to that row purge; "no such row" is remembered too, until an insert.
    ///
    /// # Errors
    /// The database's.
    pub async fn one<C: ReadThrough>(self, db: &C) -> Result<Option<E::Model>, DbErr> {
        Ok(unshare::<OneModel<E>>(self.one_arc(db).await?))
    }

    /// The same as [`one`](Self::one), shared: what is in this process's memory is not copied.
    ///
    /// # Errors
    /// The database's.
    pub async fn one_arc<C: ReadThrough>(self, db: &C) -> Result<Option<Arc<E::Model>>, DbErr> {
        let (statement, entity) = one_request::<E, C>(self.query, db);
        let by_key = entity.selects_by_key(&statement, || by_key_statement::<E>(db));
        let spot = match by_key {
            Some(key) if self.options.of_memory(db.cache()) => spot_of_row::<E>(db, key),
            Some(_) => None,
            None => spot_of_answer::<OneModel<E>>(db, &statement, &self.options),
        };
        let request = Request {
            statement: &statement,
            row: by_key,
            entity: Some(entity),
            joined: None,
            options: &self.options,
        };
        let load = || First { statement: statement.clone(), from: model::<E::Model> };
        answer::<OneModel<E>, _, _>(db, spot, request, load).await
    }

    /// The first row, or [`DbErr::RecordNotFound`].
    ///
    /// # Errors
    /// The database's, or that there is no such row.
    pub async fn require_one<C: ReadThrough>(self, db: &C) -> Result<E::Model, DbErr> {
        let missing = || DbErr::RecordNotFound("None of the models match the query".to_owned());
        self.one(db).await?.ok_or_else(missing)
    }

    /// All rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn all<C: ReadThrough>(self, db: &C) -> Result<Vec<E::Model>, DbErr> {
        Ok(unshare::<AllModels<E>>(self.all_arc(db).await?))
    }

    /// The same as [`all`](Self::all), shared: what is in this process's memory is not copied.
    ///
    /// # Errors
    /// The database's.
    pub async fn all_arc<C: ReadThrough>(self, db: &C) -> Result<Arc<Vec<E::Model>>, DbErr> {
        let statement = self.query.build(db.get_database_backend());
        models::<E, C>(db, &statement, &self.options).await
    }

    /// How many rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn count<C: ReadThrough>(self, db: &C) -> Result<u64, DbErr>
    where
        E::Model: Send + Sync,
    {
        let capture = Capture::new(db.get_database_backend());
        self.query.clone().paginate(&capture, 1).num_items().await?;
        let statement = capture.statement()?;
        let request = Request {
            statement: &statement,
            row: None,
            entity: Some(db.cache().inner.registry.entity::<E>()),
            joined: None,
            options: &self.options,
        };
        let load = || Count(self.query);
        let spot = spot_of_answer::<Custom<u64>>(db, &statement, &self.options);
        Ok(unshare::<Custom<u64>>(answer::<Custom<u64>, _, _>(db, spot, request, load).await?))
    }
}

/// The statement that asks for one row, and the entity.
pub(super) fn one_request<E: Rebuild, C: ReadThrough>(
    select: Select<E>,
    db: &C,
) -> (Statement, Arc<EntityDescriptor>) {
    let entity = db.cache().inner.registry.entity::<E>();
    let mut query = select.into_query();
    query.limit(1);
    (db.get_database_backend().build(&query), entity)
}

/// Rows of an entity, by a finished statement.
pub(super) async fn models<E: Rebuild, C: ReadThrough>(
    db: &C,
    statement: &Statement,
    options: &ReadOptions,
) -> Result<Arc<Vec<E::Model>>, DbErr> {
    let spot = spot_of_answer::<AllModels<E>>(db, statement, options);
    let entity = Some(db.cache().inner.registry.entity::<E>());
    let request = Request { statement, row: None, entity, joined: None, options };
    let load = || Every { statement: statement.clone(), from: model::<E::Model> };
    answer::<AllModels<E>, _, _>(db, spot, request, load).await
}

/// The text of `find_by_id(...).one()`, with how many of its first values are the key.
pub(super) fn by_key_statement<E: EntityTrait>(db: &impl ConnectionTrait) -> String {
    use sea_orm::{ColumnTrait, QueryFilter};
    let mut select = E::find();
    for key in E::PrimaryKey::iter() {
        // Any value will do: it is bound, and only the text is of interest.
        select = select.filter(key.into_column().eq(Value::Int(Some(0))));
    }
    let mut query = select.into_query();
    query.limit(1);
    db.get_database_backend().build(&query).sql
}

impl<E: Rebuild, F: Rebuild> CachedSelect<SelectTwo<E, F>> {
    /// The first row of the join.
    ///
    /// # Errors
    /// The database's.
    pub async fn one<C: ReadThrough>(self, db: &C) -> Result<Option<(E::Model, Option<F::Model>)>, DbErr> {
        let capture = Capture::new(db.get_database_backend());
        self.query.clone().one(&capture).await?;
        let statement = capture.statement()?;
        let registry = &db.cache().inner.registry;
        let (entity, joined) = (Some(registry.entity::<E>()), Some(registry.entity::<F>()));
        let request = Request { statement: &statement, row: None, entity, joined, options: &self.options };
        let spot = spot_of_answer::<OnePair<E, F>>(db, &statement, &self.options);
        let load = || FirstPair(self.query);
        Ok(unshare::<OnePair<E, F>>(answer::<OnePair<E, F>, _, _>(db, spot, request, load).await?))
    }

    /// All rows of the join.
    ///
    /// # Errors
    /// The database's.
    pub async fn all<C: ReadThrough>(self, db: &C) -> Result<Vec<(E::Model, Option<F::Model>)>, DbErr> {
        let statement = self.query.build(db.get_database_backend());
        let registry = &db.cache().inner.registry;
        let (entity, joined) = (Some(registry.entity::<E>()), Some(registry.entity::<F>()));
        let request = Request { statement: &statement, row: None, entity, joined, options: &self.options };
        let spot = spot_of_answer::<AllPairs<E, F>>(db, &statement, &self.options);
        let load = || EveryPair(self.query);
        Ok(unshare::<AllPairs<E, F>>(answer::<AllPairs<E, F>, _, _>(db, spot, request, load).await?))
    }
}

impl<E: Rebuild, F: Rebuild> CachedSelect<SelectTwoMany<E, F>> {
    /// All parents, each with its children.
    ///
    /// # Errors
    /// The database's.
    pub async fn all<C: ReadThrough>(self, db: &C) -> Result<Vec<(E::Model, Vec<F::Model>)>, DbErr> {
        let statement = self.query.build(db.get_database_backend());
        let registry = &db.cache().inner.registry;
        let (entity, joined) = (Some(registry.entity::<E>()), Some(registry.entity::<F>()));
        let request = Request { statement: &statement, row: None, entity, joined, options: &self.options };
        let spot = spot_of_answer::<Families<E, F>>(db, &statement, &self.options);
        let load = || EveryFamily(self.query);
        Ok(unshare::<Families<E, F>>(answer::<Families<E, F>, _, _>(db, spot, request, load).await?))
    }
}

impl<S> CachedSelect<Selector<S>>
where
    S: SelectorTrait + Send,
    S::Item: Serialize + DeserializeOwned + Send + 'static,
{
    /// The first row.
    ///
    /// # Errors
    /// The database's.
    pub async fn one<C: ReadThrough>(self, db: &C) -> Result<Option<S::Item>, DbErr> {
        let capture = Capture::new(db.get_database_backend());
        self.query.one(&capture).await?;
        let statement = capture.statement()?;
        let request =
            Request { statement: &statement, row: None, entity: None, joined: None, options: &self.options };
        let load = || First { statement: statement.clone(), from: S::from_raw_query_result };
        let spot = spot_of_answer::<OneCustom<S::Item>>(db, &statement, &self.options);
        let row = answer::<OneCustom<S::Item>, _, _>(db, spot, request, load).await?;
        Ok(unshare::<OneCustom<S::Item>>(row))
    }

    /// All rows.
    ///
    /// # Errors
    /// The database's.
    pub async fn all<C: ReadThrough>(self, db: &C) -> Result<Vec<S::Item>, DbErr> {
        let statement = self.query.into_statement(db.get_database_backend());
        let request =
            Request { statement: &statement, row: None, entity: None, joined: None, options: &self.options };
        let load = || Every { statement: statement.clone(), from: S::from_raw_query_result };
        let spot = spot_of_answer::<Custom<Vec<S::Item>>>(db, &statement, &self.options);
        let rows = answer::<Custom<Vec<S::Item>>, _, _>(db, spot, request, load).await?;
        Ok(unshare::<Custom<Vec<S::Item>>>(rows))
    }
}
