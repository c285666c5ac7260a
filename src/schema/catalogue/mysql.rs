//! The catalogue of MySQL and MariaDB: `information_schema`, as far as it is about the connection's
//! own database.

use sea_orm::{DatabaseConnection, DbErr};

use super::{ColumnDefault, Facts, Holds, KeyPart, TextEquality, action, rows, text};

// MySQL 8 shows these texts as bytes, hence the casts.

const FOREIGN_KEYS: &str = "
    SELECT CAST(k.TABLE_SCHEMA AS CHAR) AS place, CAST(k.TABLE_NAME AS CHAR) AS child, CAST(k.CONSTRAINT_NAME AS CHAR) AS id,
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

/// Also what the server numbers in the place of a NULL or a zero; that of a primary key it does not change.
const GENERATED: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS target, CAST(COLUMN_NAME AS CHAR) AS col,
           CAST(GENERATION_EXPRESSION AS CHAR) AS computes, CAST(EXTRA AS CHAR) AS extra
    FROM information_schema.COLUMNS
    WHERE TABLE_SCHEMA = DATABASE() AND (GENERATION_EXPRESSION IS NOT NULL AND GENERATION_EXPRESSION <> ''
        OR EXTRA LIKE '%auto_increment%' AND COLUMN_KEY <> 'PRI')";

/// `extra` names numbered columns, and in MySQL defaults that are expressions.
const DEFAULTS: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS target, CAST(COLUMN_NAME AS CHAR) AS col,
           CAST(COLUMN_DEFAULT AS CHAR) AS value, CAST(DATA_TYPE AS CHAR) AS holds,
           CAST(IS_NULLABLE AS CHAR) AS nullable, CAST(EXTRA AS CHAR) AS extra,
           CAST(COLLATION_NAME AS CHAR) AS collation_name, CAST(VERSION() AS CHAR) AS version
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()";

const MODE: &str = "SELECT CAST(@@SESSION.sql_mode AS CHAR) AS mode";

/// Under `STRICT_TRANS_TABLES` values are made fit where a write cannot be taken back.
const NOT_TRANSACTIONAL: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS name FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND ENGINE NOT IN ('InnoDB', 'ROCKSDB')";

/// Tables whose rows are in other tables or on other servers, and sequences.
const ELSEWHERE: &str = "
    SELECT CAST(TABLE_NAME AS CHAR) AS name FROM information_schema.TABLES
    WHERE TABLE_SCHEMA = DATABASE() AND (TABLE_TYPE = 'SEQUENCE'
        OR ENGINE IN ('FEDERATED', 'CONNECT', 'SPIDER', 'S3', 'MRG_MyISAM'))";

/// Of another database a function is called with its name.
const FUNCTIONS: &str = "
    SELECT CAST(ROUTINE_NAME AS CHAR) AS name FROM information_schema.ROUTINES
    WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'FUNCTION'";

pub(super) async fn ask(db: &DatabaseConnection, facts: &mut Facts) -> Result<(), DbErr> {
    for row in rows(db, FOREIGN_KEYS).await? {
        facts.key_parts.push(KeyPart {
            constraint: (format!("{}/{}", text(&row, "place")?, text(&row, "child")?), text(&row, "id")?),
            schema: Some(text(&row, "place")?),
            child: text(&row, "child")?,
            parent: text(&row, "parent")?,
            column: text(&row, "col")?,
            referenced: Some(text(&row, "referenced")?),
            // InnoDB has it no other way: the types are the same, and the collations of texts.
            compares: true,
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
        let computes: Option<String> = row.try_get("", "computes")?;
        // What is stored changes with a write.
        let when_read = !text(&row, "extra")?.to_ascii_lowercase().contains("stored");
        if let Some(expression) = computes.filter(|expression| when_read && !expression.is_empty()) {
            facts.computed.push((text(&row, "target")?, as_written(expression)));
        }
    }
    for row in rows(db, DEFAULTS).await? {
        let value: Option<String> = row.try_get("", "value")?;
        let holds = holds(&text(&row, "holds")?);
        let collation: Option<String> = row.try_get("", "collation_name")?;
        let is_text = holds == Holds::Text || text(&row, "holds")?.eq_ignore_ascii_case("enum");
        let equality = collation.as_deref().filter(|_| is_text).map(TextEquality::of_mysql);
        facts.texts.push((text(&row, "target")?, text(&row, "col")?, equality.unwrap_or_default()));
        let nullable = text(&row, "nullable")? == "YES";
        let extra = text(&row, "extra")?.to_ascii_lowercase();
        // What both of them say of a column that is nothing special: nothing, or that `*` leaves it out.
        let special = !matches!(&*extra, "" | "invisible");
        let default = match server(&text(&row, "version")?) {
            _ if special || holds == Holds::Other => None,
            Some(Server::MariaDb) => ColumnDefault::of_mariadb(value.as_deref(), holds, nullable),
            Some(Server::MySql) => ColumnDefault::of_mysql(value.as_deref(), holds, nullable),
            None => None,
        };
        facts.defaults.push((text(&row, "target")?, text(&row, "col")?, default));
    }
    for row in rows(db, FUNCTIONS).await? {
        facts.functions.push(text(&row, "name")?);
    }
    for row in rows(db, MODE).await? {
        let mode = text(&row, "mode")?.to_ascii_uppercase();
        facts.adjusts_values = !mode.contains("STRICT_");
        if !mode.contains("STRICT_ALL_TABLES") {
            for row in rows(db, NOT_TRANSACTIONAL).await? {
                facts.adjusting.push(text(&row, "name")?);
            }
        }
    }
    for row in rows(db, ELSEWHERE).await? {
        facts.foreign.push(text(&row, "name")?);
    }
    Ok(())
}

/// MySQL shows an expression as if it stood in quotes itself, all of its own escaped; MariaDB does not.
fn as_written(expression: String) -> String {
    let mut plain = String::with_capacity(expression.len());
    let mut characters = expression.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            ('\\', Some(next @ ('\\' | '\''))) => {
                plain.push(next);
                characters.next();
            }
            ('\'', _) => return expression,
            _ => plain.push(character),
        }
    }
    plain
}

/// How a server shows defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    MySql,
    MariaDb,
}

/// By `VERSION()`; `None` for a MariaDB that shows defaults as MySQL does, and for what is not
/// understood.
fn server(version: &str) -> Option<Server> {
    if !version.to_ascii_lowercase().contains("mariadb") {
        return Some(Server::MySql);
    }
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    ((major, minor) >= (10, 3)).then_some(Server::MariaDb)
}

fn holds(data_type: &str) -> Holds {
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Holds::Integers,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Holds::Text,
        // A TIMESTAMP may fill itself in without saying so.
        _ => Holds::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Server, as_written, server};

    #[test]
    fn an_expression_is_read_as_it_was_written() {
        let cases = [
            (r"concat(`a`,_utf8mb4\'it\\\'s\',now())", r"concat(`a`,_utf8mb4'it\'s',now())"),
            (r"concat('a\'',now(),'\'b')", r"concat('a\'',now(),'\'b')"),
            ("`a` + 1", "`a` + 1"),
        ];
        for (shown, written) in cases {
            assert_eq!(as_written(shown.to_owned()), written);
        }
    }

    #[test]
    fn a_mariadb_is_told_from_a_mysql_and_from_one_of_old() {
        let cases = [
            ("11.8.3-MariaDB-log", Some(Server::MariaDb)),
            ("10.3.39-MariaDB", Some(Server::MariaDb)),
            ("10.2.5-MariaDB", None),
            ("5.5.5-10.11.2-MariaDB", None),
            ("MariaDB", None),
            ("8.4.6", Some(Server::MySql)),
            ("8.0.11-TiDB-v8.5.0", Some(Server::MySql)),
        ];
        for (version, expected) in cases {
            assert_eq!(server(version), expected, "{version}");
        }
    }
}
