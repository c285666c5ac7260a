//! An answer is generated once, and is the answer to what was asked.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sea_orm_cache::{Answers, Asked, EntryOptions};

use crate::{
    support::unique_namespace,
    world::{StoreKind, builder, caches},
};

fn question() -> Asked {
    Asked::new("acme/large-3", "When do you open?").option("temperature", 0).option("seed", 7)
}

fn options() -> EntryOptions {
    EntryOptions::new().tag("hours")
}

async fn answer(answers: &Answers, asked: &Asked, text: &str) -> String {
    let text = text.to_owned();
    answers.get_or_generate(asked, options(), || async { Ok::<_, String>(text) }).await.unwrap()
}

// feature C4
#[tokio::test]
async fn the_same_question_is_generated_once_and_another_one_is_another() {
    for (kind, cache) in caches().await {
        let answers = Answers::new(&cache, "support");
        assert_eq!(answer(&answers, &question(), "at nine").await, "at nine", "{kind:?}");
        let again =
            Asked::new("acme/large-3", "When do you open?").option("seed", 7.0).option("temperature", -0.0);
        assert_eq!(answer(&answers, &again, "at ten").await, "at nine", "{kind:?}");
        for other in [
            question().option("temperature", 1),
            question().said("user", "hello"),
            question().said("user", "hello").said("assistant", "hi"),
            question().said("assistant", "hi").said("user", "hello"),
            Asked::new("acme/small-3", "When do you open?").option("seed", 7).option("temperature", 0),
        ] {
            assert_eq!(answer(&answers, &other, "at ten").await, "at ten", "{kind:?} {other:?}");
        }
        // Answers of another name are others.
        assert_eq!(answer(&Answers::new(&cache, "sales"), &question(), "never").await, "never", "{kind:?}");
        let stats = answers.stats();
        assert_eq!((stats.asked, stats.hits, stats.generated, stats.failed), (7, 1, 6, 0), "{kind:?}");
    }
}

#[tokio::test]
async fn what_was_generated_in_one_process_is_a_hit_in_another() {
    let namespace = unique_namespace();
    let Some(here) = builder(StoreKind::Redis, &namespace) else { return };
    let there = builder(StoreKind::Redis, &namespace).unwrap();
    let here = Answers::new(&here.build().await.unwrap(), "support");
    let there = Answers::new(&there.build().await.unwrap(), "support");
    answer(&here, &question(), "at nine").await;
    assert_eq!(answer(&there, &question(), "at ten").await, "at nine");
    assert_eq!((there.stats().hits, there.stats().generated), (1, 0));
    assert_eq!(there.stats().hit_rate(), Some(1.0));
}

#[tokio::test]
async fn of_many_who_ask_at_a_time_one_generates_and_the_time_of_the_others_is_saved() {
    for (kind, cache) in caches().await {
        let answers = Answers::new(&cache, "support");
        let runs = AtomicU32::new(0);
        let asked = question();
        let all = (0..20).map(|_| {
            answers.get_or_generate(&asked, options(), || async {
                runs.fetch_add(1, Ordering::SeqCst);
                // Long enough for all of them to have come; how long does not matter.
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, String>(42)
            })
        });
        let got = futures_util::future::join_all(all).await;
        assert!(got.iter().all(|got| *got == Ok(42)), "{kind:?}");
        let stats = answers.stats();
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{kind:?}");
        assert_eq!((stats.hits, stats.generated), (19, 1), "{kind:?}");
        assert!(stats.time_saved >= 19 * Duration::from_millis(50), "{kind:?}");
    }
}

#[tokio::test]
async fn a_failure_is_not_stored_and_is_counted() {
    for (kind, cache) in caches().await {
        let answers = Answers::new(&cache, "support");
        for _ in 0..2 {
            let asked = question();
            let fail = || async { Err::<u8, _>("overloaded") };
            let failed = answers.get_or_generate(&asked, options(), fail);
            assert_eq!(failed.await, Err("overloaded"), "{kind:?}");
        }
        assert_eq!(answers.get::<u8>(&question()).await.unwrap(), None, "{kind:?}");
        assert_eq!((answers.stats().asked, answers.stats().failed), (2, 2), "{kind:?}");
    }
}

#[tokio::test]
async fn answers_are_dropped_by_tag_one_by_one_and_all() {
    for (kind, cache) in caches().await {
        // A colon in the name is one: only answers of this name are dropped.
        let answers = Answers::new(&cache, "support:de");
        let near = Answers::new(&cache, "support");
        answer(&near, &question(), "near").await;
        answer(&answers, &question(), "a").await;
        assert!(answers.forget(&question()).await.unwrap(), "{kind:?}");
        assert_eq!(answer(&answers, &question(), "b").await, "b", "{kind:?}");
        answers.forget_all().await;
        assert_eq!(answers.get::<String>(&question()).await.unwrap(), None, "{kind:?}");
        assert!(near.get::<String>(&question()).await.unwrap().is_some(), "{kind:?}");
        answer(&answers, &question(), "c").await;
        cache.invalidate_tag("hours").await;
        assert_eq!(answers.get::<String>(&question()).await.unwrap(), None, "{kind:?}");
    }
}
