//! Entries whose time is over, and which no write has purged.

use std::{sync::Arc, time::Duration};

use sea_orm_cache::{Cache, EntryOptions};
use tokio::sync::Notify;

use crate::{support::eventually, world::caches};

const TTL: Duration = Duration::from_millis(40);
const GRACE: Duration = Duration::from_secs(60);

fn options() -> EntryOptions {
    EntryOptions::new().tag("tag").ttl(TTL)
}

async fn ask(cache: &Cache, options: EntryOptions, answer: Result<&str, &str>) -> Result<String, String> {
    let load = || async { answer.map(str::to_owned).map_err(str::to_owned) };
    cache.get_or_load("key", options, load).await
}

/// Loads it once, and waits until its time is over.
async fn late(cache: &Cache, options: EntryOptions) {
    assert_eq!(ask(cache, options.clone(), Ok("old")).await.unwrap(), "old");
    eventually("its time is over", Duration::from_secs(20), async || {
        cache.get::<String>("key").await.unwrap().is_none()
    })
    .await;
}

// feature B5
#[tokio::test]
async fn while_one_loads_anew_the_others_are_served_what_is_there() {
    for (store, cache) in caches().await {
        let options = || options().stale_while_revalidate(GRACE);
        late(&cache, options()).await;
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = tokio::spawn({
            let (cache, began, go_on) = (cache.clone(), began.clone(), go_on.clone());
            async move {
                let load = || async {
                    began.notify_one();
                    go_on.notified().await;
                    Ok::<_, String>("new".to_owned())
                };
                cache.get_or_load("key", options(), load).await
            }
        });
        began.notified().await;
        for _ in 0..5 {
            assert_eq!(ask(&cache, options(), Err("not asked")).await.unwrap(), "old", "{store:?}");
        }
        go_on.notify_one();
        assert_eq!(slow.await.unwrap().unwrap(), "new", "{store:?}");
        // Long enough not to be late again at once.
        assert_eq!(ask(&cache, options(), Ok("newer")).await.unwrap(), "new", "{store:?}");
    }
}

// case B4
#[tokio::test]
async fn what_a_write_has_purged_is_not_served_however_late_it_may_be() {
    for (store, cache) in caches().await {
        let options = || options().stale_while_revalidate(GRACE).stale_if_error(GRACE);
        late(&cache, options()).await;
        let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = tokio::spawn({
            let (cache, began, go_on) = (cache.clone(), began.clone(), go_on.clone());
            async move {
                let load = || async {
                    began.notify_one();
                    go_on.notified().await;
                    Ok::<_, String>("loaded before the purge".to_owned())
                };
                cache.get_or_load("key", options(), load).await
            }
        });
        began.notified().await;
        cache.invalidate_tag("tag").await;
        assert_eq!(ask(&cache, options(), Err("down")).await.unwrap_err(), "down", "{store:?}");
        assert_eq!(ask(&cache, options(), Ok("new")).await.unwrap(), "new", "{store:?}");
        go_on.notify_one();
        slow.await.unwrap().unwrap();
        let after = ask(&cache, options(), Ok("newer")).await.unwrap();
        assert!(["new", "newer"].contains(&&*after), "{store:?}: {after}");
    }
}

#[tokio::test]
async fn a_load_that_fails_is_answered_by_what_is_there_if_that_was_asked_for() {
    for (store, cache) in caches().await {
        late(&cache, options().stale_if_error(GRACE)).await;
        let kind = options().stale_if_error(GRACE);
        assert_eq!(ask(&cache, kind.clone(), Err("down")).await.unwrap(), "old", "{store:?}");
        assert_eq!(
            ask(&cache, options(), Err("down")).await.unwrap_err(),
            "down",
            "{store:?}: not asked for"
        );
        assert_eq!(
            ask(&cache, kind.clone(), Ok("new")).await.unwrap(),
            "new",
            "{store:?}: it is tried first"
        );
    }
}

#[tokio::test]
async fn without_grace_an_entry_ends_with_its_time() {
    for (store, cache) in caches().await {
        late(&cache, options()).await;
        // The load that brought it can be joined for as long as it was to live.
        eventually("nothing is served any more", Duration::from_secs(20), async || {
            let answer = ask(&cache, options().stale_if_error(GRACE), Err("down")).await;
            assert!(matches!(answer.as_deref(), Ok("old") | Err(_)), "{store:?}: {answer:?}");
            answer.is_err()
        })
        .await;
    }
}
