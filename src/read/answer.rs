//! From a statement to its question, and from the question to its answer.

use std::{future::Future, sync::Arc, time::Duration};

use sea_orm::{DbErr, Statement, Value};

use super::codec::{Codec, decode, encode};
use crate::{
    Cache, ReadThrough,
    connection::dialect,
    entity::{EntityDescriptor, TtlSpec, encode_values, value_text},
    freshness::{Bypass, Loaded, Outcome, Question},
    keys::KeyHash,
    statement::Analysis,
};

/// What the caller said about one read.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadOptions {
    pub(crate) ttl: Option<TtlSpec>,
    pub(crate) tags: Vec<String>,
    pub(crate) fresh: bool,
}

/// A read about to be answered.
pub(crate) struct Request<'a> {
    pub(crate) statement: &'a Statement,
    /// The entity whose policy counts; `None` for selects that have lost their entity.
    pub(crate) entity: Option<Arc<EntityDescriptor>>,
    /// The entity on the other side of a join whose rows come with it.
    pub(crate) joined: Option<Arc<EntityDescriptor>>,
    /// The primary key, if this is one row by its key and all its columns.
    pub(crate) row: Option<&'a [Value]>,
    pub(crate) options: &'a ReadOptions,
}

/// Answers a read from the cache or by `load`, counts it, and says so in tracing.
pub(crate) async fn answer<C, D, L, F>(db: &D, request: Request<'_>, load: L) -> Result<C::Value, DbErr>
where
    C: Codec,
    D: ReadThrough,
    L: FnOnce() -> F,
    F: Future<Output = Result<C::Value, DbErr>>,
{
    let cache = db.cache();
    let analysis = cache.inner.memo.analyse(dialect(db.get_database_backend()), &request.statement.sql);
    let entity = request.entity.clone().or_else(|| entity_of(cache, &analysis));
    let label = label(entity.as_deref(), &analysis);
    let result = match question::<C>(db, &request, entity.as_ref(), &analysis) {
        Err(reason) => {
            let outcome = Outcome::Bypass(reason);
            load().await.map(|value| (value, outcome))
        }
        Ok(question) => {
            let load = || async {
                let value = load().await?;
                // Without a family the answer depends on all user tags, and names none.
                let tagged = entity.as_deref().filter(|_| question.family.is_some());
                let payload = match encode::<C>(&value, &cache.inner, tagged) {
                    Ok(payload) => cache.storable(payload),
                    Err(error) => {
                        cache.inner.counters.not_stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        tracing::warn!(table = %label, %error, "an answer is not stored");
                        None
                    }
                };
                Ok(Loaded { value, payload })
            };
            let fetched = cache.inner.freshness.fetch(&question, decode::<C>, load).await;
            fetched.map(|fetched| (fetched.value, fetched.outcome))
        }
    };
    match result {
        Ok((value, outcome)) => {
            cache.inner.counters.table(&label).count(outcome);
            tracing::debug!(table = %label, ?outcome, "cached read");
            Ok(value)
        }
        // A read that failed is a miss: it was asked for, and the cache had nothing.
        Err(error) => {
            cache.inner.counters.table(&label).count(Outcome::Miss);
            Err(error)
        }
    }
}

/// The question that the read asks of the cache, or why it must not ask.
fn question<C: Codec>(
    db: &impl ReadThrough,
    request: &Request<'_>,
    entity: Option<&Arc<EntityDescriptor>>,
    analysis: &Analysis,
) -> Result<Question, Bypass> {
    let cache = db.cache();
    let config = &cache.inner.config;
    if !config.enabled {
        return Err(Bypass::Disabled);
    }
    if db.in_transaction() {
        return Err(Bypass::InTransaction);
    }
    let skipped = |entity: &Arc<EntityDescriptor>| entity.policy.skip;
    // A select that has lost its entity may hold columns of any table that it reads.
    let any_skipped = request.entity.is_none() && declared(cache, analysis).any(|entity| entity.policy.skip);
    if entity.is_some_and(skipped) || request.joined.as_ref().is_some_and(skipped) || any_skipped {
        return Err(Bypass::Skipped);
    }
    if let Err(reason) = &analysis.cacheable {
        tracing::debug!(%reason, "a select that cannot be cached goes to the database");
        return Err(Bypass::Uncacheable);
    }
    if request.options.ttl.is_some_and(|spec| config.ttl(spec) < Duration::from_millis(1)) {
        return Err(Bypass::Uncacheable);
    }
    let mut question = match (request.row, entity) {
        (Some(key), Some(entity)) => row_question(cache, entity, key),
        _ => None,
    }
    .or_else(|| query_question::<C>(cache, request, entity, analysis))
    .ok_or(Bypass::Uncacheable)?;
    if let Some(spec) = request.options.ttl {
        question.ttl = config.ttl(spec);
        question.negative_ttl = question.negative_ttl.min(question.ttl);
    }
    question.fresh = request.options.fresh;
    question.also = request.options.tags.iter().map(|tag| cache.inner.keys.user_tag(tag)).collect();
    Ok(question)
}

/// One row by its primary key. `None` if the key holds a NULL.
pub(crate) fn row_question(cache: &Cache, entity: &Arc<EntityDescriptor>, key: &[Value]) -> Option<Question> {
    let inner = &cache.inner;
    let folded = entity.table.to_lowercase();
    let exact: Vec<String> = key.iter().map(value_text).collect::<Option<_>>()?;
    if exact.len() != entity.key.len() || exact.is_empty() {
        return None;
    }
    let mut tags = shared_tags(cache, entity);
    tags.push(inner.keys.any_row(&folded));
    let named = entity.key_text(key);
    let has_tag = named.is_some();
    tags.extend(named.map(|named| inner.keys.row_tag(&folded, named)));
    let table = tags.len();
    tags.push(inner.keys.table(&folded));
    let mut question = bare(cache, inner.row_entry(entity, &exact), tags, Some(entity));
    // A row that is there changes only with its own tags; one that is not there may come with any
    // insert into the table. A row that no tag can name depends on the table, since other code
    // may know a key that names it.
    if has_tag {
        question.only_if_missing = vec![table];
    }
    Some(question)
}

/// The answer of a statement.
fn query_question<C: Codec>(
    cache: &Cache,
    request: &Request<'_>,
    entity: Option<&Arc<EntityDescriptor>>,
    analysis: &Analysis,
) -> Option<Question> {
    let inner = &cache.inner;
    if analysis.reads.is_empty() {
        return None;
    }
    let statement = request.statement;
    let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
    let encoded = encode_values(values).ok()?;
    let backend = format!("{:?}", statement.db_backend);
    let hash = KeyHash::of(&[C::NAME.as_bytes(), backend.as_bytes(), statement.sql.as_bytes(), &encoded]);
    let group = entity.and_then(|entity| entity.policy.namespace);
    let label = label(entity.map(|entity| &**entity), analysis);
    let key = inner.keys.query(group, &label, hash, C::fingerprint(&inner.registry));
    let mut tags = match entity {
        Some(entity) => shared_tags(cache, entity),
        None => vec![inner.keys.everything()],
    };
    for read in &analysis.reads {
        let tag = inner.keys.table(&read.table.fold());
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    let mut question = bare(cache, key, tags, entity);
    // Tag templates of rows that cannot be asked for their columns: of a joined entity, or of any
    // table behind a select that has lost its entity. Such an answer depends on all user tags.
    let has_tags = |entity: &Arc<EntityDescriptor>| !entity.policy.tags.is_empty();
    let lost = request.entity.is_none() && declared(cache, analysis).any(|entity| has_tags(&entity));
    if request.joined.as_ref().is_some_and(has_tags) || lost {
        if question.family.is_none() {
            question.tags.push(inner.keys.any_user_tag());
        }
        question.family = None;
    }
    Some(question)
}

/// The tags that all row entries of an entity ask for, whatever their key.
pub(crate) fn table_tags(cache: &Cache, entity: &EntityDescriptor) -> Vec<crate::store::TagKey> {
    let folded = entity.table.to_lowercase();
    let mut tags = shared_tags(cache, entity);
    tags.push(cache.inner.keys.any_row(&folded));
    tags.push(cache.inner.keys.table(&folded));
    tags
}

/// The tags that every entry of an entity has.
fn shared_tags(cache: &Cache, entity: &EntityDescriptor) -> Vec<crate::store::TagKey> {
    let keys = &cache.inner.keys;
    let mut tags = Vec::with_capacity(6);
    tags.push(keys.everything());
    if let Some(group) = entity.policy.namespace {
        tags.push(keys.group(group));
    }
    if !entity.policy.tags.is_empty() {
        tags.push(keys.any_user_tag());
    }
    tags
}

fn bare(
    cache: &Cache,
    key: crate::store::EntryKey,
    tags: Vec<crate::store::TagKey>,
    entity: Option<&Arc<EntityDescriptor>>,
) -> Question {
    let config = &cache.inner.config;
    let policy = entity.map(|entity| &entity.policy);
    let or = |spec: Option<TtlSpec>, default| config.ttl(spec.unwrap_or(TtlSpec::For(default)));
    let ttl = or(policy.and_then(|policy| policy.ttl), config.default_ttl);
    let negative = or(policy.and_then(|policy| policy.negative_ttl), config.negative_ttl);
    let family = policy.filter(|policy| !policy.tags.is_empty()).and_then(|_| {
        let any = cache.inner.keys.any_user_tag();
        tags.iter().position(|tag| *tag == any)
    });
    Question {
        key,
        tags,
        only_if_missing: Vec::new(),
        family,
        also: Vec::new(),
        ttl,
        negative_ttl: negative.min(ttl),
        fresh: false,
    }
}

/// The entities declared on the tables that a select reads.
fn declared<'a>(
    cache: &'a Cache,
    analysis: &'a Analysis,
) -> impl Iterator<Item = Arc<EntityDescriptor>> + 'a {
    let policies = analysis.reads.iter().filter_map(|read| cache.inner.registry.table(&read.table.fold()));
    policies.flat_map(|policy| policy.entities.clone())
}

/// The entity declared on the first table that a select reads.
fn entity_of(cache: &Cache, analysis: &Analysis) -> Option<Arc<EntityDescriptor>> {
    let table = &analysis.reads.first()?.table;
    cache.inner.registry.table(&table.fold())?.entities.first().cloned()
}

fn label(entity: Option<&EntityDescriptor>, analysis: &Analysis) -> String {
    match (entity, analysis.reads.first()) {
        (Some(entity), _) => entity.table.to_lowercase(),
        (None, Some(read)) => read.table.fold().into_owned(),
        (None, None) => "(none)".to_owned(),
    }
}
