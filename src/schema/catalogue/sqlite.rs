//! SQLite's catalogue: `sqlite_master` and the pragmas, of the main database.

use std::collections::HashMap;

use sea_orm::{DatabaseConnection, DbErr};

use super::{ColumnDefault, Facts, Holds, KeyPart, TextEquality, action, rows, text};
use crate::schema::{defaults::affinity, fold};

const FOREIGN_KEYS: &str = r#"
    SELECT m.name AS child, CAST(f.id AS TEXT) AS id, f."table" AS parent, f."from" AS col,
           f."to" AS referenced, f.on_delete AS on_delete, f.on_update AS on_update
    FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
    WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq"#;

/// Temporary ones too, as far as the connection that is asked has them.
const VIEWS: &str = "
    SELECT name, sql FROM sqlite_master WHERE type = 'view'
    UNION ALL SELECT name, sql FROM sqlite_temp_master WHERE type = 'view'";

const TRIGGERS: &str = "
    SELECT tbl_name AS target, name FROM sqlite_master WHERE type = 'trigger'
    UNION ALL SELECT tbl_name, name FROM sqlite_temp_master WHERE type = 'trigger' ORDER BY 1, 2";

/// By a unique index a row may be found, and updated in the place of an INSERT, that holds another text.
const UNIQUE_TEXTS: &str = r#"
    SELECT m.name AS target, x.name AS col, x.coll AS collation_name
    FROM sqlite_master m JOIN pragma_index_list(m.name) l JOIN pragma_index_xinfo(l.name) x
    WHERE m.type = 'table' AND l."unique" = 1 AND x."key" = 1 AND x.name IS NOT NULL
        AND upper(x.coll) <> 'BINARY'"#;

/// Hidden columns of kind 2 and 3 are generated ones.
const GENERATED: &str = "
    SELECT m.name AS target, x.name AS col
    FROM sqlite_master m JOIN pragma_table_xinfo(m.name) x
    WHERE m.type = 'table' AND x.hidden IN (2, 3)";

/// A primary key may be numbered by itself.
const DEFAULTS: &str = r#"
    SELECT m.name AS target, x.name AS col, x.dflt_value AS value, x.type AS declared,
           x."notnull" = 0 AS nullable, x.pk <> 0 OR x.hidden <> 0 AS special
    FROM sqlite_master m JOIN pragma_table_xinfo(m.name) x WHERE m.type = 'table'"#;

/// Tables whose definition may say `ON CONFLICT REPLACE`.
const REPLACES: &str = "
    SELECT tbl_name AS target, sql AS sql FROM sqlite_master
    WHERE type = 'table' AND sql LIKE '%conflict%' AND sql LIKE '%replace%'";

/// Which columns hold text, and which integers, with the definition of their table if it says more of it.
const AFFINITIES: &str = "
    SELECT m.name AS target, x.name AS col, x.type AS declared,
           CASE WHEN instr(lower(m.sql), 'collate') = 0 AND instr(lower(m.sql), 'virtual') = 0 THEN ''
                ELSE coalesce(m.sql, 'create virtual') END AS definition
    FROM sqlite_master m JOIN pragma_table_xinfo(m.name) x WHERE m.type = 'table'";

pub(super) async fn ask(db: &DatabaseConnection, facts: &mut Facts) -> Result<(), DbErr> {
    let mut holds: HashMap<(Box<str>, Box<str>), Holds> = HashMap::new();
    for row in rows(db, AFFINITIES).await? {
        let of_table = TextEquality::of_sqlite(&text(&row, "definition")?);
        let (held, equality) = match affinity(&text(&row, "declared")?) {
            Holds::Text if of_table == TextEquality::ToTheLetter => (Holds::Text, of_table),
            Holds::Text => (Holds::Other, of_table),
            // What is no text by its declaration may still hold some, to which its collation applies.
            held => (held, of_table.max(TextEquality::default())),
        };
        facts.texts.push((text(&row, "target")?, text(&row, "col")?, equality));
        holds.insert((fold(&text(&row, "target")?), fold(&text(&row, "col")?)), held);
    }
    for row in rows(db, UNIQUE_TEXTS).await? {
        let equality = TextEquality::of_sqlite(&format!("collate {}", text(&row, "collation_name")?));
        facts.texts.push((text(&row, "target")?, text(&row, "col")?, equality));
    }
    for row in rows(db, FOREIGN_KEYS).await? {
        let referenced: Option<String> = row.try_get("", "referenced")?;
        let held = |table: &str, column: &str| {
            holds.get(&(fold(table), fold(column))).copied().filter(|held| *held != Holds::Other)
        };
        let (child, parent) = (text(&row, "child")?, text(&row, "parent")?);
        let compares = referenced.as_deref().is_some_and(|referenced| {
            let column = text(&row, "col").ok().and_then(|column| held(&child, &column));
            column.is_some() && column == held(&parent, referenced)
        });
        facts.key_parts.push(KeyPart {
            constraint: (child.clone(), text(&row, "id")?),
            schema: Some("main".to_owned()),
            child,
            parent,
            column: text(&row, "col")?,
            // NULL if the declaration leaves the primary key unsaid.
            referenced,
            compares,
            on_delete: action(&text(&row, "on_delete")?),
            on_update: action(&text(&row, "on_update")?),
        });
    }
    for row in rows(db, VIEWS).await? {
        facts.views.push((text(&row, "name")?, select_of(&text(&row, "sql")?).map(str::to_owned)));
    }
    for row in rows(db, TRIGGERS).await? {
        facts.triggers.push((text(&row, "target")?, text(&row, "name")?));
    }
    for row in rows(db, GENERATED).await? {
        facts.generated.push((text(&row, "target")?, text(&row, "col")?));
    }
    for row in rows(db, DEFAULTS).await? {
        let (value, declared): (Option<String>, String) =
            (row.try_get("", "value")?, text(&row, "declared")?);
        let special: bool = row.try_get("", "special")?;
        let default = ColumnDefault::of_sqlite(value.as_deref(), &declared, row.try_get("", "nullable")?);
        facts.defaults.push((text(&row, "target")?, text(&row, "col")?, default.filter(|_| !special)));
    }
    // A comment or a default may hold these words too; then a little more is purged.
    for row in rows(db, REPLACES).await? {
        facts.replaces.push(text(&row, "target")?);
    }
    Ok(())
}

/// The select of a `CREATE VIEW name [(columns)] AS select`. Where the first ` AS SELECT` is not the
/// view's own, what follows is not a whole select, and so is not understood, which is safe.
fn select_of(definition: &str) -> Option<&str> {
    let lower = definition.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find("as") {
        let at = from + found;
        let alone = lower[..at].ends_with(|c: char| c.is_whitespace() || c == ')' || c == '"' || c == ']');
        let rest = &lower[at + 2..];
        let select = rest.trim_start();
        let selects = ["select", "with", "values"].iter().any(|word| select.starts_with(word));
        if alone && selects && rest.len() > select.len() {
            return definition.get(at + 2..).map(str::trim_start);
        }
        from = at + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::select_of;

    #[test]
    fn the_select_of_a_view_is_found() {
        assert_eq!(select_of("CREATE VIEW v AS SELECT 1 AS x FROM t"), Some("SELECT 1 AS x FROM t"));
        assert_eq!(
            select_of("CREATE VIEW \"as\" (a, b) as\n WITH x AS (SELECT 1) SELECT * FROM x")
                .map(|select| &select[..6]),
            Some("WITH x")
        );
        assert_eq!(select_of("CREATE VIEW v AS/**/SELECT 1"), None);
    }
}
