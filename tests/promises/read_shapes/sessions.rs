//! Sessions that see other rows by the same statement.

use std::time::Duration;

use sea_orm::{ActiveValue::Set, ConnectOptions, ConnectionTrait, Database, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    support::{Backend, eventually},
    world::World,
};

mod branch {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "branch")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub name: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case E17
#[tokio::test]
async fn sessions_with_keys_of_their_own_share_no_entries_and_purge_each_other() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        let mut sessions = Vec::new();
        for schema in ["here", "there"] {
            world.database.execute(&format!("CREATE SCHEMA {schema}")).await;
            let table = format!("{schema}.branch (id BIGINT PRIMARY KEY, name VARCHAR(50) NOT NULL)");
            world.database.execute(&format!("CREATE TABLE {table}")).await;
            world.database.execute(&format!("INSERT INTO {schema}.branch VALUES (1, '{schema}')")).await;
            let mut options = ConnectOptions::new(world.database.url());
            options.set_schema_search_path(schema).max_connections(2).sqlx_logging(false);
            let db = Database::connect(options).await.unwrap().cached_by(world.cache().clone());
            sessions.push((schema, db.with_session_key(schema)));
        }
        let by_key = async |db: &CachedConnection| {
            branch::Entity::find_by_id(1).cached().one(db).await.unwrap().unwrap().name
        };
        let listed = async |db: &CachedConnection| {
            branch::Entity::find().cached().all(db).await.unwrap()[0].name.clone()
        };
        let by_keys = async |db: &CachedConnection| {
            branch::Entity::cached_by_ids([1_i64], db).await.unwrap()[0].clone().unwrap().name
        };
        for (schema, db) in &sessions {
            let hit = async || world.is_hit(by_key(db)).await.1 && world.is_hit(listed(db)).await.1;
            eventually("cached", Duration::from_secs(20), hit).await;
            assert_eq!((by_key(db).await, listed(db).await, by_keys(db).await), {
                let name = (*schema).to_owned();
                (name.clone(), name.clone(), name)
            });
        }
        let renamed = branch::ActiveModel { id: Set(1), name: Set("renamed".into()) };
        renamed.update(&sessions[1].1).await.unwrap();
        for ((_, db), name) in sessions.iter().zip(["here", "renamed"]) {
            assert_eq!(
                (by_key(db).await, listed(db).await, by_keys(db).await),
                (name.into(), name.into(), name.into())
            );
        }
        // A write by a session without a key purges those with one.
        world.db.execute_unprepared("UPDATE here.branch SET name = 'moved'").await.unwrap();
        assert_eq!(
            (by_key(&sessions[0].1).await, listed(&sessions[0].1).await),
            ("moved".into(), "moved".into())
        );
    }
}
