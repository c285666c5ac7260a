//! Rows that the database deletes or changes because of others: they are purged, and their neighbours not.

use futures_util::future::{join, join_all};
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DbErr, IsolationLevel, QueryOrder, TransactionTrait,
    entity::prelude::*,
};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::Backend,
    world::{StoreKind, World, builder},
};

entities! {
    depot = "depot", i64;
    bay = "bay", i64;
    pallet = "pallet", i64;
    branch = "branch", i64;
    genre = "genre", String;
    record = "record", String;
}

macro_rules! row {
    ($name:literal, $module:ident, $id:expr) => {
        question!($name, $module::Entity::find_by_id($id), one)
    };
}

macro_rules! below {
    ($name:literal, $module:ident, $id:expr) => {
        question!(
            $name,
            $module::Entity::find().filter($module::Column::Up.eq($id)).order_by_asc($module::Column::Id),
            all
        )
    };
}

async fn create(world: &World, statements: &[&str]) {
    for sql in statements {
        world.database.execute(sql).await;
    }
}

/// Pallets in bays of depots: pallet 11 in bay 1 of depot 1, and so on.
async fn depots(world: &World, of_pallets: &str) {
    let pallet = format!(
        "CREATE TABLE pallet (id BIGINT PRIMARY KEY, up BIGINT, FOREIGN KEY (up) REFERENCES bay (id) {of_pallets})"
    );
    let statements = [
        "CREATE TABLE depot (id BIGINT PRIMARY KEY, up BIGINT)",
        "CREATE TABLE bay (id BIGINT PRIMARY KEY, up BIGINT, \
         FOREIGN KEY (up) REFERENCES depot (id) ON DELETE CASCADE ON UPDATE CASCADE)",
        &pallet,
        "INSERT INTO depot (id, up) VALUES (1, NULL), (2, NULL), (3, NULL)",
        "INSERT INTO bay (id, up) VALUES (1, 1), (2, 2), (3, 3)",
        "INSERT INTO pallet (id, up) VALUES (11, 1), (12, 1), (21, 2), (31, 3)",
    ];
    create(world, &statements).await;
}

fn questions() -> Vec<Question> {
    vec![
        row!("depot 1", depot, 1),
        row!("depot 2", depot, 2),
        row!("bay 1", bay, 1),
        row!("bay 2", bay, 2),
        below!("bays of 1", bay, 1_i64),
        below!("bays of 2", bay, 2_i64),
        row!("pallet 11", pallet, 11),
        row!("pallet 21", pallet, 21),
        below!("pallets of 1", pallet, 1_i64),
        below!("pallets of 2", pallet, 2_i64),
    ]
}

const OF_DEPOT_1: [&str; 5] = ["depot 1", "bay 1", "bays of 1", "pallet 11", "pallets of 1"];

// case D17
#[tokio::test]
async fn what_goes_with_a_row_is_purged_and_its_neighbours_are_not() {
    for world in World::all().await {
        let ways = [("ON DELETE CASCADE", 0), ("ON DELETE SET NULL", 1), ("ON DELETE CASCADE", 2)];
        for (actions, way) in ways {
            create(&world, &["DROP TABLE IF EXISTS pallet", "DROP TABLE IF EXISTS bay"]).await;
            create(&world, &["DROP TABLE IF EXISTS depot"]).await;
            depots(&world, actions).await;
            world.db.learn_schema().await.unwrap();
            let asked = Asked::new(&world, questions()).await;
            let gone = &OF_DEPOT_1;
            let delete = async {
                match way {
                    0 => depot::Entity::delete_by_id(1).exec(&world.db).await.map(drop),
                    1 => {
                        let tx = world.db.begin().await?;
                        depot::Entity::delete_by_id(1).exec(&tx).await?;
                        tx.commit().await
                    }
                    _ => send(&world, "DELETE FROM depot WHERE id = 1").await,
                }
            };
            assert_eq!(asked.after("a delete", gone, delete).await, gone, "{world}, {actions}, {way}");
        }
    }
}

// case D17
#[tokio::test]
async fn a_new_key_purges_the_rows_that_follow_it_and_the_lists_of_both() {
    for world in World::all().await {
        depots(&world, "ON DELETE CASCADE").await;
        let mut questions = questions();
        questions.push(below!("bays of 9", bay, 9_i64));
        let asked = Asked::new(&world, questions).await;
        let changed = ["depot 1", "bay 1", "bays of 1", "bays of 9"];
        let renumbered = send(&world, "UPDATE depot SET id = 9 WHERE id = 1");
        assert_eq!(asked.after("another number", &changed, renumbered).await, changed, "{world}");
        // A number that the statement does not say.
        let changed = ["bay 1", "bays of 9"];
        let renumbered = send(&world, "UPDATE depot SET id = id + 1 WHERE id = 9");
        asked.after("a number that is computed", &changed, renumbered).await;
    }
}

// case D17
#[tokio::test]
async fn of_a_tree_the_branch_is_purged_that_is_cut_off() {
    for world in World::all().await {
        let statements = [
            "CREATE TABLE branch (id BIGINT PRIMARY KEY, up BIGINT, \
             FOREIGN KEY (up) REFERENCES branch (id) ON DELETE CASCADE)",
            "INSERT INTO branch (id, up) VALUES (1, NULL), (2, 1), (3, 2), (4, 3), (5, 1), (6, 5)",
        ];
        create(&world, &statements).await;
        let questions = vec![
            row!("branch 1", branch, 1),
            row!("branch 2", branch, 2),
            row!("branch 4", branch, 4),
            row!("branch 6", branch, 6),
            below!("below 1", branch, 1_i64),
            below!("below 3", branch, 3_i64),
            below!("below 5", branch, 5_i64),
        ];
        let asked = Asked::new(&world, questions).await;
        let gone = ["branch 2", "branch 4", "below 1", "below 3"];
        let cut = branch::Entity::delete_by_id(2).exec(&world.db);
        assert_eq!(asked.after("a cut", &gone, cut).await, gone, "{world}");
    }
}

// case D28
#[tokio::test]
async fn more_rows_than_are_worth_naming_are_purged_with_their_table() {
    for backend in Backend::all() {
        let Some(mut world) = World::new(backend, StoreKind::Memory).await else { continue };
        let cache = builder(StoreKind::Memory, &world.namespace).unwrap().max_row_tags(3);
        world.db = world.plain().clone().cached_by(cache.build().await.unwrap());
        depots(&world, "ON DELETE CASCADE").await;
        create(&world, &["INSERT INTO pallet (id, up) VALUES (13, 1), (14, 1), (15, 1)"]).await;
        let asked = Asked::new(&world, questions()).await;
        let gone = &OF_DEPOT_1;
        let purged =
            asked.after("a delete of many", gone, depot::Entity::delete_by_id(1).exec(&world.db)).await;
        assert!(purged.contains(&"pallet 21") && purged.contains(&"pallets of 2"), "{world}: {purged:?}");
    }
}

// case D17, E23: what a foreign key holds equal, a select may not.
#[tokio::test]
async fn rows_that_refer_to_a_key_in_other_letters_are_purged_with_it() {
    for world in World::all().await {
        let kind = match world.database.backend() {
            Backend::Sqlite => "TEXT COLLATE NOCASE",
            Backend::MariaDb => "VARCHAR(20)",
            Backend::Postgres => {
                let any_case = "CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', \
                                deterministic = false)";
                if world.plain().execute_unprepared(any_case).await.is_err() {
                    continue;
                }
                "VARCHAR(20) COLLATE any_case"
            }
        };
        let genre = format!("CREATE TABLE genre (id {kind} NOT NULL PRIMARY KEY, up {kind})");
        // In SQLite the column that refers compares letter by letter, its foreign key does not.
        let of_record = if kind.starts_with("TEXT") { "TEXT" } else { kind };
        let record = format!(
            "CREATE TABLE record (id {kind} NOT NULL PRIMARY KEY, up {of_record}, \
             FOREIGN KEY (up) REFERENCES genre (id) ON DELETE CASCADE)"
        );
        let rows = [
            "INSERT INTO genre (id, up) VALUES ('Jazz', NULL), ('Folk', NULL)",
            "INSERT INTO record (id, up) VALUES ('one', 'JAZZ'), ('two', 'jazz'), ('three', 'Folk')",
        ];
        create(&world, &[&genre, &record, rows[0], rows[1]]).await;
        let questions = vec![
            row!("one", record, "one"),
            row!("two", record, "two"),
            row!("three", record, "three"),
            below!("of JAZZ", record, "JAZZ"),
        ];
        let asked = Asked::new(&world, questions).await;
        let gone = genre::Entity::delete_by_id("Jazz").exec(&world.db);
        asked.after("a genre gone", &["one", "two", "of JAZZ"], gone).await;
    }
}

async fn pallets(db: &CachedConnection, depot: i64) -> (Option<pallet::Model>, Vec<pallet::Model>) {
    let row = pallet::Entity::find_by_id(100 + depot).cached().one(db).await.unwrap();
    let list = pallet::Entity::find().filter(pallet::Column::Up.eq(depot)).cached().all(db).await.unwrap();
    (row, list)
}

async fn true_pallets(world: &World, depot: i64) -> (Option<pallet::Model>, Vec<pallet::Model>) {
    let row = pallet::Entity::find_by_id(100 + depot).one(world.plain()).await.unwrap();
    let list = pallet::Entity::find().filter(pallet::Column::Up.eq(depot)).all(world.plain()).await.unwrap();
    (row, list)
}

// case D17: it is not there when the rows are looked for, or it is, or it waits.
#[tokio::test]
async fn a_row_that_comes_while_the_one_above_it_goes_is_gone_for_all() {
    for world in World::all().await {
        depots(&world, "ON DELETE CASCADE").await;
        for id in 4..40_i64 {
            create(&world, &[&format!("INSERT INTO depot (id) VALUES ({id})")]).await;
            create(&world, &[&format!("INSERT INTO bay (id, up) VALUES ({id}, {id})")]).await;
            let comes = async {
                let tx = world.db.begin().await?;
                let new = pallet::ActiveModel { id: Set(100 + id), up: Set(Some(id)) };
                pallet::Entity::insert(new).exec_without_returning(&tx).await?;
                tx.commit().await
            };
            let goes = async {
                if id % 2 == 0 {
                    return depot::Entity::delete_by_id(id).exec(&world.db).await.map(drop);
                }
                let tx = world.db.begin().await?;
                bay::Entity::delete_by_id(id).exec(&tx).await?;
                tx.commit().await
            };
            let reads = join_all((0..6).map(|_| pallets(&world.db, id)));
            let ((comes, goes), _) = join(join(comes, goes), reads).await;
            let happened = format!("{world}, {id}: {comes:?}, {goes:?}");
            assert_eq!(pallets(&world.db, id).await, true_pallets(&world, id).await, "{happened}");
        }
    }
}

/// A pallet that is committed, and read, when a transaction has begun that deletes what is above it.
async fn deleted_behind_a_snapshot(world: &World, id: i64, level: Option<IsolationLevel>) {
    let tx = world.db.begin_with_config(level, None).await.unwrap();
    pallet::Entity::find().all(&tx).await.unwrap();
    let new = pallet::ActiveModel { id: Set(100 + id), up: Set(Some(id)) };
    pallet::Entity::insert(new).exec_without_returning(&world.db).await.unwrap();
    for _ in 0..3 {
        pallets(&world.db, id).await;
    }
    let deleted: Result<(), DbErr> = async {
        depot::Entity::delete_by_id(id).exec(&tx).await?;
        tx.commit().await
    }
    .await;
    let now = (pallets(&world.db, id).await, true_pallets(world, id).await);
    assert_eq!(now.0, now.1, "{world}, {level:?}: {deleted:?}");
}

// case D17: it is there for the foreign key, and not for what the transaction selects.
#[tokio::test]
async fn a_row_that_came_after_a_transaction_began_is_gone_with_the_one_above_it() {
    use IsolationLevel::{ReadCommitted, RepeatableRead, Serializable};
    for world in World::all().await {
        if world.database.backend() == Backend::Sqlite {
            // Nobody writes while a transaction reads.
            continue;
        }
        depots(&world, "ON DELETE CASCADE").await;
        let levels = [None, Some(ReadCommitted), Some(RepeatableRead), Some(Serializable)];
        for (id, level) in (1..).zip(levels) {
            // Where reads lock, or a list of ranges is locked, nobody could write meanwhile.
            if level == Some(Serializable) && world.database.backend() == Backend::MariaDb {
                continue;
            }
            create(&world, &[&format!("INSERT INTO depot (id) VALUES ({})", 50 + id)]).await;
            create(&world, &[&format!("INSERT INTO bay (id, up) VALUES ({0}, {0})", 50 + id)]).await;
            deleted_behind_a_snapshot(&world, 50 + id, level).await;
        }
    }
}
