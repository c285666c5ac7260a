//! Reads that are answered from this process's memory.

use std::{any::TypeId, marker::PhantomData, sync::Arc};

use sea_orm::{EntityTrait, Statement, Value};

use super::{
    codec::{Codec, Share},
    question::ReadOptions,
};
use crate::{
    ReadThrough, clock,
    entity::encode_values,
    freshness::{Fetched, Freshness, Outcome},
    near::{Held, Spot, Trust, Values},
    observe::TableCounters,
    store::StoreState,
    watched,
};

/// Stands for a row of an entity by its key, whatever it was asked with.
struct RowOf<E>(PhantomData<E>);

/// Where a row is in memory; `None` if it cannot be there.
pub(super) fn spot_of_row<'a, E: EntityTrait>(db: &'a impl ReadThrough, key: &[Value]) -> Option<Spot<'a>> {
    let values = key_values(key).filter(|_| is_kept(db))?;
    Some(Spot { kind: TypeId::of::<RowOf<E>>(), text: "", values, session: db.session() })
}

/// Where the answer of a statement is in memory; `None` if it cannot be there.
pub(super) fn spot_of_answer<'a, C: Codec>(
    db: &'a impl ReadThrough,
    statement: &'a Statement,
    options: &ReadOptions,
) -> Option<Spot<'a>> {
    if !is_kept(db) || !options.of_memory(db.cache()) {
        return None;
    }
    let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
    let values = Values::Bytes(encode_values(values).ok()?.into());
    Some(Spot { kind: TypeId::of::<C>(), text: &statement.sql, values, session: db.session() })
}

fn is_kept(db: &impl ReadThrough) -> bool {
    let inner = &db.cache().inner;
    // What is in memory may be a moment older than the stamps that whoever watches has taken.
    let on_trust = !watched::is_watched();
    inner.freshness.near().is_some() && inner.config.enabled && !db.in_transaction() && on_trust
}

/// A key written down so that no two are alike. `None` if a part of it is NULL.
fn key_values(key: &[Value]) -> Option<Values> {
    match key {
        [Value::BigInt(Some(number))] => Some(Values::Number(number.cast_unsigned())),
        _ if key.iter().any(|value| *value == value.as_null()) => None,
        _ => Some(Values::Bytes(encode_values(key).ok()?.into())),
    }
}

/// What there is in memory.
pub(super) enum InMemory<T> {
    Answer(T),
    /// An answer that is to be loaded anew before its time is over, by this lot: ask the store.
    Due(f64),
    Nothing,
}

/// The answer, if it is in memory and may be served without asking anybody. Nothing is awaited and, but
/// for packed answers, nothing is copied.
pub(super) fn at_hand<C: Codec>(db: &impl ReadThrough, spot: &Spot<'_>) -> InMemory<C::Shared> {
    let freshness = &db.cache().inner.freshness;
    let now = clock::now();
    let held = freshness.near().zip(db.schema_mark(now)).and_then(|(near, schema)| {
        let held = near.get(spot, now)?;
        (held.schema == schema && near.trust(&held, now) == Trust::Full).then_some(held)
    });
    let Some(held) = held else { return InMemory::Nothing };
    if freshness.is_sampled() {
        return InMemory::Nothing;
    }
    match due(freshness, &held, now) {
        Some(luck) => InMemory::Due(luck),
        None => served::<C>(&held),
    }
}

/// The answer, if it is in memory and the store says that its stamps stand. One round trip at most.
pub(super) async fn on_proof<C: Codec>(
    db: &impl ReadThrough,
    spot: &Spot<'_>,
    schema: u64,
) -> InMemory<C::Shared> {
    let freshness = &db.cache().inner.freshness;
    let now = clock::now();
    let held = freshness.near().and_then(|near| {
        let held = near.get(spot, now).filter(|held| held.schema == schema)?;
        (near.trust(&held, now) != Trust::Doubt).then_some(held)
    });
    let Some(held) = held else { return InMemory::Nothing };
    if freshness.is_sampled() {
        return InMemory::Nothing;
    }
    if let Some(luck) = due(freshness, &held, now) {
        return InMemory::Due(luck);
    }
    match freshness.prove(&held).await {
        Some(true) => served::<C>(&held),
        _ => InMemory::Nothing,
    }
}

/// Is it to be loaded anew? Not while the store is away: memory is all there is then.
fn due(freshness: &Freshness, held: &Held, now: u64) -> Option<f64> {
    let luck = held.draw(now)?;
    (freshness.store().state() == StoreState::Ready).then_some(luck)
}

fn served<C: Codec>(held: &Held) -> InMemory<C::Shared> {
    let Some(value) = C::Shared::kept(held.value()) else { return InMemory::Nothing };
    held.counters.count(Outcome::Near);
    tracing::trace!("answered from memory");
    InMemory::Answer(value)
}

/// Keeps an answer in memory, if something keeps it right.
pub(super) fn keep<C: Codec>(
    db: &impl ReadThrough,
    spot: Option<&Spot<'_>>,
    schema: Option<u64>,
    counters: &Arc<TableCounters>,
    fetched: &mut Fetched<C::Shared>,
) {
    let backing = fetched.backing.take();
    let (Some(near), Some(spot)) = (db.cache().inner.freshness.near(), spot) else { return };
    match (schema, backing) {
        (Some(schema), Some(backing)) => {
            let kept = fetched.value.keep(&backing);
            near.insert(spot.to_key(), Held::new(near, kept, backing, schema, counters.clone()));
        }
        // What is there is older than what was loaded now.
        _ if fetched.outcome == Outcome::Miss => near.remove(spot),
        _ => {}
    }
}
