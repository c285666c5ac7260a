//! The answer to a read: from the cache or by its load, counted, and said in tracing.

use std::future::Future;

use sea_orm::DbErr;

use super::{
    codec::{Codec, decode, encode},
    question::{Reader, Request, entity_of, label},
};
use crate::{
    ReadThrough,
    freshness::{Loaded, Outcome},
};

/// Answers a read from the cache or by `load`, counts it, and says so in tracing.
pub(crate) async fn answer<C, D, L, F>(db: &D, request: Request<'_>, load: L) -> Result<C::Value, DbErr>
where
    C: Codec,
    D: ReadThrough,
    L: FnOnce() -> F,
    F: Future<Output = Result<C::Value, DbErr>>,
{
    let cache = db.cache();
    let analysis = cache.inner.analyse(db.get_database_backend(), &request.statement.sql);
    let entity = request.entity.clone().or_else(|| entity_of(cache, &analysis));
    let label = label(entity.as_deref(), &analysis);
    let question = match Reader::of(db).await {
        Ok(reader) => reader.question::<C>(&request, entity.as_ref(), &analysis),
        Err(reason) => Err(reason),
    };
    let result = match question {
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
