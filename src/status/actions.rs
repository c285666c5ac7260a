//! What an operator may do: invalidate, and set the counters to zero. Everything stays inside the
//! cache's own namespace, because the cache can name nothing else.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use sea_orm::Value;
use serde::{Deserialize, Serialize};

use super::{Problem, Shared, entries};
use crate::{Cache, freshness::PurgeSet};

/// The longest name that is taken.
const LONGEST_NAME: usize = 1024;
/// A walk through the store ends after this time.
const LONGEST_WALK: Duration = Duration::from_secs(20);

/// What is to become a miss.
#[derive(Deserialize)]
#[serde(tag = "scope", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Invalidation {
    /// Everything in the namespace, which has to be named.
    All {
        confirm: Option<String>,
    },
    /// Everything that was read from a table. With `drop` its entries are also taken out of the store,
    /// to give the memory back.
    #[serde(alias = "entity")]
    Table {
        table: String,
        #[serde(default)]
        drop: bool,
    },
    /// One row of a declared entity.
    Row {
        table: String,
        key: Key,
    },
    Tag {
        tag: String,
    },
    Group {
        group: String,
    },
    /// Entries by their keys, which can be all of them: the namespace has to be named.
    Pattern {
        pattern: String,
        confirm: Option<String>,
    },
}

/// A primary key: one value, or one for each column.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    One(KeyPart),
    Many(Vec<KeyPart>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum KeyPart {
    Flag(bool),
    Signed(i64),
    Unsigned(u64),
    Text(String),
}

#[derive(Serialize)]
pub(super) struct Done {
    /// The store has taken it. If not, it is queued, and this process reads from the database what it
    /// concerns.
    delivered: bool,
    /// Entries that were dropped, where entries were to be dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u64>,
}

/// An empty object, so that nothing is done by accident.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

pub(super) async fn reset_stats(
    State(shared): State<Arc<Shared>>,
    request: Result<Json<Nothing>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let Json(Nothing {}) = request.map_err(unreadable)?;
    shared.cache.reset_stats();
    tracing::info!("statistics were reset by an operator");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn invalidate(
    State(shared): State<Arc<Shared>>,
    request: Result<Json<Invalidation>, JsonRejection>,
) -> Result<Json<Done>, Problem> {
    let Json(invalidation) = request.map_err(unreadable)?;
    let cache = &shared.cache;
    let mut dropped = None;
    let scope = match invalidation {
        Invalidation::All { confirm } => {
            confirmed(cache, confirm.as_deref())?;
            cache.clear().await;
            "all"
        }
        Invalidation::Table { table, drop } => {
            cache.invalidate_table(named(&table)?).await;
            if drop {
                // They are misses already; this is for their memory.
                dropped = Some(bounded(entries::drop_of(cache, &table.to_lowercase())).await?);
            }
            "table"
        }
        Invalidation::Row { table, key } => {
            let set = purge_of_row(cache, named(&table)?, key)?;
            cache.inner.freshness.invalidate(set).await;
            "row"
        }
        Invalidation::Tag { tag } => {
            cache.invalidate_tag(named(&tag)?).await;
            "tag"
        }
        Invalidation::Group { group } => {
            cache.invalidate_group(named(&group)?).await;
            "group"
        }
        Invalidation::Pattern { pattern, confirm } => {
            confirmed(cache, confirm.as_deref())?;
            dropped = Some(bounded(cache.invalidate_pattern(named(&pattern)?)).await?);
            "pattern"
        }
    };
    // Names may hold data.
    tracing::info!(scope, "an operator invalidated");
    Ok(Json(Done { delivered: cache.stats().undelivered_tags == 0, dropped }))
}

fn confirmed(cache: &Cache, given: Option<&str>) -> Result<(), Problem> {
    let namespace = &cache.config().namespace;
    if given == Some(namespace) {
        return Ok(());
    }
    let message = "This can empty the whole namespace. Put its name into the field `confirm`.";
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-confirmed", message))
}

fn named(name: &str) -> Result<&str, Problem> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        let message = format!("A name has between 1 and {LONGEST_NAME} bytes.");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-name", message));
    }
    Ok(name)
}

fn purge_of_row(cache: &Cache, table: &str, key: Key) -> Result<PurgeSet, Problem> {
    let folded = table.to_lowercase();
    let values: Vec<Value> = match key {
        Key::One(part) => vec![part.into()],
        Key::Many(parts) => parts.into_iter().map(Into::into).collect(),
    };
    let mut set = PurgeSet::default();
    for entity in cache.inner.registry.entities() {
        if *entity.folded != *folded {
            continue;
        }
        if entity.key.len() != values.len() {
            let message = format!("Its primary key has {} columns.", entity.key.len());
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-key", message));
        }
        // A key that does not fit its column stands for every row.
        cache.inner.purge_row(&mut set, &entity, &values);
    }
    if set.is_empty() {
        let message = "No entity of this process is declared for that table; invalidate the table.";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unknown-table", message));
    }
    Ok(set)
}

/// Ends a walk through the store that takes too long; what was dropped by then is dropped.
pub(super) async fn bounded<T>(
    walk: impl Future<Output = Result<T, crate::CacheError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(LONGEST_WALK, walk).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store-away", error.to_string())),
        Err(_) => {
            let message = format!("It was not done after {} seconds.", LONGEST_WALK.as_secs());
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-long", message))
        }
    }
}

pub(super) fn unreadable(rejection: JsonRejection) -> Problem {
    Problem::new(rejection.status(), "unreadable", rejection.body_text())
}

impl From<KeyPart> for Value {
    fn from(part: KeyPart) -> Self {
        match part {
            KeyPart::Flag(flag) => flag.into(),
            KeyPart::Signed(number) => number.into(),
            KeyPart::Unsigned(number) => number.into(),
            KeyPart::Text(text) => text.into(),
        }
    }
}
