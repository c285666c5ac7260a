//! Writes that say they touched no row, where a trigger or a rule wrote in their place.

use sea_orm::{QueryOrder, entity::prelude::*};
use sea_orm_cache::{TableRule, prelude::*};

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::Backend,
    world::{World, builder},
};

entities! {
    page = "page", i64;
    stamp = "stamp", i64;
}

fn questions() -> Vec<Question> {
    vec![
        question!("page 1", page::Entity::find_by_id(1), one),
        question!("page 2", page::Entity::find_by_id(2), one),
        question!(
            "pages of 3",
            page::Entity::find().filter(page::Column::Up.eq(3_i64)).order_by_asc(page::Column::Id),
            all
        ),
        question!("stamps", stamp::Entity::find(), count),
    ]
}

/// Pages whose triggers are declared; `ways` make them.
async fn book(world: &mut World, ways: &[&str]) {
    let tables = [
        "CREATE TABLE page (id BIGINT PRIMARY KEY, up BIGINT)",
        "CREATE TABLE stamp (id BIGINT, up BIGINT)",
        "INSERT INTO page (id, up) VALUES (1, 3), (2, 3)",
    ];
    for sql in tables.iter().chain(ways) {
        world.database.execute(sql).await;
    }
    let rule = TableRule::new().also_writes("page").also_writes("stamp");
    let cache = builder(world.store, &world.namespace).unwrap().table("page", rule);
    world.db = world.plain().clone().cached_by(cache.build().await.unwrap());
}

const RETIRES: &str = "UPDATE page SET up = 0 WHERE id = OLD.id";

// cases D16 D27
#[tokio::test]
async fn a_row_that_is_marked_in_the_place_of_its_deletion_is_purged() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let function = format!(
            "CREATE FUNCTION retire() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN {RETIRES}; RETURN NULL; END $$"
        );
        let in_postgres =
            "CREATE TRIGGER retires BEFORE DELETE ON page FOR EACH ROW EXECUTE FUNCTION retire()";
        let in_sqlite = format!(
            "CREATE TRIGGER retires BEFORE DELETE ON page BEGIN {RETIRES}; SELECT RAISE(IGNORE); END"
        );
        let by_rule = format!("CREATE RULE retires AS ON DELETE TO page DO INSTEAD {RETIRES}");
        let ways: &[&[&str]] = match backend {
            Backend::Sqlite => &[&[&in_sqlite]],
            _ => &[&[&function, in_postgres], &[&by_rule]],
        };
        for way in ways {
            for mut world in
                World::all().await.into_iter().filter(|world| world.database.backend() == backend)
            {
                book(&mut world, way).await;
                let asked = Asked::new(&world, questions()).await;
                let changed = ["page 1", "pages of 3"];
                asked.after("a delete by key", &changed, page::Entity::delete_by_id(1).exec(&world.db)).await;
                let sql = "DELETE FROM page WHERE up = 3";
                asked.after(sql, &["page 2", "pages of 3"], send(&world, sql)).await;
            }
        }
    }
}

// case D16
#[tokio::test]
async fn a_trigger_that_runs_once_for_each_statement_runs_also_for_no_row() {
    let function = "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
                    $$ BEGIN INSERT INTO stamp (id) VALUES (1); RETURN NULL; END $$";
    let trigger = "CREATE TRIGGER notes AFTER UPDATE ON page FOR EACH STATEMENT EXECUTE FUNCTION note()";
    for mut world in
        World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        book(&mut world, &[function, trigger]).await;
        let asked = Asked::new(&world, questions()).await;
        let sql = "UPDATE page SET up = 4 WHERE id = 999";
        asked.after(sql, &["stamps"], send(&world, sql)).await;
    }
}

// Nobody has declared it; but the rows that a foreign key changes are not those that it says.
#[tokio::test]
async fn rows_that_a_foreign_key_empties_are_looked_for_where_a_trigger_puts_them() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        for sql in [
            "CREATE TABLE stamp (id BIGINT PRIMARY KEY, up BIGINT)",
            "CREATE TABLE page (id BIGINT PRIMARY KEY, up BIGINT REFERENCES stamp (id) ON DELETE SET NULL)",
            "CREATE FUNCTION moves() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN NEW.up = coalesce(NEW.up, 3); RETURN NEW; END $$",
            "CREATE TRIGGER moves BEFORE UPDATE ON page FOR EACH ROW EXECUTE FUNCTION moves()",
            "INSERT INTO stamp (id) VALUES (3), (4)",
            "INSERT INTO page (id, up) VALUES (1, 4), (2, 3)",
        ] {
            world.database.execute(sql).await;
        }
        let asked = Asked::new(&world, questions()).await;
        let sql = "DELETE FROM stamp WHERE id = 4";
        asked.after(sql, &["page 1", "pages of 3", "stamps"], send(&world, sql)).await;
    }
}
