//! Random constraints on the fixed tables.

use std::fmt::Write as _;

use super::{
    random::Random,
    tables::Table,
    values::{self, LAST_ID},
};
use crate::support::Backend;

/// What a foreign key does when the row that it names is deleted, or its key changes.
const ACTIONS: [&str; 2] = ["NO ACTION", "RESTRICT"];

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
    foreign_keys: Vec<ForeignKey>,
    /// Tables whose `code` is unique.
    unique_codes: Vec<Table>,
    /// Tables of which no two rows have the same group and title.
    unique_titles: Vec<Table>,
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
                    let (on_delete, on_update) = (random.pick(&ACTIONS), random.pick(&ACTIONS));
                    foreign_keys.push(ForeignKey { table, column, target, on_delete, on_update });
                }
            }
        }
        let mut some = |tables: &[Table], times| {
            tables.iter().copied().filter(|_| random.once_in(times)).collect::<Vec<_>>()
        };
        Self {
            backend,
            foreign_keys,
            unique_codes: some(&Table::NODES, 3),
            unique_titles: some(&Table::ALL, 6),
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
        statements
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
                ("parent" | "owner", _) => "BIGINT",
                _ => "BIGINT NOT NULL",
            };
            parts.push(format!("{column} {kind}"));
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

    /// Rows to begin with: `(table, row)`, in an order that every constraint takes.
    pub fn rows(&self, random: &mut Random) -> Vec<(Table, values::Row)> {
        let mut rows = Vec::new();
        for table in Table::NODES {
            for id in 1..=LAST_ID - 2 {
                let key = super::tables::Key::Id(id);
                let mut row = values::row(table, Some(&key), random);
                for (column, value) in &mut row {
                    match *column {
                        "parent" | "owner" => *value = sea_orm::Value::BigInt(None),
                        "label" => *value = sea_orm::Value::String(None),
                        "code" => *value = format!("c{id}").into(),
                        "title" => *value = format!("first {id}").into(),
                        _ => {}
                    }
                }
                rows.push((table, row));
            }
        }
        rows
    }
}

fn clause(key: &ForeignKey) -> String {
    let ForeignKey { column, target, on_delete, on_update, .. } = key;
    let (target, target_column) = (target.name(), target.key_columns()[0]);
    format!(
        "FOREIGN KEY ({column}) REFERENCES {target} ({target_column}) ON DELETE {on_delete} ON UPDATE {on_update}"
    )
}
