//! The answer to a read: from memory, from the store or by its load, counted, and said in tracing.

use std::{future::Future, sync::Arc};

use sea_orm::DbErr;

use super::{
    codec::{Codec, Share, decode, encode},
    near::{at_hand, keep, on_proof},
    question::{Reader, Request, entity_of, label},
};
use crate::{
    ReadThrough, clock,
    entity::EntityDescriptor,
    freshness::{Bypass, Fetched, Loaded, Outcome, Question},
    near::Spot,
};

/// Answers a statement. `spot` is where the answer is in memory, if it may be there.
pub(super) async fn answer<C, D, L, F>(
    db: &D,
    spot: Option<Spot<'_>>,
    request: Request<'_>,
    load: L,
) -> Result<C::Shared, DbErr>
where
    C: Codec,
    D: ReadThrough,
    L: FnOnce() -> F,
    F: Future<Output = Result<C::Value, DbErr>>,
{
    let there = spot.as_ref().filter(|_| !request.options.fresh);
    if let Some(value) = there.and_then(|spot| at_hand::<C>(db, spot)) {
        return Ok(value);
    }
    // In a box, so that an answer from memory does not carry the space for all that follows.
    Box::pin(async {
        let cache = db.cache();
        let schema = db.schema_mark(clock::now());
        if let (Some(spot), Some(schema)) = (there, schema)
            && let Some(value) = on_proof::<C>(db, spot, schema).await
        {
            return Ok(value);
        }
        let analysis = cache.inner.analyse(db.get_database_backend(), &request.statement.sql);
        let entity = request.entity.clone().or_else(|| entity_of(cache, &analysis));
        let label = label(entity.as_deref(), &analysis);
        let question = match Reader::of(db).await {
            Ok(reader) => reader.question::<C>(&request, entity.as_ref(), &analysis),
            Err(reason) => Err(reason),
        };
        settle::<C, _, _, _>(db, (spot.as_ref(), schema), question, (entity.as_ref(), &label), load).await
    })
    .await
}

/// Answers a question, counts that, says it in tracing, and keeps the answer in memory if it may be.
pub(super) async fn settle<C, D, L, F>(
    db: &D,
    (spot, schema): (Option<&Spot<'_>>, Option<u64>),
    question: Result<Question, Bypass>,
    (entity, label): (Option<&Arc<EntityDescriptor>>, &str),
    load: L,
) -> Result<C::Shared, DbErr>
where
    C: Codec,
    D: ReadThrough,
    L: FnOnce() -> F,
    F: Future<Output = Result<C::Value, DbErr>>,
{
    let cache = db.cache();
    let result = match question {
        Err(reason) => load().await.map(|value| Fetched {
            value: C::Shared::share(value),
            outcome: Outcome::Bypass(reason),
            backing: None,
        }),
        Ok(question) => {
            let load = || async {
                let value = load().await?;
                // Without a family the answer depends on all user tags, and names none.
                let tagged = entity.map(|entity| &**entity).filter(|_| question.family.is_some());
                let payload = match encode::<C>(&value, &cache.inner, tagged) {
                    Ok(payload) => cache.storable(payload),
                    Err(error) => {
                        cache.inner.counters.not_stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        tracing::warn!(table = %label, %error, "an answer is not stored");
                        None
                    }
                };
                Ok(Loaded { value: C::Shared::share(value), payload })
            };
            cache.inner.freshness.fetch(&question, decode::<C>, load).await
        }
    };
    let counters = cache.inner.counters.table(label);
    match result {
        Ok(mut fetched) => {
            counters.count(fetched.outcome);
            tracing::debug!(table = %label, outcome = ?fetched.outcome, "cached read");
            keep::<C>(db, spot, schema, &counters, &mut fetched);
            Ok(fetched.value)
        }
        // A read that failed is a miss: it was asked for, and the cache had nothing.
        Err(error) => {
            counters.count(Outcome::Miss);
            Err(error)
        }
    }
}
