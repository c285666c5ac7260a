//! Texts, as the collation of their column compares them: to the letter, without case and accents, or by rules
//! that nobody knows.

use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, CacheStats, prelude::*};

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::{Backend, eventually, unique_namespace},
    world::{StoreKind, World},
};

const SOON: Duration = Duration::from_secs(20);

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

/// Two of each, which differ in capitals alone.
async fn capitals(world: &World) {
    words(world, exact(world.database.backend())).await;
    world.database.execute("INSERT INTO word (id, spelling, uses) VALUES (4, 'Cafe', 0)").await;
    world.database.execute("INSERT INTO term (name, uses) VALUES ('Cafe', 0)").await;
}

// case E23
#[tokio::test]
async fn where_a_text_is_equal_to_itself_alone_those_in_capitals_are_others() {
    for world in World::all().await {
        capitals(&world).await;
        let questions =
            vec![spelled!("cafe"), spelled!("Cafe"), term!("term cafe", "cafe"), term!("term Cafe", "Cafe")];
        let asked = Asked::new(&world, questions).await;
        for (sql, changed) in [
            ("UPDATE word SET uses = uses + 1 WHERE id = 2", &["cafe"][..]),
            ("UPDATE word SET uses = uses + 1 WHERE spelling = 'Cafe'", &["Cafe"]),
            ("UPDATE term SET uses = uses + 1 WHERE name = 'cafe'", &["term cafe"]),
            ("UPDATE term SET uses = uses + 1 WHERE name IN ('Cafe', 'none')", &["term Cafe"]),
            ("UPDATE word SET spelling = 'cafe' WHERE id = 4", &["cafe", "Cafe"]),
            ("DELETE FROM term WHERE name = 'Cafe'", &["term Cafe"]),
        ] {
            assert_eq!(asked.after(sql, changed, send(&world, sql)).await, changed, "{world}, {sql}");
        }
        let sql = "INSERT INTO term (name, uses) VALUES ('Cafe', 7)";
        asked.after(sql, &["term Cafe"], send(&world, sql)).await;
    }
}

/// The rows and the lists of some texts, as this process says.
async fn answers(db: &CachedConnection, texts: &[&str]) -> String {
    let mut all = Vec::new();
    for text in texts {
        let list =
            word::Entity::find().filter(word::Column::Spelling.eq(*text)).order_by_asc(word::Column::Id);
        let row = term::Entity::cached_by_id(*text, db).await.unwrap();
        all.push(format!("{row:?} {:?}", list.cached().all(db).await.unwrap()));
    }
    all.join(" ")
}

/// The same, when all of it is in the cache.
async fn stored(db: &CachedConnection, texts: &[&str]) -> String {
    eventually("all of it is stored", SOON, async || {
        let missed = |stats: CacheStats| stats.total.reads - stats.total.hits;
        let first = missed(db.cache().stats());
        answers(db, texts).await;
        missed(db.cache().stats()) == first
    })
    .await;
    answers(db, texts).await
}

// case E23, F2
#[tokio::test]
async fn who_knows_the_catalogue_and_who_does_not_purge_each_others_texts() {
    for world in World::all().await {
        if world.store != StoreKind::Redis {
            continue;
        }
        capitals(&world).await;
        let knowing = world.another_process().await;
        let blind = world.another_process().await.without_schema();
        let texts = ["cafe", "Cafe"];
        for writer in [&knowing, &blind] {
            for sql in [
                "UPDATE word SET uses = uses + 1 WHERE id = 4",
                "UPDATE word SET uses = uses + 1 WHERE spelling = 'cafe'",
                "UPDATE word SET uses = uses + 1 WHERE spelling = 'Cafe'",
                "UPDATE term SET uses = uses + 1 WHERE name = 'cafe'",
                "UPDATE term SET uses = uses + 1 WHERE name IN ('Cafe')",
                "DELETE FROM term WHERE name = 'Cafe'",
                "INSERT INTO term (name, uses) VALUES ('Cafe', 7)",
            ] {
                let mut before = Vec::new();
                for reader in [&knowing, &blind] {
                    before.push(stored(reader, &texts).await);
                }
                writer.execute_unprepared(sql).await.unwrap();
                let plain = world.database.another_connection().await.cached_by(off().await);
                let truth = answers(&plain, &texts).await;
                for (reader, before) in [&knowing, &blind].into_iter().zip(before) {
                    assert_ne!(before, truth, "{world}: {sql} was to change something");
                    assert_eq!(answers(reader, &texts).await, truth, "{world}: {sql}");
                }
            }
        }
    }
}

/// A cache that is switched off: what comes through it is the database's.
async fn off() -> Cache {
    Cache::builder().namespace(unique_namespace()).enabled(false).build().await.unwrap()
}

// case E23
#[tokio::test]
async fn a_row_with_a_text_key_is_purged_by_hand_however_its_readers_name_it() {
    for world in World::all().await {
        capitals(&world).await;
        for knows in [true, false] {
            let db = if knows { world.db.clone() } else { world.db.clone().without_schema() };
            let read = || async { term::Entity::cached_by_id("Cafe", &db).await.unwrap() };
            eventually("it is stored", SOON, async || world.is_hit(read()).await.1).await;
            world.database.execute("UPDATE term SET uses = uses + 1 WHERE name = 'Cafe'").await;
            db.cache().invalidate_row::<term::Entity>("Cafe").await;
            let truth = term::Entity::find_by_id("Cafe").one(world.plain()).await.unwrap();
            assert_eq!(read().await, truth, "{world}");
        }
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

// case E23
#[tokio::test]
async fn where_accents_do_not_count_a_text_with_one_leaves_those_alone_that_differ_in_more() {
    for world in World::all().await {
        if world.database.backend() != Backend::MariaDb {
            // PostgreSQL's collations without accents could have any rules.
            continue;
        }
        words(&world, loose(&world).await.unwrap()).await;
        world
            .database
            .execute("INSERT INTO word VALUES (4, 'm\u{fc}ller', 0), (5, '\u{7530}\u{4e2d}', 0)")
            .await;
        world.database.execute("INSERT INTO term VALUES ('m\u{fc}ller', 0), ('\u{7530}\u{4e2d}', 0)").await;
        let mut questions = questions();
        questions.extend([
            spelled!("MULLER"),
            spelled!("\u{7530}\u{4e2d}"),
            term!("term MULLER", "MULLER"),
            term!("term \u{7530}\u{4e2d}", "\u{7530}\u{4e2d}"),
        ]);
        let asked = Asked::new(&world, questions).await;
        for (sql, changed) in [
            ("UPDATE word SET uses = uses + 1 WHERE id = 3", &["elan", "\u{e9}lan"][..]),
            ("UPDATE word SET spelling = 'caf\u{e9}' WHERE id = 4", &["cafe", "MULLER"]),
            ("UPDATE word SET spelling = 'M\u{dc}LLER' WHERE id = 4", &["cafe", "MULLER"]),
            ("INSERT INTO word (id, spelling, uses) VALUES (6, 'm\u{fa}ller', 0)", &["MULLER"]),
            ("DELETE FROM word WHERE id = 5", &["\u{7530}\u{4e2d}"]),
            ("UPDATE term SET uses = uses + 1 WHERE name = 'm\u{f9}ller'", &["term MULLER"]),
            ("DELETE FROM term WHERE name = '\u{7530}\u{4e2d}'", &["term \u{7530}\u{4e2d}"]),
        ] {
            assert_eq!(asked.after(sql, changed, send(&world, sql)).await, changed, "{world}, {sql}");
        }
    }
}

/// A type of texts, some of which are equal that differ in more than case and accents; with two such.
async fn odd(world: &World) -> Option<(&'static str, [&'static str; 2])> {
    match world.database.backend() {
        Backend::Sqlite => None,
        Backend::MariaDb => {
            Some(("VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_lithuanian_ci", ["ila", "yla"]))
        }
        Backend::Postgres => {
            let made = "CREATE COLLATION no_signs (provider = icu, \
                        locale = 'und-u-ka-shifted-ks-level1', deterministic = false)";
            let there = world.plain().execute_unprepared(made).await.is_ok();
            there.then_some(("VARCHAR(40) COLLATE no_signs", ["ab", "a-b"]))
        }
    }
}

// case E23
#[tokio::test]
async fn where_a_language_holds_other_letters_equal_they_are_purged_too() {
    for world in World::all().await {
        let Some((kind, [one, other])) = odd(&world).await else { continue };
        words(&world, kind).await;
        world.database.execute(&format!("INSERT INTO word VALUES (4, '{one}', 0)")).await;
        world.database.execute(&format!("INSERT INTO term VALUES ('{one}', 0)")).await;
        let asked = Asked::new(
            &world,
            vec![spelled!("yla"), spelled!("a-b"), term!("term yla", "yla"), term!("term a-b", "a-b")],
        )
        .await;
        let (list, row) = if other == "yla" { ("yla", "term yla") } else { ("a-b", "term a-b") };
        for (sql, changed) in [
            (format!("UPDATE word SET uses = uses + 1 WHERE spelling = '{one}'"), list),
            ("UPDATE word SET uses = uses + 1 WHERE id = 4".to_owned(), list),
            (format!("UPDATE term SET uses = uses + 1 WHERE name = '{one}'"), row),
            (format!("DELETE FROM term WHERE name = '{one}'"), row),
        ] {
            asked.after(&sql, &[changed], send(&world, &sql)).await;
        }
        world.database.execute(&format!("INSERT INTO term VALUES ('{one}', 0)")).await;
        world.cache().invalidate_row::<term::Entity>(other).await;
        let transaction = world.db.begin().await.unwrap();
        let found = term::Entity::cached_by_ids([other, "none"], &transaction).await.unwrap();
        assert!(found[0].is_some() && found[1].is_none(), "{world}: as find_by_id finds it");
        transaction.rollback().await.unwrap();
        let rows = async || term::Entity::cached_by_ids([other, "none"], &world.db).await.unwrap();
        for uses in [0, 7] {
            assert_eq!(rows().await[0].as_ref().map(|term| term.uses), Some(uses), "{world}");
            world.database.execute("UPDATE term SET uses = 7").await;
            world.cache().invalidate_row::<term::Entity>(other).await;
        }
    }
}

// case E23, F2
#[tokio::test]
async fn who_knows_how_accents_are_left_out_and_who_does_not_purge_each_others_texts() {
    for world in World::all().await {
        if world.database.backend() != Backend::MariaDb || world.store != StoreKind::Redis {
            continue;
        }
        words(&world, loose(&world).await.unwrap()).await;
        let knowing = world.another_process().await;
        let blind = world.another_process().await.without_schema();
        let texts = ["elan", "\u{e9}lan", "cafe", "Caf\u{e9}"];
        for writer in [&knowing, &blind] {
            for text in texts {
                for sql in [
                    format!("UPDATE word SET uses = uses + 1 WHERE spelling = '{text}'"),
                    format!("UPDATE term SET uses = uses + 1 WHERE name = '{text}'"),
                ] {
                    let mut before = Vec::new();
                    for reader in [&knowing, &blind] {
                        before.push(stored(reader, &texts).await);
                    }
                    writer.execute_unprepared(&sql).await.unwrap();
                    let plain = world.database.another_connection().await.cached_by(off().await);
                    let truth = answers(&plain, &texts).await;
                    for (reader, before) in [&knowing, &blind].into_iter().zip(before) {
                        assert_ne!(before, truth, "{world}: {sql} was to change something");
                        assert_eq!(answers(reader, &texts).await, truth, "{world}: {sql}");
                    }
                }
            }
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

// case E23
#[tokio::test]
async fn an_upsert_that_finds_its_row_by_an_index_of_another_collation_purges_it() {
    for world in World::all().await {
        let backend = world.database.backend();
        words(&world, exact(backend)).await;
        let collation = match (backend, loose(&world).await) {
            (Backend::Sqlite, _) => "NOCASE",
            (Backend::Postgres, Some(_)) => "no_accents",
            // Upserts of MariaDB's name no columns.
            _ => continue,
        };
        let index = format!("CREATE UNIQUE INDEX by_name ON term (name COLLATE {collation})");
        world.database.execute("DELETE FROM term WHERE name <> 'cafe'").await;
        world.database.execute(&index).await;
        let asked = Asked::new(&world, vec![term!("term cafe", "cafe"), term!("term elan", "elan")]).await;
        let sql =
            "INSERT INTO term (name, uses) VALUES ('CAFE', 0) ON CONFLICT (name) DO UPDATE SET uses = 50";
        asked.after(sql, &["term cafe"], send(&world, sql)).await;
    }
}
