//! Rows that are deleted by a mark, brought back, and deleted for good.

use sea_orm::{ActiveValue::Set, QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    question::{Asked, question},
    world::World,
};

mod note {
    use sea_orm::{ActiveValue::Set, entity::prelude::*};
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "note")]
    #[cache(ttl = "10m")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub body: String,
        pub deleted_at: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    /// Notes that are not in the trash.
    pub fn live() -> Select<Entity> {
        Entity::find().filter(Column::DeletedAt.is_null())
    }

    pub fn marked(id: i64, deleted_at: Option<i64>) -> ActiveModel {
        ActiveModel { id: Set(id), deleted_at: Set(deleted_at), ..Default::default() }
    }
}

// case D20
#[tokio::test]
async fn a_row_in_the_trash_is_out_of_the_lists_until_it_is_restored() {
    for world in World::all().await {
        world
            .database
            .execute(
                "CREATE TABLE note (id BIGINT PRIMARY KEY, body VARCHAR(50) NOT NULL, deleted_at BIGINT)",
            )
            .await;
        let notes = (1..=3).map(|id| note::ActiveModel {
            id: Set(id),
            body: Set(format!("Note {id}")),
            deleted_at: Set(None),
        });
        note::Entity::insert_many(notes).exec_without_returning(world.plain()).await.unwrap();
        let questions = vec![
            question!("note 1", note::Entity::find_by_id(1), one),
            question!("note 1, live", note::live().filter(note::Column::Id.eq(1)), one),
            question!("note 2, live", note::live().filter(note::Column::Id.eq(2)), one),
            question!("live", note::live().order_by_asc(note::Column::Id), all),
            question!("trash", note::Entity::find().filter(note::Column::DeletedAt.is_not_null()), count),
            question!("all", note::Entity::find(), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let one = ["note 1", "note 1, live", "live", "trash"];
        asked.after("a soft delete", &one, note::marked(1, Some(7)).update(&world.db)).await;
        asked.after("a restore", &one, note::marked(1, None).update(&world.db)).await;
        let both = note::Entity::update_many()
            .col_expr(note::Column::DeletedAt, Expr::value(Some(8_i64)))
            .filter(note::Column::Id.lt(3_i64));
        let changed = ["note 1", "note 1, live", "note 2, live", "live", "trash"];
        asked.after("a soft delete of several", &changed, both.exec(&world.db)).await;
        // Outside of the transaction nothing was deleted.
        let undone = async {
            let tx = world.db.begin().await?;
            note::marked(3, Some(9)).update(&tx).await?;
            assert_eq!(note::live().cached().count(&tx).await?, 0);
            tx.rollback().await
        };
        asked.after("a soft delete, rolled back", &[], undone).await;
        let emptied = note::Entity::delete_many().filter(note::Column::DeletedAt.is_not_null());
        asked.after("the trash emptied", &["note 1", "trash", "all"], emptied.exec(&world.db)).await;
        let again = note::ActiveModel { id: Set(1), body: Set("again".into()), deleted_at: Set(None) };
        let changed = ["note 1", "note 1, live", "live", "all"];
        asked.after("the key used again", &changed, again.insert(&world.db)).await;
        asked.after("a delete for good", &changed, note::Entity::delete_by_id(1).exec(&world.db)).await;
    }
}
