//! Random constraints on the fixed tables.

use std::fmt::Write as _;

use sea_orm::Value;
use sea_orm_cache::TableRule;

use super::{
    random::Random,
    tables::{Key, Table},
    tally::Reaches,
    trigger::Trigger,
    values::{self, LAST_ID},
};
use crate::support::Backend;

/// What a foreign key does when the row that it names is deleted, or its key changes.
const ACTIONS: [(usize, &str); 5] =
    [(2, "NO ACTION"), (1, "RESTRICT"), (4, "CASCADE"), (3, "SET NULL"), (1, "SET DEFAULT")];

/// How MariaDB compares texts: as its default is, without case and accents, with accents, to the letter.
const COLLATIONS: [&str; 4] =
    ["", " COLLATE utf8mb4_unicode_ci", " COLLATE utf8mb4_uca1400_as_ci", " COLLATE utf8mb4_bin"];

#[derive(Clone, Debug)]
struct ForeignKey {
    table: Table,
    column: &'static str,
    target: Table,
    on_delete: &'static str,
    on_update: &'static str,
}

/// One schema.
#[derive(Clone, Debug)]
pub struct Schema {
    backend: Backend,
    /// Of all texts, so that foreign keys compare alike.
    collation: &'static str,
    /// Tables that most statements and reads are about, so that they meet.
    busy: Vec<Table>,
    foreign_keys: Vec<ForeignKey>,
    /// Tables whose `code` is unique.
    unique_codes: Vec<Table>,
    /// Tables of which no two rows have the same group and title.
    unique_titles: Vec<Table>,
    triggers: Vec<Trigger>,
    /// What the view shows: rows of the first, with columns of the second where it joins.
    view: Option<(Table, Option<Table>)>,
}

impl Schema {
    pub fn random(backend: Backend, random: &mut Random) -> Self {
        let mut foreign_keys = Vec::new();
        for table in Table::ALL {
            let columns: &[&str] = match table {
                Table::Label => &["owner"],
                Table::Link => &["a_id", "b_id"],
                _ => &["parent", "owner", "label"],
            };
            for column in columns {
                if random.once_in(2) {
                    let target = if *column == "label" { Table::Label } else { random.pick(&Table::NODES) };
                    let (on_delete, on_update) =
                        (action(backend, table, random), action(backend, table, random));
                    foreign_keys.push(ForeignKey { table, column, target, on_delete, on_update });
                }
            }
        }
        let triggers = if random.once_in(2) { random.several(1, 2, Trigger::random) } else { Vec::new() };
        let view = random.once_in(2).then(|| {
            let second = random.once_in(2).then(|| random.pick(&Table::NODES));
            (random.pick(&Table::NODES), second)
        });
        let unique_codes = some(&Table::NODES, 3, random);
        let unique_titles = some(&Table::ALL, 6, random);
        let collation = if backend == Backend::MariaDb { random.pick(&COLLATIONS) } else { "" };
        Self {
            backend,
            collation,
            busy: random.several(2, 4, |random| random.pick(&Table::ALL)),
            foreign_keys,
            unique_codes,
            unique_titles,
            triggers,
            view,
        }
    }

    /// The tables, one statement each, then the constraints that had to wait for all of them.
    pub fn statements(&self) -> Vec<String> {
        let mut statements: Vec<String> = Table::ALL.iter().map(|table| self.table(*table)).collect();
        if self.backend != Backend::Sqlite {
            for (number, key) in self.foreign_keys.iter().enumerate() {
                let table = key.table.name();
                let clause = clause(key);
                statements.push(format!("ALTER TABLE {table} ADD CONSTRAINT fk{number} {clause}"));
            }
        }
        if self.backend == Backend::Postgres {
            for table in Table::NODES {
                let name = table.name();
                statements.push(format!("ALTER SEQUENCE {name}_id_seq RESTART WITH {}", LAST_ID + 1));
            }
        }
        statements.extend(self.view());
        for (number, trigger) in self.triggers.iter().enumerate() {
            statements.extend(trigger.statements(number, self.backend));
        }
        statements
    }

    fn view(&self) -> Option<String> {
        let (first, second) = self.view?;
        let name = Table::View.name();
        let first = first.name();
        Some(match second {
            None => format!("CREATE VIEW {name} AS SELECT {} FROM {first}", Table::View.columns().join(", ")),
            Some(second) => format!(
                "CREATE VIEW {name} AS SELECT a.id, a.parent, a.owner, b.title AS label, a.group_id, a.code, \
                 coalesce(b.amount, a.amount) AS amount, a.title FROM {first} a LEFT JOIN {} b ON a.owner = b.id",
                second.name()
            ),
        })
    }

    fn table(&self, table: Table) -> String {
        let mut parts = Vec::new();
        for column in table.columns() {
            let kind = match (*column, self.backend) {
                ("id", Backend::Sqlite) => "INTEGER PRIMARY KEY AUTOINCREMENT",
                ("id", Backend::Postgres) => "BIGSERIAL PRIMARY KEY",
                ("id", Backend::MariaDb) => "BIGINT AUTO_INCREMENT PRIMARY KEY",
                ("name", _) => "VARCHAR(40) NOT NULL PRIMARY KEY",
                ("label", _) => "VARCHAR(40)",
                ("code" | "title", _) => "VARCHAR(40) NOT NULL",
                ("parent", _) => "BIGINT",
                // What SET DEFAULT sets.
                ("owner", _) => "BIGINT DEFAULT 2",
                ("group_id" | "amount", _) => "BIGINT NOT NULL DEFAULT 1",
                _ => "BIGINT NOT NULL",
            };
            let collated = kind.replacen("VARCHAR(40)", &format!("VARCHAR(40){}", self.collation), 1);
            parts.push(format!("{column} {collated}"));
        }
        if table == Table::Link {
            parts.push("PRIMARY KEY (a_id, b_id)".to_owned());
        }
        if self.unique_codes.contains(&table) {
            parts.push("UNIQUE (code)".to_owned());
        }
        if self.unique_titles.contains(&table) {
            parts.push("UNIQUE (group_id, title)".to_owned());
        }
        if self.backend == Backend::Sqlite {
            parts.extend(self.foreign_keys.iter().filter(|key| key.table == table).map(clause));
        }
        format!("CREATE TABLE {} ({})", table.name(), parts.join(", "))
    }

    pub fn table_of_interest(&self, random: &mut Random) -> Table {
        match random.below(24) {
            0 if self.has_view() => Table::View,
            0..7 => random.pick(&Table::ALL),
            _ => random.pick(&self.busy),
        }
    }

    /// What has to be declared of the triggers: the tables that they write. Of a trigger that writes
    /// the row itself the cache knows from the catalogue, unless something is declared of the table.
    pub fn rules(&self) -> Vec<(Table, TableRule)> {
        let elsewhere = |table: Table| {
            self.triggers.iter().any(|trigger| trigger.table == table && trigger.target != table)
        };
        let rule = |table: Table| {
            let triggers = self.triggers.iter().filter(|trigger| trigger.table == table);
            triggers.fold(TableRule::new(), |rule, trigger| rule.also_writes(trigger.target.name()))
        };
        Table::NODES.into_iter().filter(|table| elsewhere(*table)).map(|table| (table, rule(table))).collect()
    }

    pub fn has_view(&self) -> bool {
        self.view.is_some()
    }

    /// SQLite's views take no writes; the others' do, if they show one table.
    pub fn view_takes_writes(&self) -> bool {
        self.backend != Backend::Sqlite
    }

    /// The tables whose rows a table shows: itself, if it is not the view.
    pub fn sources(&self, table: Table) -> Vec<Table> {
        match (table, self.view) {
            (Table::View, Some((first, second))) => std::iter::once(first).chain(second).collect(),
            _ => vec![table],
        }
    }

    /// The tables that the database may write when this one is written; `keys`: when rows go, or
    /// change their keys.
    pub fn reach(&self, table: Table, keys: bool) -> Vec<Table> {
        let mut reached = self.sources(table);
        let mut next = 0;
        while let Some(written) = reached.get(next).copied() {
            next += 1;
            let children = self.foreign_keys.iter().filter(|key| keys && key.target == written);
            let triggered = self.triggers.iter().filter(|trigger| trigger.table == written);
            for more in children.map(|key| key.table).chain(triggered.map(|trigger| trigger.target)) {
                if !reached.contains(&more) {
                    reached.push(more);
                }
            }
        }
        reached
    }

    /// What the database may write besides, when this table is written. A table that refers to itself
    /// counts too, and so does a trigger that writes its row.
    pub fn reaches(&self, table: Table, keys: bool) -> Reaches {
        let reached = self.reach(table, keys);
        let refers = |to: Table| self.foreign_keys.iter().any(|key| keys && key.target == to);
        if self.triggers.iter().any(|trigger| reached.contains(&trigger.table)) {
            Reaches::Triggers
        } else if reached.len() > 1 || refers(table) {
            Reaches::Referrers
        } else {
            Reaches::Nothing
        }
    }

    /// The schema with one constraint less, in every way.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for position in 0..self.foreign_keys.len() {
            let mut less = self.clone();
            less.foreign_keys.remove(position);
            all.push(less);
        }
        for position in 0..self.unique_codes.len() {
            let mut less = self.clone();
            less.unique_codes.remove(position);
            all.push(less);
        }
        for position in 0..self.unique_titles.len() {
            let mut less = self.clone();
            less.unique_titles.remove(position);
            all.push(less);
        }
        for position in 0..self.triggers.len() {
            let mut less = self.clone();
            less.triggers.remove(position);
            all.push(less);
        }
        all
    }

    /// Which columns an upsert of this table can name as the conflict.
    pub fn unique_columns(&self, table: Table) -> Vec<&'static [&'static str]> {
        let mut unique = vec![table.key_columns()];
        if self.unique_codes.contains(&table) {
            unique.push(&["code"]);
        }
        if self.unique_titles.contains(&table) {
            unique.push(&["group_id", "title"]);
        }
        unique
    }

    /// A query that gives the whole content of each table as one text.
    pub fn contents(&self) -> String {
        let tables: Vec<String> = Table::ALL.iter().map(|table| self.content(*table)).collect();
        format!("SELECT {}", tables.join(", "))
    }

    fn content(&self, table: Table) -> String {
        let (name, keys) = (table.name(), table.key_columns().join(", "));
        let separator = if self.backend == Backend::MariaDb { ", ',', " } else { " || ',' || " };
        let mut row = String::new();
        for (position, column) in table.columns().iter().enumerate() {
            if position > 0 {
                row.push_str(separator);
            }
            let quote = if self.backend == Backend::Postgres { "quote_nullable" } else { "quote" };
            let _ = write!(row, "{quote}({column})");
        }
        let rows = match self.backend {
            Backend::Sqlite => {
                format!("SELECT group_concat(r, '|') FROM (SELECT {row} AS r FROM {name} ORDER BY {keys})")
            }
            Backend::Postgres => format!("SELECT string_agg({row}, '|' ORDER BY {keys}) FROM {name}"),
            // MariaDB cuts off at a million bytes, and these tables are small.
            Backend::MariaDb => {
                format!("SELECT group_concat(concat({row}) ORDER BY {keys} SEPARATOR '|') FROM {name}")
            }
        };
        format!("coalesce(({rows}), '') AS {name}")
    }

    /// Rows to begin with, most of which every constraint takes.
    pub fn rows(&self, random: &mut Random) -> Vec<(Table, values::Row)> {
        let mut keys: Vec<(Table, Key)> = Vec::new();
        for table in Table::NODES {
            keys.extend((1..LAST_ID).map(|id| (table, Key::Id(id))));
        }
        keys.extend(values::NAMES[..5].iter().map(|name| (Table::Label, Key::Name((*name).to_owned()))));
        keys.extend([(1, 1), (1, 2), (2, 1), (3, 2)].map(|(a, b)| (Table::Link, Key::Pair(a, b))));
        let row = |(table, key): (Table, Key)| {
            let mut row = values::row(table, Some(&key), random);
            for (column, value) in &mut row {
                match *column {
                    "parent" | "owner" => *value = Value::BigInt(None),
                    "label" => *value = Value::String(None),
                    "code" => *value = format!("first {key:?}").into(),
                    "title" => *value = format!("first {key:?}").into(),
                    _ => {}
                }
            }
            (table, row)
        };
        keys.into_iter().map(row).collect()
    }
}

fn action(backend: Backend, table: Table, random: &mut Random) -> &'static str {
    loop {
        let action = random.weighted(&ACTIONS);
        let sets = action.starts_with("SET");
        // A link's columns are its key, and MariaDB has no defaults to set.
        if !(sets && table == Table::Link || action == "SET DEFAULT" && backend == Backend::MariaDb) {
            return action;
        }
    }
}

fn some(tables: &[Table], times: usize, random: &mut Random) -> Vec<Table> {
    tables.iter().copied().filter(|_| random.once_in(times)).collect()
}

fn clause(key: &ForeignKey) -> String {
    let ForeignKey { column, target, on_delete, on_update, .. } = key;
    let (target, target_column) = (target.name(), target.key_columns()[0]);
    format!(
        "FOREIGN KEY ({column}) REFERENCES {target} ({target_column}) ON DELETE {on_delete} ON UPDATE {on_update}"
    )
}
