//! Rows by primary key, one or many.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, Iterable, ModelTrait, PrimaryKeyToColumn, PrimaryKeyTrait,
    QueryFilter, TryIntoModel, Value,
    sea_query::{IntoValueTuple, ValueTuple},
};
use smallvec::SmallVec;

use super::{
    answer::{detached, settle},
    codec::{OneModel, decode, encode, unshare},
    load::ByKey,
    near::{InMemory, at_hand, keep, on_proof, spot_of_row},
    question::Reader,
};
use crate::{
    Cache, ReadThrough, clock,
    entity::{EntityDescriptor, KeyColumn, KeyText, value_text},
    freshness::{Bypass, Fetched, Look, Outcome, Payload, Question, Stamps},
    near::Spot,
    schema::{Knowledge, TextEquality},
};

/// Keys per IN query; databases bound the number of parameters.
const KEYS_PER_QUERY: usize = 1000;

type Key<E> = <<E as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

/// Reads by primary key, on every entity.
///
/// ```
/// # use sea_orm::entity::prelude::*;
/// # #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
/// # #[sea_orm(table_name = "book")]
/// # pub struct Model { #[sea_orm(primary_key)] pub id: i64, pub title: String }
/// # #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)] pub enum Relation {}
/// # impl ActiveModelBehavior for ActiveModel {}
/// use sea_orm_cache::prelude::*;
///
/// async fn titles(db: &CachedConnection) -> Result<Vec<String>, DbErr> {
///     let books = Entity::cached_by_ids([3, 1, 2], db).await?;
///     Ok(books.into_iter().flatten().map(|book| book.title).collect())
/// }
/// ```
#[allow(async_fn_in_trait, reason = "implemented here for every entity, and nowhere else")]
pub trait CachedEntity: EntityTrait<Model: Sync>
where
    Self::ActiveModel: TryIntoModel<Self::Model>,
{
    /// One row; the same as `find_by_id(id).cached().one(db)`.
    ///
    /// # Errors
    /// The database's.
    fn cached_by_id<C: ReadThrough>(
        id: impl Into<Key<Self>> + Send,
        db: &C,
    ) -> impl Future<Output = Result<Option<Self::Model>, DbErr>> + Send
    where
        Self::Model: Send + Sync,
    {
        let row = Self::cached_arc_by_id(id, db);
        async move { Ok(unshare::<OneModel<Self>>(row.await?)) }
    }

    /// The same, shared: what is in this process's memory is not copied. No statement is built unless
    /// the database has to be asked.
    ///
    /// # Errors
    /// The database's.
    fn cached_arc_by_id<C: ReadThrough>(
        id: impl Into<Key<Self>> + Send,
        db: &C,
    ) -> impl Future<Output = Result<Option<Arc<Self::Model>>, DbErr>> + Send
    where
        Self::Model: Send + Sync,
    {
        let key: SmallVec<[Value; 1]> = match id.into().into_value_tuple() {
            ValueTuple::One(value) => SmallVec::from_buf([value]),
            many => many.into_iter().collect(),
        };
        async move {
            let spot = spot_of_row::<Self>(db, &key);
            let luck =
                match spot.as_ref().map_or(InMemory::Nothing, |spot| at_hand::<OneModel<Self>>(db, spot)) {
                    InMemory::Answer(row) => return Ok(row),
                    InMemory::Due(luck) => Some(luck),
                    InMemory::Nothing => None,
                };
            // In a box, so that a row from memory does not carry the space for all that follows.
            Box::pin(by_id::<Self, C>((spot, luck), key.to_vec(), db)).await
        }
    }

    /// Many rows, in the order of the ids and as often as they are asked for; `None` where there is
    /// no such row. One round trip for what is in the cache, one IN query (for every thousand) for
    /// what is not, and one more round trip, not waited for, to store that.
    ///
    /// # Errors
    /// The database's.
    fn cached_by_ids<C, I>(
        ids: I,
        db: &C,
    ) -> impl Future<Output = Result<Vec<Option<Self::Model>>, DbErr>> + Send
    where
        C: ReadThrough,
        I: IntoIterator,
        I::Item: Into<Key<Self>>,
        Self::Model: Send + Sync,
    {
        let keys: Vec<Vec<Value>> =
            ids.into_iter().map(|id| id.into().into_value_tuple().into_iter().collect()).collect();
        by_ids::<Self, C>(keys, db)
    }
}

impl<E: EntityTrait<Model: Sync>> CachedEntity for E where E::ActiveModel: TryIntoModel<E::Model> {}

async fn by_id<E, C>(
    (spot, mut luck): (Option<Spot<'_>>, Option<f64>),
    key: Vec<Value>,
    db: &C,
) -> Result<Option<Arc<E::Model>>, DbErr>
where
    E: EntityTrait<Model: Sync>,
    E::ActiveModel: TryIntoModel<E::Model>,
    C: ReadThrough,
{
    let cache = db.cache();
    let schema = db.schema_mark(clock::now());
    if let (Some(spot), Some(schema)) = (&spot, schema)
        && luck.is_none()
    {
        match on_proof::<OneModel<E>>(db, spot, schema).await {
            InMemory::Answer(row) => return Ok(row),
            InMemory::Due(lot) => luck = Some(lot),
            InMemory::Nothing => {}
        }
    }
    let entity = cache.inner.registry.entity::<E>();
    let question = match Reader::of(db).await {
        Err(reason) => Err(reason),
        Ok(_) if entity.policy.skip => Err(Bypass::Skipped),
        Ok(reader) => reader.row(&entity, &key).and_then(|question| question.ok_or(Bypass::Uncacheable)),
    };
    let question = question.map(|question| question.with_luck(luck));
    let load = ByKey::<E>::new(key);
    settle::<OneModel<E>, _>(db, (spot.as_ref(), schema), question, (Some(&entity), &entity.folded), load)
        .await
}

async fn by_ids<E, C>(keys: Vec<Vec<Value>>, db: &C) -> Result<Vec<Option<E::Model>>, DbErr>
where
    E: EntityTrait<Model: Sync>,
    E::ActiveModel: TryIntoModel<E::Model>,
    C: ReadThrough,
{
    let cache = db.cache();
    let entity = cache.inner.registry.entity::<E>();
    let counters = cache.inner.counters.table(&entity.folded);
    // Each key once; `places` says where the answers go.
    let mut distinct: Vec<Vec<Value>> = Vec::new();
    let mut index: HashMap<Vec<Value>, usize> = HashMap::new();
    let places: Vec<usize> = keys
        .into_iter()
        .map(|key| {
            *index.entry(key).or_insert_with_key(|key| {
                distinct.push(key.clone());
                distinct.len() - 1
            })
        })
        .collect();

    let schema = db.schema_mark(clock::now());
    let mut rows: Vec<Option<E::Model>> = vec![None; distinct.len()];
    let mut asked = Vec::new();
    for (position, key) in distinct.iter().enumerate() {
        let spot = spot_of_row::<E>(db, key);
        match spot.map_or(InMemory::Nothing, |spot| at_hand::<OneModel<E>>(db, &spot)) {
            InMemory::Answer(row) => rows[position] = unshare::<OneModel<E>>(row),
            InMemory::Due(_) | InMemory::Nothing => asked.push(position),
        }
    }
    let mut missing: Vec<(usize, Option<(Question, Stamps)>)> = Vec::new();
    match questions(db, &entity, asked.iter().map(|position| &distinct[*position][..])).await {
        Err(reason) => {
            asked.iter().for_each(|_| counters.count(Outcome::Bypass(reason)));
            missing.extend(asked.into_iter().map(|position| (position, None)));
        }
        Ok(_) if asked.is_empty() => {}
        Ok(questions) => {
            let looks = cache.inner.freshness.look_many(&questions).await;
            for ((position, look), question) in asked.into_iter().zip(looks).zip(questions) {
                match look {
                    Look::Hit { kind, payload, backing, early } => {
                        match decode::<OneModel<E>>(kind, &payload) {
                            Some(row) => {
                                if let Some(early) = early {
                                    let key = ByKey::<E>::new(distinct[position].clone());
                                    let tagged = Some(&entity).filter(|_| question.family.is_some());
                                    let work = detached::<OneModel<E>>(db, key, tagged, &entity.folded);
                                    if let Some(work) = work {
                                        cache.inner.freshness.refresh(&question, *early, work);
                                    }
                                }
                                counters.count(Outcome::Hit);
                                let mut fetched = Fetched { value: row, outcome: Outcome::Hit, backing };
                                let spot = spot_of_row::<E>(db, &distinct[position]);
                                keep::<OneModel<E>>(db, spot.as_ref(), schema, &counters, &mut fetched);
                                rows[position] = unshare::<OneModel<E>>(fetched.value);
                            }
                            None => {
                                cache.inner.freshness.traffic.unreadable();
                                counters.count(Outcome::Miss);
                                missing.push((position, None));
                            }
                        }
                    }
                    Look::Miss(stamps) | Look::Late { stamps, .. } => {
                        counters.count(Outcome::Miss);
                        missing.push((position, Some((question, stamps))));
                    }
                    Look::Bypass(reason) => {
                        counters.count(Outcome::Bypass(reason));
                        missing.push((position, None));
                    }
                }
            }
        }
    }
    if !missing.is_empty() {
        let wanted: Vec<_> = missing.iter().map(|(position, _)| &distinct[*position]).collect();
        let began = Instant::now();
        let loaded = load::<E, C>(&entity, &wanted, db).await?;
        let took = began.elapsed();
        let mut fills = Vec::new();
        for ((position, fill), row) in missing.into_iter().zip(loaded) {
            if let Some((question, stamps)) = fill
                && let Some(payload) = payload::<E>(cache, &entity, &row)
            {
                fills.push((question, stamps, Payload { took, ..payload }));
            }
            rows[position] = row;
        }
        cache.inner.freshness.fill_many(fills).await;
    }
    Ok(places.into_iter().map(|place| rows[place].clone()).collect())
}

async fn questions<C: ReadThrough>(
    db: &C,
    entity: &Arc<EntityDescriptor>,
    keys: impl Iterator<Item = &'_ [Value]>,
) -> Result<Vec<Question>, Bypass> {
    let reader = Reader::of(db).await?;
    if entity.policy.skip {
        return Err(Bypass::Skipped);
    }
    keys.map(|key| reader.row(entity, key)?.ok_or(Bypass::Uncacheable)).collect()
}

pub(crate) fn payload<E>(
    cache: &Cache,
    entity: &Arc<EntityDescriptor>,
    row: &Option<E::Model>,
) -> Option<Payload>
where
    E: EntityTrait<Model: Sync>,
    E::ActiveModel: TryIntoModel<E::Model>,
{
    match encode::<OneModel<E>>(row, &cache.inner, Some(entity)) {
        Ok(payload) => cache.storable(payload),
        Err(error) => {
            tracing::warn!(table = entity.table, %error, "a row is not stored");
            None
        }
    }
}

/// The rows from the database, in the order of the keys.
async fn load<E, C>(
    entity: &EntityDescriptor,
    keys: &[&Vec<Value>],
    db: &C,
) -> Result<Vec<Option<E::Model>>, DbErr>
where
    E: EntityTrait,
    E::Model: Send + Sync,
    C: ReadThrough,
{
    let mut found: HashMap<Vec<String>, E::Model> = HashMap::new();
    for chunk in keys.chunks(KEYS_PER_QUERY) {
        for model in E::find().filter(any_of::<E>(chunk)).all(db.source()).await? {
            found.insert(texts(&key_of::<E>(&model)), model);
        }
    }
    let mut rows: Vec<Option<E::Model>> = Vec::with_capacity(keys.len());
    let mut unmatched = Vec::new();
    for (position, key) in keys.iter().enumerate() {
        let row = found.get(&texts(key)).cloned();
        if row.is_none() {
            unmatched.push(position);
        }
        rows.push(row);
    }
    // The database compares more loosely than we do (collations, numbers of another scale): what
    // may be one of the rows it found is asked for one by one, as `find_by_id` would.
    if unmatched.is_empty() {
        return Ok(rows);
    }
    let knowledge = db.knowledge().await;
    let texts = |column: &KeyColumn| match &knowledge {
        Knowledge::Known(schema) => schema.texts(&entity.folded, entity.schema.is_some(), column.name),
        Knowledge::Unknown => TextEquality::Unforeseen,
    };
    let alike = |key: &[Value]| {
        let key = entity.key_text(key, texts)?;
        key.into_iter().map(|(_, text)| (text != KeyText::Odd).then_some(text)).collect::<Option<Vec<_>>>()
    };
    // What keys have in common that the database may hold equal; `None` of those that may be equal to any.
    let found: HashSet<_> = found.values().map(|model| alike(&key_of::<E>(model))).collect();
    let any_odd = found.contains(&None);
    for position in unmatched {
        let text = alike(keys[position]);
        if !found.is_empty() && (any_odd || text.is_none() || found.contains(&text)) {
            rows[position] =
                E::find().filter(any_of::<E>(&keys[position..=position])).one(db.source()).await?;
        }
    }
    Ok(rows)
}

fn key_of<E: EntityTrait>(model: &E::Model) -> Vec<Value> {
    E::PrimaryKey::iter().map(|key| model.get(key.into_column())).collect()
}

fn texts(key: &[Value]) -> Vec<String> {
    key.iter().map(|value| value_text(value).unwrap_or_default()).collect()
}

pub(super) fn any_of<E: EntityTrait>(keys: &[&Vec<Value>]) -> Condition {
    let columns: Vec<_> = E::PrimaryKey::iter().map(PrimaryKeyToColumn::into_column).collect();
    if let [column] = &columns[..] {
        return Condition::all().add(column.is_in(keys.iter().filter_map(|key| key.first().cloned())));
    }
    // One comparison per column: `(a, b) IN (...)` is not understood by every version in use.
    keys.iter().fold(Condition::any(), |any, key| {
        let each = columns.iter().zip(key.iter());
        any.add(each.fold(Condition::all(), |all, (column, value)| all.add(column.eq(value.clone()))))
    })
}
