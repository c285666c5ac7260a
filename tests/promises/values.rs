//! What comes back from the cache is what the database gives, for every type of column; and a change of
//! an entity never decodes what the entity was before.

mod entity;
mod lossy;
mod rows;
mod shapes;

use std::fmt::Debug;

use proptest::{
    collection,
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use sea_orm::{
    IntoActiveModel, Iterable, PrimaryKeyToColumn, QueryOrder, Schema, Select, entity::prelude::*,
};
use sea_orm_cache::{Rebuild, prelude::*};
use tokio::runtime::{Builder, Runtime};

use crate::{support::Backend, world::World};
use entity::{by_text, by_uuid, composite, listed, narrow, sample, wide};

/// Rows per table and world: so many batches of so many rows.
const BATCHES: u32 = 2;
const BATCH: usize = 32;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Makes the entity's table, and the types of the database's own that it needs.
pub(super) async fn create_table<E: EntityTrait>(world: &World, entity: E) {
    let db = world.plain();
    let schema = Schema::new(db.get_database_backend());
    let mut types = schema.create_enum_from_entity(entity);
    // Once for each column that has the type.
    types.dedup_by_key(|ty| format!("{ty:?}"));
    for ty in types {
        db.execute(&ty).await.unwrap();
    }
    db.execute(&schema.create_table_from_entity(entity)).await.unwrap();
}

/// NaN is not equal to itself, and 0.0 is equal to -0.0; what they look like tells.
pub(super) fn look<T: Debug>(value: &T) -> String {
    format!("{value:#?}")
}

/// Reads each row as a miss and as a hit, and all of them as a miss and as a hit: each time what the database
/// says.
async fn reads_agree<E>(
    world: &World,
    one_by_one: Vec<Select<E>>,
    all: Select<E>,
) -> Result<(), TestCaseError>
where
    E: Rebuild,
    E::Model: Send + Sync,
{
    let agree = |what: &str, read: String, truth: &str| {
        if read == truth {
            return Ok(());
        }
        let difference: Vec<_> =
            truth.lines().zip(read.lines()).filter(|(truth, read)| truth != read).take(5).collect();
        Err(TestCaseError::fail(format!("{world}, {what}: (database, cache) differ in {difference:#?}")))
    };
    let served = |what: &str, hit: bool, expected: bool| match hit == expected {
        true => Ok(()),
        false => Err(TestCaseError::fail(format!("{world}, {what}: hit = {hit}"))),
    };
    for select in one_by_one {
        let truth = look(&select.clone().one(world.plain()).await.unwrap());
        for (what, expected) in [("a row read first", false), ("a row read again", true)] {
            let (read, hit) = world.is_hit(select.clone().cached().one(&world.db)).await;
            agree(what, look(&read.unwrap()), &truth)?;
            served(what, hit, expected)?;
        }
    }
    let truth = look(&all.clone().all(world.plain()).await.unwrap());
    for (what, expected) in [("all rows read first", false), ("all rows read again", true)] {
        let (read, hit) = world.is_hit(all.clone().cached().all(&world.db)).await;
        agree(what, look(&read.unwrap()), &truth)?;
        served(what, hit, expected)?;
    }
    Ok(())
}

/// Inserts rows through the cached connection and reads them, batch by batch, on each world that has the type.
fn comes_back<E, S>(
    entity: E,
    backends: &[Backend],
    rows: impl Fn(Backend) -> S,
    number: impl Fn(&mut E::Model, usize),
    by_key: impl Fn(&E::Model) -> Select<E>,
) where
    E: Rebuild + Copy,
    E::Model: IntoActiveModel<E::ActiveModel> + Send + Sync,
    S: Strategy<Value = E::Model>,
{
    let runtime = runtime();
    let worlds = runtime.block_on(World::all());
    for world in worlds.iter().filter(|world| backends.contains(&world.database.backend())) {
        runtime.block_on(create_table(world, entity));
        let config =
            Config { cases: BATCHES, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let batch = collection::vec(rows(world.database.backend()), BATCH);
        let written = std::cell::Cell::new(1);
        let tried = TestRunner::new(config).run(&batch, |mut rows| {
            for row in &mut rows {
                number(row, written.replace(written.get() + 1));
            }
            runtime.block_on(async {
                let one_by_one: Vec<_> = rows.iter().map(&by_key).collect();
                let insert = E::insert_many(rows.into_iter().map(IntoActiveModel::into_active_model));
                insert.exec_without_returning(&world.db).await.unwrap();
                let first = one_by_one.first().cloned();
                let mut all = E::find();
                for key in E::PrimaryKey::iter() {
                    all = all.order_by_asc(key.into_column());
                }
                reads_agree(world, one_by_one, all).await?;
                if let Some(first) = first {
                    // What was deleted does not come back either.
                    E::delete_many().exec(&world.db).await.unwrap();
                    assert!(first.cached().one(&world.db).await.unwrap().is_none());
                }
                Ok(())
            })
        });
        // The reason names the columns that differ; the rows would fill screens.
        match tried {
            Ok(()) => {}
            Err(TestError::Fail(reason, _) | TestError::Abort(reason)) => panic!("{world}: {reason}"),
        }
    }
}

// case E11, E16
#[test]
fn every_type_of_column_comes_back_from_the_cache_as_the_database_gives_it() {
    comes_back(
        sample::Entity,
        &Backend::all(),
        |backend| rows::sample().prop_map(move |row| rows::fit(row, backend)),
        |row, number| row.id = number as i64,
        |row| sample::Entity::find_by_id(row.id),
    );
}

#[test]
fn short_and_unsigned_integers_come_back_where_the_database_has_them() {
    comes_back(
        narrow::Entity,
        &[Backend::Sqlite, Backend::MariaDb],
        |_| rows::narrow(),
        |row, number| row.id = u32::MAX - number as u32,
        |row| narrow::Entity::find_by_id(row.id),
    );
    comes_back(
        wide::Entity,
        &[Backend::MariaDb],
        |_| rows::wide(),
        |row, number| row.id = u64::MAX - number as u64,
        |row| wide::Entity::find_by_id(row.id),
    );
}

#[test]
fn arrays_come_back_on_postgresql() {
    comes_back(
        listed::Entity,
        &[Backend::Postgres],
        |_| rows::listed(),
        |row, number| row.id = number as i64,
        |row| listed::Entity::find_by_id(row.id),
    );
}

#[test]
fn rows_with_composite_uuid_and_text_keys_come_back() {
    comes_back(
        composite::Entity,
        &Backend::all(),
        |_| rows::composite(),
        |_, _| {},
        |row| composite::Entity::find_by_id((row.shelf, row.label.clone())),
    );
    comes_back(
        by_uuid::Entity,
        &Backend::all(),
        |_| rows::by_uuid(),
        |_, _| {},
        |row| by_uuid::Entity::find_by_id(row.id),
    );
    comes_back(
        by_text::Entity,
        &Backend::all(),
        |_| rows::by_text(),
        |_, _| {},
        |row| by_text::Entity::find_by_id(row.name.clone()),
    );
}

/// A row is purged by a write that names it by whatever key it has.
#[tokio::test]
async fn a_write_by_a_composite_uuid_or_text_key_purges_its_row_and_no_other() {
    for world in World::all().await {
        create_table(&world, composite::Entity).await;
        let row = |shelf, label: &str| composite::Model { shelf, label: label.to_owned(), text: None };
        let key = |row: &composite::Model| (row.shelf, row.label.clone());
        // 1 with "23" and 12 with "3" are two rows.
        let both = [row(1, "23"), row(12, "3")];
        check_purge(&world, both, key, |row| row.text = Some("new".into())).await;

        create_table(&world, by_uuid::Entity).await;
        let row = |id| by_uuid::Model { id, text: None, text_uuid: TextUuid(id), millis: None };
        let both = [1, 2].map(|id| row(Uuid::from_u128(id)));
        check_purge(&world, both, |row| row.id, |row| row.text = Some("new".into())).await;

        create_table(&world, by_text::Entity).await;
        let both = ["one", "two"].map(|name| by_text::Model { name: name.to_owned(), text: None });
        check_purge(&world, both, |row| row.name.clone(), |row| row.text = Some("new".into())).await;
    }
}

/// Reads both rows, changes the first, and reads both.
async fn check_purge<M, E, K>(world: &World, rows: [M; 2], key: impl Fn(&M) -> K, change: impl Fn(&mut M))
where
    M: ModelTrait<Entity = E> + IntoActiveModel<E::ActiveModel> + PartialEq + Sync,
    E: Rebuild<Model = M>,
    K: Into<<E::PrimaryKey as PrimaryKeyTrait>::ValueType>,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    let read = |row: &M| E::find_by_id(key(row)).cached();
    for row in &rows {
        E::insert(row.clone().into_active_model()).exec_without_returning(&world.db).await.unwrap();
        read(row).one(&world.db).await.unwrap();
        let (there, hit) = world.is_hit(read(row).one(&world.db)).await;
        assert_eq!((there.unwrap().as_ref(), hit), (Some(row), true), "{world}");
    }
    let mut changed = rows[0].clone();
    change(&mut changed);
    let new = changed.clone().into_active_model().reset_all();
    E::update(new).exec(&world.db).await.unwrap();
    let (there, hit) = world.is_hit(read(&rows[0]).one(&world.db)).await;
    assert_eq!((there.unwrap(), hit), (Some(changed), false), "{world}");
    let (there, hit) = world.is_hit(read(&rows[1]).one(&world.db)).await;
    assert_eq!((there.unwrap().as_ref(), hit), (Some(&rows[1]), true), "{world}: the other row");
}
