//! The catalogue of MySQL and MariaDB: `information_schema`, as far as it is about the connection's
//! own database.

use sea_orm::{DatabaseConnection, DbErr};

use super::{Facts, KeyPart, action, rows, text};

// MySQL 8 shows these texts as bytes, hence the casts.

const FOREIGN_KEYS: &str = "
    SELECT CAST(k.TABLE_NAME AS CHAR) AS child, CAST(k.CONSTRAINT_NAME AS CHAR) AS id,
           CAST(k.REFERENCED_TABLE_NAME AS CHAR) AS parent, CAST(k.COLUMN_NAME AS CHAR) AS col,
           CAST(k.REFERENCED_COLUMN_NAME AS CHAR) AS referenced,
           CAST(r.DELETE_RULE AS CHAR) AS on_delete, CAST(r.UPDATE_RULE AS CHAR) AS on_update
    FROM information_schema.KEY_COLUMN_USAGE k
    JOIN information_schema.REFERENTIAL_CONSTRAINTS r
        ON r.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND r.TABLE_NAME = k.TABLE_NAME
        AND r.CONSTRAINT_NAME = k.CONSTRAINT_NAME
    WHERE k.REFERENCED_TABLE_NAME IS NOT NULL
        AND (k.TABLE_SCHEMA = DATABASE() OR k.REFERENCED_TABLE_SCHEMA = DATABASE())
    ORDER BY k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION";

const VIEWS: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS name, CAST(VIEW_DEFINITION AS CHAR) AS definition
    FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()";

const TRIGGERS: &str = "
    SELECT CAST(EVENT_OBJECT_TABLE AS CHAR) AS target, CAST(TRIGGER_NAME AS CHAR) AS name
    FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = DATABASE()
    ORDER BY EVENT_OBJECT_TABLE, TRIGGER_NAME";

const GENERATED: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS target, CAST(COLUMN_NAME AS CHAR) AS col
    FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = DATABASE() AND GENERATION_EXPRESSION IS NOT NULL AND GENERATION_EXPRESSION <> ''";

/// Tables whose rows are in other tables or on other servers, and sequences.
const ELSEWHERE: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS name FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND (TABLE_TYPE = 'SEQUENCE'
        OR ENGINE IN ('FEDERATED', 'CONNECT', 'SPIDER', 'S3', 'MRG_MyISAM'))";

pub(super) async fn ask(db: &DatabaseConnection, facts: &mut Facts) -> Result<(), DbErr> {
    for row in rows(db, FOREIGN_KEYS).await? {
        facts.key_parts.push(KeyPart {
            constraint: (text(&row, "child")?, text(&row, "id")?),
            child: text(&row, "child")?,
            parent: text(&row, "parent")?,
            column: text(&row, "col")?,
            referenced: Some(text(&row, "referenced")?),
            on_delete: action(&text(&row, "on_delete")?),
            on_update: action(&text(&row, "on_update")?),
        });
    }
    for row in rows(db, VIEWS).await? {
        // Empty for who may not see it.
        let definition: Option<String> = row.try_get("", "definition")?;
        facts.views.push((text(&row, "name")?, definition.filter(|text| !text.is_empty())));
    }
    for row in rows(db, TRIGGERS).await? {
        facts.triggers.push((text(&row, "target")?, text(&row, "name")?));
    }
    for row in rows(db, GENERATED).await? {
        facts.generated.push((text(&row, "target")?, text(&row, "col")?));
    }
    for row in rows(db, ELSEWHERE).await? {
        facts.foreign.push(text(&row, "name")?);
    }
    Ok(())
}
