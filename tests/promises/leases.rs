//! One process of many loads.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use sea_orm_cache::{Cache, EntryOptions};
use tokio::sync::{Notify, oneshot};

use crate::{
    support::{eventually, unique_namespace},
    world::{StoreKind, builder},
};

/// Caches of as many processes: none shares anything with another but Redis.
async fn processes(number: usize, lease: Duration) -> Option<Vec<Cache>> {
    let namespace = unique_namespace();
    let mut caches = Vec::new();
    for _ in 0..number {
        caches.push(builder(StoreKind::Redis, &namespace)?.lease(lease).build().await.unwrap());
    }
    Some(caches)
}

async fn load(cache: &Cache, loads: &AtomicUsize, value: &'static str) -> String {
    let options = EntryOptions::new().tag("tag");
    let load = || async {
        loads.fetch_add(1, Ordering::SeqCst);
        // Long enough for the others to come.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(value.to_owned())
    };
    cache.get_or_load("key", options, load).await.unwrap()
}

// case B21
// feature B6
#[tokio::test]
async fn a_thousand_misses_at_a_time_in_four_processes_are_one_load() {
    let Some(caches) = processes(4, Duration::from_secs(20)).await else { return };
    let loads = Arc::new(AtomicUsize::new(0));
    let reads = (0..1000).map(|number| {
        let (cache, loads) = (caches[number % 4].clone(), loads.clone());
        tokio::spawn(async move { load(&cache, &loads, "value").await })
    });
    for value in join_all(reads).await {
        assert_eq!(value.unwrap(), "value");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

// case B18
#[tokio::test]
async fn who_waits_for_a_process_that_died_loads_in_its_place() {
    let Some(caches) = processes(2, Duration::from_millis(400)).await else { return };
    let began = Arc::new(Notify::new());
    let dies = tokio::spawn({
        let (cache, began) = (caches[0].clone(), began.clone());
        async move {
            let load = || async {
                began.notify_one();
                std::future::pending::<Result<String, Infallible>>().await
            };
            cache.get_or_load("key", EntryOptions::new().tag("tag"), load).await
        }
    });
    began.notified().await;
    dies.abort();
    let loads = AtomicUsize::new(0);
    assert_eq!(load(&caches[1], &loads, "value").await, "value");
    assert_eq!(loads.load(Ordering::SeqCst), 1);
}

// case B20
#[tokio::test]
async fn who_waited_too_long_loads_and_leaves_the_storing_to_the_one_who_is_at_it() {
    let Some(caches) = processes(2, Duration::from_millis(300)).await else { return };
    let (began_tx, began) = oneshot::channel();
    let (answer, answer_rx) = oneshot::channel::<&'static str>();
    let slow = tokio::spawn({
        let cache = caches[0].clone();
        async move {
            let load = || async {
                began_tx.send(()).unwrap();
                Ok::<_, Infallible>(answer_rx.await.unwrap().to_owned())
            };
            cache.get_or_load("key", EntryOptions::new().tag("tag"), load).await.unwrap()
        }
    });
    began.await.unwrap();
    let loads = AtomicUsize::new(0);
    assert_eq!(load(&caches[1], &loads, "quick").await, "quick");
    answer.send("slow").unwrap();
    assert_eq!(slow.await.unwrap(), "slow");
    eventually("an entry is there", Duration::from_secs(20), async || {
        caches[1].get::<String>("key").await.unwrap().is_some()
    })
    .await;
}

#[tokio::test]
async fn a_lease_from_before_a_purge_holds_nobody_up_after_it() {
    let patience = Duration::from_secs(60);
    let Some(caches) = processes(2, patience).await else { return };
    let (began_tx, began) = oneshot::channel();
    let (answer, answer_rx) = oneshot::channel::<&'static str>();
    let slow = tokio::spawn({
        let cache = caches[0].clone();
        async move {
            let load = || async {
                began_tx.send(()).unwrap();
                Ok::<_, Infallible>(answer_rx.await.unwrap().to_owned())
            };
            cache.get_or_load("key", EntryOptions::new().tag("tag"), load).await.unwrap()
        }
    });
    began.await.unwrap();
    caches[1].invalidate_tag("tag").await;
    let loads = AtomicUsize::new(0);
    let since = std::time::Instant::now();
    assert_eq!(load(&caches[1], &loads, "new").await, "new");
    assert!(since.elapsed() < patience, "it did not wait for the old load");
    answer.send("old").unwrap();
    assert_eq!(slow.await.unwrap(), "old");
    // What the old load stored is no entry, and may have taken the place of the new one.
    let again = load(&caches[0], &loads, "newer").await;
    assert!(["new", "newer"].contains(&again.as_str()), "{again}");
    assert!(since.elapsed() < patience, "nobody waits for a lease whose load is over");
}
