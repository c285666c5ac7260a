//! The grammar of a PostgreSQL server as referee.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use crate::Verdict;
use crate::counts::{self, count};
use crate::statement::{Analysis, Kind, Scope};

/// What the server's tree says.
#[derive(Default)]
struct Tree {
    written: BTreeSet<String>,
    /// Something is written that is not told which.
    locks: bool,
    tables: BTreeSet<String>,
    ctes: HashSet<String>,
    /// `CURRENT_USER` and its kin.
    session: bool,
    returning: bool,
}

/// Before a name with a schema, which is no WITH query's.
const QUALIFIED: char = '.';

/// Statements that hold others which they do not run.
const HOLDERS: [&str; 7] = [
    "PrepareStmt",
    "CreateFunctionStmt",
    "RuleStmt",
    "ViewStmt",
    "DeclareCursorStmt",
    "CreateTrigStmt",
    "ExplainStmt",
];

pub fn check(sql: &str, answer: &Analysis) -> Verdict {
    let Ok(parsed) = pg_query::parse(sql, 0) else { return Verdict::Rejected };
    let Ok(Value::Object(tree)) = serde_json::to_value(&parsed.protobuf) else { return Verdict::Rejected };
    count(&counts::POSTGRES);
    let statements = tree.get("stmts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut all_read, mut select) = (true, true);
    let mut whole = Tree::default();
    for statement in statements {
        let Some(node) = statement.pointer("/stmt/node").and_then(Value::as_object) else { continue };
        let Some((kind, body)) = node.iter().next() else { continue };
        let mut found = Tree::default();
        if !HOLDERS.contains(&kind.as_str()) {
            walk(kind, body, &mut found);
        }
        let reads = matches!(kind.as_str(), "SelectStmt" | "CopyStmt") && found.written.is_empty();
        all_read &= reads;
        select &= kind == "SelectStmt";
        if kind == "TransactionStmt" {
            assert!(!answer.transaction.is_empty() || answer.writes_anything, "{sql}\n{answer:?}");
        }
        for table in &found.written {
            let known = answer.writes.iter().any(|write| write.table.fold() == table.to_lowercase());
            assert!(known || answer.writes_anything, "{table} is written unseen: {sql}\n{answer:?}");
        }
        whole.tables.append(&mut found.tables);
        whole.written.append(&mut found.written);
        whole.ctes.extend(found.ctes);
        whole.locks |= found.locks;
        whole.session |= found.session;
        whole.returning |= found.returning;
    }
    if !all_read {
        assert!(answer.kind != Kind::Read || answer.writes_anything, "a write is read: {sql}\n{answer:?}");
    }
    assert!(!answer.returning || whole.returning, "nothing is returned: {sql}\n{answer:?}");
    if answer.cacheable.is_ok() {
        assert!(select && all_read && statements.len() == 1, "cacheable: {sql}\n{answer:?}");
        assert!(!whole.locks && !whole.session, "cacheable: {sql}\n{answer:?}");
        for table in &whole.tables {
            let bare = table.trim_start_matches(QUALIFIED).to_lowercase();
            let known = answer.reads.iter().any(|read| read.table.fold() == bare);
            assert!(known || whole.ctes.contains(table), "{table} is read unseen: {sql}\n{answer:?}");
        }
    }
    if let [statement] = statements {
        conditions(sql, answer, statement);
    }
    let known = |name: &str, all: &BTreeSet<String>| {
        all.iter().any(|table| table.trim_start_matches(QUALIFIED).to_lowercase() == name)
    };
    let wider = answer.writes_anything
        || answer.writes.iter().any(|write| !known(&write.table.fold(), &whole.written))
        || answer.reads.iter().any(|read| !known(&read.table.fold(), &whole.tables));
    if wider { Verdict::Wider } else { Verdict::Same }
}

fn walk(key: &str, value: &Value, found: &mut Tree) {
    match value {
        Value::Object(fields) => {
            let text = |field: &str| fields.get(field).and_then(Value::as_str);
            let relation = |field: &str| {
                let table = fields.get(field).and_then(|table| table.get("relname"));
                table.and_then(Value::as_str).map(str::to_owned)
            };
            match key {
                "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                    found.written.extend(relation("relation"));
                    found.returning |= fields.get("returning_clause").is_some_and(|clause| !clause.is_null());
                    // The target itself is not read.
                    for (name, field) in fields.iter().filter(|(name, _)| *name != "relation") {
                        walk(name, field, found);
                    }
                    return;
                }
                "into_clause" => found.written.extend(relation("rel")),
                "CopyStmt" if fields.get("is_from").and_then(Value::as_bool) == Some(true) => {
                    found.written.extend(relation("relation"));
                }
                "TruncateStmt" => {
                    let list = fields.get("relations").and_then(Value::as_array).into_iter().flatten();
                    let names = list.filter_map(|table| table.pointer("/node/RangeVar/relname")?.as_str());
                    found.written.extend(names.map(str::to_owned));
                }
                "RangeVar" => {
                    let schema = text("schemaname").is_none_or(str::is_empty);
                    let name = text("relname").unwrap_or_default();
                    found.tables.insert(if schema { name.to_owned() } else { format!("{QUALIFIED}{name}") });
                }
                "CommonTableExpr" => found.ctes.extend(text("ctename").map(str::to_owned)),
                "LockingClause" => found.locks = true,
                "SqlvalueFunction" | "SQLValueFunction" => found.session = true,
                _ => (),
            }
            fields.iter().for_each(|(name, field)| walk(name, field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| walk("", item, found)),
        _ => (),
    }
}

/// The pinned columns are compared by `=` or `IN` in the tree too, and the filter means the same.
fn conditions(sql: &str, answer: &Analysis, statement: &Value) {
    let Some(node) = statement.pointer("/stmt/node").and_then(Value::as_object) else { return };
    let Some((kind, body)) = node.iter().next() else { return };
    let clause = body.get("where_clause").filter(|clause| !clause.is_null());
    let scopes: Vec<_> = match kind.as_str() {
        "SelectStmt" => answer.reads.iter().map(|read| (&read.scope, &[][..])).collect(),
        "UpdateStmt" | "DeleteStmt" => match &answer.writes[..] {
            [write] => vec![(&write.scope, &write.before[..])],
            _ => return,
        },
        _ => return,
    };
    let mut equal = BTreeSet::new();
    if kind == "SelectStmt" {
        // Rows of a table in a subquery are told by the subquery's own condition.
        every_condition(body, &mut equal);
    }
    clause.into_iter().for_each(|clause| equalities(clause, &mut equal));
    for (scope, before) in scopes {
        let Scope::Where(all) = scope else { continue };
        for conjunct in all.iter().chain(before) {
            let columns: Vec<String> = conjunct.columns.iter().map(|c| c.to_lowercase()).collect();
            let known = equal.contains(&columns.join(","));
            assert!(known, "{columns:?} is not pinned, {equal:?} are: {sql}\n{answer:?}");
        }
    }
    if let [write] = &answer.writes[..]
        && let Some(filter) = &write.filter
    {
        let select = format!("SELECT 1 FROM t WHERE {}", filter.condition);
        let parsed = pg_query::parse(&select, 0).unwrap_or_else(|error| panic!("{error}: {select}\n{sql}"));
        let mut told = serde_json::to_value(&parsed.protobuf).unwrap_or_default();
        let mut told = told
            .pointer_mut("/stmts/0/stmt/node/SelectStmt/where_clause")
            .map(Value::take)
            .unwrap_or_default();
        let mut written = clause.cloned().unwrap_or_default();
        let bound = |number: u64| filter.bound.get(number as usize - 1).map_or(0, |at| *at as u64 + 1);
        bare(&mut told, &bound);
        bare(&mut written, &|number| number);
        assert_eq!(told, written, "the filter means something else: {sql}\n{answer:?}");
    }
}

fn every_condition(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name == "where_clause" {
                    equalities(field, found);
                }
                every_condition(field, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| every_condition(item, found)),
        _ => (),
    }
}

/// Without the places in the text.
fn bare(value: &mut Value, number: &impl Fn(u64) -> u64) {
    match value {
        Value::Object(fields) => {
            let place = |name: &str| ["location", "_start", "_end"].iter().any(|end| name.ends_with(end));
            fields.retain(|name, _| !place(name));
            if let Some(param) = fields.get_mut("ParamRef").and_then(|param| param.get_mut("number")) {
                *param = number(param.as_u64().unwrap_or(0)).into();
            }
            fields.values_mut().for_each(|field| bare(field, number));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| bare(item, number)),
        _ => (),
    }
}

/// The columns, joined by commas, of each `a = 1`, `a IN (1)`, `(a, b) = (1, 2)` at the top.
fn equalities(clause: &Value, found: &mut BTreeSet<String>) {
    let Some((kind, body)) =
        clause.get("node").and_then(Value::as_object).and_then(|node| node.iter().next())
    else {
        return;
    };
    match kind.as_str() {
        // 1 is AND.
        "BoolExpr" if body.get("boolop").and_then(Value::as_i64) == Some(1) => {
            let args = body.get("args").and_then(Value::as_array).into_iter().flatten();
            args.for_each(|arg| equalities(arg, found));
        }
        "AExpr" => {
            let equals = body.pointer("/name/0/node/String/sval").and_then(Value::as_str) == Some("=");
            // 1 is an operator, 7 is IN.
            let plain = matches!(body.get("kind").and_then(Value::as_i64), Some(1 | 7));
            if equals && plain {
                let sides = ["lexpr", "rexpr"].iter().filter_map(|side| body.get(*side));
                found.extend(sides.filter_map(columns));
            }
        }
        _ => (),
    }
}

fn columns(side: &Value) -> Option<String> {
    let node = side.get("node")?;
    let last = |column: &Map<String, Value>| {
        let name = column.get("fields")?.as_array()?.last()?.pointer("/node/String/sval")?.as_str()?;
        Some(name.to_lowercase())
    };
    if let Some(column) = node.get("ColumnRef").and_then(Value::as_object) {
        return last(column);
    }
    let row = node.pointer("/RowExpr/args")?.as_array()?;
    let names: Option<Vec<String>> =
        row.iter().map(|item| last(item.pointer("/node/ColumnRef")?.as_object()?)).collect();
    Some(names?.join(","))
}
