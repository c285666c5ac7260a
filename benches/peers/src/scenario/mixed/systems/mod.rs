//! The systems of the mixed load, one a file: each reads a row by its key and writes its version in the way
//! that its documentation shows, and the fastest of these ways where there are several.

pub mod by_hand;
pub mod cached;
pub mod fnct;
pub mod moka;
pub mod multi_tier;
pub mod ours;
pub mod plain;
pub mod tide;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::{Context, Result};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DatabaseConnection, EntityTrait};

use crate::{
    book,
    place::{POOL, Place},
};

/// Where a system runs.
#[derive(Clone, Debug)]
pub struct Site {
    pub place: Place,
    /// Its database, which no other system writes to.
    pub database: String,
    /// What its keys in Redis begin with.
    pub namespace: String,
    pub counts: Arc<Counts>,
}

/// Statements sent to the database, counted at the connection.
#[derive(Debug, Default)]
pub struct Counts {
    pub selects: AtomicU64,
    /// Without BEGIN and COMMIT, which the driver does not report.
    pub statements: AtomicU64,
}

/// A way to read and write rows.
pub trait System: Send + Sync + Sized + 'static {
    /// Connects.
    fn open(site: &Site) -> impl Future<Output = Result<Self>> + Send;
    /// Reads a row the cached way, as the caller would have it, and returns its version.
    fn read(&self, id: i64) -> impl Future<Output = Result<i32>> + Send;
    /// Sets the version of a row, and invalidates what it has to.
    fn write(&self, id: i64, version: i32) -> impl Future<Output = Result<()>> + Send;
    /// What the system counts itself, and is worth a column: a name, and how often so far.
    fn counters(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
    /// SELECTs that it sent, for a system that does not use the site's connection.
    fn selects(&self) -> Option<u64> {
        None
    }
}

/// The names, as figures have them.
pub const OURS: &str = "ours, without near cache";
pub const OURS_NEAR: &str = "ours, with near cache";
pub const OURS_AFTER: &str = "ours, AfterCommit, with near cache";
pub const PLAIN: &str = "SeaORM alone";
pub const BY_HAND: &str = "cache-aside by hand";
pub const TIDE: &str = "tideorm query cache";
pub const FNCT: &str = "fnct";
pub const MULTI_TIER: &str = "multi-tier-cache";
pub const MOKA: &str = "moka get_with";
pub const CACHED: &str = "cached, Redis store";

/// All of them: name, a word for keys and databases, and why it is left out with several processes.
pub const ALL: &[(&str, &str, Option<&str>)] = &[
    (OURS, "ours", None),
    (OURS_NEAR, "ours_near", None),
    (OURS_AFTER, "ours_after", None),
    (PLAIN, "plain", None),
    (BY_HAND, "by_hand", None),
    (TIDE, "tide", Some("its cache is in the process, and other processes would not hear of a write")),
    (FNCT, "fnct", None),
    (MULTI_TIER, "multi_tier", None),
    (MOKA, "moka", Some("it is in the process, and other processes would not hear of a write")),
    (CACHED, "cached", None),
];

impl Site {
    /// A pool whose statements are counted.
    pub async fn connect(&self) -> Result<DatabaseConnection> {
        let mut database = self.place.connect(&self.database, POOL).await?;
        let counts = self.counts.clone();
        database.set_metric_callback(move |info| {
            counts.statements.fetch_add(1, Relaxed);
            if info.statement.sql.starts_with("SELECT") && info.statement.sql.contains("\"book\"") {
                counts.selects.fetch_add(1, Relaxed);
            }
        });
        Ok(database)
    }
}

/// The row from the database.
pub async fn load(id: i64, database: &impl ConnectionTrait) -> Result<book::Model> {
    book::Entity::find_by_id(id).one(database).await?.with_context(|| format!("there is no row {id}"))
}

/// One UPDATE of the changed column, as SeaORM's guide shows it.
pub async fn update(id: i64, version: i32, database: &impl ConnectionTrait) -> Result<()> {
    let row = book::ActiveModel { id: Set(id), version: Set(version), ..Default::default() };
    row.update(database).await?;
    Ok(())
}
