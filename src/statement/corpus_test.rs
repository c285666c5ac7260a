//! The corpus: statements of every shape with the right answers, in `tests/data/corpus.jsonl`.
//!
//! An answer is *right*, *wide* (it purges more or caches less than it could) or *under* (it would
//! leave stale entries). Under answers fail the test; so do wide ones that are not listed here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Analysis, Dialect, Kind, Memo, Operand, Scope, analyse};

/// Statements whose answer is wider than the corpus asks, and why that is meant.
const MEANT_WIDE: &[(&str, &str)] = &[];

pub(super) struct Case {
    pub id: String,
    pub dialect: Dialect,
    pub sql: String,
    kind: String,
    writes: Vec<String>,
    reads: Vec<String>,
    key: Vec<String>,
    pinned: bool,
    read_pinned: bool,
    /// The key tuples, where the corpus has them.
    keys: Option<Vec<Vec<Value>>>,
    cacheable: bool,
    tags: Vec<String>,
    note: String,
}

pub(super) fn corpus() -> Vec<Case> {
    let text = include_str!("../../tests/data/corpus.jsonl");
    text.lines().map(|line| case(&serde_json::from_str(line).expect("a line of JSON"))).collect()
}

fn case(row: &Value) -> Case {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let flag = |field: &str| row[field].as_bool().unwrap_or(false);
    let texts = |field: &str| -> Vec<String> {
        let list = row[field].as_array().into_iter().flatten();
        list.map(|v| v.as_str().expect("a text").to_owned()).collect()
    };
    let key = if row["pk"].is_array() { texts("pk") } else { vec!["id".to_owned()] };
    let tuples = |list: &Vec<Value>| list.iter().map(|t| t.as_array().expect("a tuple").clone()).collect();
    Case {
        id: text("id"),
        dialect: match row["dialect"].as_str() {
            Some("postgres") => Dialect::Postgres,
            Some("mysql") => Dialect::MySql,
            _ => Dialect::Sqlite,
        },
        sql: text("sql"),
        kind: text("kind"),
        writes: texts("writes"),
        reads: texts("reads"),
        key,
        pinned: flag("pinned_pk"),
        read_pinned: flag("read_pinned_pk"),
        keys: row["pin"].as_array().map(tuples),
        cacheable: flag("cacheable"),
        tags: texts("tags"),
        note: text("note"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Right,
    Wide,
    Under,
}

fn folded(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.map(|n| n.to_lowercase()).collect();
    names.sort();
    names.dedup();
    names
}

fn kind(case: &Case, answer: &Analysis) -> Verdict {
    let name = match answer.kind {
        Kind::Read => "read",
        Kind::Write => "write",
        Kind::Ddl => "ddl",
        Kind::Transaction(_) => "txn",
        Kind::Other => "other",
    };
    match name == case.kind {
        true => Verdict::Right,
        false if answer.kind == Kind::Other && answer.writes_anything => Verdict::Wide,
        false => Verdict::Under,
    }
}

fn writes(case: &Case, answer: &Analysis) -> Verdict {
    let wants_anything = case.writes.iter().any(|w| w == "*");
    let wanted = folded(case.writes.iter().cloned());
    let found = folded(answer.writes.iter().map(|w| w.table.to_string()));
    match (wants_anything, answer.writes_anything) {
        (true, true) => Verdict::Right,
        (true, false) => Verdict::Under,
        (false, true) => Verdict::Wide,
        (false, false) if found == wanted => Verdict::Right,
        (false, false) if wanted.iter().all(|w| found.contains(w)) => Verdict::Wide,
        _ => Verdict::Under,
    }
}

fn reads(case: &Case, answer: &Analysis) -> Verdict {
    let wanted = folded(case.reads.iter().cloned());
    let found = folded(answer.reads.iter().map(|r| r.table.to_string()));
    if found == wanted {
        Verdict::Right
    } else if wanted.iter().all(|w| found.contains(w)) || answer.writes_anything {
        Verdict::Wide
    } else {
        Verdict::Under
    }
}

fn cacheable(case: &Case, answer: &Analysis) -> Verdict {
    match (case.cacheable, answer.cacheable.is_ok()) {
        (wanted, found) if wanted == found => Verdict::Right,
        (true, false) => Verdict::Wide,
        _ => Verdict::Under,
    }
}

/// The operand as the corpus writes it.
fn spelled(operand: &Operand) -> Value {
    match operand {
        Operand::Bound(at) => Value::from(format!("${}", at + 1)),
        Operand::Integer(n) => Value::from(*n),
        Operand::Text(text) => serde_json::json!({ "s": &**text }),
        Operand::Other => Value::Null,
    }
}

fn pins(case: &Case, scope: &Scope, wanted: bool) -> Verdict {
    let key: Vec<&str> = case.key.iter().map(String::as_str).collect();
    let found = scope.keys(&key).map(|keys| -> Vec<Vec<Value>> {
        keys.iter().map(|tuple| tuple.iter().map(|o| spelled(o)).collect()).collect()
    });
    match (found, wanted) {
        (None, false) => Verdict::Right,
        (None, true) => Verdict::Wide,
        (Some(_), false) => Verdict::Under,
        (Some(found), true) => match &case.keys {
            Some(keys) if *keys != found => Verdict::Under,
            _ => Verdict::Right,
        },
    }
}

fn write_pins(case: &Case, answer: &Analysis) -> Verdict {
    match &answer.writes[..] {
        _ if answer.writes_anything && case.pinned => Verdict::Wide,
        [write] => pins(case, &write.scope, case.pinned),
        _ if case.pinned => Verdict::Wide,
        // Each of several writes has its own scope; the corpus pins none of them.
        _ => Verdict::Right,
    }
}

/// The corpus speaks of the rows that come back; a query inside another may be pinned to others.
fn rows_returned<'a>(case: &Case, answer: &'a Analysis) -> &'a Scope {
    let queries = case.sql.to_ascii_lowercase().matches("select").count();
    if queries > 1 { &Scope::Unknown } else { answer.read_scope() }
}

fn verdicts(case: &Case, answer: &Analysis) -> [(&'static str, Verdict); 6] {
    [
        ("kind", kind(case, answer)),
        ("writes", writes(case, answer)),
        ("reads", reads(case, answer)),
        ("keys written", write_pins(case, answer)),
        ("keys read", pins(case, rows_returned(case, answer), case.read_pinned)),
        ("cacheable", cacheable(case, answer)),
    ]
}

/// The row of the table that a statement counts in.
fn category(case: &Case) -> String {
    let statement = case.tags.first().map_or(case.kind.as_str(), String::as_str);
    format!("{:5} {statement}", case.kind)
}

// case D1 D2 D3 D4 D8 D9 D10 D11 D12 D13 D14 D15 D23 D24 D25 D26 D31 D32 E5 E6 E7 E8 E9 E17
#[test]
fn every_statement_of_the_corpus_is_answered_as_it_says() {
    let mut table: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut fields: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut wrong = String::new();
    for case in corpus() {
        let answer = analyse(case.dialect, &case.sql);
        let verdicts = verdicts(&case, &answer);
        let worst = verdicts.iter().map(|v| v.1).max().unwrap_or(Verdict::Right);
        table.entry(category(&case)).or_default()[worst as usize] += 1;
        for (field, verdict) in verdicts {
            fields.entry(field).or_default()[verdict as usize] += 1;
            let meant = verdict == Verdict::Wide && MEANT_WIDE.iter().any(|(id, _)| *id == case.id);
            if verdict != Verdict::Right && !meant {
                let (id, sql, note) = (&case.id, &case.sql, &case.note);
                wrong += &format!("{verdict:?} {field}: {id} {sql:?} ({note})\n    {answer:?}\n");
            }
        }
    }
    let print = |title: &str, rows: Vec<(String, [usize; 3])>| {
        let mut text = format!("\n{title:32} right  wide under\n");
        for (name, [right, wide, under]) in rows {
            text += &format!("{name:32} {right:5} {wide:5} {under:5}\n");
        }
        text
    };
    let fields = fields.into_iter().map(|(name, counts)| (name.to_owned(), counts)).collect();
    let summary = print("answer", fields) + &print("statement", table.into_iter().collect());
    eprint_table(&summary);
    assert!(wrong.is_empty(), "{summary}\n{wrong}");
}

#[allow(clippy::print_stderr)]
fn eprint_table(text: &str) {
    eprintln!("{text}");
}

#[test]
fn the_memo_answers_as_the_analysis_does() {
    let memo = Memo::default();
    for case in corpus().iter().chain(&corpus()) {
        assert_eq!(*memo.analyse(case.dialect, &case.sql), analyse(case.dialect, &case.sql));
    }
}
