//! A hit in memory beside the bare map, and a hit through a select beside the building of that select; with
//! the allocations of each.

use std::{future::Future, hint::black_box, sync::Arc, time::Duration};

use anyhow::Result;
use sea_orm::{DbBackend, EntityTrait, QueryTrait};
use sea_orm_cache::{CachedConnection, prelude::*};

use super::Plan;
use crate::{
    allocations, book,
    contest::Contest,
    drive::Pace,
    near,
    place::{POOL, Place},
    sheet::Sheet,
};

pub const SCENARIO: &str = "near-hit";
/// The cases, as the bounds name them.
pub const BY_KEY: &str = "by key, 1 thread";
pub const BY_SELECT: &str = "through a select, 1 thread";
pub const MAP: &str = "quick_cache, get of an Arc";
pub const BUILD: &str = "SeaORM, building the select";
pub const OURS: &str = "ours: near hit";
pub const OWNED: &str = "ours: near hit, the model cloned";
pub const ALLOCATIONS: &str = "allocations/op";

const DATABASE_NAME: &str = "bench_near_hit";
const STALENESS: Duration = Duration::from_millis(100);

pub async fn run(place: &Place, plan: &Plan, sheet: &mut Sheet) -> Result<()> {
    place.seed(plan.rows).await?;
    place.fresh_database(DATABASE_NAME).await?;
    let keys = plan.size(10_000, 1000).min(plan.rows as i64);
    let ids: Arc<[i64]> = (1..=keys).collect();
    sheet.note(SCENARIO, format!("{keys} rows, one after the other"));

    let builder = near::with_near(place.cache("bench-near-hit"), near::ROOMY, STALENESS);
    let db = place.connect(DATABASE_NAME, POOL).await?.cached_by(builder.build().await?);
    let db: &'static CachedConnection = Box::leak(Box::new(db));
    let map =
        &*Box::leak(Box::new(quick_cache::sync::Cache::<i64, Arc<book::Model>>::new(4 * keys as usize)));
    for &id in ids.iter() {
        if let Some(row) = near::by_id(id, db).await? {
            map.insert(id, row);
        }
        // Once more: the first read may have stored it in Redis alone.
        near::by_id(id, db).await?;
    }

    let pace = Pace { tasks: 1, time: plan.turn, timed: 256 };
    let get = move |id: i64| async move {
        black_box(map.get(black_box(&id)));
        Ok(())
    };
    let build = move |id: i64| async move {
        black_box(book::Entity::find_by_id(black_box(id)).build(DbBackend::Postgres));
        Ok(())
    };
    let by_key = move |id: i64| async move {
        black_box(near::by_id(black_box(id), db).await?);
        Ok(())
    };
    let owned = move |id: i64| async move {
        black_box(book::Entity::cached_by_id(black_box(id), db).await?);
        Ok(())
    };
    let by_select = move |id: i64| async move {
        black_box(near::by_select(black_box(id), db).await?);
        Ok(())
    };

    count(sheet, BY_KEY, MAP, &ids, get).await?;
    count(sheet, BY_SELECT, BUILD, &ids, build).await?;
    let mut contest = Contest::new(SCENARIO, BY_KEY);
    contest.enter(MAP, pace, &ids, get);
    count(sheet, BY_KEY, OURS, &ids, by_key).await?;
    count(sheet, BY_KEY, OWNED, &ids, owned).await?;
    contest.enter(OURS, pace, &ids, by_key);
    contest.enter(OWNED, pace, &ids, owned);
    contest.run(plan.rounds, sheet).await?;

    let mut contest = Contest::new(SCENARIO, BY_SELECT);
    contest.enter(BUILD, pace, &ids, build);
    count(sheet, BY_SELECT, OURS, &ids, by_select).await?;
    contest.enter(OURS, pace, &ids, by_select);
    contest.run(plan.rounds, sheet).await
}

/// Allocations per operation, five times. What runs in the background (a heartbeat) counts too.
async fn count<O, F>(sheet: &mut Sheet, case: &str, system: &str, ids: &[i64], operation: O) -> Result<()>
where
    O: Fn(i64) -> F,
    F: Future<Output = Result<()>>,
{
    for _ in 0..5 {
        allocations::start();
        for &id in ids {
            operation(id).await?;
        }
        let counted = allocations::stop();
        sheet.add(SCENARIO, case, system, ALLOCATIONS, counted.allocations as f64 / ids.len() as f64);
    }
    Ok(())
}
