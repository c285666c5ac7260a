//! Odd spelling, cut-off and random text: the answer stays the same, or grows wider.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::analysis::Read;
use super::corpus_test::corpus;
use super::keyword::Kw;
use super::lexer::{Tok, lex};
use super::{Analysis, Dialect, Kind, Memo, analyse};

/// A small generator (SplitMix64), so that every run tests the same texts.
pub(super) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const DIALECTS: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

/// Where in the text its tokens are, in order. Empty when it cannot be read.
pub(super) fn token_places(dialect: Dialect, sql: &str) -> Vec<(usize, usize, bool)> {
    let Ok(lexed) = lex(dialect, sql) else { return Vec::new() };
    let tokens = lexed.tokens.iter();
    // Case is free in keywords, and in names too where the server folds them.
    let free = |kw: Kw, tok: Tok| kw != Kw::None || (tok == Tok::Word && dialect != Dialect::MySql);
    tokens.map(|t| (t.start as usize, t.end as usize, free(t.kw, t.tok))).collect()
}

/// The same statement as somebody else would type it.
pub(super) fn respelled(dialect: Dialect, sql: &str, random: &mut Random) -> String {
    let between =
        [" ", "\n", "\t ", " /* c */ ", " /* from users; */ ", " -- join t, u\n ", " /**/ ", "\r\n"];
    let mut text = String::new();
    let mut at = 0;
    for (start, end, free) in token_places(dialect, sql) {
        text += &sql[at..start];
        // Two signs in a row would begin a comment once a blank follows them.
        if text.ends_with('-') {
            text.push(' ');
        }
        if random.below(3) == 0 {
            text += random.pick(&between);
        }
        for c in sql[start..end].chars() {
            match random.below(2) {
                0 if free => text.extend(c.to_uppercase()),
                1 if free => text.extend(c.to_lowercase()),
                _ => text.push(c),
            }
        }
        at = end;
    }
    text + &sql[at..]
}

/// The answer without the case in which names and functions were written.
fn folded(answer: &Analysis) -> String {
    let mut answer = answer.clone();
    for Read { table, .. } in &mut answer.reads {
        table.name = table.name.to_lowercase().into();
        table.schema = table.schema.as_deref().map(|s| s.to_lowercase().into());
    }
    let mut seen = HashSet::new();
    answer.reads.retain(|read| seen.insert(read.table.clone()));
    // Its text is the statement's own, spelling and all; a comment in it leaves none.
    answer.writes.iter_mut().for_each(|write| write.filter = None);
    format!("{answer:?}").to_lowercase()
}

// case D25 E22
#[test]
fn casing_comments_and_white_space_do_not_change_an_answer() {
    let mut random = Random(1);
    for case in corpus() {
        let wanted = folded(&analyse(case.dialect, &case.sql));
        for _ in 0..20 {
            let text = respelled(case.dialect, &case.sql, &mut random);
            let found = folded(&analyse(case.dialect, &text));
            assert_eq!(found, wanted, "{}: {text}", case.id);
        }
    }
}

fn begins_with_a_write(sql: &str) -> bool {
    let word: String = sql.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    let writes = ["insert", "update", "delete", "merge", "replace", "truncate", "create", "drop", "alter"];
    writes.iter().any(|w| word.eq_ignore_ascii_case(w))
}

/// A statement that begins like a write is never answered "reads only".
fn check_write(dialect: Dialect, sql: &str) {
    let answer = analyse(dialect, sql);
    if begins_with_a_write(sql) {
        let safe = answer.kind != Kind::Read && (answer.kind == Kind::Other || !answer.is_read_only());
        assert!(safe, "{dialect:?} {sql:?}\n{answer:?}");
        assert!(answer.cacheable.is_err(), "{dialect:?} {sql:?}");
    }
}

#[test]
fn a_statement_cut_off_anywhere_neither_panics_nor_turns_a_write_into_a_read() {
    for case in corpus() {
        for (at, _) in case.sql.char_indices() {
            check_write(case.dialect, &case.sql[..at]);
            // From the middle on, in every dialect's reading.
            analyse(case.dialect, &case.sql[at..]);
        }
    }
}

/// The text without its `n`th token, with it twice, and with it behind the next one.
fn with_one_token_amiss(dialect: Dialect, sql: &str) -> impl Iterator<Item = String> {
    let places = token_places(dialect, sql);
    let next = |n: usize| places.get(n + 1).map_or(sql.len(), |(start, ..)| *start);
    let texts = places.iter().enumerate().flat_map(move |(n, (start, end, _))| {
        let (before, token, behind) = (&sql[..*start], &sql[*start..*end], &sql[*end..]);
        let (swapped, rest) = sql[*end..].split_at(next(n + 1) - *end);
        [
            format!("{before} {behind}"),
            format!("{before}{token} {token}{behind}"),
            format!("{before}{swapped} {token} {rest}"),
        ]
    });
    texts.collect::<Vec<_>>().into_iter()
}

#[test]
fn every_walk_comes_to_an_end() {
    let lists = [
        "SELECT a FROM (u AS y JOIN t USING (id) AS j) JOIN w USING (id) WHERE a = 1",
        "INSERT INTO v (a) SELECT a FROM (u JOIN t USING (id) AS j) JOIN w ON u.id = w.id ON CONFLICT DO NOTHING",
        "SELECT a FROM (t INDEXED BY i) JOIN u USING (id) WHERE a = 1",
        "SELECT a FROM (t NOT INDEXED) CROSS JOIN (u FORCE INDEX FOR JOIN (i)) ORDER BY a",
        "SELECT a FROM ((SELECT a FROM t UNION SELECT a FROM u ORDER BY a) AS x JOIN ONLY (w) USING (a)) LIMIT 1",
        "SELECT a FROM (t TABLESAMPLE system (10) REPEATABLE (1)) JOIN LATERAL f(a) WITH ORDINALITY AS x ON true",
    ];
    let (ended, end) = std::sync::mpsc::channel();
    let now = Arc::new(Mutex::new(String::new()));
    let watched = now.clone();
    std::thread::spawn(move || {
        let lists = lists.iter().flat_map(|sql| DIALECTS.map(|dialect| (dialect, (*sql).to_owned())));
        let known = corpus().into_iter().map(|case| (case.dialect, case.sql));
        for (dialect, sql) in lists.chain(known) {
            for text in with_one_token_amiss(dialect, &sql) {
                watched.lock().unwrap().clone_from(&text);
                check_write(dialect, &text);
            }
        }
        ended.send(())
    });
    let ends = end.recv_timeout(Duration::from_secs(120));
    assert!(ends.is_ok(), "no end, or the promise above is broken: {}", now.lock().unwrap());
}

#[test]
fn random_text_neither_panics_nor_turns_a_write_into_a_read() {
    let pieces = [
        "select ",
        "insert into ",
        "update ",
        "delete from ",
        "merge into ",
        "replace into ",
        "truncate ",
        "with ",
        "t ",
        "u ",
        "\"q\" ",
        "`b` ",
        "[x] ",
        "'s' ",
        "$1 ",
        "? ",
        "?2 ",
        ":n ",
        "@v ",
        "@@g ",
        "1 ",
        "0x1f ",
        "1e5 ",
        "( ",
        ") ",
        ", ",
        "; ",
        ". ",
        ".",
        "= ",
        "* ",
        "- ",
        "-- c\n",
        "/* c */ ",
        "/*!50700 ",
        "/*M! ",
        "*/ ",
        "/*! ",
        "from ",
        "where ",
        "set ",
        "values ",
        "on ",
        "conflict ",
        "do ",
        "join ",
        "using ",
        "as ",
        "in ",
        "and ",
        "or ",
        "between ",
        "case ",
        "when ",
        "end ",
        "into ",
        "returning ",
        "union ",
        "for ",
        "table ",
        "recursive ",
        "not ",
        "$$",
        "$a$",
        "E'\\'' ",
        "'",
        "\"",
        "\\",
        "\0",
        "é",
        "::",
        ":=",
        "||",
        "[",
        "]",
        "{",
        "create ",
        "view ",
        "only ",
        "explain ",
        "analyze ",
        "call ",
        "begin ",
        "commit ",
        "duplicate ",
        "key ",
        "limit ",
        "group by ",
        "count(",
        "my_func(",
        "exists ",
        "lateral ",
        "rows ",
        "default ",
        "alter ",
        "drop ",
        "rename ",
        "to ",
        "copy ",
        "load ",
    ];
    let mut random = Random(2);
    for _ in 0..60_000 {
        let text: String = (0..random.below(24)).map(|_| random.pick(&pieces)).collect();
        for dialect in DIALECTS {
            check_write(dialect, &text);
        }
    }
}

#[test]
fn random_bytes_do_not_panic() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
        let text = String::from_utf8_lossy(&bytes);
        for dialect in DIALECTS {
            analyse(dialect, &text);
        }
    }
}

/// Splices two statements of the corpus at token boundaries: nearly SQL, in every direction.
#[test]
fn spliced_statements_do_not_turn_a_write_into_a_read() {
    let all = corpus();
    let mut random = Random(4);
    for _ in 0..60_000 {
        let (a, b) = (&all[random.below(all.len())], &all[random.below(all.len())]);
        let (left, right) = (token_places(a.dialect, &a.sql), token_places(b.dialect, &b.sql));
        if left.is_empty() || right.is_empty() {
            continue;
        }
        let head = &a.sql[..left[random.below(left.len())].1];
        let tail = &b.sql[right[random.below(right.len())].0..];
        check_write(a.dialect, &format!("{head} {tail}"));
    }
}

// case E26
#[test]
fn deep_and_long_texts_take_linear_time_and_no_stack() {
    let repeat = |open: &str, middle: &str, close: &str, n: usize| open.repeat(n) + middle + &close.repeat(n);
    let texts = [
        format!("SELECT {} FROM t", repeat("(", "1", ")", 60_000)),
        format!("SELECT * FROM {}", repeat("(", "t", ")", 60_000)),
        format!("SELECT * FROM t WHERE {}", repeat("(", "a = 1", ")", 60_000)),
        format!("DELETE FROM t WHERE {}", repeat("(", "a = 1", ") AND b = 2", 20_000)),
        repeat("SELECT * FROM (", "SELECT 1 FROM t", ") x", 20_000),
        repeat("SELECT (", "SELECT 1 FROM t", ")", 20_000),
        format!("SELECT {} FROM t", repeat("trim(both 'x' from ", "a", ")", 20_000)),
        format!("SELECT {} FROM t", repeat("date(", "a", ")", 20_000)),
        format!("SELECT {} FROM t", repeat("CASE WHEN a THEN ", "1", " END", 20_000)),
        format!("SELECT 1 {}", " UNION SELECT 1 FROM t".repeat(20_000)),
        format!("SELECT * FROM t0{}", ", t1, t2".repeat(40_000)),
        format!("SELECT * FROM t{}", " JOIN u ON u.a = t.a".repeat(40_000)),
        format!("DELETE FROM t WHERE a = 1{}", " AND b BETWEEN 1 AND 2".repeat(40_000)),
        format!("WITH {} SELECT 1", "a AS (SELECT 1 FROM t), ".repeat(20_000)),
        format!("SELECT {}", "'now' ".repeat(40_000)),
        format!("SELECT {}", "$a$ ".repeat(40_000)),
        format!("SELECT {}", "/*".repeat(40_000)),
        format!("SELECT {}", "/*! ".repeat(40_000)),
        format!("SELECT {}", ":a, :b, ".repeat(40_000)),
        "SELECT 1; ".repeat(40_000),
        "ON CONFLICT (a) DO UPDATE SET b = 1 ".repeat(10_000),
        format!("INSERT INTO t (a) VALUES (1) {}", "ON CONFLICT (a) DO UPDATE SET b = 1 ".repeat(5_000)),
        format!("INSERT INTO t (a) VALUES (1) {}DO NOTHING", "ON CONFLICT ON CONSTRAINT c ".repeat(40_000)),
        format!("INSERT INTO t (a) VALUES (1){}", ", (1)".repeat(80_000)),
        format!("INSERT INTO t ({}a) VALUES (1)", "a, ".repeat(80_000)),
        format!("UPDATE t SET a = 1{}", ", b = 2".repeat(40_000)),
        format!("UPDATE t{} SET a = 1{}", ", t".repeat(20_000), ", u.b = 2".repeat(20_000)),
        format!("DELETE t{} FROM u{}", ", t".repeat(20_000), ", v".repeat(20_000)),
        format!("DELETE FROM t{} USING t{}", ", t".repeat(20_000), ", u".repeat(20_000)),
        format!("SELECT a FROM t WHERE {}a = 1", "a = 1 AND ".repeat(40_000)),
        format!("SELECT a FROM t WHERE a IN (1{})", ", 1".repeat(80_000)),
        format!("SELECT a FROM t, u WHERE {}u.a = 1", "t.a = 1 AND ".repeat(40_000)),
        format!("SELECT {}a FROM t", "a.".repeat(80_000)),
        format!("SELECT {}a() FROM t", "a.".repeat(80_000)),
        format!("SELECT a FROM {}a", "a.".repeat(80_000)),
        format!("SELECT a FROM t FOR SYSTEM_TIME AS OF {}", "1 + ".repeat(40_000)),
        format!("SELECT a FROM t {}", "USE INDEX (i) ".repeat(20_000)),
        format!("EXPLAIN {}SELECT a FROM t", "VERBOSE ".repeat(40_000)),
        format!("DROP TABLE t{}", ", u".repeat(40_000)),
        format!("RENAME TABLE t TO u{}", ", t TO u".repeat(40_000)),
        format!("ALTER TABLE t{}", " RENAME TO u,".repeat(40_000)),
        "INSERT INTO t (a) VALUES (1); ".repeat(20_000),
        "BEGIN; COMMIT; ".repeat(20_000),
        "CREATE TABLE t (a int); ".repeat(20_000),
        "WITH a AS (SELECT 1 FROM t) SELECT 1 FROM a; ".repeat(10_000),
        "(".repeat(200_000),
    ];
    for text in texts {
        for dialect in DIALECTS {
            let start = Instant::now();
            analyse(dialect, &text);
            // Debug builds on a busy machine; quadratic time would take minutes.
            let limit = Duration::from_secs(5);
            assert!(start.elapsed() < limit, "{dialect:?} {:.40}: {:?}", text, start.elapsed());
        }
    }
}

#[test]
fn the_memo_stays_within_its_bytes_under_endless_texts() {
    let memo = Memo::with_capacity(256 * 1024);
    for n in 0..20_000 {
        memo.analyse(Dialect::Sqlite, &format!("SELECT a FROM t WHERE b = {n}"));
    }
    assert!(memo.bytes() <= 256 * 1024, "{}", memo.bytes());
    assert!(memo.len() > 100);
}

#[test]
fn the_memo_does_not_remember_long_texts() {
    let memo = Memo::default();
    let text = format!("INSERT INTO t (a, b) VALUES {}(?, ?)", "(?, ?), ".repeat(1000));
    let answer = memo.analyse(Dialect::MySql, &text);
    assert_eq!(answer.writes.len(), 1);
    assert!(memo.is_empty());
}

/// Inserts and look-ups of every batch size, of many tables, as a bulk loader sends them.
#[test]
fn an_endless_stream_of_batch_sizes_leaves_hot_statements_in_the_memo() {
    let memo = Memo::with_capacity(1024 * 1024);
    let hot: Vec<String> = (0..100).map(|n| format!("SELECT a, b, c FROM t{n} WHERE id = ?")).collect();
    let ask = |sql: &String| memo.analyse(Dialect::MySql, sql);
    hot.iter().for_each(|sql| drop(ask(sql)));
    let first: Vec<_> = hot.iter().map(ask).collect();
    for table in 0..20 {
        for size in 1..200 {
            let row = "(?, ?, ?, ?, ?, ?, ?, ?)";
            let rows = vec![row; size].join(", ");
            ask(&format!("INSERT INTO u{table} (a, b, c, d, e, f, g, h) VALUES {rows}"));
            ask(&format!("SELECT a FROM u{table} WHERE id IN ({})", vec!["?"; 2 * size].join(", ")));
        }
        hot.iter().for_each(|sql| drop(ask(sql)));
    }
    let kept = hot.iter().zip(&first).filter(|(sql, first)| Arc::ptr_eq(first, &ask(sql))).count();
    assert_eq!(kept, hot.len());
    assert!(memo.bytes() <= 1024 * 1024);
}

#[test]
fn an_answer_with_many_rows_is_not_remembered_and_one_with_few_is() {
    let memo = Memo::default();
    let insert = |rows: usize| format!("INSERT INTO t (a, b) VALUES {}", vec!["(?, ?)"; rows].join(", "));
    memo.analyse(Dialect::MySql, &insert(200));
    assert!(memo.is_empty());
    memo.analyse(Dialect::MySql, &insert(20));
    assert_eq!(memo.len(), 1);
}

#[test]
fn the_memo_keeps_dialects_apart() {
    let memo = Memo::default();
    let sql = "SELECT 5--1\n FROM t";
    assert_eq!(memo.analyse(Dialect::MySql, sql).reads.len(), 1);
    // A comment elsewhere: `SELECT 5 FROM t`.
    assert_eq!(*memo.analyse(Dialect::Postgres, sql), analyse(Dialect::Postgres, sql));
    assert_eq!(memo.len(), 2);
}
