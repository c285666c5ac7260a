//! Asks the database's catalogue how its tables hang together.

mod mysql;
mod postgres;
mod sqlite;

use std::{collections::BTreeMap, sync::Arc};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, QueryResult, Statement};

use super::{Action, ColumnDefault, ForeignKey, NamedKey, Schema, TextEquality, View, defaults::Holds, fold};
use crate::statement::{Analysis, Dialect, is_built_in};

/// What was learned of the schema, as far as its owner may want to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaReport {
    /// How many foreign keys there are.
    pub foreign_keys: usize,
    /// The views, each of whose reads depend on the tables behind it.
    pub views: Vec<String>,
    /// Tables with triggers (or rules) and the names of those. What they write is not purged unless
    /// it was declared: `#[cache(also_writes("audit_log"))]`.
    pub triggers: BTreeMap<String, Vec<String>>,
    /// Those of the tables with triggers for which nothing was declared.
    pub undeclared_triggers: Vec<String>,
    /// Tables with row-level security: `.cached()` reads of them go to the database, unless the
    /// connection has a session key.
    pub row_security: Vec<String>,
}

impl SchemaReport {
    /// Says what the owner of the schema should know, the first time and when it is another than before.
    pub(super) fn log(&self) {
        tracing::debug!(
            foreign_keys = self.foreign_keys,
            views = self.views.len(),
            tables_with_triggers = self.triggers.len(),
            "learned the schema"
        );
        if !self.undeclared_triggers.is_empty() {
            tracing::warn!(
                tables = %self.undeclared_triggers.join(", "),
                "these tables have triggers; what those write is not purged: declare it with \
                 `#[cache(also_writes(\"...\"))]` or `CacheBuilder::table`, also if it is nothing"
            );
        }
    }
}

/// What learning needs to know from outside.
pub(crate) trait Surroundings: Send + Sync {
    /// What a statement of this text touches.
    fn analyse(&self, backend: DbBackend, sql: &str) -> Arc<Analysis>;
    /// This is the schema now. If it is another than before, what was read and written since it
    /// changed may have been taken to depend on less than it does.
    fn learned(&self, schema: &Arc<Schema>, is_other: bool);
    /// Whether cached reads load from a copy of another database.
    fn loads_from_replica(&self, is_so: bool);
    /// Has somebody said what the triggers of this table write?
    fn declares_triggers(&self, folded: &str) -> bool;
}

/// Asks. Five or so queries.
pub(super) async fn learn(
    db: &DatabaseConnection,
    surroundings: &dyn Surroundings,
) -> Result<(Schema, SchemaReport), DbErr> {
    let mut facts = Facts { backend: db.get_database_backend(), ..Facts::default() };
    match facts.backend {
        DbBackend::MySql => mysql::ask(db, &mut facts).await?,
        DbBackend::Sqlite => sqlite::ask(db, &mut facts).await?,
        _ => postgres::ask(db, &mut facts).await?,
    }
    Ok(facts.into_schema(surroundings))
}

/// One column of a foreign key, as catalogues list them.
struct KeyPart {
    /// What tells this foreign key from others.
    constraint: (String, String),
    /// Where the child is.
    schema: Option<String>,
    child: String,
    parent: String,
    column: String,
    /// `None`: the parent's primary key.
    referenced: Option<String>,
    /// Do both columns hold the same, and compare the same way?
    compares: bool,
    on_delete: Action,
    on_update: Action,
}

/// What the catalogue answered, before it is put together.
struct Facts {
    backend: DbBackend,
    /// In the order of the columns.
    key_parts: Vec<KeyPart>,
    /// Parent and child, by partition or inheritance.
    relatives: Vec<(String, String)>,
    /// Name and select; `None` if the catalogue does not show it.
    views: Vec<(String, Option<String>)>,
    /// View and table behind it.
    behind: Vec<(String, String)>,
    /// Table and trigger.
    triggers: Vec<(String, String)>,
    /// Table and column.
    generated: Vec<(String, String)>,
    /// Table, column and what the column gets when it is left out. All columns: several tables may
    /// have one name.
    defaults: Vec<(String, String, Option<ColumnDefault>)>,
    /// Table, column and which texts it may hold equal. All columns, as above.
    texts: Vec<(String, String, TextEquality)>,
    row_security: Vec<String>,
    foreign: Vec<String>,
    replaces: Vec<String>,
    /// Of the user's own.
    functions: Vec<String>,
    /// Table and the expression of a column that is computed when it is read.
    computed: Vec<(String, String)>,
    /// Tables in which values are made fit.
    adjusting: Vec<String>,
    /// So it is in all of them.
    adjusts_values: bool,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            backend: DbBackend::Postgres,
            key_parts: Vec::new(),
            relatives: Vec::new(),
            views: Vec::new(),
            behind: Vec::new(),
            triggers: Vec::new(),
            generated: Vec::new(),
            defaults: Vec::new(),
            texts: Vec::new(),
            row_security: Vec::new(),
            foreign: Vec::new(),
            replaces: Vec::new(),
            adjusting: Vec::new(),
            functions: Vec::new(),
            computed: Vec::new(),
            adjusts_values: false,
        }
    }
}

impl Facts {
    fn into_schema(self, surroundings: &dyn Surroundings) -> (Schema, SchemaReport) {
        let knows_all_schemas = !matches!(self.backend, DbBackend::MySql | DbBackend::Sqlite);
        // In MySQL a foreign key may lead to another database, of which no more is known.
        let knows_children = self.backend != DbBackend::MySql;
        let adjusts_values = self.adjusts_values;
        let mut schema = Schema { knows_all_schemas, knows_children, adjusts_values, ..Schema::default() };
        // Of other names nothing need be remembered: a call of one is known to be the user's own by its text.
        let speaks = if self.backend == DbBackend::MySql { Dialect::MySql } else { Dialect::Postgres };
        let own = self.functions.iter().map(|name| fold(name));
        schema.functions = own.filter(|name| is_built_in(speaks, name)).collect();
        let mut report = SchemaReport::default();
        let mut keys: BTreeMap<(String, String), (Box<str>, ForeignKey)> = BTreeMap::new();
        for part in self.key_parts {
            let (_, key) = keys.entry(part.constraint).or_insert_with(|| {
                let key = ForeignKey {
                    child: fold(&part.child),
                    named: NamedKey {
                        schema: part.schema.as_deref().map(Into::into),
                        table: part.child.as_str().into(),
                        columns: Vec::new(),
                        compares: true,
                    },
                    columns: Vec::new(),
                    referenced: Vec::new(),
                    on_delete: part.on_delete,
                    on_update: part.on_update,
                };
                (fold(&part.parent), key)
            });
            key.columns.push(fold(&part.column));
            key.named.columns.push(part.column.as_str().into());
            key.named.compares &= part.compares;
            key.referenced.extend(part.referenced.as_deref().map(fold));
        }
        report.foreign_keys = keys.len();
        for (parent, key) in keys.into_values() {
            schema.entry(&parent).referrers.push(key);
        }
        for (parent, child) in &self.relatives {
            let (parent, child) = (fold(parent), fold(child));
            schema.entry(&parent).relatives.insert(child.clone());
            schema.entry(&child).relatives.insert(parent);
        }
        for (name, select) in self.views {
            let view = match select {
                None => View::default(),
                Some(select) => view_of(&schema.informed(surroundings.analyse(self.backend, &select))),
            };
            schema.entry(&fold(&name)).view = Some(view);
            report.views.push(name);
        }
        for (view, table) in self.behind {
            // The catalogue knows the tables, also where the text is not understood.
            let view = schema.entry(&fold(&view)).view.get_or_insert_default();
            view.reads.insert(fold(&table));
        }
        for (table, trigger) in self.triggers {
            let folded = fold(&table);
            if surroundings.declares_triggers(&folded) {
                schema.entry(&folded);
            } else {
                schema.entry(&folded).triggers = true;
                if !report.undeclared_triggers.contains(&table) {
                    report.undeclared_triggers.push(table.clone());
                }
            }
            report.triggers.entry(table).or_default().push(trigger);
        }
        for (table, column) in self.generated {
            schema.entry(&fold(&table)).generated.insert(fold(&column));
        }
        for ((table, column), default) in agreed(self.defaults) {
            schema.entry(&table).defaults.insert(column, default);
        }
        for ((table, column), equality) in loosest(self.texts) {
            schema.entry(&table).texts.insert(column, equality);
        }
        for table in self.row_security {
            schema.entry(&fold(&table)).row_security = true;
            report.row_security.push(table);
        }
        for table in self.adjusting {
            schema.entry(&fold(&table)).adjusts = true;
        }
        for table in self.foreign {
            schema.entry(&fold(&table)).foreign = true;
        }
        for (table, expression) in self.computed {
            let select = format!("SELECT {expression} FROM {UNNAMED}");
            let select = surroundings.analyse(self.backend, &select);
            schema.entry(&fold(&table)).changes_by_itself |= select.cacheable.is_err();
        }
        for table in self.replaces {
            schema.entry(&fold(&table)).replaces = true;
        }
        (schema, report)
    }
}

/// The defaults that are known, and the same for all columns of one name in tables of one name.
fn agreed(
    defaults: Vec<(String, String, Option<ColumnDefault>)>,
) -> impl Iterator<Item = ((Box<str>, Box<str>), ColumnDefault)> {
    let mut all: BTreeMap<_, Option<ColumnDefault>> = BTreeMap::new();
    for (table, column, default) in defaults {
        all.entry((fold(&table), fold(&column)))
            .and_modify(|known| {
                if *known != default {
                    *known = None;
                }
            })
            .or_insert(default);
    }
    all.into_iter().filter_map(|(name, default)| Some((name, default?)))
}

/// What is true of the columns in all tables of one name, where that is more than nothing.
fn loosest(
    texts: Vec<(String, String, TextEquality)>,
) -> impl Iterator<Item = ((Box<str>, Box<str>), TextEquality)> {
    let mut all: BTreeMap<_, TextEquality> = BTreeMap::new();
    for (table, column, equality) in texts {
        let known = all.entry((fold(&table), fold(&column))).or_insert(equality);
        *known = equality.max(*known);
    }
    all.into_iter().filter(|(_, equality)| *equality != TextEquality::default())
}

/// Stands for the table whose column an expression computes.
const UNNAMED: &str = "t";

fn view_of(select: &Analysis) -> View {
    View {
        reads: select.reads.iter().map(|read| read.table.fold().into_owned().into()).collect(),
        cacheable: select.cacheable.is_ok(),
    }
}

async fn rows(db: &DatabaseConnection, sql: &str) -> Result<Vec<QueryResult>, DbErr> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await
}

fn text(row: &QueryResult, column: &str) -> Result<String, DbErr> {
    row.try_get("", column)
}

/// The word that the standard and most catalogues have for it.
fn action(word: &str) -> Action {
    match word.to_ascii_uppercase().as_str() {
        "NO ACTION" | "RESTRICT" => Action::Nothing,
        "SET NULL" => Action::SetNull,
        "SET DEFAULT" => Action::SetDefault,
        // CASCADE, and whatever is not known.
        _ => Action::Cascade,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_apart_as_they_are_in_all_tables_of_the_name() {
        use TextEquality as T;
        let one = |table: &str, column: &str, equality| (table.to_owned(), column.to_owned(), equality);
        let texts = vec![
            one("a", "both", T::ToTheLetter),
            one("A", "Both", T::ToTheLetter),
            one("a", "one", T::ToTheLetter),
            one("A", "one", T::default()),
            one("b", "one", T::Unforeseen),
            one("B", "one", T::IgnoresAccents),
        ];
        let known: Vec<_> = loosest(texts).collect();
        let expected = [("a", "both", T::ToTheLetter), ("b", "one", T::Unforeseen)];
        assert_eq!(known, expected.map(|(t, c, equality)| ((t.into(), c.into()), equality)));
    }

    #[test]
    fn a_default_is_known_if_all_tables_of_the_name_have_it() {
        let one = |table: &str, column: &str, default| (table.to_owned(), column.to_owned(), default);
        let number = |number| Some(ColumnDefault::Integer(number));
        let known: Vec<_> = agreed(vec![
            one("a", "same", number(1)),
            one("A", "Same", number(1)),
            one("a", "other", number(1)),
            one("a", "other", number(2)),
            one("a", "other", number(1)),
            one("a", "computed", None),
            one("a", "computed", number(3)),
            one("b", "computed", number(4)),
        ])
        .collect();
        let expected = [("a", "same", 1), ("b", "computed", 4)];
        let expected = expected.map(|(t, c, n)| ((t.into(), c.into()), ColumnDefault::Integer(n)));
        assert_eq!(known, expected);
    }
}
