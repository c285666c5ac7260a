//! What sqlparser makes of a text, for the differential test.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    AssignmentTarget, Delete, Expr, FromTable, ObjectName, Query, Select, Statement, TableFactor,
    TableObject, TableWithJoins, Update, Visit, Visitor,
};
use sqlparser::dialect::{MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use super::Dialect;

/// Tables and kind, by names in lower case without schema.
#[derive(Debug, Default)]
pub(super) struct Opinion {
    /// It holds nothing but selects.
    pub reads_only: bool,
    pub writes: BTreeSet<String>,
    /// Every table mentioned, written ones too, without the names of `WITH` queries.
    pub mentions: BTreeSet<String>,
    /// Functions called.
    pub calls: BTreeSet<String>,
    /// Names that stand where tables do: of `WITH` queries, of functions, of aliases.
    no_tables: BTreeSet<String>,
    /// Aliases that a `DELETE` names as its targets, by mistake with a schema too.
    aliases: BTreeSet<String>,
    /// Names without a schema, which may be such.
    bare: BTreeSet<String>,
}

/// `None` when the parser rejects the text.
pub(super) fn opinion(dialect: Dialect, sql: &str) -> Option<Opinion> {
    let parsed = match dialect {
        Dialect::Postgres => Parser::parse_sql(&PostgreSqlDialect {}, sql),
        Dialect::MySql => Parser::parse_sql(&MySqlDialect {}, sql),
        Dialect::Sqlite => Parser::parse_sql(&SQLiteDialect {}, sql),
    };
    let statements = parsed.ok()?;
    let mut opinion = Opinion { reads_only: true, ..Opinion::default() };
    for statement in &statements {
        // It is looked at, not run.
        if !matches!(statement, Statement::Explain { analyze: false, .. }) {
            let _ = statement.visit(&mut opinion);
        }
    }
    let Opinion { bare, no_tables, .. } = &opinion;
    let tables = bare.difference(no_tables).cloned().collect::<Vec<_>>();
    opinion.mentions.extend(tables);
    opinion.mentions = opinion.mentions.difference(&opinion.aliases).cloned().collect();
    Some(opinion)
}

fn last(name: &ObjectName) -> Option<String> {
    Some(name.0.last()?.as_ident()?.value.to_lowercase())
}

/// The tables of a list with what they are called: alias or name.
fn called(list: &[TableWithJoins]) -> Vec<(String, String)> {
    let factors = list
        .iter()
        .flat_map(|item| std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation)));
    factors
        .filter_map(|factor| match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                let name = last(name)?;
                let label = alias.as_ref().map_or(name.clone(), |alias| alias.name.value.to_lowercase());
                Some((name, label))
            }
            _ => None,
        })
        .collect()
}

impl Opinion {
    fn updates(&mut self, update: &Update) {
        let tables = called(std::slice::from_ref(&update.table));
        let qualifiers: Vec<Option<String>> = update
            .assignments
            .iter()
            .map(|assignment| match &assignment.target {
                AssignmentTarget::ColumnName(name) => {
                    let before = name.0.len().checked_sub(2)?;
                    Some(name.0.get(before)?.as_ident()?.value.to_lowercase())
                }
                AssignmentTarget::Tuple(_) => None,
            })
            .collect();
        let all = tables.len() == 1 || qualifiers.iter().any(Option::is_none);
        let named = |label: &String| qualifiers.iter().flatten().any(|qualifier| qualifier == label);
        self.writes.extend(tables.into_iter().filter(|(_, label)| all || named(label)).map(|(name, _)| name));
    }

    fn deletes(&mut self, delete: &Delete) {
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let from = called(from);
        if delete.tables.is_empty() {
            let using = called(delete.using.as_deref().unwrap_or_default());
            for (target, _) in from {
                match using.iter().find(|(name, label)| *label == target && name != label) {
                    Some((table, alias)) => {
                        self.aliases.insert(alias.clone());
                        self.writes.insert(table.clone());
                    }
                    None => drop(self.writes.insert(target)),
                }
            }
            return;
        }
        for target in delete.tables.iter().filter_map(last) {
            let table = from.iter().find(|(_, label)| *label == target);
            self.writes.insert(table.map_or(target, |(name, _)| name.clone()));
        }
    }
}

impl Visitor for Opinion {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        if matches!(statement, Statement::Query(_)) {
            return ControlFlow::Continue(());
        }
        self.reads_only = false;
        match statement {
            Statement::Insert(insert) => {
                if let TableObject::TableName(name) = &insert.table {
                    self.writes.extend(last(name));
                }
            }
            Statement::Update(update) => self.updates(update),
            Statement::Delete(delete) => self.deletes(delete),
            Statement::Merge(merge) => {
                if let TableFactor::Table { name, .. } = &merge.table {
                    self.writes.extend(last(name));
                }
            }
            Statement::Truncate(truncate) => {
                self.writes.extend(truncate.table_names.iter().filter_map(|table| last(&table.name)));
            }
            _ => (),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.no_tables.extend(with.map(|cte| cte.alias.name.value.to_lowercase()));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() {
            self.reads_only = false;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if let Some(name) = last(relation) {
            if relation.0.len() == 1 {
                self.bare.insert(name)
            } else {
                self.mentions.insert(name)
            };
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor {
            self.no_tables.extend(last(name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expression {
            self.calls.extend(last(&function.name));
        }
        ControlFlow::Continue(())
    }
}
