//! Random keys, rows and conditions. All are drawn from few values, so that what one statement
//! writes another one finds.

use sea_orm::{
    Condition, ExprTrait, Value,
    sea_query::{Alias, Expr, IntoColumnRef, Query, SelectStatement, SimpleExpr},
};

use super::{
    random::Random,
    tables::{Key, Table},
};

/// The keys that are chosen by the test; what the database chooses comes after them.
pub const LAST_ID: i64 = 7;
pub const GROUPS: i64 = 4;
/// Most of MariaDB's collations hold some of these equal, the other databases do not.
pub const NAMES: [&str; 8] =
    ["alfa", "bravo", "charlie", "delta", "echo's", "Alfa", "d\u{e9}lta", "char lie"];
const CODES: [&str; 8] = ["c1", "c2", "c3", "C3", "c4", "c5", "c 6", "c7"];

/// Columns with the values that they get.
pub type Row = Vec<(&'static str, Value)>;

pub fn key(table: Table, random: &mut Random) -> Key {
    match table {
        Table::Label => Key::Name(name(random)),
        Table::Link => Key::Pair(random.number(1, 3), random.number(1, 3)),
        _ => Key::Id(random.number(1, LAST_ID)),
    }
}

fn name(random: &mut Random) -> String {
    random.pick(&NAMES).to_owned()
}

pub fn group(random: &mut Random) -> i64 {
    random.number(1, GROUPS)
}

fn title(random: &mut Random) -> String {
    match random.below(12) {
        0 => "it's; DELETE FROM node1 WHERE id = 1".to_owned(),
        1 => "-- \"none\" `at` $1 ? all".to_owned(),
        _ => format!("title {}", random.below(1000)),
    }
}

/// A value for a column that is not the key.
pub fn value(column: &str, random: &mut Random) -> Value {
    match column {
        "parent" | "owner" => random.once_in(2).then(|| random.number(1, LAST_ID)).into(),
        "label" => random.once_in(2).then(|| name(random)).into(),
        "group_id" => group(random).into(),
        "code" => random.pick(&CODES).to_owned().into(),
        "amount" => random.number(0, 999).into(),
        "title" => title(random).into(),
        other => panic!("no values for the column {other}"),
    }
}

/// The columns that are not the key.
pub fn contents(table: Table) -> Vec<&'static str> {
    table.columns().iter().copied().filter(|column| !table.key_columns().contains(column)).collect()
}

/// A whole row with this key; without one, the database gives it (tables with an integer key only).
pub fn row(table: Table, key: Option<&Key>, random: &mut Random) -> Row {
    let mut row = key.map_or_else(Row::new, |key| keyed(table, key));
    row.extend(contents(table).into_iter().map(|column| (column, value(column, random))));
    row
}

/// The same without some of the columns that the database has a value for.
pub fn some_of(row: Row, random: &mut Random) -> Row {
    let mut less = row;
    less.retain(|(column, _)| {
        !matches!(*column, "parent" | "owner" | "label" | "group_id" | "amount") || !random.once_in(6)
    });
    less
}

pub fn keyed(table: Table, key: &Key) -> Row {
    table.key_columns().iter().copied().zip(key.values()).collect()
}

/// Which rows are read or written.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Key(Key),
    Keys(Vec<Key>),
    KeyAndGroup(Key, i64),
    KeyOrGroup(Key, i64),
    /// Integer keys: beyond those that the test chooses. Others: the last ones.
    LateKeys,
    Is(&'static str, Value),
    In(&'static str, Vec<Value>),
    IsAnd(&'static str, Value, i64),
    Null(&'static str),
    AmountBelow(i64),
    AmountOdd,
    /// Rows whose join leads to a row of this group.
    NextInGroup(i64),
    All,
    None,
}

impl Filter {
    pub fn random(table: Table, random: &mut Random) -> Self {
        let nullable =
            if table.key_columns() == ["id"] { &["parent", "owner", "label"][..] } else { &["owner"] };
        let column = random.pick(&contents(table));
        let index = if table.indexes().is_empty() { "amount" } else { random.pick(table.indexes()) };
        let searched = random.weighted(&[(6, "group_id"), (3, index), (2, column)]);
        let value = |random: &mut Random| match value(searched, random) {
            // `= NULL` is never true, and SeaORM writes IS NULL for it: there is a form for that.
            Value::BigInt(None) => 1i64.into(),
            Value::String(None) => "alfa".into(),
            other => other,
        };
        match random.below(30) {
            0..7 => Self::Key(key(table, random)),
            7..10 => Self::Keys(random.several(1, 4, |random| key(table, random))),
            10 => Self::KeyAndGroup(key(table, random), group(random)),
            11 => Self::KeyOrGroup(key(table, random), group(random)),
            12..14 => Self::LateKeys,
            14..20 => Self::Is(searched, value(random)),
            20..22 => Self::In(searched, random.several(1, 3, value)),
            22 => Self::IsAnd(searched, value(random), random.number(0, 999)),
            23 if table != Table::Link => Self::Null(random.pick(nullable)),
            24..26 => Self::AmountBelow(random.number(0, 300)),
            26 => Self::AmountOdd,
            27 => Self::NextInGroup(group(random)),
            28 if random.once_in(4) => Self::None,
            29 if random.once_in(6) => Self::All,
            _ => Self::Is("group_id", group(random).into()),
        }
    }

    /// The tables that it reads besides its own.
    pub fn other_table(&self, table: Table) -> Option<Table> {
        matches!(self, Self::NextInGroup(_)).then(|| table.next().1)
    }

    pub fn condition(&self, table: Table) -> Condition {
        let is = |column: &str, value: Value| of(table, column).eq(value);
        let keyed = |key: &Key| {
            let columns = table.key_columns().iter().zip(key.values());
            columns.fold(Condition::all(), |all, (column, value)| all.add(is(column, value)))
        };
        let all = Condition::all();
        match self {
            Self::Key(key) => keyed(key),
            Self::Keys(keys) => match table.key_columns() {
                [column] => all.add(of(table, column).is_in(keys.iter().flat_map(Key::values))),
                _ => keys.iter().fold(Condition::any(), |any, key| any.add(keyed(key))),
            },
            Self::KeyAndGroup(key, group) => keyed(key).add(is("group_id", (*group).into())),
            Self::KeyOrGroup(key, group) => {
                Condition::any().add(keyed(key)).add(is("group_id", (*group).into()))
            }
            Self::LateKeys => {
                let after = if table == Table::Label { Value::from("d") } else { LAST_ID.into() };
                let after = if table == Table::Link { 2i64.into() } else { after };
                all.add(of(table, table.key_columns()[0]).gt(after))
            }
            Self::Is(column, value) => all.add(is(column, value.clone())),
            Self::In(column, values) => all.add(of(table, column).is_in(values.clone())),
            Self::IsAnd(column, value, amount) => {
                all.add(is(column, value.clone())).add(of(table, "amount").gte(*amount))
            }
            Self::Null(column) => all.add(of(table, column).is_null()),
            Self::AmountBelow(amount) => all.add(of(table, "amount").lt(*amount)),
            Self::AmountOdd => all.add(of(table, "amount").modulo(2).eq(1)),
            Self::NextInGroup(group) => {
                let (column, next, key) = table.next();
                all.add(of(table, column).in_subquery(in_group(next, key, *group)))
            }
            Self::All => all,
            Self::None => all.add(Expr::val(1).eq(2)),
        }
    }
}

/// A table's column, by its full name.
pub fn of(table: Table, column: &str) -> SimpleExpr {
    Expr::col((Alias::new(table.name()), Alias::new(column)).into_column_ref())
}

fn in_group(table: Table, key: &str, group: i64) -> SelectStatement {
    let condition = of(table, "group_id").eq(group);
    Query::select().expr(of(table, key)).from(Alias::new(table.name())).and_where(condition).to_owned()
}
