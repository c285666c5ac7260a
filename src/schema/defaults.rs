//! What a column gets when an INSERT leaves it out, as far as the catalogue says it plainly.
//!
//! Whatever is not a NULL, an integer for an integer column or a string for a text column is not
//! known: a value that is wrong here is a list that is served although a row was added to it.

/// The value that a column gets when an INSERT does not name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnDefault {
    Null,
    Integer(i64),
    Text(Box<str>),
}

/// What a column holds, as far as its default is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Integers,
    Text,
    Other,
}

impl ColumnDefault {
    /// By `information_schema.COLUMNS` of MariaDB, which shows defaults as SQL since 10.2.7.
    pub(super) fn of_mariadb(default: Option<&str>, holds: Holds, nullable: bool) -> Option<Self> {
        // `None`: there is no default, and the column takes no NULL. What it gets instead, if
        // anything, is for the session's mode to say.
        literal(default?, holds, nullable)
    }

    /// By `information_schema.COLUMNS` of MySQL, which shows the value of a literal without quotes;
    /// defaults that are expressions are said to be so elsewhere.
    pub(super) fn of_mysql(default: Option<&str>, holds: Holds, nullable: bool) -> Option<Self> {
        let Some(default) = default else { return nullable.then_some(Self::Null) };
        match holds {
            Holds::Integers => integer(default),
            // As another server of this family might show an expression, or NULL.
            Holds::Text if default.eq_ignore_ascii_case("null") || default.contains(['\'', '(']) => None,
            Holds::Text => Some(Self::Text(default.into())),
            Holds::Other => None,
        }
    }

    /// By `pg_get_expr`; `None` for a column without a default.
    pub(super) fn of_postgres(default: Option<&str>, holds: Holds, nullable: bool) -> Option<Self> {
        let Some(default) = default else { return nullable.then_some(Self::Null) };
        let Some((value, cast)) = default.rsplit_once("::") else {
            return integer(default).filter(|_| holds == Holds::Integers);
        };
        let kind = match cast {
            "smallint" | "integer" | "bigint" => Holds::Integers,
            "text" | "character varying" | "bpchar" => Holds::Text,
            _ => Holds::Other,
        };
        if value == "NULL" {
            return nullable.then_some(Self::Null);
        }
        if kind != holds {
            return None;
        }
        match kind {
            Holds::Integers => integer(&quoted(value)?),
            Holds::Text => Some(Self::Text(quoted(value)?.into())),
            Holds::Other => None,
        }
    }

    /// By `pragma table_xinfo`, which shows the text of the definition.
    pub(super) fn of_sqlite(default: Option<&str>, declared: &str, nullable: bool) -> Option<Self> {
        let Some(default) = default else { return nullable.then_some(Self::Null) };
        literal(default.trim(), affinity(declared), nullable)
    }
}

/// A literal as it stands in SQL.
fn literal(sql: &str, holds: Holds, nullable: bool) -> Option<ColumnDefault> {
    if sql.eq_ignore_ascii_case("null") {
        return nullable.then_some(ColumnDefault::Null);
    }
    match holds {
        Holds::Integers => integer(sql),
        Holds::Text => Some(ColumnDefault::Text(quoted(sql)?.into())),
        Holds::Other => None,
    }
}

/// Digits in their shortest form, with a minus at most.
fn integer(text: &str) -> Option<ColumnDefault> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(ColumnDefault::Integer(number))
}

/// What stands between single quotes, if that is all. A backslash means different things to
/// different servers and sessions.
fn quoted(sql: &str) -> Option<String> {
    let inner = sql.strip_prefix('\'')?.strip_suffix('\'')?;
    let rest = inner.replace("''", "");
    (!rest.contains(['\'', '\\', '\0'])).then(|| inner.replace("''", "'"))
}

/// SQLite's rules for the affinity of a declared type, in their order.
pub(super) fn affinity(declared: &str) -> Holds {
    let declared = declared.to_ascii_uppercase();
    let has = |word: &str| declared.contains(word);
    if has("INT") {
        Holds::Integers
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Holds::Text
    } else {
        Holds::Other
    }
}

#[cfg(test)]
mod tests {
    use super::{ColumnDefault as D, Holds::*, affinity};

    fn text(text: &str) -> Option<D> {
        Some(D::Text(text.into()))
    }

    #[test]
    fn mariadb_shows_defaults_as_sql() {
        assert_eq!(D::of_mariadb(Some("NULL"), Integers, true), Some(D::Null));
        assert_eq!(D::of_mariadb(Some("NULL"), Other, true), Some(D::Null));
        assert_eq!(D::of_mariadb(Some("1"), Integers, false), Some(D::Integer(1)));
        assert_eq!(D::of_mariadb(Some("-3"), Integers, true), Some(D::Integer(-3)));
        assert_eq!(D::of_mariadb(Some("'it''s'"), Text, true), text("it's"));
        assert_eq!(D::of_mariadb(Some("'NULL'"), Text, true), text("NULL"));
        assert_eq!(D::of_mariadb(Some("''"), Text, true), text(""));
        // What a column that takes no NULL gets without a default depends on the session's mode.
        assert_eq!(D::of_mariadb(None, Integers, false), None);
        assert_eq!(D::of_mariadb(None, Text, true), None);
        for unknown in ["uuid()", "(1 + 1)", "nextval(`shop`.`s`)", "'1'", "01", "+1", "1.0", "0x1", "b'1'"] {
            assert_eq!(D::of_mariadb(Some(unknown), Integers, true), None, "{unknown}");
        }
        for unknown in ["1", "'a' 'b'", "concat('a','b')", r"'a\'b'", r"'a\\b'", "_utf8mb4'a'", "'"] {
            assert_eq!(D::of_mariadb(Some(unknown), Text, true), None, "{unknown}");
        }
        assert_eq!(D::of_mariadb(Some("1"), Other, true), None);
    }

    #[test]
    fn mysql_shows_values_without_quotes() {
        assert_eq!(D::of_mysql(None, Integers, true), Some(D::Null));
        assert_eq!(D::of_mysql(None, Integers, false), None);
        assert_eq!(D::of_mysql(Some("7"), Integers, false), Some(D::Integer(7)));
        assert_eq!(D::of_mysql(Some("00007"), Integers, false), None);
        assert_eq!(D::of_mysql(Some("it is"), Text, true), text("it is"));
        for unknown in ["NULL", "null", "'quoted'", "it's", "uuid()", "(1 + 1)"] {
            assert_eq!(D::of_mysql(Some(unknown), Text, true), None, "{unknown}");
        }
        assert_eq!(D::of_mysql(Some("1"), Other, true), None);
    }

    #[test]
    fn postgresql_shows_expressions_with_casts() {
        assert_eq!(D::of_postgres(None, Other, true), Some(D::Null));
        assert_eq!(D::of_postgres(None, Integers, false), None);
        assert_eq!(D::of_postgres(Some("NULL::bigint"), Integers, true), Some(D::Null));
        assert_eq!(D::of_postgres(Some("NULL::bigint"), Integers, false), None);
        assert_eq!(D::of_postgres(Some("1"), Integers, false), Some(D::Integer(1)));
        assert_eq!(D::of_postgres(Some("'-1'::integer"), Integers, true), Some(D::Integer(-1)));
        assert_eq!(
            D::of_postgres(Some("'9000000000'::bigint"), Integers, true),
            Some(D::Integer(9_000_000_000))
        );
        assert_eq!(D::of_postgres(Some("'x'::text"), Text, true), text("x"));
        assert_eq!(D::of_postgres(Some("'a::b'::character varying"), Text, true), text("a::b"));
        assert_eq!(D::of_postgres(Some("'it''s'::bpchar"), Text, true), text("it's"));
        let not_integers = [
            "nextval('s'::regclass)",
            "(1 + 1)",
            "(- 1)",
            "1.5",
            "'1'::text",
            "('1'::integer + 1)",
            "(1)::bigint",
            "'01'::integer",
            "f('1'::integer)",
        ];
        for unknown in not_integers {
            assert_eq!(D::of_postgres(Some(unknown), Integers, true), None, "{unknown}");
        }
        let not_texts = [
            "'x'",
            "5",
            "5::text",
            "E'a\\\\b'::text",
            "('a'::text || 'b'::text)",
            "'a'::text || 'b'::text",
            "upper('x'::text)",
            "('abc'::character varying)::character varying(2)",
            "'abc'::character varying(2)",
            "'x'::citext",
            "CURRENT_USER",
        ];
        for unknown in not_texts {
            assert_eq!(D::of_postgres(Some(unknown), Text, true), None, "{unknown}");
        }
    }

    #[test]
    fn sqlite_shows_the_text_of_the_definition() {
        assert_eq!(D::of_sqlite(None, "BIGINT", true), Some(D::Null));
        assert_eq!(D::of_sqlite(None, "", true), Some(D::Null));
        assert_eq!(D::of_sqlite(None, "BIGINT", false), None);
        assert_eq!(D::of_sqlite(Some("null"), "REAL", true), Some(D::Null));
        assert_eq!(D::of_sqlite(Some("1"), "BIGINT", false), Some(D::Integer(1)));
        assert_eq!(D::of_sqlite(Some("-1"), "integer", false), Some(D::Integer(-1)));
        assert_eq!(D::of_sqlite(Some("'it''s'"), "VARCHAR(40)", false), text("it's"));
        // Kept as it is in one column, converted in another.
        for (unknown, declared) in [
            ("'1'", "BIGINT"),
            ("1", "VARCHAR(40)"),
            ("1", "BOOLEAN"),
            ("1", "REAL"),
            ("'x'", "BLOB"),
            ("'x'", ""),
            ("'x'", "CHARINT"),
            ("+1", "INT"),
            ("1.0", "INT"),
            ("0x10", "INT"),
            ("1_000", "INT"),
            ("true", "INT"),
            ("(1)", "INT"),
            ("9223372036854775808", "INT"),
            ("\"x\"", "TEXT"),
            ("x'31'", "TEXT"),
            ("CURRENT_TIMESTAMP", "TEXT"),
            ("('a' || 'b')", "TEXT"),
            ("'a' || 'b'", "TEXT"),
            ("(lower('A'))", "TEXT"),
        ] {
            assert_eq!(D::of_sqlite(Some(unknown), declared, true), None, "{unknown} {declared}");
        }
    }

    #[test]
    fn sqlites_affinities_go_by_the_first_rule_that_fits() {
        let cases =
            [("BIGINT", Integers), ("floating point", Integers), ("nvarchar", Text), ("STRING", Other)];
        for (declared, expected) in cases {
            assert_eq!(affinity(declared), expected, "{declared}");
        }
    }
}
