//! Lists by an index column, and writes that do not say which rows they touch.

use sea_orm::{ActiveValue::Set, QueryOrder, TransactionTrait, entity::prelude::*, sea_query::OnConflict};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    question::{Asked, question},
    world::World,
};

/// Places on racks that belong to somebody.
mod place {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "place")]
    #[cache(index("rack"), index("owner"), precise = 3)]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub rack: i64,
        pub owner: Option<i64>,
        pub note: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn on(rack: i64) -> sea_orm::Select<place::Entity> {
    place::Entity::find().filter(place::Column::Rack.eq(rack)).order_by_asc(place::Column::Id)
}

fn of(owner: i64) -> sea_orm::Select<place::Entity> {
    place::Entity::find().filter(place::Column::Owner.eq(owner)).order_by_asc(place::Column::Id)
}

fn place(id: i64, rack: i64, owner: Option<i64>) -> place::ActiveModel {
    place::ActiveModel { id: Set(id), rack: Set(rack), owner: Set(owner), note: Set(format!("note {id}")) }
}

fn moved(rack: i64) -> sea_orm::UpdateMany<place::Entity> {
    place::Entity::update_many().col_expr(place::Column::Rack, Expr::value(rack))
}

// case D5, D6, D28, D29
#[tokio::test]
async fn a_row_leaves_the_lists_of_its_old_values_and_joins_those_of_its_new_ones() {
    for world in World::all().await {
        let table = "CREATE TABLE place (id BIGINT PRIMARY KEY, rack BIGINT NOT NULL, owner BIGINT, \
                     note VARCHAR(50) NOT NULL)";
        world.database.execute(table).await;
        // Two on each of five racks; owners 1 and 2 in turn.
        let places = (0..10).map(|id| place(id, id / 2, Some(1 + id % 2)));
        place::Entity::insert_many(places).exec_without_returning(world.plain()).await.unwrap();
        let questions = vec![
            question!("place 0", place::Entity::find_by_id(0), one),
            question!("place 9", place::Entity::find_by_id(9), one),
            question!("rack 0", on(0), all),
            question!("rack 1", on(1), all),
            question!("rack 4", on(4), all),
            question!(
                "racks 0 and 1",
                place::Entity::find().filter(place::Column::Rack.is_in([0_i64, 1])),
                count
            ),
            question!("owner 1", of(1), all),
            question!("owner 2 on rack 4", of(2).filter(place::Column::Rack.eq(4_i64)), all),
            question!("nobody's", place::Entity::find().filter(place::Column::Owner.is_null()), count),
            question!("all", place::Entity::find(), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let by_key = place::ActiveModel { id: Set(0), rack: Set(1), ..Default::default() };
        let changed = ["place 0", "rack 0", "rack 1", "owner 1"];
        let purged = asked.after("a move by key", &changed, by_key.update(&world.db)).await;
        assert!(!purged.contains(&"rack 4") && !purged.contains(&"place 9"), "{world}: {purged:?}");
        let by_note = moved(0).filter(place::Column::Note.eq("note 0")).exec(&world.db);
        let purged = asked.after("a move by another column", &changed, by_note).await;
        assert!(!purged.contains(&"place 9"), "{world}: the row was selected first: {purged:?}");
        let many = moved(1).filter(place::Column::Rack.lt(3_i64)).exec(&world.db);
        let changed = ["place 0", "rack 0", "rack 1", "racks 0 and 1", "owner 1"];
        asked.after("a move of more rows than are selected", &changed, many).await;
        let freed = place::Entity::update_many()
            .col_expr(place::Column::Owner, Expr::value(None::<i64>))
            .filter(place::Column::Id.eq(9_i64));
        let changed = ["place 9", "rack 4", "owner 2 on rack 4", "nobody's"];
        asked.after("an owner taken away", &changed, freed.exec(&world.db)).await;
        let upsert = place::Entity::insert(place(9, 0, Some(1))).on_conflict(
            OnConflict::column(place::Column::Id)
                .update_columns([place::Column::Rack, place::Column::Owner])
                .to_owned(),
        );
        let changed = ["place 9", "rack 0", "rack 4", "racks 0 and 1", "owner 1", "nobody's"];
        asked.after("an upsert", &changed, upsert.exec_without_returning(&world.db)).await;
        let computed = "UPDATE place SET rack = rack + 4 WHERE note = 'note 9'";
        let changed = ["place 9", "rack 0", "rack 4", "racks 0 and 1", "owner 1"];
        asked.after("a computed rack", &changed, send(&world, computed)).await;
        let twice = async {
            let tx = world.db.begin().await?;
            moved(7).filter(place::Column::Id.eq(9_i64)).exec(&tx).await?;
            moved(0).filter(place::Column::Rack.eq(7_i64)).exec(&tx).await?;
            tx.commit().await
        };
        asked.after("two moves in one transaction", &changed, twice).await;
        let gone = place::Entity::delete_many().filter(place::Column::Note.eq("note 9")).exec(&world.db);
        let changed = ["place 9", "rack 0", "racks 0 and 1", "owner 1", "all"];
        asked.after("a delete by another column", &changed, gone).await;
        let new = place::Entity::insert(place(9, 4, Some(2))).exec_without_returning(&world.db);
        let changed = ["place 9", "rack 4", "owner 2 on rack 4", "all"];
        let purged = asked.after("an insert", &changed, new).await;
        assert!(!purged.contains(&"rack 1") && !purged.contains(&"place 0"), "{world}: {purged:?}");
        let all = place::Entity::delete_many().exec(&world.db);
        let changed = [
            "place 0",
            "place 9",
            "rack 1",
            "rack 4",
            "racks 0 and 1",
            "owner 1",
            "owner 2 on rack 4",
            "all",
        ];
        asked.after("all gone", &changed, all).await;
    }
}
