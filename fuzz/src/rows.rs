//! Runs the text and looks at the rows: whether what is said of them is true.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use rusqlite::hooks::Action;
use rusqlite::types::Value;
use rusqlite::{Connection, Result, Statement};

use crate::counts::{self, count};
use crate::sqlite::Referee;
use crate::statement::{Analysis, Conjunct, Operand, Scope, Verb};

/// As many steps of SQLite's machine a text may take, in thousands.
const STEPS: i64 = 60;
/// More rows than this nobody compares.
const MOST_ROWS: usize = 300;

pub fn check(referee: &Referee, sql: &str, answer: &Analysis) {
    if answer.cacheable.is_ok() {
        // Behind a view the same table may be read once more, which the text does not say.
        if answer.reads.iter().any(|read| read.table.name.eq_ignore_ascii_case("v")) {
            return;
        }
        for read in &answer.reads {
            if let Scope::Where(conjuncts) = &read.scope {
                rows_outside_do_not_matter(referee, sql, &read.table.name, conjuncts);
            }
        }
    } else if let ([write], false) = (&answer.writes[..], answer.writes_anything) {
        if referee.tables.iter().any(|table| table.eq_ignore_ascii_case(&write.table.name)) {
            let _ = in_a_savepoint(referee, || touched_rows_are_as_told(referee, sql, answer));
        }
    }
}

/// Does something and takes it back.
fn in_a_savepoint<T>(referee: &Referee, work: impl FnOnce() -> Result<T>) -> Result<T> {
    referee.record.steps.store(STEPS, Ordering::Relaxed);
    referee.db.execute_batch("SAVEPOINT fuzz")?;
    let result = work();
    referee.record.steps.store(i64::MAX, Ordering::Relaxed);
    // After INSERT OR ROLLBACK there is nothing left to take back.
    if !referee.db.is_autocommit() {
        referee.db.execute_batch("ROLLBACK TO fuzz; RELEASE fuzz").expect("a way back");
    }
    result
}

/// The value bound at a zero-based position: some that rows have, some that none has.
fn bound(position: usize) -> Value {
    match position % 6 {
        0 => Value::Integer(1),
        1 => Value::Text("x".to_owned()),
        2 => Value::Integer(2),
        3 => Value::Null,
        4 => Value::Text("1".to_owned()),
        _ => Value::Integer(77),
    }
}

fn bind(statement: &mut Statement<'_>, position: impl Fn(usize) -> usize) -> Result<()> {
    for index in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(index, bound(position(index - 1)))?;
    }
    Ok(())
}

fn run(db: &Connection, sql: &str, position: impl Fn(usize) -> usize) -> Result<Vec<Vec<Value>>> {
    let mut statement = db.prepare(sql)?;
    bind(&mut statement, position)?;
    let width = statement.column_count();
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        if all.len() < MOST_ROWS {
            all.push((0..width).map(|at| row.get(at)).collect::<Result<_>>()?);
        }
    }
    Ok(all)
}

/// A condition in SQL; a value that is only computed holds for any.
fn spelled(columns: &[Box<str>], values: &[Operand]) -> String {
    let one = |(column, value): (&Box<str>, &Operand)| {
        let value = match value {
            Operand::Bound(at) if bound(*at) == Value::Null => return "FALSE".to_owned(),
            Operand::Bound(at) => format!("?{}", at + 1),
            Operand::Integer(n) => n.to_string(),
            Operand::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Operand::Other => return "TRUE".to_owned(),
        };
        // In brackets a name that is no column is an error, and not a literal.
        format!("[{column}] = {value}")
    };
    columns.iter().zip(values).map(one).collect::<Vec<_>>().join(" AND ")
}

fn condition<'a>(conjuncts: impl Iterator<Item = &'a Conjunct>) -> String {
    let any = |c: &Conjunct| {
        let all: Vec<String> = c.alternatives.iter().map(|row| spelled(&c.columns, row)).collect();
        format!("({})", all.join(" OR "))
    };
    let all: Vec<String> = conjuncts.map(any).collect();
    if all.is_empty() { "TRUE".to_owned() } else { all.join(" AND ") }
}

/// Numbers beyond what SQLite can bind.
fn too_many(sql: &str) -> bool {
    sql.bytes().filter(|b| *b == b'?').count() > 200
}

fn rows_outside_do_not_matter(referee: &Referee, sql: &str, table: &str, conjuncts: &[Conjunct]) {
    if too_many(sql) || !referee.tables.iter().any(|known| known.eq_ignore_ascii_case(table)) {
        return;
    }
    let db = &referee.db;
    let same = |at| at;
    let compared = in_a_savepoint(referee, || {
        let before = run(db, sql, same)?;
        run(db, &format!("DELETE FROM [{table}] WHERE ({}) IS NOT TRUE", condition(conjuncts.iter())), same)?;
        Ok((before, run(db, sql, same)?))
    });
    if let Ok((before, after)) = compared {
        count(&counts::SELECTS_RUN);
        assert_eq!(before, after, "rows of {table} outside its scope matter: {sql}\n{conjuncts:?}");
    }
}

/// The row numbers that fulfil a condition.
fn numbers(
    db: &Connection,
    table: &str,
    condition: &str,
    position: impl Fn(usize) -> usize,
) -> Result<BTreeSet<i64>> {
    let rows = run(db, &format!("SELECT rowid FROM [{table}] WHERE {condition}"), position)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| if let Some(Value::Integer(n)) = row.first() { Some(*n) } else { None })
        .collect())
}

fn touched_rows_are_as_told(referee: &Referee, sql: &str, answer: &Analysis) -> Result<()> {
    let db = &referee.db;
    let write = &answer.writes[0];
    if too_many(sql) {
        return Ok(());
    }
    let table = &*write.table.name;
    let same = |at| at;
    let conjuncts: &[Conjunct] = if let Scope::Where(all) = &write.scope { all } else { &[] };
    let lasting = condition(conjuncts.iter());
    let allowed = numbers(db, table, &condition(conjuncts.iter().chain(&write.before)), same);
    let filtered = match &write.filter {
        Some(filter) => {
            let select = format!("SELECT 1 FROM [{table}] WHERE {}", filter.condition);
            let prepared = db.prepare(&select).unwrap_or_else(|error| panic!("{error}: {select}\n{sql}"));
            assert_eq!(prepared.parameter_count(), filter.bound.len(), "{select}\n{sql}");
            Some(numbers(db, table, &filter.condition, |at| filter.bound[at]))
        }
        None => None,
    };
    referee.record.changes.lock().expect("the changes").clear();
    run(db, sql, same)?;
    count(&counts::WRITES_RUN);
    let changes = std::mem::take(&mut *referee.record.changes.lock().expect("the changes"));
    let of = |wanted: &[Action]| -> BTreeSet<i64> {
        let own = changes
            .iter()
            .filter(|(action, name, _)| wanted.contains(action) && name.eq_ignore_ascii_case(table));
        own.map(|(_, _, row)| *row).collect()
    };
    let inserted = of(&[Action::SQLITE_INSERT]);
    // An upsert may update a row that it has added itself.
    let there = &of(&[Action::SQLITE_UPDATE, Action::SQLITE_DELETE]) - &inserted;
    let numbered =
        |column: &str| ["id", "rowid", "oid", "_rowid_"].iter().any(|name| column.eq_ignore_ascii_case(name));
    // A row with another number is told by its new one.
    let renumbers = write.assigned.as_ref().is_none_or(|all| all.iter().any(|a| numbered(&a.column)));
    if write.verb == Verb::Insert {
        assert!(there.is_empty(), "an insert changed rows: {sql}\n{answer:?}");
    }
    if !renumbers {
        if let Ok(allowed) = allowed {
            assert!(there.is_subset(&allowed), "{there:?} outside {allowed:?}: {sql}\n{answer:?}");
        }
        if let Some(Ok(filtered)) = filtered {
            count(&counts::FILTERS_RUN);
            assert_eq!(filtered, there, "the filter selects other rows: {sql}\n{answer:?}");
        }
    }
    let deleted = of(&[Action::SQLITE_DELETE]);
    let left: Vec<String> =
        there.union(&inserted).filter(|row| !deleted.contains(row)).map(i64::to_string).collect();
    let after = match &write.scope {
        Scope::Rows { columns, rows } => {
            let all: Vec<String> = rows.iter().map(|row| spelled_new(columns, row)).collect();
            all.join(" OR ")
        }
        _ if write.verb == Verb::Upsert => {
            let any = |c: &Conjunct| {
                let all: Vec<String> =
                    c.alternatives.iter().map(|row| spelled_new(&c.columns, row)).collect();
                format!("({})", all.join(" OR "))
            };
            let all: Vec<String> = conjuncts.iter().map(any).collect();
            if all.is_empty() { "TRUE".to_owned() } else { all.join(" AND ") }
        }
        _ => lasting,
    };
    let wrong = format!("rowid IN ({}) AND ({after}) IS NOT TRUE", left.join(", "));
    if let Ok(wrong) = numbers(db, table, &wrong, same) {
        assert!(wrong.is_empty(), "afterwards {wrong:?} are not as told: {sql}\n{answer:?}");
    }
    Ok(())
}

/// A row as it was listed. NULL in the key is the next number.
fn spelled_new(columns: &[Box<str>], row: &[Operand]) -> String {
    let known = |value: &Operand| match value {
        Operand::Bound(at) if bound(*at) == Value::Null => Operand::Other,
        other => other.clone(),
    };
    let row: Vec<Operand> = row.iter().map(known).collect();
    format!("({})", spelled(columns, &row))
}
