//! Which rows of each table a select can depend on, and which an insert can touch.

use super::{Analysis, Dialect, Operand, Scope, Verb, analyse};

fn operand(operand: &Operand) -> String {
    match operand {
        Operand::Bound(at) => format!("${}", at + 1),
        Operand::Integer(n) => n.to_string(),
        Operand::Text(text) => format!("'{text}'"),
        Operand::Other => "?".to_owned(),
    }
}

/// Each table with its conditions, as `t[a=1, b=2|3]`; one of which nothing is known as `t`.
fn reads(answer: &Analysis) -> String {
    let conjunct = |c: &super::scope::Conjunct| {
        let values = c.alternatives.iter().map(|row| row.iter().map(operand).collect::<Vec<_>>().join("/"));
        format!("{}={}", c.columns.join("/"), values.collect::<Vec<_>>().join("|"))
    };
    let read = |read: &super::analysis::Read| match &read.scope {
        Scope::Unknown => read.table.to_string(),
        Scope::Where(all) => {
            let mut all: Vec<String> = all.iter().map(conjunct).collect();
            all.sort();
            format!("{}[{}]", read.table, all.join(", "))
        }
        Scope::Rows { .. } => panic!("a select adds no rows: {answer:?}"),
    };
    answer.reads.iter().map(read).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_condition_is_told_of_the_table_that_its_columns_belong_to() {
    for (sql, wanted) in [
        ("SELECT * FROM t WHERE id = 1", "t[id=1]"),
        ("SELECT * FROM t x WHERE x.id = 1 AND a = 2 ORDER BY b LIMIT 1", "t[a=2, id=1]"),
        ("SELECT * FROM t JOIN u ON u.t_id = t.id WHERE t.id = 1", "t[id=1] u"),
        ("SELECT * FROM t JOIN u ON u.id = 2 WHERE t.id = 1 AND u.a IN (3, 4)", "t[id=1] u[a=3|4]"),
        ("SELECT * FROM t LEFT JOIN u ON u.t_id = t.id WHERE u.id = 1", "t u[id=1]"),
        ("SELECT * FROM t JOIN u USING (id) WHERE id = 1 AND t.id = 1", "t[id=1] u"),
        ("SELECT * FROM t a, u b WHERE a.id = b.id AND b.c = 'x'", "t u[c='x']"),
        ("SELECT * FROM s.t JOIN u ON 1 = 1 WHERE s.t.id = 1", "s.t[id=1] u"),
        ("SELECT * FROM t, (SELECT * FROM u) x WHERE t.id = 1", "t[id=1] u"),
        ("SELECT * FROM t WHERE t.id = 1 AND EXISTS (SELECT 1 FROM u WHERE u.id = 2)", "t[id=1] u[id=2]"),
        ("SELECT COUNT(*) FROM (SELECT t.a FROM t WHERE t.shelf = 1) AS x", "t[shelf=1]"),
        ("SELECT * FROM u WHERE a IN (SELECT b FROM t WHERE t.c = u.c AND t.shelf = 1)", "u t[shelf=1]"),
        ("SELECT count(*) FROM t WHERE shelf = 1 GROUP BY a HAVING a = 2", "t[shelf=1]"),
    ] {
        for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite] {
            let answer = analyse(dialect, sql);
            assert!(answer.cacheable.is_ok(), "{sql}: {answer:?}");
            assert_eq!(reads(&answer), wanted, "{dialect:?} {sql}");
        }
    }
}

// case D8
#[test]
fn a_text_with_escapes_is_read_as_postgresql_reads_it() {
    for (sql, wanted) in [
        (r"SELECT * FROM t WHERE a = E'echo\'s'", "t[a='echo's']"),
        (r"SELECT * FROM t WHERE a = e'it''s \\ \n' AND b = 1", "t[a='it's \\ \n', b=1]"),
        (r"SELECT * FROM t WHERE a IN (E'\'', 'b')", "t[a='''|'b']"),
        // Numbers of characters, and literals that go on in another.
        (r"SELECT * FROM t WHERE a = E'\x41'", "t"),
        (r"SELECT * FROM t WHERE a = E'\101'", "t"),
        (r"SELECT * FROM t WHERE a = E'\u0041'", "t"),
        ("SELECT * FROM t WHERE a = E'b'\n'c'", "t"),
        (r"SELECT * FROM t WHERE a = U&'\0041'", "t"),
    ] {
        assert_eq!(reads(&analyse(Dialect::Postgres, sql)), wanted, "{sql}");
    }
    // In MySQL it depends on the server's mode what a backslash is.
    assert_eq!(reads(&analyse(Dialect::MySql, r"SELECT * FROM t WHERE a = 'echo\'s'")), "t");
}

// No server takes a row for a condition, but the text may be read by one that does.
#[test]
fn a_row_of_conditions_is_none() {
    for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite] {
        let answer = analyse(dialect, "SELECT * FROM t WHERE id = 1 AND (c = 'x' AND 'y' = d, e)");
        assert_eq!(reads(&answer), "t[id=1]", "{dialect:?}");
    }
}

#[test]
fn a_condition_is_not_told_where_it_may_mean_other_rows() {
    for (sql, wanted) in [
        ("SELECT * FROM t JOIN u ON u.t_id = t.id WHERE id = 1", "t u"),
        ("SELECT * FROM t JOIN u ON t.id = 1", "t u"),
        ("SELECT * FROM t a JOIN t b ON a.x = b.id WHERE a.id = 1", "t"),
        ("SELECT * FROM t JOIN s.t ON 1 = 1 WHERE s.t.id = 1", "t s.t"),
        ("SELECT * FROM t JOIN \"T\" x ON 1 = 1 WHERE t.id = 1", "t T"),
        ("SELECT * FROM t WHERE id = 1 AND a = (SELECT max(a) FROM t)", "t"),
        ("SELECT * FROM t, u WHERE t.id = 1 AND u.a IN (SELECT a FROM u)", "t[id=1] u"),
        ("SELECT * FROM t WHERE id = 1 UNION SELECT * FROM u", "t u"),
        ("SELECT * FROM t WHERE id = 1 EXCEPT SELECT * FROM u WHERE id = 2", "t u"),
        ("WITH x AS (SELECT 1) SELECT * FROM t WHERE id = 1", "t"),
        ("SELECT * FROM (SELECT * FROM t) x WHERE x.id = 1", "t"),
        ("SELECT (SELECT max(a) FROM t WHERE u.id = 1) FROM u", "u t"),
        ("SELECT * FROM (SELECT * FROM t WHERE id = 1 UNION SELECT * FROM u) x", "t u"),
        ("SELECT * FROM (SELECT * FROM t WHERE id = 1) x, t", "t"),
        ("SELECT * FROM t JOIN u ON 1 = 1 WHERE t.id = 1 OR u.id = 2", "t u"),
        // The name is another table's alias.
        ("SELECT * FROM t a, u AS t WHERE t.id = 1", "t u[id=1]"),
        ("SELECT * FROM t a, (SELECT * FROM u) t WHERE t.id = 1", "t u"),
        ("SELECT * FROM t AS \"X\", u AS x WHERE x.id = 1", "t u"),
        ("SELECT * FROM t AS \"X\", (SELECT * FROM u) x WHERE x.id = 1", "t u"),
        ("SELECT * FROM t AS \"X\", generate_series(1, 2) x WHERE x.id = 1", "t"),
        ("SELECT * FROM t AS \"X\" JOIN u USING (id) AS x WHERE x.id = 1", "t u"),
        ("SELECT * FROM (t AS \"X\" JOIN u ON 1 = 1) AS x WHERE x.id = 1", "t u"),
        ("SELECT * FROM t AS \"Unnest\", unnest($1) WHERE unnest.id = 1", "t"),
        ("SELECT * FROM t, generate_series(1, 2) WHERE id = 1", "t"),
        ("SELECT * FROM t WHERE id = 1 FOR UPDATE", "t"),
        ("EXPLAIN SELECT * FROM t WHERE id = 1", "t"),
        ("SELECT * FROM t WHERE id = 1; SELECT 1", "t"),
    ] {
        assert_eq!(reads(&analyse(Dialect::Postgres, sql)), wanted, "{sql}");
    }
    let sql = "SELECT * FROM t /*!50700 , u */ WHERE t.id = 1";
    assert_eq!(reads(&analyse(Dialect::MySql, sql)), "t u");
    let many = format!("SELECT * FROM t{} WHERE t.id = 1", " JOIN u ON u.id = t.id".repeat(20));
    assert_eq!(reads(&analyse(Dialect::Postgres, &many)), "t u", "nobody asks about so many");
}

// case D1
#[test]
fn an_update_of_a_column_to_itself_on_a_duplicate_key_is_an_insert() {
    for (sql, wanted) in [
        ("INSERT INTO `t` (`id`, `a`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `id` = `id`", Verb::Insert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE id = ID, a = `A`", Verb::Insert),
        ("INSERT INTO t VALUES (1, 2) ON DUPLICATE KEY UPDATE id = id", Verb::Insert),
        ("INSERT INTO t SET id = 1 ON DUPLICATE KEY UPDATE id = id RETURNING id", Verb::Insert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE id = id, a = 2", Verb::Upsert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = id", Verb::Upsert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = a + 1", Verb::Upsert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = VALUES(a)", Verb::Upsert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = t.a", Verb::Upsert),
        ("INSERT INTO t (id, a) VALUES (1, 2) ON DUPLICATE KEY UPDATE a = \"a\"", Verb::Upsert),
        ("INSERT INTO t (id) VALUES (1) AS n(a) ON DUPLICATE KEY UPDATE a = a", Verb::Upsert),
        ("INSERT INTO t (id) VALUES (1) UNION SELECT a FROM u ON DUPLICATE KEY UPDATE a = a", Verb::Upsert),
        ("INSERT INTO t (id) SELECT a FROM u ON DUPLICATE KEY UPDATE a = a", Verb::Upsert),
    ] {
        let answer = analyse(Dialect::MySql, sql);
        assert_eq!(answer.writes[0].verb, wanted, "{sql}");
        assert!(!answer.writes_anything, "{sql}");
    }
}

/// In SQLite an integer primary key and the number of a row are one thing by two names.
#[test]
fn a_row_number_does_not_outlast_an_assignment_that_may_change_it() {
    for (sql, lasts) in [
        ("UPDATE t SET id = -1 WHERE rowid = ?1", false),
        ("UPDATE t SET a = 1 WHERE OID = ?1", false),
        ("UPDATE t SET _rowid_ = 5 WHERE id = ?1", false),
        ("UPDATE t SET a = 1 WHERE id = ?1", true),
        ("DELETE FROM t WHERE rowid = ?1", true),
    ] {
        let answer = analyse(Dialect::Sqlite, sql);
        assert_eq!(answer.writes[0].scope != Scope::Unknown, lasts, "{sql}: {answer:?}");
    }
    let elsewhere = analyse(Dialect::Postgres, "UPDATE t SET a = 1 WHERE oid = $1");
    assert_ne!(elsewhere.writes[0].scope, Scope::Unknown, "{elsewhere:?}");
}
