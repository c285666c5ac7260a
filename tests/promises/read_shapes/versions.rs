//! Reads of the past.

use sea_orm::{QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::book,
    question::{Asked, question},
    support::Backend,
    world::World,
};

/// Prices with their history, on MariaDB.
mod price {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "price")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub cents: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case E28
#[tokio::test]
async fn a_read_of_the_past_is_not_cached_and_one_of_the_present_is() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::MariaDb) {
        world
            .database
            .execute(
                "CREATE TABLE price (id BIGINT PRIMARY KEY, cents BIGINT NOT NULL) WITH SYSTEM VERSIONING",
            )
            .await;
        world.database.execute("INSERT INTO price (id, cents) VALUES (1, 100)").await;
        let questions = vec![
            question!("now", price::Entity::find_by_id(1), one),
            question!("all, now", price::Entity::find().order_by_asc(price::Column::Id), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let ever = async || {
            let versions = "id IN (SELECT cents FROM price FOR SYSTEM_TIME ALL)";
            let select = book::Entity::find().filter(Expr::cust(versions));
            select.cached().count(&world.db).await.unwrap()
        };
        let before = world.cache().stats().total.bypasses;
        assert_eq!(ever().await, 0, "{world}");
        let cheaper = "UPDATE price SET cents = 5 WHERE id = 1";
        asked.after("another price", &["now", "all, now"], send(&world, cheaper)).await;
        assert_eq!(ever().await, 1, "{world}");
        // Behind the cache's back: only the database knows.
        world.database.execute("UPDATE price SET cents = 6 WHERE id = 1").await;
        assert_eq!(ever().await, 2, "{world}");
        assert_eq!(world.cache().stats().total.bypasses, before + 3, "{world}");
        world.cache().clear().await;
        asked.after("the row gone", &["now", "all, now"], send(&world, "DELETE FROM price")).await;
        assert_eq!(ever().await, 2, "{world}: the past remains");
    }
}
