//! What a write purges besides what was read from its table, because somebody declared it.

use std::time::Duration;

use sea_orm::{ActiveValue::Set, entity::prelude::*};
use sea_orm_cache::{Cache, CachedBy, CachedConnection, EntryOptions, TableRule, WriteKind};

use crate::{
    entity::shelf,
    support::{Backend, TestDatabase, unique_namespace},
    world::{StoreKind, builder},
};

async fn shop(store: StoreKind) -> Option<(CachedConnection, TestDatabase)> {
    // Each purges the other's, which ends where it began.
    let shelves = TableRule::new()
        .purges("shelves")
        .purges("analytics:*")
        .purges_on(WriteKind::Insert, "opened")
        .purges_on(WriteKind::Update, "relabelled")
        .purges_on(WriteKind::Delete, "closed")
        .also_writes("shelf_log");
    let log = TableRule::new().purges("log").also_writes("SHELF");
    let cache = builder(store, &unique_namespace())?.table("shop.Shelf", shelves).table("shelf_log", log);
    let database = TestDatabase::create(Backend::Sqlite).await?;
    database.execute("CREATE TABLE shelf (id INTEGER PRIMARY KEY, label TEXT NOT NULL)").await;
    database.execute("CREATE TABLE shelf_log (what TEXT NOT NULL)").await;
    database
        .execute(
            "CREATE TRIGGER log_shelf AFTER UPDATE ON shelf BEGIN INSERT INTO shelf_log VALUES (new.label); END",
        )
        .await;
    Some((database.connection().clone().cached_by(cache.build().await.unwrap()), database))
}

/// Which of these entries are gone? All are put back.
async fn gone(db: &CachedConnection) -> Vec<&'static str> {
    let entries: [(&str, EntryOptions); 9] = [
        ("of shelves", EntryOptions::new().tag("shelves")),
        ("analytics:2024", EntryOptions::new()),
        ("analytics:2024:may", EntryOptions::new()),
        ("tagged", EntryOptions::new().tag("analytics:x")),
        ("analytic", EntryOptions::new().tag("analytics")),
        ("opened", EntryOptions::new().tag("opened")),
        ("relabelled", EntryOptions::new().tag("relabelled")),
        ("closed", EntryOptions::new().tag("closed")),
        ("of the log", EntryOptions::new().tag("log")),
    ];
    let mut gone = Vec::new();
    for (key, options) in entries {
        if db.cache().get::<u8>(key).await.unwrap().is_none() {
            gone.push(key);
        }
        db.cache().set(key, &1_u8, options.ttl(Duration::from_secs(60))).await.unwrap();
    }
    gone
}

// FEATURES A5, A7
#[tokio::test]
async fn writes_purge_what_was_declared_for_their_kind() {
    for store in [StoreKind::Memory, StoreKind::Redis] {
        let Some((db, _database)) = shop(store).await else { continue };
        assert_eq!(gone(&db).await.len(), 9);
        assert!(gone(&db).await.is_empty());
        let always = ["of shelves", "analytics:2024", "analytics:2024:may", "tagged"];
        let shelf = shelf::ActiveModel { id: Set(1), label: Set("new".into()) };
        let undone = shelf::Entity::insert(shelf);
        undone.exec_without_returning(&db).await.unwrap();
        // What the log's rule says of shelves is as good as any write to them.
        let all = [&always[..], &["opened", "relabelled", "closed", "of the log"]].concat();
        assert_eq!(gone(&db).await, all, "{store:?}");
        assert!(gone(&db).await.is_empty());
        db.cache().invalidate_tags(&["analytics:*"]).await;
        assert_eq!(gone(&db).await, always[1..], "{store:?}");
        db.cache().invalidate_tags(&["analytics:2024:*"]).await;
        assert_eq!(gone(&db).await, always[1..], "{store:?}: what it says is a part of what it purges");
    }
}

#[tokio::test]
async fn each_kind_of_write_has_its_own_dependents() {
    for store in [StoreKind::Memory, StoreKind::Redis] {
        let rule = TableRule::new()
            .purges_on(WriteKind::Insert, "opened")
            .purges_on(WriteKind::Update, "relabelled")
            .purges_on(WriteKind::Delete, "closed")
            .harmless_triggers();
        let Some(builder) = builder(store, &unique_namespace()) else { continue };
        let Some(database) = TestDatabase::create(Backend::Sqlite).await else { continue };
        database.execute("CREATE TABLE shelf (id INTEGER PRIMARY KEY, label TEXT NOT NULL)").await;
        let cache = builder.table("shelf", rule).build().await.unwrap();
        let db = database.connection().clone().cached_by(cache);
        gone(&db).await;
        let execute = async |sql: &str| {
            db.execute_unprepared(sql).await.unwrap();
        };
        execute("INSERT INTO shelf VALUES (1, 'a'), (2, 'b')").await;
        assert_eq!(gone(&db).await, ["opened"], "{store:?}");
        execute("UPDATE shelf SET label = 'c'").await;
        assert_eq!(gone(&db).await, ["relabelled"], "{store:?}");
        execute("DELETE FROM shelf WHERE id = 1").await;
        assert_eq!(gone(&db).await, ["closed"], "{store:?}");
        execute("INSERT INTO shelf VALUES (2, 'x') ON CONFLICT (id) DO UPDATE SET label = 'd'").await;
        assert_eq!(gone(&db).await, ["opened", "relabelled"], "{store:?}");
        execute("DELETE FROM shelf WHERE id = 4711").await;
        assert!(gone(&db).await.is_empty(), "{store:?}: of no row");
    }
}

#[tokio::test]
async fn a_pattern_that_would_purge_nothing_is_refused() {
    for bad in ["*", "ana*", "ana:*:x", ":*", "a*b:*"] {
        for rule in [TableRule::new().purges(bad), TableRule::new().purges_on(WriteKind::Update, bad)] {
            let refused = Cache::builder().table("shelf", rule).build().await;
            let error = refused.expect_err(bad).to_string();
            assert!(error.contains(&format!("{bad:?}")) && error.contains("shelf"), "{error}");
        }
    }
    for good in ["report", "analytics:*", "analytics:2024:*"] {
        Cache::builder().table("shelf", TableRule::new().purges(good)).build().await.unwrap();
    }
}
