//! Random triggers: rows that the database writes although no statement names them.

use super::{random::Random, tables::Table};
use crate::support::Backend;

#[derive(Clone, Debug)]
pub struct Trigger {
    pub table: Table,
    /// What it writes: another table, or the row itself.
    pub target: Table,
    event: &'static str,
}

impl Trigger {
    /// Triggers lead from a table to a later one, so that none calls itself.
    pub fn random(random: &mut Random) -> Self {
        let first = random.below(Table::NODES.len() - 1);
        let table = Table::NODES[first];
        let target = if random.once_in(4) {
            table
        } else {
            Table::NODES[first + 1 + random.below(Table::NODES.len() - 1 - first)]
        };
        let events: &[&str] =
            if table == target { &["INSERT", "UPDATE"] } else { &["INSERT", "UPDATE", "DELETE"] };
        Self { table, target, event: random.pick(events) }
    }

    pub fn statements(&self, number: usize, backend: Backend) -> Vec<String> {
        let Self { table, target, event } = self;
        let row = if *event == "DELETE" { "OLD" } else { "NEW" };
        let (table_name, target_name) = (table.name(), target.name());
        let itself = table == target;
        let elsewhere =
            format!("UPDATE {target_name} SET amount = amount + 1 WHERE group_id = {row}.group_id");
        let group = "NEW.group_id % 4 + 1";
        let time = if itself && backend != Backend::Sqlite { "BEFORE" } else { "AFTER" };
        let head = format!("CREATE TRIGGER trigger{number} {time} {event} ON {table_name} FOR EACH ROW");
        match backend {
            Backend::Sqlite if itself => {
                vec![format!(
                    "{head} BEGIN UPDATE {table_name} SET group_id = {group} WHERE id = NEW.id; END"
                )]
            }
            Backend::Sqlite => vec![format!("{head} BEGIN {elsewhere}; END")],
            Backend::MariaDb if itself => vec![format!("{head} SET NEW.group_id = {group}")],
            Backend::MariaDb => vec![format!("{head} {elsewhere}")],
            Backend::Postgres => {
                let body = match itself {
                    true => format!("NEW.group_id := {group}; RETURN NEW;"),
                    false => format!("{elsewhere}; RETURN NULL;"),
                };
                vec![
                    format!(
                        "CREATE FUNCTION called{number}() RETURNS trigger LANGUAGE plpgsql AS \
                         $$ BEGIN {body} END $$"
                    ),
                    format!("{head} EXECUTE FUNCTION called{number}()"),
                ]
            }
        }
    }
}
