//! The analysis against a parser's opinion, over the corpus and over what somebody else would have
//! typed. Where the two differ on the unsafe side, a known misreading of the parser explains it.

use std::collections::{BTreeMap, BTreeSet};

use super::corpus_test::corpus;
use super::robustness_test::{Random, respelled, token_places};
use super::second_opinion::{Opinion, opinion};
use super::{Analysis, Dialect, Kind, analyse};

/// How many respelled texts are made of each statement of the corpus.
const RESPELLED: usize = 40;

/// A text that the parser is known to misread.
struct Misreading {
    why: &'static str,
    reads_so: fn(Dialect, &str) -> bool,
}

/// These words stand in the text, one behind the other, whatever is between them.
fn has(dialect: Dialect, sql: &str, words: [&str; 2]) -> bool {
    let places = token_places(dialect, sql);
    let is = |place: &(usize, usize, bool), word: &str| sql[place.0..place.1].eq_ignore_ascii_case(word);
    places.windows(2).any(|pair| is(&pair[0], words[0]) && is(&pair[1], words[1]))
}

/// What the parser is known to get wrong, each with the reason why we are right.
const MISREADINGS: &[Misreading] = &[
    Misreading {
        why: "MySQL's UPDATE IGNORE: the modifier is taken for the table",
        reads_so: |dialect, sql| dialect == Dialect::MySql && has(dialect, sql, ["update", "ignore"]),
    },
    Misreading {
        why: "MySQL's DELETE QUICK: the modifier is taken for the table",
        reads_so: |dialect, sql| dialect == Dialect::MySql && has(dialect, sql, ["delete", "quick"]),
    },
    Misreading {
        why: "PostgreSQL's ONLY: taken for the table, which is taken for its alias",
        reads_so: |dialect, sql| {
            let before = ["update", "from", "join", "into"];
            dialect == Dialect::Postgres && before.iter().any(|word| has(dialect, sql, [word, "only"]))
        },
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Agree,
    Wider,
    Rejected,
    Explained,
    Under,
}

/// Functions of which a result must never be kept.
const VOLATILE: [&str; 9] = [
    "now",
    "random",
    "rand",
    "uuid",
    "gen_random_uuid",
    "nextval",
    "sleep",
    "last_insert_id",
    "clock_timestamp",
];

/// What the parser sees and the analysis does not.
fn missed(answer: &Analysis, opinion: &Opinion) -> Option<String> {
    if answer.writes_anything {
        return None;
    }
    let writes: BTreeSet<String> =
        answer.writes.iter().map(|write| write.table.fold().into_owned()).collect();
    let reads: BTreeSet<String> = answer.reads.iter().map(|read| read.table.fold().into_owned()).collect();
    if let Some(table) = opinion.writes.iter().find(|table| !writes.contains(*table)) {
        return Some(format!("{table} is written"));
    }
    if !opinion.writes.is_empty() && answer.kind == Kind::Read {
        return Some("it writes".to_owned());
    }
    if let Some(table) = opinion.mentions.iter().find(|t| !writes.contains(*t) && !reads.contains(*t)) {
        // Statements that neither read nor write rows name tables too.
        if matches!(answer.kind, Kind::Read | Kind::Write) && table != "dual" {
            return Some(format!("{table} is mentioned"));
        }
    }
    if answer.cacheable.is_ok() {
        if !opinion.reads_only {
            return Some("it is not a select".to_owned());
        }
        if let Some(name) = opinion.calls.iter().find(|name| VOLATILE.contains(&name.as_str())) {
            return Some(format!("it calls {name}"));
        }
    }
    None
}

fn is_wider(answer: &Analysis, opinion: &Opinion) -> bool {
    let tables = answer.writes.iter().map(|write| &write.table);
    let mut tables = tables.chain(answer.reads.iter().map(|read| &read.table));
    answer.writes_anything
        || tables.any(|table| !opinion.mentions.contains(&*table.fold()))
        || answer.writes.iter().any(|write| !opinion.writes.contains(&*write.table.fold()))
}

fn verdict(dialect: Dialect, sql: &str) -> (Verdict, String) {
    let answer = analyse(dialect, sql);
    let Some(opinion) = opinion(dialect, sql) else { return (Verdict::Rejected, String::new()) };
    match missed(&answer, &opinion) {
        Some(what) => match MISREADINGS.iter().find(|rule| (rule.reads_so)(dialect, sql)) {
            Some(rule) => (Verdict::Explained, rule.why.to_owned()),
            None => (Verdict::Under, format!("{what}: {dialect:?} {sql}\n    {answer:?}\n    {opinion:?}\n")),
        },
        None if is_wider(&answer, &opinion) => (Verdict::Wider, String::new()),
        None => (Verdict::Agree, String::new()),
    }
}

/// The same statement, or nearly: other quotes, aliases, qualifiers, parentheses.
fn dressed(dialect: Dialect, sql: &str, random: &mut Random) -> String {
    let quotes: &[(&str, &str)] = match dialect {
        Dialect::Postgres => &[("\"", "\"")],
        Dialect::MySql => &[("`", "`")],
        Dialect::Sqlite => &[("\"", "\""), ("`", "`"), ("[", "]")],
    };
    let mut text = String::new();
    let mut at = 0;
    let mut before = String::new();
    for (start, end, _) in token_places(dialect, sql) {
        text += &sql[at..start];
        let token = &sql[start..end];
        let is_table = ["from", "join", "into", "update"].contains(&before.as_str());
        let word = token.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !token.starts_with(|c: char| c.is_ascii_digit());
        let value = token.starts_with(['?', '$', '\'']) || token.parse::<u32>().is_ok();
        match random.below(6) {
            0 if is_table && word => text += &format!("s.{token}"),
            1 if is_table && word => text += &format!("{token} AS q"),
            2 if is_table && word => {
                let (open, close) = quotes[random.below(quotes.len())];
                text += &format!("{open}{token}{close}");
            }
            3 if value => text += &format!("({token})"),
            4 if token == "\"" || token.starts_with('"') && dialect == Dialect::Sqlite => {
                text += &format!("[{}]", token.trim_matches('"'));
            }
            _ => text += token,
        }
        before = token.to_lowercase();
        at = end;
    }
    text + &sql[at..]
}

// case D25
#[test]
fn where_a_parser_sees_more_it_is_known_to_misread() {
    let mut random = Random(5);
    let mut counts: BTreeMap<(&str, Verdict), usize> = BTreeMap::new();
    let mut explained: BTreeMap<String, usize> = BTreeMap::new();
    let mut under = BTreeMap::new();
    let mut check = |source: &'static str, dialect: Dialect, sql: &str, id: &str| {
        let (verdict, why) = verdict(dialect, sql);
        *counts.entry((source, verdict)).or_default() += 1;
        match verdict {
            Verdict::Explained => *explained.entry(why).or_default() += 1,
            // One of each is enough to look at.
            Verdict::Under => drop(under.entry(id.to_owned()).or_insert(why)),
            _ => (),
        }
    };
    for case in corpus() {
        check("corpus", case.dialect, &case.sql, &case.id);
        for _ in 0..RESPELLED {
            let text = dressed(case.dialect, &case.sql, &mut random);
            check("respelled", case.dialect, &respelled(case.dialect, &text, &mut random), &case.id);
        }
    }
    let mut table = String::from("\nsource     verdict        texts\n");
    for ((source, verdict), count) in &counts {
        table += &format!("{source:10} {:10} {count:9}\n", format!("{verdict:?}"));
    }
    for (why, count) in &explained {
        table += &format!("{count:9} explained: {why}\n");
    }
    print(&table);
    assert!(under.is_empty(), "{}", under.values().cloned().collect::<String>());
}

#[allow(clippy::print_stderr)]
fn print(text: &str) {
    eprintln!("{text}");
}
