//! What a scrape of Prometheus sees: the documented names, the right numbers, and no keys.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use sea_orm::entity::prelude::*;
use sea_orm_cache::{Cache, prelude::*};

use crate::{
    entity::book,
    world::{World, retitled},
};

/// A number, by its name and labels, as the scrape writes them.
type Numbers = BTreeMap<String, f64>;

struct Scraper {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Scraper {
    fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&[0.0001, 0.001, 0.01, 0.1, 1.0]).unwrap();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    fn scrape(&self, cache: &Cache) -> String {
        metrics::with_local_recorder(&self.recorder, || cache.publish_metrics());
        self.handle.render()
    }

    fn numbers(&self, cache: &Cache) -> Numbers {
        let text = self.scrape(cache);
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines
            .map(|line| {
                let (name, number) = line.rsplit_once(' ').unwrap();
                (name.to_owned(), number.parse().unwrap())
            })
            .collect()
    }
}

/// The sum of all that begin so.
fn sum(numbers: &Numbers, name: &str, label: &str) -> u64 {
    let of = |(there, _): &(&String, &f64)| there.starts_with(&format!("{name}{{")) && there.contains(label);
    numbers.iter().filter(of).map(|(_, number)| *number as u64).sum()
}

/// Names and types, as the scrape says them.
fn types(scrape: &str) -> BTreeMap<String, String> {
    let of = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    };
    scrape.lines().filter_map(of).collect()
}

/// What begins like one of our names, in any text.
fn named(text: &str) -> BTreeSet<String> {
    let starts = text.match_indices("seacache_").map(|(at, _)| at);
    let name = |at: usize| {
        let rest = &text[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest[..end].to_owned()
    };
    starts.map(name).collect()
}

async fn busy(world: &World) {
    let (db, cache) = (&world.db, world.cache());
    for round in 0..3 {
        for id in 1..=5 {
            world.title(id).await;
        }
        book::Entity::find().cached().all(db).await.unwrap();
        let load = async || Ok::<_, Infallible>("hopper@example.org".to_owned());
        cache.get_or_load("hopper@example.org", EntryOptions::new().tag("hopper"), load).await.unwrap();
        retitled(1, &format!("hopper {round}")).update(db).await.unwrap();
        cache.invalidate_tag("hopper").await;
    }
}

// case G2
// feature D4
#[tokio::test]
async fn a_scrape_says_what_the_statistics_say_and_adds_up() {
    for world in World::on_each_store().await {
        let scraper = Scraper::new();
        busy(&world).await;
        let (numbers, stats) = (scraper.numbers(world.cache()), world.cache().stats());
        let reads = |label: &str| sum(&numbers, "seacache_reads_total", label);
        assert_eq!(reads(""), stats.total.reads, "{world}: {numbers:#?}");
        let book = |outcome: &str| reads(&format!("entity=\"book\",outcome=\"{outcome}\""));
        let counted = &stats.tables["book"];
        assert_eq!(book("hit") + book("near"), counted.hits, "{world}");
        assert_eq!(book("miss") + book("joined"), counted.misses, "{world}");
        assert_eq!(book("bypass") + book("store_away"), counted.bypasses, "{world}");
        assert_eq!(sum(&numbers, "seacache_writes_total", "book"), 3, "{world}");
        assert_eq!(sum(&numbers, "seacache_purges_total", "write"), stats.purges, "{world}");
        assert_eq!(sum(&numbers, "seacache_purges_total", "invalidation"), 3, "{world}");
        assert_eq!(sum(&numbers, "seacache_stored_bytes_total", ""), stats.stored_bytes, "{world}");
        assert_eq!(sum(&numbers, "seacache_store_ready", ""), 1, "{world}");
        let asked = sum(&numbers, "seacache_store_seconds_count", "read");
        assert_eq!(asked, stats.store_reads.count, "{world}");
        // Once more: nothing is counted twice.
        let again = scraper.numbers(world.cache());
        assert_eq!(sum(&again, "seacache_reads_total", ""), stats.total.reads, "{world}");
        assert_eq!(sum(&again, "seacache_store_seconds_count", "read"), asked, "{world}");
        // A reset takes nothing back from a counter that has been published.
        world.cache().reset_stats();
        world.title(2).await;
        let after = scraper.numbers(world.cache());
        assert_eq!(sum(&after, "seacache_reads_total", ""), stats.total.reads + 1, "{world}");
    }
}

// case G2, G8
// feature D4
#[tokio::test]
async fn no_label_holds_a_key_or_a_value() {
    for world in World::on_each_store().await {
        busy(&world).await;
        let scrape = Scraper::new().scrape(world.cache());
        let labels: BTreeSet<_> = scrape
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('{')?.1.split_once('}'))
            .flat_map(|(labels, _)| labels.split(','))
            .filter_map(|label| label.split_once('='))
            .collect();
        let words: BTreeSet<_> = labels
            .iter()
            .filter(|(name, _)| !["le", "quantile"].contains(name))
            .map(|(_, value)| value.trim_matches('"'))
            .collect();
        let known = [
            "book",
            "(own)",
            "hit",
            "near",
            "miss",
            "joined",
            "bypass",
            "store_away",
            "write",
            "invalidation",
            "read",
            "purge",
            &world.namespace,
        ];
        assert!(words.is_subset(&known.into()), "{world}: {words:?}");
        assert!(!scrape.contains("hopper"), "{world}");
    }
}

// feature D4
#[tokio::test]
async fn every_name_is_documented_with_its_kind_and_every_documented_name_is_there() {
    let Some(world) = World::on_each_store().await.pop() else { return };
    busy(&world).await;
    world.cache().server().await;
    let scrape = Scraper::new().scrape(world.cache());
    let there = types(&scrape);
    let docs = include_str!("../../../docs/operations.md");
    for (name, kind) in &there {
        let row = docs.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_default();
        assert!(row.contains(kind.as_str()), "{name} is a {kind}, and the documents say: {row:?}");
        assert!(scrape.contains(&format!("# HELP {name} ")), "{name} is not explained");
    }
    // A server without a limit says none.
    let all: BTreeSet<_> =
        there.into_keys().chain(["seacache_server_memory_limit_bytes".to_owned()]).collect();
    assert_eq!(named(docs), all);
}

// feature D4
#[tokio::test]
async fn the_dashboard_for_grafana_asks_for_what_there_is() {
    let Some(world) = World::on_each_store().await.pop() else { return };
    busy(&world).await;
    let there = types(&Scraper::new().scrape(world.cache()));
    let text = include_str!("../../../ops/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 8));
    let asked = named(text);
    assert!(asked.len() >= 8, "{asked:?}");
    for name in asked {
        let whole = there.contains_key(&name) || name.starts_with("seacache_server_memory");
        let part = ["_bucket", "_sum", "_count"].iter().any(|end| {
            name.strip_suffix(end).is_some_and(|base| there.get(base).is_some_and(|k| k == "histogram"))
        });
        assert!(whole || part, "{name} is no metric of the cache");
    }
}
