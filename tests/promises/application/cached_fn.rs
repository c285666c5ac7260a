//! A function that is cached returns what it would return.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use sea_orm::{EntityTrait, PaginatorTrait, entity::prelude::*};
use sea_orm_cache::{Cache, CachedConnection, cached_fn};

use crate::{
    entity::book,
    world::{World, caches, new_book},
};

/// How often the functions below have run, each by its own counter.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicU32>);

impl Runs {
    fn count(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn so_far(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cached_fn(ttl = "5m", key = "price:{currency}:{day}", tags("currency:{currency}", "prices"), skip("runs"))]
async fn price(cache: &Cache, currency: &str, day: u32, runs: &Runs) -> Result<String, String> {
    if runs.count() > 100 {
        return Err("too often".to_owned());
    }
    let known = currency.strip_prefix('?').map_or(Ok(currency), |unknown| Err(format!("no {unknown}")))?;
    Ok(format!("{known} on day {day}"))
}

// feature C2
#[tokio::test]
async fn it_runs_once_for_each_key_and_an_error_is_not_stored() {
    for (kind, cache) in caches().await {
        let runs = Runs::default();
        for _ in 0..3 {
            assert_eq!(price(&cache, "EUR", 7, &runs).await.as_deref(), Ok("EUR on day 7"), "{kind:?}");
        }
        assert_eq!(runs.so_far(), 1, "{kind:?}");
        assert_eq!(price(&cache, "EUR", 8, &runs).await.as_deref(), Ok("EUR on day 8"), "{kind:?}");
        assert_eq!(price(&cache, "USD", 7, &runs).await.as_deref(), Ok("USD on day 7"), "{kind:?}");
        assert_eq!(runs.so_far(), 3, "{kind:?}");
        for runs_then in [4, 5] {
            assert_eq!(price(&cache, "?XYZ", 7, &runs).await, Err("no XYZ".to_owned()), "{kind:?}");
            assert_eq!(runs.so_far(), runs_then, "{kind:?}");
        }
        // By its key it is an entry like any other.
        assert_eq!(cache.get::<String>("price:EUR:7").await.unwrap().as_deref(), Some("EUR on day 7"));
    }
}

#[tokio::test]
async fn a_tag_made_of_arguments_drops_what_has_it() {
    for (kind, cache) in caches().await {
        let runs = Runs::default();
        for currency in ["EUR", "USD"] {
            price(&cache, currency, 1, &runs).await.unwrap();
        }
        cache.invalidate_tag("currency:EUR").await;
        price(&cache, "USD", 1, &runs).await.unwrap();
        assert_eq!(runs.so_far(), 2, "{kind:?}");
        price(&cache, "EUR", 1, &runs).await.unwrap();
        assert_eq!(runs.so_far(), 3, "{kind:?}");
        cache.invalidate_tag("prices").await;
        price(&cache, "USD", 1, &runs).await.unwrap();
        assert_eq!(runs.so_far(), 4, "{kind:?}");
    }
}

#[cached_fn(skip("runs"))]
async fn by_arguments(
    words: &[&str],
    map: BTreeMap<String, i64>,
    mut flag: Option<bool>,
    runs: Runs,
    cache: Cache,
) -> Option<(usize, bool)> {
    runs.count();
    let flag = flag.take()?;
    drop(cache);
    Some((words.len() + map.len(), flag))
}

// feature C2
#[tokio::test]
async fn without_a_key_all_arguments_count() {
    for (kind, cache) in caches().await {
        let runs = Runs::default();
        let map = || BTreeMap::from([("a".to_owned(), 1)]);
        let ask = async |words: &[&str], map: BTreeMap<String, i64>, flag| {
            by_arguments(words, map, flag, runs.clone(), cache.clone()).await
        };
        for _ in 0..2 {
            assert_eq!(ask(&["ab", "c"], map(), Some(true)).await, Some((3, true)), "{kind:?}");
            assert_eq!(ask(&["a", "bc"], map(), Some(true)).await, Some((3, true)), "{kind:?}");
            assert_eq!(ask(&["abc"], map(), Some(true)).await, Some((2, true)), "{kind:?}");
            assert_eq!(ask(&["abc"], BTreeMap::new(), Some(true)).await, Some((1, true)), "{kind:?}");
            assert_eq!(ask(&["abc"], map(), Some(false)).await, Some((2, false)), "{kind:?}");
            // What is returned is stored, and it is nothing.
            assert_eq!(ask(&["abc"], map(), None).await, None, "{kind:?}");
        }
        assert_eq!(runs.so_far(), 6, "{kind:?}");
        let stem = format!("{}.by_arguments", module_path!().replace("::", "."));
        cache.invalidate_tag(&format!("{stem}:*")).await;
        ask(&["abc"], map(), None).await;
        assert_eq!(runs.so_far(), 7, "{kind:?}: dropped by the path of the function, {stem}");
    }
}

mod twins {
    use super::*;

    #[cached_fn(skip("runs"))]
    pub async fn same(cache: &Cache, n: u8, runs: &Runs) -> String {
        runs.count();
        format!("outer {n}")
    }

    pub struct One;
    pub struct Two;

    impl One {
        #[cached_fn(skip("runs"))]
        pub async fn same(cache: &Cache, n: u8, runs: &Runs) -> String {
            runs.count();
            format!("one {n}")
        }
    }

    impl Two {
        #[cached_fn(skip("runs"))]
        pub async fn same(cache: &Cache, n: u8, runs: &Runs) -> String {
            runs.count();
            format!("two {n}")
        }
    }

    #[cached_fn(skip("runs"))]
    pub async fn sized<T: Default, const N: usize>(cache: &Cache, n: u8, runs: &Runs) -> String {
        runs.count();
        format!("{} {N} {n}", std::any::type_name::<T>())
    }
}

#[tokio::test]
async fn functions_that_look_alike_do_not_share_answers() {
    for (kind, cache) in caches().await {
        let runs = Runs::default();
        for _ in 0..2 {
            assert_eq!(twins::same(&cache, 1, &runs).await, "outer 1", "{kind:?}");
            assert_eq!(twins::One::same(&cache, 1, &runs).await, "one 1", "{kind:?}");
            assert_eq!(twins::Two::same(&cache, 1, &runs).await, "two 1", "{kind:?}");
            assert_eq!(twins::sized::<u8, 3>(&cache, 1, &runs).await, "u8 3 1", "{kind:?}");
            assert_eq!(twins::sized::<u8, 4>(&cache, 1, &runs).await, "u8 4 1", "{kind:?}");
            assert_eq!(twins::sized::<i8, 3>(&cache, 1, &runs).await, "i8 3 1", "{kind:?}");
        }
        assert_eq!(runs.so_far(), 6, "{kind:?}");
    }
}

struct Shop {
    db: CachedConnection,
    runs: Runs,
}

type Answer<T> = Result<T, DbErr>;

impl Shop {
    /// By a name of its own, a `Result` all the same; and made of a table.
    #[cached_fn(cache = "self.db", key = "books on {shelf}", tables("book"), skip("self"))]
    async fn books_on(&self, shelf: i64) -> Answer<u64> {
        self.runs.count();
        book::Entity::find().filter(book::Column::ShelfId.eq(shelf)).count(&self.db).await
    }
}

#[tokio::test]
async fn a_write_to_a_table_that_it_is_made_of_makes_it_run_again() {
    for world in World::on_each_store().await {
        let shop = Shop { db: world.db.clone(), runs: Runs::default() };
        for _ in 0..2 {
            assert_eq!(shop.books_on(1).await.unwrap(), 4, "{world}");
        }
        assert_eq!(shop.runs.so_far(), 1, "{world}");
        book::Entity::insert(new_book(100)).exec_without_returning(&world.db).await.unwrap();
        book::Entity::insert(new_book(102)).exec_without_returning(&world.db).await.unwrap();
        assert_eq!(shop.books_on(1).await.unwrap(), 5, "{world}");
        assert_eq!(shop.runs.so_far(), 2, "{world}");
    }
}

#[tokio::test]
async fn many_calls_at_a_time_are_one_run() {
    for (kind, cache) in caches().await {
        let runs = Runs::default();
        let all = (0..50).map(|_| {
            let (cache, runs) = (cache.clone(), runs.clone());
            tokio::spawn(async move { twins::same(&cache, 9, &runs).await })
        });
        let got = futures_util::future::join_all(all).await;
        assert!(got.into_iter().all(|got| got.unwrap() == "outer 9"), "{kind:?}");
        assert_eq!(runs.so_far(), 1, "{kind:?}");
    }
}
