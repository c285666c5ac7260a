//! What a statement touches, in words for people.

use sea_orm::Value;

use crate::{
    entity::value_text,
    schema::{Change, Columns},
    statement::{Operand, Scope},
};

/// More values than this are counted instead of listed.
const MOST_VALUES: usize = 8;

/// `id = 7`, `shelf_id in (3, 4)`, `any row`.
pub(crate) fn scope_in_words(scope: &Scope, values: &[Value]) -> String {
    let tuples = |columns: &[Box<str>], tuples: &[Vec<Operand>]| {
        let columns = columns.join(", ");
        match tuples {
            [one] => format!("{columns} = {}", tuple(one, values)),
            many if many.len() > MOST_VALUES => format!("{columns}: {} values", many.len()),
            many => {
                let all: Vec<_> = many.iter().map(|one| tuple(one, values)).collect();
                format!("{columns} in ({})", all.join(", "))
            }
        }
    };
    match scope {
        Scope::Unknown => "any row".to_owned(),
        Scope::Where(conjuncts) if conjuncts.is_empty() => "any row".to_owned(),
        Scope::Where(conjuncts) => {
            let all: Vec<_> = conjuncts.iter().map(|c| tuples(&c.columns, &c.alternatives)).collect();
            all.join(" and ")
        }
        Scope::Rows { rows, .. } => match rows.len() {
            1 => "1 new row".to_owned(),
            n => format!("{n} new rows"),
        },
    }
}

fn tuple(operands: &[Operand], values: &[Value]) -> String {
    let all: Vec<_> = operands.iter().map(|operand| word(operand, values)).collect();
    match &all[..] {
        [one] => one.clone(),
        many => format!("({})", many.join(", ")),
    }
}

fn word(operand: &Operand, values: &[Value]) -> String {
    match operand {
        Operand::Bound(position) => {
            values.get(*position).and_then(value_text).unwrap_or_else(|| "NULL".to_owned())
        }
        Operand::Integer(number) => number.to_string(),
        Operand::Text(text) => format!("'{text}'"),
        Operand::Other => "something computed".to_owned(),
    }
}

/// `inserts, updates title`.
pub(crate) fn change_in_words(change: &Change) -> String {
    let mut words = Vec::new();
    if change.inserts {
        words.push("inserts".to_owned());
    }
    match &change.updates {
        None => {}
        Some(Columns::Any) => words.push("updates".to_owned()),
        Some(Columns::These(columns)) => {
            let columns: Vec<_> = columns.iter().map(|column| &**column).collect();
            words.push(format!("updates {}", columns.join(", ")));
        }
    }
    if change.truncates {
        words.push("truncates".to_owned());
    } else if change.deletes {
        words.push("deletes".to_owned());
    }
    words.join("; ")
}
