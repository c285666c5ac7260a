//! Texts that are not plain: where a collation may hold them equal to others, and where it does not.

use sea_orm::{ConnectionTrait, QueryOrder, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::Backend,
    world::World,
};

mod word {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "word")]
    #[cache(index("spelling"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub spelling: String,
        pub uses: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod term {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "term")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub uses: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

macro_rules! spelled {
    ($text:literal) => {
        question!(
            $text,
            word::Entity::find().filter(word::Column::Spelling.eq($text)).order_by_asc(word::Column::Id),
            all
        )
    };
}

macro_rules! term {
    ($name:literal, $key:literal) => {
        question!($name, term::Entity::find_by_id($key), one)
    };
}

fn questions() -> Vec<Question> {
    vec![
        spelled!("elan"),
        spelled!("cafe"),
        spelled!("\u{e9}lan"),
        term!("term elan", "elan"),
        term!("term cafe", "cafe"),
        term!("term \u{e9}lan", "\u{e9}lan"),
    ]
}

/// Words and terms in columns of this type.
async fn words(world: &World, kind: &str) {
    let word =
        format!("CREATE TABLE word (id BIGINT PRIMARY KEY, spelling {kind} NOT NULL, uses BIGINT NOT NULL)");
    let term = format!("CREATE TABLE term (name {kind} NOT NULL PRIMARY KEY, uses BIGINT NOT NULL)");
    let rows = [
        &word,
        &term,
        "INSERT INTO word (id, spelling, uses) VALUES (1, 'elan', 0), (2, 'cafe', 0), (3, '\u{e9}lan', 0)",
        "INSERT INTO term (name, uses) VALUES ('cafe', 0), ('\u{e9}lan', 0)",
    ];
    for sql in rows {
        world.database.execute(sql).await;
    }
}

/// Texts that are equal only if they are the same.
fn exact(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "VARCHAR(40)",
        Backend::Postgres => "VARCHAR(40)",
        Backend::MariaDb => "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    }
}

/// Texts that are equal without their accents, where the database has such.
async fn loose(world: &World) -> Option<&'static str> {
    match world.database.backend() {
        Backend::Sqlite => None,
        Backend::MariaDb => Some("VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        Backend::Postgres => {
            let made = "CREATE COLLATION no_accents (provider = icu, locale = 'und-u-ks-level1', \
                        deterministic = false)";
            let there = world.plain().execute_unprepared(made).await.is_ok();
            there.then_some("VARCHAR(40) COLLATE no_accents")
        }
    }
}

// case E23
#[tokio::test]
async fn where_a_text_is_equal_to_itself_alone_its_lists_and_its_row_are_purged_and_no_others() {
    for world in World::all().await {
        words(&world, exact(world.database.backend())).await;
        let asked = Asked::new(&world, questions()).await;
        for (sql, changed) in [
            ("UPDATE word SET uses = uses + 1 WHERE id = 3", &["\u{e9}lan"][..]),
            ("UPDATE word SET uses = uses + 1 WHERE id = 1", &["elan"]),
            ("UPDATE word SET spelling = 'cafe' WHERE id = 3", &["cafe", "\u{e9}lan"]),
            ("UPDATE word SET spelling = '\u{e9}lan' WHERE id = 3", &["cafe", "\u{e9}lan"]),
            ("UPDATE term SET uses = uses + 1 WHERE name = 'cafe'", &["term cafe"]),
        ] {
            let mut purged = asked.after(sql, changed, send(&world, sql)).await;
            // "There is no such row" goes with every write to the table.
            purged.retain(|name| *name != "term elan");
            assert_eq!(purged, changed, "{world}, {sql}");
        }
        let sql = "UPDATE term SET uses = uses + 1 WHERE name = '\u{e9}lan'";
        let purged = asked.after(sql, &["term \u{e9}lan"], send(&world, sql)).await;
        assert!(!purged.contains(&"term cafe"), "{world}: {purged:?}");
    }
}

// case E23
#[tokio::test]
async fn where_accents_do_not_count_a_text_with_one_purges_what_was_found_by_one_without() {
    for world in World::all().await {
        let Some(kind) = loose(&world).await else { continue };
        words(&world, kind).await;
        let asked = Asked::new(&world, questions()).await;
        for (sql, changed) in [
            ("UPDATE word SET uses = uses + 1 WHERE id = 3", &["elan", "\u{e9}lan"][..]),
            ("UPDATE word SET uses = uses + 1 WHERE id = 1", &["elan", "\u{e9}lan"]),
            ("UPDATE term SET uses = uses + 1 WHERE name = '\u{e9}lan'", &["term elan", "term \u{e9}lan"]),
            ("UPDATE term SET uses = uses + 1 WHERE name = 'elan'", &["term elan", "term \u{e9}lan"]),
        ] {
            asked.after(sql, changed, send(&world, sql)).await;
        }
    }
}

// case E23, D13
#[tokio::test]
async fn a_column_whose_collation_has_changed_is_known_to_the_next_write() {
    for world in World::all().await {
        if world.database.backend() != Backend::MariaDb {
            // SQLite changes no column, and PostgreSQL refuses what was prepared before.
            continue;
        }
        let Some(kind) = loose(&world).await else { continue };
        words(&world, exact(world.database.backend())).await;
        let first = Asked::new(&world, questions()).await;
        let sql = "UPDATE word SET uses = uses + 1 WHERE id = 3";
        assert_eq!(first.after(sql, &["\u{e9}lan"], send(&world, sql)).await, ["\u{e9}lan"], "{world}");
        let alter = format!("ALTER TABLE word MODIFY spelling {kind} NOT NULL");
        world.db.execute_unprepared(&alter).await.unwrap();
        let asked = Asked::new(&world, questions()).await;
        asked.after(sql, &["elan", "\u{e9}lan"], send(&world, sql)).await;
    }
}

// case E23: the comparison's own collation.
#[tokio::test]
async fn a_list_by_another_collation_than_the_columns_depends_on_the_whole_table() {
    for world in World::all().await {
        let Some(kind) = loose(&world).await else { continue };
        words(&world, exact(world.database.backend())).await;
        let collation = kind.rsplit_once(' ').unwrap().1;
        let condition = format!("spelling = 'elan' COLLATE {collation}");
        let found =
            || word::Entity::find().filter(Expr::cust(condition.clone())).order_by_asc(word::Column::Id);
        let truth = async || found().all(world.plain()).await.unwrap();
        let cached = async || found().cached().all(&world.db).await.unwrap();
        for id in [3, 1, 3] {
            assert_eq!(cached().await, truth().await, "{world}");
            send(&world, &format!("UPDATE word SET uses = uses + 1 WHERE id = {id}")).await.unwrap();
            assert_eq!(cached().await, truth().await, "{world}, {id}");
        }
    }
}
