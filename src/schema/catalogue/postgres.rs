//! PostgreSQL's catalogue.

use sea_orm::{DatabaseConnection, DbErr};

use super::{Action, ColumnDefault, Facts, Holds, KeyPart, TextEquality, rows, text};

/// Equal integers, UUIDs and texts are the same for a foreign key and for `=`; texts unless a collation
/// says otherwise, which before PostgreSQL 12 none could.
const FOREIGN_KEYS: &str = "
    SELECT k.oid::text AS id, n.nspname::text AS place, c.relname::text AS child, p.relname::text AS parent,
           k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update,
           a.attname::text AS col, r.attname::text AS referenced,
           a.atttypid IN ('pg_catalog.int2'::pg_catalog.regtype,
                   'pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype)
               AND r.atttypid IN ('pg_catalog.int2'::pg_catalog.regtype,
                   'pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype)
           OR a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
               AND r.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
           OR a.atttypid IN ('pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype)
               AND r.atttypid IN ('pg_catalog.text'::pg_catalog.regtype,
                   'pg_catalog.varchar'::pg_catalog.regtype)
               AND coalesce(pg_catalog.to_jsonb(ac) ->> 'collisdeterministic', 'true') = 'true'
               AND coalesce(pg_catalog.to_jsonb(rc) ->> 'collisdeterministic', 'true') = 'true' AS compares
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
    CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(col, ref, n)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.col
    JOIN pg_catalog.pg_attribute r ON r.attrelid = k.confrelid AND r.attnum = u.ref
    LEFT JOIN pg_catalog.pg_collation ac ON ac.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_collation rc ON rc.oid = r.attcollation
    WHERE k.contype = 'f'
    ORDER BY k.oid, u.n";

const RELATIVES: &str = "
    SELECT p.relname::text AS parent, c.relname::text AS child
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    WHERE c.relkind IN ('r', 'p', 'f')";

const VIEWS: &str = "
    SELECT v.relname::text AS name, pg_catalog.pg_get_viewdef(v.oid) AS definition
    FROM pg_catalog.pg_class v
    JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
    WHERE v.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

const BEHIND: &str = "
    SELECT DISTINCT v.relname::text AS name, t.relname::text AS base
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
    JOIN pg_catalog.pg_depend d ON d.objid = r.oid
        AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
    WHERE v.relkind = 'v' AND t.oid <> v.oid AND t.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// Triggers, and rules other than those that make views.
const TRIGGERS: &str = "
    SELECT c.relname::text AS target, t.tgname::text AS name
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
    UNION ALL
    SELECT c.relname::text, r.rulename::text
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE r.rulename <> '_RETURN' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1, 2";

const GENERATED: &str = "
    SELECT c.relname::text AS target, a.attname::text AS col
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE a.attgenerated <> '' AND NOT a.attisdropped";

/// Domains and types of one's own may have defaults besides.
const DEFAULTS: &str = "
    SELECT c.relname::text AS target, a.attname::text AS col,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS value, NOT a.attnotnull AS nullable,
           CASE WHEN a.atttypid IN ('pg_catalog.int2'::pg_catalog.regtype,
                    'pg_catalog.int4'::pg_catalog.regtype, 'pg_catalog.int8'::pg_catalog.regtype) THEN 'integers'
                WHEN a.atttypid IN ('pg_catalog.text'::pg_catalog.regtype,
                    'pg_catalog.varchar'::pg_catalog.regtype, 'pg_catalog.bpchar'::pg_catalog.regtype) THEN 'text'
                ELSE 'other' END AS holds,
           a.attidentity <> '' OR a.attgenerated <> '' OR t.typtype = 'd' OR t.typdefault IS NOT NULL
               OR a.atthasdef AND d.adbin IS NULL AS special,
           CASE WHEN coalesce(pg_catalog.to_jsonb(o) ->> 'collisdeterministic', 'true') <> 'true' THEN 'unforeseen'
                WHEN c.relkind IN ('r', 'p') AND a.atttypid IN ('pg_catalog.text'::pg_catalog.regtype,
                    'pg_catalog.varchar'::pg_catalog.regtype) THEN 'to the letter'
                ELSE 'unknown' END AS texts
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'f', 'v') AND a.attnum > 0 AND NOT a.attisdropped
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// By a unique index a row may be found, and updated in the place of an INSERT, that holds another text.
const UNIQUE_TEXTS: &str = "
    SELECT c.relname::text AS target, a.attname::text AS col
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    CROSS JOIN LATERAL unnest(i.indkey::pg_catalog.int2[], i.indcollation::pg_catalog.oid[]) AS u(col, collated)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.col
    JOIN pg_catalog.pg_collation o ON o.oid = u.collated
    WHERE i.indisunique AND coalesce(pg_catalog.to_jsonb(o) ->> 'collisdeterministic', 'true') <> 'true'";

const ODD_TABLES: &str = "
    SELECT c.relname::text AS name, c.relkind IN ('f', 'S') AS elsewhere, c.relrowsecurity AS row_security
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (c.relkind IN ('f', 'S') OR c.relrowsecurity)
        AND n.nspname NOT IN ('pg_catalog', 'information_schema')";

/// Those of extensions are known, or no built-in ones are called so.
const FUNCTIONS: &str = "
    SELECT DISTINCT p.proname::text AS name
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype
        AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')";

pub(super) async fn ask(db: &DatabaseConnection, facts: &mut Facts) -> Result<(), DbErr> {
    for row in rows(db, FOREIGN_KEYS).await? {
        facts.key_parts.push(KeyPart {
            constraint: (text(&row, "child")?, text(&row, "id")?),
            schema: Some(text(&row, "place")?),
            child: text(&row, "child")?,
            parent: text(&row, "parent")?,
            column: text(&row, "col")?,
            referenced: Some(text(&row, "referenced")?),
            compares: row.try_get("", "compares")?,
            on_delete: action(&text(&row, "on_delete")?),
            on_update: action(&text(&row, "on_update")?),
        });
    }
    for row in rows(db, RELATIVES).await? {
        facts.relatives.push((text(&row, "parent")?, text(&row, "child")?));
    }
    for row in rows(db, VIEWS).await? {
        facts.views.push((text(&row, "name")?, row.try_get("", "definition")?));
    }
    for row in rows(db, BEHIND).await? {
        facts.behind.push((text(&row, "name")?, text(&row, "base")?));
    }
    for row in rows(db, TRIGGERS).await? {
        facts.triggers.push((text(&row, "target")?, text(&row, "name")?));
    }
    for row in rows(db, GENERATED).await? {
        facts.generated.push((text(&row, "target")?, text(&row, "col")?));
    }
    for row in rows(db, DEFAULTS).await? {
        let value: Option<String> = row.try_get("", "value")?;
        let holds = match &*text(&row, "holds")? {
            "integers" => Holds::Integers,
            "text" => Holds::Text,
            _ => Holds::Other,
        };
        let equality = match &*text(&row, "texts")? {
            "to the letter" => TextEquality::ToTheLetter,
            // Whoever made the collation could name any rules.
            "unforeseen" => TextEquality::Unforeseen,
            _ => TextEquality::default(),
        };
        facts.texts.push((text(&row, "target")?, text(&row, "col")?, equality));
        let special: bool = row.try_get("", "special")?;
        let default = ColumnDefault::of_postgres(value.as_deref(), holds, row.try_get("", "nullable")?);
        facts.defaults.push((text(&row, "target")?, text(&row, "col")?, default.filter(|_| !special)));
    }
    for row in rows(db, UNIQUE_TEXTS).await? {
        facts.texts.push((text(&row, "target")?, text(&row, "col")?, TextEquality::Unforeseen));
    }
    for row in rows(db, FUNCTIONS).await? {
        facts.functions.push(text(&row, "name")?);
    }
    for row in rows(db, ODD_TABLES).await? {
        if row.try_get("", "elsewhere")? {
            facts.foreign.push(text(&row, "name")?);
        }
        if row.try_get("", "row_security")? {
            facts.row_security.push(text(&row, "name")?);
        }
    }
    Ok(())
}

/// `pg_constraint`'s letters.
fn action(letter: &str) -> Action {
    match letter {
        "a" | "r" => Action::Nothing,
        "n" => Action::SetNull,
        "d" => Action::SetDefault,
        _ => Action::Cascade,
    }
}
