//! Debug mode: a line of the log for each decision, and nothing in it that should not be there.

use sea_orm::{TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::log::Log;
use crate::{
    entity::book,
    support::Backend,
    world::{StoreKind, World, retitled, title},
};

// feature D10
// case G8
#[tokio::test(flavor = "current_thread")]
async fn each_decision_is_a_line_of_the_log_without_keys_or_rows() {
    const SECRET: &str = "hunter2";
    let world = World::new(Backend::Sqlite, StoreKind::Memory).await.unwrap();
    let (log, _listening) = Log::listen();
    let ours = |log: &Log| {
        let lines = log.take().into_iter().filter(|line| line.contains("sea_orm_cache"));
        lines.collect::<Vec<_>>()
    };
    retitled(3, SECRET).update(world.plain()).await.unwrap();
    ours(&log);
    let mut seen = Vec::new();
    for (outcome, read) in [("Miss", 0), ("Hit", 0), ("Bypass(InTransaction)", 1)] {
        match read {
            0 => drop(title(&world.db, 3).await),
            _ => {
                let transaction = world.db.begin().await.unwrap();
                book::Entity::find_by_id(3).cached().one(&transaction).await.unwrap();
                transaction.rollback().await.unwrap();
            }
        }
        let lines = ours(&log);
        let decisions: Vec<_> = lines.iter().filter(|line| line.contains("cached read")).collect();
        assert_eq!(decisions.len(), 1, "{outcome}: {lines:?}");
        assert!(decisions[0].contains(outcome) && decisions[0].contains("book"), "{decisions:?}");
        seen.extend(lines);
    }
    retitled(3, "another").update(&world.db).await.unwrap();
    let lines = ours(&log);
    assert_eq!(lines.iter().filter(|line| line.contains("purged")).count(), 1, "{lines:?}");
    seen.extend(lines);
    for line in seen {
        assert!(!line.contains(SECRET) && !line.contains(&world.namespace), "{line}");
    }
}

/// Readings, by columns that no tag can name a value of.
mod reading {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::{CacheEntity, EntityPolicy};

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "reading")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub degrees: f64,
        pub station: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl CacheEntity for Entity {
        fn cache_policy() -> EntityPolicy {
            EntityPolicy::new().index("degrees").index("station")
        }
    }
}

// feature D10
#[tokio::test(flavor = "current_thread")]
async fn an_index_column_that_narrows_nothing_is_named_when_the_cache_is_built() {
    let (log, _listening) = Log::listen();
    Cache::builder().entity::<reading::Entity>().build().await.unwrap();
    let lines = log.take();
    let named: Vec<_> = lines.iter().filter(|line| line.contains("narrows nothing")).collect();
    assert_eq!(named.len(), 1, "{lines:?}");
    assert!(named[0].contains("WARN") && named[0].contains("degrees"), "{named:?}");
}
