//! The answer to a read: from memory, from the store or by its load, counted, and said in tracing.

use std::sync::Arc;

use bytes::Bytes;
use sea_orm::DbErr;

use super::{
    codec::{Codec, Share, decode, encode},
    load::Load,
    near::{InMemory, at_hand, keep, on_proof},
    question::{Reader, Request, entity_of, label},
};
use crate::{
    Cache, ReadThrough, clock,
    connection::Sealed as _,
    entity::EntityDescriptor,
    freshness::{Bypass, Detached, Fetched, Loaded, Outcome, Payload, PayloadKind, Question},
    near::Spot,
};

/// Answers a statement. `spot` is where the answer is in memory, if it may be there; `load` is made if it is
/// not.
pub(super) async fn answer<C, D, L>(
    db: &D,
    spot: Option<Spot<'_>>,
    request: Request<'_>,
    load: impl FnOnce() -> L + Send,
) -> Result<C::Shared, DbErr>
where
    C: Codec,
    D: ReadThrough,
    L: Load<C::Value>,
{
    let there = spot.as_ref().filter(|_| !request.options.fresh);
    let mut luck = None;
    match there.map_or(InMemory::Nothing, |spot| at_hand::<C>(db, spot)) {
        InMemory::Answer(value) => return Ok(value),
        InMemory::Due(lot) => luck = Some(lot),
        InMemory::Nothing => {}
    }
    // In a box, so that an answer from memory does not carry the space for all that follows.
    Box::pin(async {
        let cache = db.cache();
        let schema = db.schema_mark(clock::now());
        if let (Some(spot), Some(schema)) = (there, schema)
            && luck.is_none()
        {
            match on_proof::<C>(db, spot, schema).await {
                InMemory::Answer(value) => return Ok(value),
                InMemory::Due(lot) => luck = Some(lot),
                InMemory::Nothing => {}
            }
        }
        let analysis = cache.inner.analyse(db.get_database_backend(), &request.statement.sql);
        let entity = request.entity.clone().or_else(|| entity_of(cache, &analysis));
        let label = label(entity.as_deref(), &analysis);
        let question = match Reader::of(db).await {
            Ok(reader) => reader.question::<C>(&request, entity.as_ref(), &analysis),
            Err(reason) => Err(reason),
        };
        let question = question.map(|question| question.with_luck(luck));
        settle::<C, _>(db, (spot.as_ref(), schema), question, (entity.as_ref(), &label), load()).await
    })
    .await
}

/// Answers a question, counts that, says it in tracing, and keeps the answer in memory if it may be.
pub(super) async fn settle<C, D>(
    db: &D,
    (spot, schema): (Option<&Spot<'_>>, Option<u64>),
    question: Result<Question, Bypass>,
    (entity, label): (Option<&Arc<EntityDescriptor>>, &str),
    load: impl Load<C::Value>,
) -> Result<C::Shared, DbErr>
where
    C: Codec,
    D: ReadThrough,
{
    let cache = db.cache();
    let result = match question {
        Err(reason) => load.load(db.source()).await.map(|value| Fetched {
            value: C::Shared::share(value),
            outcome: Outcome::Bypass(reason),
            backing: None,
        }),
        Ok(question) => {
            // Without a family the answer depends on all user tags, and names none.
            let tagged = entity.filter(|_| question.family.is_some());
            let now = || async {
                let value = load.clone().load(db.source()).await?;
                let payload = payload::<C>(cache, &value, tagged, label);
                Ok(Loaded { value: C::Shared::share(value), payload })
            };
            let apart = || detached::<C>(db, load.clone(), tagged, label);
            cache.inner.freshness.fetch(&question, readable::<C>(cache), now, apart).await
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

/// Decodes answers, and counts those that cannot be.
fn readable<C: Codec>(cache: &Cache) -> impl Fn(PayloadKind, &Bytes) -> Option<C::Shared> + '_ {
    |kind, bytes| {
        let value = decode::<C>(kind, bytes);
        if value.is_none() {
            cache.inner.freshness.traffic.unreadable();
        }
        value
    }
}

/// What is stored of an answer, if it may be.
fn payload<C: Codec>(
    cache: &Cache,
    value: &C::Value,
    tagged: Option<&Arc<EntityDescriptor>>,
    label: &str,
) -> Option<Payload> {
    match encode::<C>(value, &cache.inner, tagged.map(|entity| &**entity)) {
        Ok(payload) => cache.storable(payload),
        Err(error) => {
            cache.inner.counters.not_stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tracing::warn!(table = %label, %error, "an answer is not stored");
            None
        }
    }
}

/// The load as it goes on by itself, on a connection of its own; `None` if there is none.
pub(super) fn detached<C: Codec>(
    db: &impl ReadThrough,
    load: impl Load<C::Value>,
    tagged: Option<&Arc<EntityDescriptor>>,
    label: &str,
) -> Option<Detached> {
    let db = db.on_its_own()?;
    let (tagged, label) = (tagged.cloned(), label.to_owned());
    Some(Box::pin(async move {
        match load.load(db.source()).await {
            Ok(value) => Some(payload::<C>(db.cache(), &value, tagged.as_ref(), &label)),
            Err(error) => {
                tracing::debug!(table = %label, %error, "a load in the background failed");
                None
            }
        }
    }))
}
