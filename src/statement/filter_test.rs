//! Which conditions a select may use, how they come out, and which statements return their rows.

use super::{Analysis, Dialect, PureFunctions, analyse, analyse_with};

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

/// The filter of the only write: its condition, and the positions of its values.
fn filter(answer: &Analysis) -> Option<(&str, &[usize])> {
    assert_eq!(answer.writes.len(), 1, "{answer:?}");
    answer.writes[0].filter.as_ref().map(|filter| (&*filter.condition, &*filter.bound))
}

#[test]
fn the_condition_of_a_plain_write_is_told_as_written() {
    for (sql, wanted) in [
        ("UPDATE t SET a = 1 WHERE id = 2", "id = 2"),
        ("UPDATE t SET a = now() WHERE b < 'x';", "b < 'x'"),
        ("UPDATE t SET a = (SELECT 1) WHERE id = 2", "id = 2"),
        (
            "DELETE FROM t WHERE (a = 1 OR b\n IS NULL) AND lower(c) LIKE '%x''y'",
            "(a = 1 OR b\n IS NULL) AND lower(c) LIKE '%x''y'",
        ),
        ("DELETE FROM t WHERE t.a BETWEEN 1 AND t.b", "t.a BETWEEN 1 AND t.b"),
        (
            "/* who */ DELETE FROM s.t WHERE CASE WHEN a THEN b ELSE 2 END = 3 -- why",
            "CASE WHEN a THEN b ELSE 2 END = 3",
        ),
        ("DELETE FROM t WHERE a IN (1, 2)", "a IN (1, 2)"),
        ("DELETE FROM t WHERE NOT a", "NOT a"),
    ] {
        for dialect in ALL {
            assert_eq!(filter(&analyse(dialect, sql)), Some((wanted, &[][..])), "{dialect:?} {sql}");
        }
    }
    for (sql, wanted) in [
        ("DELETE FROM t WHERE id = 1 RETURNING id", "id = 1"),
        ("UPDATE t SET a = 1 WHERE id = b RETURNING *", "id = b"),
    ] {
        for dialect in ALL {
            assert_eq!(filter(&analyse(dialect, sql)).map(|f| f.0), Some(wanted), "{dialect:?} {sql}");
        }
    }
    let trim =
        analyse(Dialect::Postgres, "DELETE FROM \"T\" WHERE trim(both 'x' from a) IS DISTINCT FROM 'y'");
    assert_eq!(filter(&trim).unwrap().0, "trim(both 'x' from a) IS DISTINCT FROM 'y'");
}

#[test]
fn placeholders_of_a_condition_are_numbered_anew_and_know_their_values() {
    for (dialect, sql, condition, bound) in [
        (
            Dialect::Postgres,
            "UPDATE t SET a = $1 WHERE id = $2 AND b = $7",
            "id = $1 AND b = $2",
            &[1, 6][..],
        ),
        (
            Dialect::Postgres,
            "UPDATE t SET a = $1 WHERE id = $3 OR b = $2 OR c = $3",
            "id = $1 OR b = $2 OR c = $1",
            &[2, 1],
        ),
        (Dialect::Postgres, "DELETE FROM t WHERE id = ANY($12::int[])", "id = ANY($1::int[])", &[11]),
        (Dialect::MySql, "UPDATE `t` SET `a` = ?, `b` = ? WHERE `id` IN (?, ?)", "`id` IN (?, ?)", &[2, 3]),
        (Dialect::Sqlite, "UPDATE t SET a = ? WHERE id = ? AND b = ?", "id = ? AND b = ?", &[1, 2]),
        (Dialect::Sqlite, "UPDATE t SET a = ?2 WHERE id = ?3 AND b = ?1", "id = ?1 AND b = ?2", &[2, 0]),
        (Dialect::Sqlite, "UPDATE t SET a = $1 WHERE id = $2", "id = $1", &[1]),
    ] {
        assert_eq!(filter(&analyse(dialect, sql)), Some((condition, bound)), "{sql}");
    }
    for sql in [
        "DELETE FROM t WHERE a = :a",
        "DELETE FROM t WHERE a = @a",
        "DELETE FROM t WHERE a = $a",
        "DELETE FROM t WHERE a = $2 AND b = $1",
        "DELETE FROM t WHERE a = ?1 AND b = ?",
        "DELETE FROM t WHERE a = ?5 AND b = ?",
    ] {
        assert_eq!(filter(&analyse(Dialect::Sqlite, sql)), None, "{sql}");
    }
    assert_eq!(filter(&analyse(Dialect::Postgres, "DELETE FROM t WHERE a = $0")), None);
}

#[test]
fn a_condition_that_a_select_could_answer_otherwise_is_not_told() {
    for sql in [
        "DELETE FROM t",
        "INSERT INTO t (a) VALUES (1)",
        "DELETE FROM t WHERE a = (SELECT 1)",
        "DELETE FROM t WHERE EXISTS (SELECT 1 FROM u)",
        "DELETE FROM t WHERE a IN (TABLE u)",
        "DELETE FROM t WHERE app_check(a)",
        "DELETE FROM t WHERE d < current_timestamp",
        "DELETE FROM t WHERE a = 1 /* c */ AND b = 2",
        "DELETE FROM t WHERE a = 1 -- c\n AND b = 2",
        "DELETE FROM t WHERE a = 1 ORDER BY a LIMIT 1",
        "DELETE FROM t WHERE a = 1 LIMIT 1",
        "DELETE FROM t x WHERE a = 1",
        "DELETE FROM t AS x WHERE a = 1",
        "UPDATE t AS x SET a = 1 WHERE a = 1",
        "UPDATE t x SET a = 1 WHERE a = 1",
        "UPDATE t SET a = 1 ORDER BY a LIMIT 1",
        "UPDATE t SET a = 1 WHERE b = 1 ORDER BY a LIMIT 1",
        "UPDATE t SET a = 1",
        "WITH x AS (SELECT 1) DELETE FROM t WHERE a = 1",
        "EXPLAIN ANALYZE DELETE FROM t WHERE a = 1",
    ] {
        for dialect in ALL {
            let told = analyse(dialect, sql).writes.iter().any(|write| write.filter.is_some());
            assert!(!told, "{dialect:?} {sql}");
        }
    }
    for (dialect, sql) in [
        (Dialect::Postgres, "UPDATE t SET a = 1 FROM u WHERE t.id = 1"),
        (Dialect::Postgres, "DELETE FROM t USING u WHERE t.id = 1"),
        (Dialect::Postgres, "DELETE FROM ONLY t WHERE id = 1"),
        (Dialect::Postgres, "DELETE FROM t * WHERE id = 1"),
        (Dialect::Postgres, "DELETE FROM t WHERE CURRENT OF c"),
        (Dialect::Postgres, "DELETE FROM t WHERE d < now()"),
        (Dialect::Postgres, "DELETE FROM t WHERE d < 'now'::timestamp"),
        (Dialect::Postgres, "DELETE FROM t WHERE owner = current_user"),
        (Dialect::Postgres, "DELETE FROM t WHERE a OPERATOR(app.=) 1"),
        (Dialect::Postgres, "DELETE FROM Cake WHERE id = 1"),
        (Dialect::Postgres, "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE"),
        (Dialect::MySql, "DELETE QUICK FROM t WHERE id = 1"),
        (Dialect::MySql, "UPDATE IGNORE t SET a = 1 WHERE id = 1"),
        (Dialect::MySql, "UPDATE LOW_PRIORITY t SET a = 1 WHERE id = 1"),
        (Dialect::MySql, "UPDATE t PARTITION (p0) SET a = 1 WHERE id = 1"),
        (Dialect::MySql, "UPDATE t, u SET t.a = 1 WHERE t.id = 1"),
        (Dialect::MySql, "UPDATE t JOIN u SET t.a = 1 WHERE t.id = 1"),
        (Dialect::MySql, "DELETE t FROM t WHERE id = 1"),
        (Dialect::MySql, "DELETE FROM t USING t WHERE id = 1"),
        (Dialect::Sqlite, "UPDATE t SET a = $1 WHERE#id = ABS($2)"),
        (Dialect::MySql, "DELETE FROM t WHERE a = @v"),
        (Dialect::MySql, "DELETE FROM t WHERE a = (@v := 1)"),
        (Dialect::MySql, "DELETE FROM t WHERE rand() < 0.5"),
        (Dialect::MySql, "DELETE FROM t WHERE a = NEXT VALUE FOR s"),
        (Dialect::MySql, "DELETE FROM t WHERE a = 1 /*!50700 OR b = 2 */"),
        (Dialect::MySql, "DELETE FROM t WHERE a = 1 /*! OR b = 2 */"),
        (Dialect::MySql, "DELETE FROM t WHERE a = returning"),
        (Dialect::Sqlite, "UPDATE OR REPLACE t SET a = 1 WHERE id = 1"),
        (Dialect::Sqlite, "UPDATE OR IGNORE t SET a = 1 WHERE id = 1"),
        (Dialect::Sqlite, "DELETE FROM t INDEXED BY i WHERE id = 1"),
        (Dialect::Sqlite, "DELETE FROM t NOT INDEXED WHERE id = 1"),
        (Dialect::Sqlite, "DELETE FROM t WHERE id IN u"),
        (Dialect::Sqlite, "DELETE FROM t WHERE d < date('now')"),
        (Dialect::Sqlite, "DELETE FROM t WHERE d < date(?)"),
    ] {
        let told = analyse(dialect, sql).writes.iter().any(|write| write.filter.is_some());
        assert!(!told, "{dialect:?} {sql}");
    }
    for sql in ["DELETE FROM t WHERE a = 1; DELETE FROM u WHERE b = 2", "SELECT 1; DELETE FROM t WHERE a = 1"]
    {
        for dialect in ALL {
            let told = analyse(dialect, sql).writes.iter().any(|write| write.filter.is_some());
            assert!(!told, "{dialect:?} {sql}");
        }
    }
}

#[test]
fn what_the_rest_of_a_statement_calls_does_not_matter_to_its_condition() {
    let answer = analyse(Dialect::Postgres, "UPDATE t SET a = app_next() WHERE id = 1 RETURNING app_log(a)");
    assert_eq!(filter(&answer), Some(("id = 1", &[][..])));
    assert!(answer.writes_anything, "and the condition hides no call either");
    let answer = analyse(Dialect::Postgres, "UPDATE t SET a = 1 WHERE app_check(id)");
    assert!(answer.writes_anything);
}

#[test]
fn a_function_declared_pure_is_one() {
    let declared = PureFunctions::from(["slugify".into(), "app.rank".into()]);
    for (dialect, sql, wanted) in [
        (Dialect::Postgres, "SELECT slugify(a) FROM t", true),
        (Dialect::Postgres, "SELECT my_schema.SLUGIFY(a) FROM t", true),
        (Dialect::Postgres, "SELECT my_schema.\"slugify\"(a) FROM t", true),
        (Dialect::Postgres, "SELECT \"Slugify\"(a) FROM t", false),
        (Dialect::Postgres, "SELECT app.rank(a) FROM t", true),
        (Dialect::Postgres, "SELECT other.rank(a) FROM t", false),
        (Dialect::Postgres, "SELECT slugify(touch(a)) FROM t", false),
        (Dialect::MySql, "SELECT `Slugify`(a) FROM t", true),
        (Dialect::MySql, "SELECT db.slugify(a) FROM t", true),
        (Dialect::Sqlite, "SELECT a FROM t WHERE Slugify(a) = 'x'", true),
        (Dialect::Sqlite, "SELECT a FROM t WHERE slug(a) = 'x'", false),
    ] {
        let answer = analyse_with(dialect, sql, &declared);
        assert_eq!((answer.cacheable.is_ok(), answer.writes_anything), (wanted, !wanted), "{sql}");
    }
    let sql = "DELETE FROM t WHERE slugify(a) = $1";
    assert_eq!(filter(&analyse_with(Dialect::Postgres, sql, &declared)), Some(("slugify(a) = $1", &[0][..])));
    let builtin = PureFunctions::from(["now".into()]);
    assert!(analyse_with(Dialect::Postgres, "SELECT now() FROM t", &builtin).cacheable.is_err());
}

#[test]
fn a_write_that_returns_its_rows_says_so() {
    for sql in [
        "INSERT INTO t (a) VALUES (1) RETURNING *",
        "INSERT INTO t (a) SELECT b FROM u RETURNING a",
        "DELETE FROM t WHERE id = 1 RETURNING id, a",
        "DELETE FROM t RETURNING \"id\";",
    ] {
        for dialect in ALL {
            // To MySQL the last one's quotes are those of a literal.
            let literal = dialect == Dialect::MySql && sql.contains('"');
            assert_eq!(analyse(dialect, sql).returning, !literal, "{dialect:?} {sql}");
        }
    }
    for (dialect, sql) in [
        (Dialect::Postgres, "INSERT INTO t DEFAULT VALUES RETURNING id"),
        (Dialect::Postgres, "INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING RETURNING id"),
        (Dialect::Postgres, "UPDATE t SET a = DEFAULT FROM u WHERE t.b = u.b RETURNING t.*"),
        (Dialect::MySql, "REPLACE INTO `t` (`a`) VALUES (?) RETURNING `id`"),
        (Dialect::Sqlite, "UPDATE OR IGNORE t SET a = 1 RETURNING rowid"),
        (Dialect::Postgres, "UPDATE t AS x SET a = 1 FROM u RETURNING x.id, x.a AS a, b"),
        (
            Dialect::Postgres,
            "INSERT INTO t (a) VALUES (1) RETURNING \"id\", CAST(\"a\" AS text), CAST(t.b AS TEXT) AS b",
        ),
    ] {
        assert!(analyse(dialect, sql).returning, "{sql}");
    }
    // What comes back may not be what its name says.
    for (dialect, sql) in [
        (Dialect::Postgres, "UPDATE t SET a = 1 FROM u RETURNING *"),
        (Dialect::Postgres, "UPDATE t SET a = 1 FROM u RETURNING u.id"),
        (Dialect::Postgres, "UPDATE t AS u SET a = 1 FROM t RETURNING t.id"),
        (Dialect::Postgres, "UPDATE t SET a = 1 RETURNING old.id, new.a"),
        (Dialect::Postgres, "UPDATE t SET a = 1 RETURNING OLD.*"),
        (Dialect::Postgres, "DELETE FROM t USING u RETURNING *"),
        (Dialect::Postgres, "DELETE FROM t RETURNING id, CAST(a AS varchar(2))"),
        (Dialect::Postgres, "DELETE FROM t RETURNING id, CAST(a AS char)"),
        (Dialect::Postgres, "DELETE FROM t RETURNING id, a::int"),
        (Dialect::Postgres, "DELETE FROM t RETURNING id AS a"),
        (Dialect::Postgres, "DELETE FROM t RETURNING id \"a\""),
        (Dialect::Sqlite, "DELETE FROM t RETURNING 7 AS id"),
        (Dialect::Sqlite, "INSERT INTO t (a) VALUES (1) RETURNING 'id'"),
        (Dialect::MySql, "DELETE FROM t RETURNING id, upper(a) AS a"),
    ] {
        let answer = analyse(dialect, sql);
        assert!(!answer.returning && answer.answers_rows, "{sql}");
    }
    for (dialect, sql) in [
        (Dialect::Postgres, "INSERT INTO t (a) VALUES (1)"),
        (Dialect::Postgres, "INSERT INTO t (a) SELECT b AS returning FROM u"),
        (Dialect::Postgres, "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x"),
        (Dialect::Postgres, "WITH x AS (SELECT 1) DELETE FROM t RETURNING *"),
        (Dialect::Postgres, "DELETE FROM t RETURNING *; SELECT 1"),
        (Dialect::Postgres, "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE RETURNING *"),
        (Dialect::MySql, "INSERT INTO t (returning) VALUES (1)"),
        (Dialect::MySql, "INSERT INTO t SELECT a returning, b FROM u"),
        (Dialect::MySql, "DELETE FROM returning WHERE a = 1"),
        (Dialect::MySql, "INSERT INTO t SELECT * FROM u returning WHERE a = 1"),
    ] {
        assert!(!analyse(dialect, sql).returning, "{sql}");
    }
}
