//! The analysis of SQL texts against second opinions that run in this process.
//!
//! The analysis is compiled from its source, since the crate shows it to nobody.

#[allow(dead_code, unused_imports)]
#[path = "../../src/statement/mod.rs"]
mod statement;

mod counts;
mod grammar;
mod mutate;
#[cfg(feature = "postgres")]
mod postgres;
mod random;
mod rows;
mod schema;
mod sqlite;

use std::time::{Duration, Instant};

use statement::{Analysis, Dialect, PureFunctions, analyse_with};

pub use mutate::mutate;

/// What stands in the corpus of the crate's own tests: the dialect's letter, and the text.
pub fn seeds() -> Vec<String> {
    let lines = include_str!("../../tests/data/corpus.jsonl").lines();
    let rows = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    rows.filter_map(|row| Some(format!("{}{}", row["dialect"].as_str()?.get(..1)?, row["sql"].as_str()?)))
        .collect()
}

/// How the analysis compares with a referee. Where it sees less, the check panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The same tables.
    Same,
    /// More of them, or "anything".
    Wider,
    /// The referee does not take the text for SQL.
    Rejected,
    /// There is no referee for the dialect.
    NoReferee,
}

/// Checks all that is promised of one text. Its first letter names the dialect: `p`, `m` or `s`.
pub fn check(data: &[u8]) -> Verdict {
    let text = std::str::from_utf8(data).unwrap_or_default();
    let Some((letter, sql)) = text.split_at_checked(1) else { return Verdict::NoReferee };
    let dialect = match letter {
        "p" => Dialect::Postgres,
        "m" => Dialect::MySql,
        "s" => Dialect::Sqlite,
        _ => return Verdict::NoReferee,
    };
    counts::count(&counts::TEXTS);
    let answer = analyse_with(dialect, sql, &PureFunctions::new());
    takes_linear_time(dialect, sql);
    holds_together(sql, &answer);
    match dialect {
        #[cfg(feature = "postgres")]
        Dialect::Postgres => postgres::check(sql, &answer),
        Dialect::Sqlite => sqlite::check(sql, &answer),
        _ => Verdict::NoReferee,
    }
}

/// The best of several times: a busy machine makes the others long.
fn takes_linear_time(dialect: Dialect, sql: &str) {
    let limit = Duration::from_millis(2) + Duration::from_micros(20) * sql.len() as u32;
    let times = std::iter::repeat_with(|| {
        let start = Instant::now();
        std::hint::black_box(analyse_with(dialect, sql, &PureFunctions::new()));
        start.elapsed()
    });
    let best = times.take(20).find(|time| *time < limit);
    assert!(best.is_some(), "more than {limit:?} for {} bytes", sql.len());
}

/// What is true of every answer, whatever the text.
fn holds_together(sql: &str, answer: &Analysis) {
    if answer.cacheable.is_ok() {
        counts::count(&counts::CACHEABLE);
        assert!(answer.is_read_only() && !answer.reads.is_empty(), "{sql}\n{answer:?}");
        assert_eq!(answer.kind, statement::Kind::Read, "{sql}");
    }
    if answer.returning {
        assert_eq!(answer.writes.len(), 1, "{sql}\n{answer:?}");
    }
    assert_eq!(answer.writes_anything, answer.why_anything.is_some(), "{sql}\n{answer:?}");
    let (mut reads, all) =
        (answer.reads.iter().map(|read| &read.table).collect::<Vec<_>>(), answer.reads.len());
    reads.sort_by_key(|table| (&table.schema, &table.name));
    reads.dedup();
    assert_eq!(reads.len(), all, "a table is read twice: {sql}");
}
