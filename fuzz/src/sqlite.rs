//! SQLite as referee: what it asks leave for while it prepares the text, and what it does when run.

use std::collections::HashSet;

use fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};

use crate::Verdict;
use crate::counts::{self, count};
use crate::rows;
use crate::schema::{self, Asked, Database, Record};
use crate::statement::{Analysis, Kind, Verb};

/// Tables in name only: functions that return rows.
const FUNCTIONS: [&str; 2] = ["json_each", "json_tree"];
/// Volatile only with some arguments; the analysis looks at those.
const DATES: [&str; 7] = ["date", "time", "datetime", "julianday", "strftime", "timediff", "unixepoch"];

/// Of the full-text search: they look at the table they are given, and are not flagged.
const SEARCH: [&str; 5] = ["match", "snippet", "highlight", "bm25", "regexp"];

pub struct Referee {
    pub db: Connection,
    pub record: Record,
    /// Tables with row numbers.
    pub tables: Vec<String>,
    /// Functions that answer the same for the same arguments.
    deterministic: HashSet<String>,
}

thread_local! {
    static REFEREE: Referee = Referee::new();
}

pub fn check(sql: &str, answer: &Analysis) -> Verdict {
    REFEREE.with(|referee| referee.check(sql, answer))
}

impl Referee {
    fn new() -> Referee {
        let Database { db, record, tables, deterministic } = schema::open();
        Referee { db, record, tables, deterministic }
    }

    fn check(&self, sql: &str, answer: &Analysis) -> Verdict {
        let mut statements = Batch::new(&self.db, sql);
        let mut all = Asked::default();
        let mut prepared = 0;
        loop {
            *self.record.asked.lock().expect("the record") = Asked::default();
            let Ok(Some(statement)) = statements.next() else { break };
            prepared += 1;
            if statement.is_explain() != 0 {
                assert!(answer.cacheable.is_err(), "an EXPLAIN is cacheable: {sql}\n{answer:?}");
                continue;
            }
            let mut asked = self.record.asked.lock().expect("the record").clone();
            self.prepared(sql, answer, statement.readonly(), &asked);
            all.written.append(&mut asked.written);
            all.read.append(&mut asked.read);
        }
        if prepared == 0 {
            return Verdict::Rejected;
        }
        count(&counts::SQLITE);
        if prepared == 1 {
            rows::check(self, sql, answer);
        }
        let known =
            |name: &str, all: &[(String, bool)]| all.iter().any(|(table, _)| table.to_lowercase() == name);
        let wider = answer.writes_anything
            || answer.writes.iter().any(|write| !known(&write.table.fold(), &all.written))
            || answer.reads.iter().any(|read| !known(&read.table.fold(), &all.read));
        if wider { Verdict::Wider } else { Verdict::Same }
    }

    fn prepared(&self, sql: &str, answer: &Analysis, reads_only: bool, asked: &Asked) {
        if !reads_only {
            assert!(
                answer.kind != Kind::Read || answer.writes_anything,
                "a write is read: {sql}\n{answer:?}"
            );
            assert!(answer.cacheable.is_err(), "a write is cacheable: {sql}\n{answer:?}");
        }
        for (table, changes) in &asked.written {
            if table.starts_with("sqlite_") || answer.writes_anything {
                continue;
            }
            let mut writes = answer.writes.iter().filter(|write| write.table.fold() == table.to_lowercase());
            let Some(first) = writes.next() else {
                panic!("{table} is written unseen: {sql}\n{answer:?}");
            };
            let harmless = first.verb == Verb::Insert && writes.all(|write| write.verb == Verb::Insert);
            assert!(!(*changes && harmless), "{table} is changed unseen: {sql}\n{answer:?}");
        }
        if answer.cacheable.is_err() {
            return;
        }
        // A WITH query of which no column is read is asked for by its name, like a table.
        let with = sql.to_ascii_lowercase().contains("with");
        for (table, _) in asked.read.iter().filter(|(_, column)| *column || !with) {
            let known = answer.reads.iter().any(|read| read.table.fold() == table.to_lowercase());
            let function = FUNCTIONS.contains(&table.to_lowercase().as_str());
            assert!(known || function || table.is_empty(), "{table} is read unseen: {sql}\n{answer:?}");
        }
        for name in &asked.called {
            let listed = DATES.contains(&name.as_str()) || SEARCH.contains(&name.as_str());
            let known = listed || self.deterministic.contains(name);
            assert!(known, "{name} is called in what is cacheable: {sql}\n{answer:?}");
        }
    }
}
