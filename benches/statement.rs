//! What reading a statement's text costs, cold and remembered, beside the cheapest statement that can be
//! run at all: a row by its key from SQLite in memory. At the end the figures and their ratios.
#![allow(missing_docs, clippy::print_stdout)]

use std::{cell::RefCell, future::Future, hint::black_box, sync::Arc, time::Instant};

use criterion::Criterion;
use sea_orm::{DatabaseConnection, DbBackend, QueryTrait, Schema, Set, entity::prelude::*, sqlx};
use tokio::runtime::Runtime;

// The module is the crate's own business, so it is compiled here once more instead of being shown.
#[allow(dead_code, unused_imports)]
#[path = "../src/statement/mod.rs"]
mod statement;

use statement::{Dialect, Memo, PureFunctions, analyse_with};

mod book {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "book")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub title: String,
        pub author: String,
        pub isbn: String,
        pub pages: i32,
        pub shelf_id: i64,
        pub price: i64,
        pub sold: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

const SQLITE: DbBackend = DbBackend::Sqlite;

fn a_book(id: i64) -> book::ActiveModel {
    book::ActiveModel {
        id: Set(id),
        title: Set("Dune".to_owned()),
        author: Set("Herbert".to_owned()),
        isbn: Set("0441013597".to_owned()),
        pages: Set(612),
        shelf_id: Set(3),
        price: Set(1200),
        sold: Set(false),
    }
}

/// The statements as SeaORM builds them.
fn statements() -> [(&'static str, String); 5] {
    let books = |n: i64| book::Entity::insert_many((0..n).map(a_book)).build(SQLITE).sql;
    [
        ("select by key", book::Entity::find_by_id(7).build(SQLITE).sql),
        ("update by key", book::Entity::update(a_book(7)).validate().unwrap().build(SQLITE).sql),
        ("insert", books(1)),
        ("delete by key", book::Entity::delete_by_id(7).build(SQLITE).sql),
        ("bulk insert, 800 placeholders", books(100)),
    ]
}

/// Runs benches, and keeps the nanoseconds of every sample for the table.
#[derive(Default)]
struct Bench {
    criterion: Criterion,
    lines: Vec<(String, f64)>,
}

impl Bench {
    fn run<T>(&mut self, group: &str, name: &str, mut work: impl FnMut() -> T) {
        self.samples(group, name, |n| {
            let start = Instant::now();
            for _ in 0..n {
                black_box(work());
            }
            start.elapsed()
        });
    }

    fn run_async<T, F: Future<Output = T>>(
        &mut self,
        runtime: &Runtime,
        group: &str,
        name: &str,
        mut work: impl FnMut() -> F,
    ) {
        self.samples(group, name, |n| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..n {
                    black_box(work().await);
                }
                start.elapsed()
            })
        });
    }

    fn samples(&mut self, group: &str, name: &str, mut time: impl FnMut(u64) -> std::time::Duration) {
        let samples = RefCell::new(Vec::new());
        self.criterion.benchmark_group(group).bench_function(name, |b| {
            b.iter_custom(|n| {
                let took = time(n);
                samples.borrow_mut().push(took.as_nanos() as f64 / n as f64);
                took
            });
        });
        let mut samples = samples.into_inner();
        samples.sort_by(f64::total_cmp);
        // Empty when a filter leaves the bench out.
        if let Some(median) = samples.get(samples.len() / 2) {
            self.lines.push((format!("{group}: {name}"), *median));
        }
    }

    fn print(self) {
        let cheapest = self.lines.iter().find(|(name, _)| name.ends_with("sqlx, prepared"));
        println!("\n{:48} {:>10} {:>16}", "median", "ns", "of a statement");
        for (name, nanoseconds) in &self.lines {
            let ratio = cheapest.map_or(f64::NAN, |(_, of)| 100.0 * nanoseconds / of);
            println!("{name:48} {nanoseconds:10.0} {ratio:14.2} %");
        }
    }
}

async fn open() -> DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    let db = sea_orm::Database::connect(options).await.unwrap();
    db.execute(&Schema::new(SQLITE).create_table_from_entity(book::Entity)).await.unwrap();
    a_book(7).insert(&db).await.unwrap();
    db
}

fn main() {
    let mut bench = Bench { criterion: Criterion::default().configure_from_args(), lines: Vec::new() };
    let runtime = Runtime::new().unwrap();
    let db = runtime.block_on(open());
    let statements = statements();

    let select = statements[0].1.as_str();
    let pool = db.get_sqlite_connection_pool();
    let connection = tokio::sync::Mutex::new(runtime.block_on(pool.acquire()).unwrap());
    bench.run_async(&runtime, "statement", "select by key, sqlx, prepared", || async {
        let query = sqlx::query(sqlx::AssertSqlSafe(select)).bind(7_i64).bind(1_i64);
        query.fetch_one(&mut **connection.lock().await).await.unwrap()
    });
    // It goes back to the pool, which wants a runtime for that.
    runtime.block_on(async move { drop(connection) });
    bench.run_async(&runtime, "statement", "select by key, SeaORM", || async {
        book::Entity::find_by_id(7).one(&db).await.unwrap()
    });

    let pure = Arc::new(PureFunctions::new());
    for (name, sql) in &statements {
        bench.run("cold", name, || analyse_with(Dialect::Sqlite, sql, &pure));
    }
    let memo = Memo::new(8 << 20, pure);
    for (name, sql) in &statements {
        memo.analyse(Dialect::Sqlite, sql);
        let remembered =
            Arc::ptr_eq(&memo.analyse(Dialect::Sqlite, sql), &memo.analyse(Dialect::Sqlite, sql));
        let group = if remembered { "memo, hit" } else { "memo, not kept" };
        bench.run(group, name, || memo.analyse(Dialect::Sqlite, sql));
    }
    bench.criterion.final_summary();
    bench.print();
}
