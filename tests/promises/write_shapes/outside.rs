//! Writes that the wrapper does not see, and what makes up for them.

use sea_orm::{QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::book,
    question::{Asked, question},
    world::{StoreKind, World, retitled},
};

// case D22
#[tokio::test]
async fn a_write_past_the_wrapper_is_seen_once_it_is_invalidated_by_hand() {
    for world in World::all().await {
        let questions = vec![
            question!("book 1", book::Entity::find_by_id(1), one),
            question!("books", book::Entity::find().order_by_asc(book::Column::Id), all),
        ];
        let asked = Asked::new(&world, questions).await;
        for by in ["row", "entity", "table", "everything"] {
            // A second pool, `psql`, a migration: all the same to the cache.
            let write = async {
                let before = world.title(1).await;
                retitled(1, by).update(world.db.inner()).await?;
                assert_eq!(world.title(1).await, before, "{world}: nothing told the cache");
                let cache = world.cache();
                match by {
                    "row" => cache.invalidate_row::<book::Entity>(1).await,
                    "entity" => cache.invalidate_entity::<book::Entity>().await,
                    "table" => cache.invalidate_table("book").await,
                    _ => cache.clear().await,
                };
                Ok::<_, DbErr>(())
            };
            asked.after(by, &["book 1", "books"], write).await;
        }
    }
}

// case D22
#[tokio::test]
async fn a_write_by_another_process_with_a_wrapper_of_its_own_is_seen() {
    for world in World::all().await.into_iter().filter(|world| world.store == StoreKind::Redis) {
        let other = world.another_process().await;
        let questions = vec![
            question!("book 1", book::Entity::find_by_id(1), one),
            question!("book 2", book::Entity::find_by_id(2), one),
            question!("books", book::Entity::find().order_by_asc(book::Column::Id), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let write = retitled(1, "by another").update(&other);
        let purged = asked.after("another process", &["book 1", "books"], write).await;
        assert_eq!(purged, ["book 1", "books"], "{world}");
    }
}
