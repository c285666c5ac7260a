//! What the database writes by itself: triggers, generated columns, defaults.

use sea_orm::{ActiveValue::Set, QueryOrder, entity::prelude::*};
use sea_orm_cache::{TableRule, prelude::*};

use super::send;
use crate::{
    entity::{book, shelf},
    question::{Asked, Question, question},
    support::Backend,
    world::{World, builder, retitled},
};

/// How many books were written, kept by a trigger.
mod tally {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tally")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub writes: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

async fn counted_books(world: &World) {
    let count = "UPDATE tally SET writes = writes + 1 WHERE id = 1";
    let trigger = match world.database.backend() {
        Backend::Postgres => {
            let function = format!(
                "CREATE FUNCTION count_book() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN {count}; RETURN NULL; END $$"
            );
            world.database.execute(&function).await;
            "CREATE TRIGGER counts AFTER UPDATE ON book FOR EACH ROW EXECUTE FUNCTION count_book()".to_owned()
        }
        Backend::MariaDb => format!("CREATE TRIGGER counts AFTER UPDATE ON book FOR EACH ROW {count}"),
        Backend::Sqlite => format!("CREATE TRIGGER counts AFTER UPDATE ON book BEGIN {count}; END"),
    };
    world.database.execute("CREATE TABLE tally (id BIGINT PRIMARY KEY, writes BIGINT NOT NULL)").await;
    world.database.execute("INSERT INTO tally (id, writes) VALUES (1, 0)").await;
    world.database.execute(&trigger).await;
}

fn questions() -> Vec<Question> {
    vec![
        question!("book 1", book::Entity::find_by_id(1), one),
        question!("shelf 1", shelf::Entity::find_by_id(1), one),
        question!("tally", tally::Entity::find_by_id(1), one),
        question!("tallies", tally::Entity::find().order_by_asc(tally::Column::Id), all),
    ]
}

const COUNTED: [&str; 3] = ["book 1", "tally", "tallies"];

// case D16
#[tokio::test]
async fn a_trigger_that_nobody_declared_is_named_and_what_it_writes_can_be_invalidated() {
    for world in World::all().await {
        counted_books(&world).await;
        let report = world.db.learn_schema().await.unwrap();
        assert_eq!(report.undeclared_triggers, ["book"], "{world}");
        let asked = Asked::new(&world, questions()).await;
        let write = async {
            retitled(1, "new").update(&world.db).await?;
            world.cache().invalidate_table("tally").await;
            Ok::<_, DbErr>(())
        };
        asked.after("a write, and a purge by hand", &COUNTED, write).await;
    }
}

// case D16
#[tokio::test]
async fn a_declared_trigger_purges_what_it_writes_and_no_more() {
    for mut world in World::all().await {
        counted_books(&world).await;
        declare(&mut world, "book", TableRule::new().also_writes("tally")).await;
        let asked = Asked::new(&world, questions()).await;
        let raw = "UPDATE book SET stock = stock + 1 WHERE id = 1";
        asked.after("a write as text", &COUNTED, send(&world, raw)).await;
        let purged = asked.after("a write by key", &COUNTED, retitled(1, "new").update(&world.db)).await;
        assert_eq!(purged, COUNTED, "{world}");
    }
}

/// With a cache that knows what the table's triggers write.
async fn declare(world: &mut World, table: &str, rule: TableRule) {
    let builder = builder(world.store, &world.namespace).unwrap();
    world.db = world.plain().clone().cached_by(builder.table(table, rule).build().await.unwrap());
    let report = world.db.learn_schema().await.unwrap();
    assert!(report.undeclared_triggers.is_empty(), "{world}");
}

// case D16
#[tokio::test]
async fn a_declared_table_may_be_named_with_its_schema() {
    for mut world in World::all().await {
        counted_books(&world).await;
        declare(&mut world, "shop.Book", TableRule::new().also_writes("shop.\"Tally\"")).await;
        let asked = Asked::new(&world, questions()).await;
        let purged = asked.after("a write by key", &COUNTED, retitled(1, "new").update(&world.db)).await;
        assert_eq!(purged, COUNTED, "{world}");
    }
}

// case D16
#[tokio::test]
async fn a_trigger_that_acts_in_the_place_of_its_statement_purges_although_no_row_was_touched() {
    for mut world in World::all().await {
        counted_books(&world).await;
        let count = "UPDATE tally SET writes = writes + 1 WHERE id = 1";
        let keeps = match world.database.backend() {
            Backend::Postgres => {
                let function = format!(
                    "CREATE FUNCTION keep_book() RETURNS trigger LANGUAGE plpgsql AS \
                     $$ BEGIN {count}; RETURN NULL; END $$"
                );
                world.database.execute(&function).await;
                "CREATE TRIGGER keeps BEFORE DELETE ON book FOR EACH ROW EXECUTE FUNCTION keep_book()"
                    .to_owned()
            }
            Backend::Sqlite => {
                format!("CREATE TRIGGER keeps BEFORE DELETE ON book BEGIN {count}; SELECT RAISE(IGNORE); END")
            }
            // It cannot skip a row there.
            Backend::MariaDb => continue,
        };
        world.database.execute(&keeps).await;
        declare(&mut world, "book", TableRule::new().also_writes("tally")).await;
        let asked = Asked::new(&world, questions()).await;
        let kept = "DELETE FROM book WHERE id = 1";
        asked.after("a row that stays", &["tally", "tallies"], send(&world, kept)).await;
    }
}

// case D16
#[tokio::test]
async fn a_trigger_that_moves_its_row_is_declared_to_write_its_own_table() {
    for mut world in World::all().await {
        let moves = match world.database.backend() {
            Backend::Postgres => {
                let function = "CREATE FUNCTION move_book() RETURNS trigger LANGUAGE plpgsql AS \
                                $$ BEGIN NEW.shelf_id := 3; RETURN NEW; END $$";
                world.database.execute(function).await;
                "CREATE TRIGGER moves BEFORE UPDATE ON book FOR EACH ROW EXECUTE FUNCTION move_book()"
            }
            Backend::MariaDb => {
                "CREATE TRIGGER moves BEFORE UPDATE ON book FOR EACH ROW SET NEW.shelf_id = 3"
            }
            Backend::Sqlite => {
                "CREATE TRIGGER moves AFTER UPDATE OF title ON book BEGIN \
                 UPDATE book SET shelf_id = 3 WHERE id = NEW.id; END"
            }
        };
        world.database.execute(moves).await;
        declare(&mut world, "book", TableRule::new().also_writes("book")).await;
        let questions = vec![
            question!("book 1", book::Entity::find_by_id(1), one),
            question!("shelf 2", book::Entity::find().filter(book::Column::ShelfId.eq(2)), count),
            question!("shelf 3", book::Entity::find().filter(book::Column::ShelfId.eq(3)), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let all = ["book 1", "shelf 2", "shelf 3"];
        asked.after("a write by key", &all, retitled(1, "new").update(&world.db)).await;
    }
}

/// Prices, of which one column is computed and one has a default.
mod price {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "price")]
    #[cache(index("gross"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub net: i64,
        pub gross: i64,
        pub tax: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case D16
#[tokio::test]
async fn a_column_that_the_database_computes_moves_its_row_between_lists() {
    for world in World::all().await {
        let table = "CREATE TABLE price (id BIGINT PRIMARY KEY, net BIGINT NOT NULL, \
                     gross BIGINT GENERATED ALWAYS AS (net * 2) STORED, tax BIGINT NOT NULL DEFAULT 7)";
        world.database.execute(table).await;
        world.database.execute("INSERT INTO price (id, net) VALUES (1, 10), (2, 20)").await;
        let questions = vec![
            question!("price 1", price::Entity::find_by_id(1), one),
            question!("price 3", price::Entity::find_by_id(3), one),
            question!("at 20", price::Entity::find().filter(price::Column::Gross.eq(20_i64)), all),
            question!(
                "at 40",
                price::Entity::find().filter(price::Column::Gross.eq(40_i64)).order_by_asc(price::Column::Id),
                all
            ),
            question!("taxed at 9", price::Entity::find().filter(price::Column::Tax.eq(9_i64)), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let dearer = price::ActiveModel { id: Set(1), net: Set(20), ..Default::default() };
        let changed = ["price 1", "at 20", "at 40"];
        asked.after("another net price", &changed, dearer.update(&world.db)).await;
        if world.database.backend() != Backend::Sqlite {
            let default = "ALTER TABLE price ALTER COLUMN tax SET DEFAULT 9";
            asked.after("another default", &[], send(&world, default)).await;
            let new = price::ActiveModel { id: Set(3), net: Set(10), ..Default::default() };
            let changed = ["price 3", "at 20", "taxed at 9"];
            asked.after("a row with defaults", &changed, new.insert(&world.db)).await;
        }
        let back = "UPDATE price SET net = net - 10 WHERE net = 20 AND id = 1";
        let changed = ["price 1", "at 20", "at 40"];
        asked.after("a computed net price", &changed, send(&world, back)).await;
    }
}
