//! Mutations that keep a text nearly SQL: whole tokens, groups, fragments of other statements.

use std::sync::LazyLock;

use crate::grammar::Grammar;
use crate::random::Random;

static SEEDS: LazyLock<Vec<String>> = LazyLock::new(crate::seeds);

const TOKENS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "NULL",
    "AS",
    "ON",
    "JOIN",
    "LEFT",
    "USING",
    "UNION",
    "ALL",
    "EXCEPT",
    "WITH",
    "RECURSIVE",
    "INSERT",
    "INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "RETURNING",
    "ORDER",
    "GROUP",
    "BY",
    "LIMIT",
    "OFFSET",
    "HAVING",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "EXISTS",
    "BETWEEN",
    "LIKE",
    "REPLACE",
    "CONFLICT",
    "DO",
    "NOTHING",
    "DEFAULT",
    "DISTINCT",
    "FOR",
    "SHARE",
    "WINDOW",
    "OVER",
    "PARTITION",
    "FILTER",
    "LATERAL",
    "ONLY",
    "TABLE",
    "CREATE",
    "DROP",
    "TRIGGER",
    "VIEW",
    "TEMP",
    "EXPLAIN",
    "ANALYZE",
    "QUERY",
    "PLAN",
    "BEGIN",
    "COMMIT",
    "INDEXED",
    "MATERIALIZED",
    "CROSS",
    "NATURAL",
    "FULL",
    "COLLATE",
    "NOCASE",
    "CAST",
    "KEY",
    "DUPLICATE",
    "IGNORE",
    "MERGE",
    "MATCHED",
    "t",
    "u",
    "v",
    "w",
    "x",
    "y",
    "id",
    "a",
    "b",
    "c",
    "\"id\"",
    "\"t\"",
    "[t]",
    "`t`",
    "'t'",
    "t.",
    "x.",
    "main.",
    "*",
    ",",
    ".",
    "(",
    ")",
    "(",
    ")",
    ";",
    "=",
    "==",
    "<",
    "||",
    "::",
    ":=",
    "->",
    "?",
    "?1",
    "?2",
    "$1",
    "$2",
    ":a",
    "@a",
    "1",
    "'x'",
    "E'\\''",
    "U&'x'",
    "$$",
    "$$x$$",
    "X'00'",
    "0x1f",
    "1e5",
    "/* c */",
    "-- c\n",
    "/*",
    "*/",
    "/*!",
    "/*!80000",
    "--",
    "#",
    "random()",
    "now()",
    "date('now')",
    "count(*)",
    "f(",
    "current_timestamp",
    "rowid",
    "excluded.a",
    "\u{a0}",
    "é",
    "\t",
    "\r",
    "\u{0}",
    "\\",
    "^",
    "@>",
    "?|",
    "=-",
    "=@",
    "TABLESAMPLE",
    "FETCH",
    "FIRST",
    "ROWS",
    "OF",
    "CURRENT",
    "SYMMETRIC",
    "OPERATOR(pg_catalog.=)",
    "ANY",
    "ARRAY[1]",
    "[1]",
    "ROW",
    "XOR",
    "DIV",
    "INTERVAL",
    "VARIADIC",
    "SIMILAR",
    "TO",
    "ESCAPE",
    "GLOB",
    "MATCH",
    "REGEXP",
];

/// Another text made of this one, of at most `most` bytes.
pub fn mutate(data: &[u8], most: usize, seed: u32) -> Vec<u8> {
    let mut random = Random(u64::from(seed) << 20 ^ data.len() as u64);
    let text = String::from_utf8_lossy(data);
    let (dialect, sql) = match text.as_bytes().first() {
        Some(b'p' | b'm' | b's') if !random.once_in(50) => (text.as_bytes()[0], &text[1..]),
        _ => (b"ppssm"[random.below(5)], ""),
    };
    // A text of its own as often as not: what is mutated too often is no SQL any more.
    let mut tokens = if random.once_in(2) { Vec::new() } else { split(sql) };
    let changes = if tokens.is_empty() || random.below(4) > 0 { 1 } else { 2 + random.below(3) };
    for _ in 0..changes {
        change(&mut tokens, dialect, &mut random);
    }
    let mut out = String::from(dialect as char);
    tokens.iter().for_each(|token| out += token);
    let mut end = out.len().min(most);
    while !out.is_char_boundary(end) {
        end -= 1;
    }
    out.truncate(end);
    out.into_bytes()
}

/// Words, literals, signs, white space: rough, and never losing a byte.
fn split(sql: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut quote = None;
    for c in sql.chars() {
        let joins = match (quote, tokens.last().and_then(|t| t.chars().last())) {
            (Some(q), _) => {
                if c == q {
                    quote = None;
                }
                true
            }
            (None, Some(last)) => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                (word(last) && word(c))
                    || (last.is_whitespace() && c.is_whitespace())
                    || (matches!(last, '$' | '?') && c.is_ascii_digit())
            }
            (None, None) => false,
        };
        if joins {
            tokens.last_mut().expect("a token to join").push(c);
        } else {
            if matches!(c, '\'' | '"' | '`') {
                quote = Some(c);
            }
            tokens.push(c.to_string());
        }
    }
    tokens
}

fn change(tokens: &mut Vec<String>, dialect: u8, random: &mut Random) {
    let fuel = 1 + random.below(24);
    let grammar = |random: &mut Random, whole: bool| {
        let mut grammar = Grammar { random, dialect, fuel, labels: Vec::new() };
        if whole { grammar.statement() } else { grammar.expression() }
    };
    if tokens.is_empty() {
        *tokens = if random.once_in(8) {
            split(&SEEDS[random.below(SEEDS.len())][1..])
        } else {
            vec![grammar(random, true)]
        };
        return;
    }
    let at = random.below(tokens.len());
    let until = (at + 1 + random.below(6)).min(tokens.len());
    match random.below(16) {
        0 => tokens[at] = format!(" {} ", random.pick(TOKENS)),
        1 => tokens.insert(at, format!(" {} ", random.pick(TOKENS))),
        2 => drop(tokens.drain(at..until)),
        3 => {
            let copy: Vec<String> = tokens[at..until].to_vec();
            let to = random.below(tokens.len());
            tokens.splice(to..to, copy);
        }
        4 => {
            let other = random.below(tokens.len());
            tokens.swap(at, other);
        }
        5 => {
            // The head of another statement, or its tail.
            let seed = &SEEDS[random.below(SEEDS.len())];
            let other = split(&seed[1..]);
            let cut = random.below(other.len());
            match random.once_in(2) {
                true => tokens.splice(..at, other[..cut].iter().cloned()),
                false => tokens.splice(at.., other[cut..].iter().cloned()),
            };
        }
        6 => {
            tokens.insert(until, ")".to_owned());
            tokens.insert(at, "(".to_owned());
        }
        7 => {
            tokens[at] = if random.once_in(2) { tokens[at].to_uppercase() } else { tokens[at].to_lowercase() }
        }
        8 => tokens.insert(at, random.pick(&[" /* c */ ", "-- c\n", "\n", "/**/", " /* ' */ "]).to_owned()),
        9 => tokens[at] = grammar(random, false),
        10 => tokens[at] = format!("({})", Grammar { random, dialect, fuel, labels: Vec::new() }.query()),
        11 => drop(tokens.splice(at..until, [format!(" {} ", grammar(random, false))])),
        12 if random.once_in(3) => *tokens = vec![grammar(random, true)],
        13 => {
            let word = |t: &String| t.chars().all(|c| c.is_alphanumeric() || c == '_');
            if word(&tokens[at]) {
                tokens[at] = match random.below(3) {
                    0 => format!("\"{}\"", tokens[at]),
                    1 => format!("`{}`", tokens[at]),
                    _ => format!("[{}]", tokens[at]),
                };
            }
        }
        14 => tokens.insert(at, format!("; {} ", grammar(random, true))),
        _ => tokens[at] = random.pick(&["t", "u", "x", "id", "a", "b", "w", "v", "c"]).to_owned(),
    }
}
