//! One test for each promise of the analysis that the corpus does not spell out.

use super::{Analysis, Dialect, Kind, Operand, Scope, TransactionVerb, Uncacheable, Verb, analyse};

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite];

fn postgres(sql: &str) -> Analysis {
    analyse(Dialect::Postgres, sql)
}

fn mysql(sql: &str) -> Analysis {
    analyse(Dialect::MySql, sql)
}

fn sqlite(sql: &str) -> Analysis {
    analyse(Dialect::Sqlite, sql)
}

fn reads(answer: &Analysis) -> Vec<String> {
    answer.reads.iter().map(|read| read.table.to_string()).collect()
}

fn writes(answer: &Analysis) -> Vec<String> {
    answer.writes.iter().map(|w| w.table.to_string()).collect()
}

/// The keys of the only write, as `1` or `$1`, tuples joined by a slash.
fn keys(answer: &Analysis, columns: &[&str]) -> Option<Vec<String>> {
    assert_eq!(answer.writes.len(), 1, "{answer:?}");
    spelled(&answer.writes[0].scope, columns)
}

fn spelled(scope: &Scope, columns: &[&str]) -> Option<Vec<String>> {
    let one = |operand: &&Operand| match operand {
        Operand::Bound(at) => format!("${}", at + 1),
        Operand::Integer(n) => n.to_string(),
        Operand::Text(text) => format!("'{text}'"),
        Operand::Other => "?".to_owned(),
    };
    let keys = scope.keys(columns)?;
    Some(keys.iter().map(|tuple| tuple.iter().map(one).collect::<Vec<_>>().join("/")).collect())
}

// case D4
#[test]
fn a_changed_key_is_not_pinned_but_its_old_and_new_value_are_told() {
    let answer = postgres("UPDATE book SET id = $1 WHERE id = $2");
    assert_eq!(keys(&answer, &["id"]), None);
    let write = &answer.writes[0];
    assert_eq!(write.before[0].alternatives, [[Operand::Bound(1)]]);
    assert_eq!(write.assigned.as_ref().unwrap()[0].value, Operand::Bound(0));
    assert!(write.assigns("ID") && !write.assigns("title"));
}

// case D5 D6
#[test]
fn a_row_that_moves_between_filters_names_both_values_of_the_column() {
    let answer = mysql("UPDATE `book` SET `shelf_id` = ? WHERE `id` = ? AND `shelf_id` = 3");
    assert_eq!(keys(&answer, &["id"]).unwrap(), ["$2"]);
    assert_eq!(keys(&answer, &["shelf_id"]), None, "the column is not what it was");
    let write = &answer.writes[0];
    assert_eq!(write.before[0].alternatives, [[Operand::Integer(3)]]);
    assert_eq!(write.assigned.as_ref().unwrap()[0].value, Operand::Bound(0));
}

// case D7 D21
#[test]
fn an_update_by_expression_assigns_a_value_that_is_not_told() {
    let answer = sqlite("UPDATE t SET n = n + 1 WHERE id = 4");
    assert_eq!(answer.writes[0].assigned.as_ref().unwrap()[0].value, Operand::Other);
    assert_eq!(keys(&answer, &["id"]).unwrap(), ["4"]);
}

// case D1
#[test]
fn an_upsert_is_pinned_only_by_the_columns_it_conflicts_on() {
    let sql = "INSERT INTO t (id, email) VALUES (1, 'a'), (2, 'b') ON CONFLICT (email) DO UPDATE SET n = 1";
    let answer = postgres(sql);
    assert_eq!(answer.writes[0].verb, Verb::Upsert);
    assert_eq!(keys(&answer, &["id"]), None, "the row with that e-mail may have another key");
    assert_eq!(keys(&answer, &["email"]).unwrap(), ["'a'", "'b'"]);
    assert!(answer.writes[0].assigns("n") && !answer.writes[0].assigns("email"));
    let several = "INSERT INTO t (a, b, c) VALUES (1, 2, 3) ON CONFLICT (b, a) DO UPDATE SET c = 9";
    assert_eq!(keys(&postgres(several), &["a", "b"]).unwrap(), ["1/2"]);
    assert_eq!(keys(&postgres(several), &["c"]), None);
    assert_eq!(keys(&mysql("INSERT INTO t (id) VALUES (1) ON DUPLICATE KEY UPDATE n = 2"), &["id"]), None);
    assert_eq!(keys(&sqlite("INSERT OR REPLACE INTO t (id) VALUES (1)"), &["id"]), None);
    let select = postgres("INSERT INTO t (id) SELECT id FROM u ON CONFLICT (id) DO UPDATE SET n = 1");
    assert_eq!(select.writes[0].verb, Verb::Upsert);
    assert!(select.writes[0].assigns("n"));
}

// case D1
#[test]
fn an_insert_is_pinned_by_its_rows_unless_the_server_makes_up_the_key() {
    assert_eq!(keys(&mysql("INSERT INTO t SET id = 4, a = ?"), &["id"]).unwrap(), ["4"]);
    assert_eq!(keys(&mysql("INSERT INTO t (id) VALUES (0)"), &["id"]), None, "the next number");
    assert_eq!(keys(&postgres("INSERT INTO t (id) OVERRIDING USER VALUE VALUES (1)"), &["id"]), None);
    assert_eq!(keys(&postgres("INSERT INTO t (id) VALUES (1) UNION SELECT id FROM u"), &["id"]), None);
    assert_eq!(keys(&postgres("INSERT INTO t (id, a) VALUES (1)"), &["id"]), None);
}

#[test]
fn composite_keys_are_multiplied_out_up_to_the_limit() {
    let answer = postgres("DELETE FROM t WHERE a IN (1, 2) AND b IN (3, 4) AND c = 'x'");
    assert_eq!(keys(&answer, &["a", "b"]).unwrap(), ["1/3", "1/4", "2/3", "2/4"]);
    assert_eq!(keys(&answer, &["c", "A"]).unwrap(), ["'x'/1", "'x'/2"]);
    assert_eq!(keys(&answer, &["a", "d"]), None);
    assert_eq!(keys(&answer, &[]), None);
    let many: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let many = many.join(", ");
    let sql = format!("DELETE FROM t WHERE a IN ({many}) AND b IN ({many})");
    assert_eq!(keys(&postgres(&sql), &["a"]).unwrap().len(), 40);
    assert_eq!(keys(&postgres(&sql), &["a", "b"]), None, "1,600 keys");
}

// case D3 D28
#[test]
fn a_condition_that_might_let_other_rows_through_pins_nothing() {
    let conditions = [
        "id = 1 OR a = 2",
        "NOT (id = 1)",
        "id = 1 = 2",
        "id <> 1",
        "id = id",
        "id = 1.0",
        "id = 1 + 1",
        "-id = 1",
        "other.id = 1",
        "id = (SELECT 1)",
        "id IN (SELECT 1)",
        "id IN (1, f(2))",
        "(id = 1) IS NULL",
        "id = NULL",
        "CASE WHEN id = 1 THEN 1 END = 1",
        "a BETWEEN 1 AND id = 1",
        "id = 1 IS NULL",
        "a = 1 AND (id = 1 OR b = 2)",
        "coalesce(id, 1) = 1",
        "(id, a) = (1, f(2))",
        "(id, f(a)) = (1, 2)",
        "id = ALL (SELECT 1)",
        "id LIKE 'a'",
    ];
    for dialect in ALL {
        for condition in conditions {
            let answer = analyse(dialect, &format!("DELETE FROM t WHERE {condition}"));
            assert_eq!(keys(&answer, &["id"]), None, "{dialect:?} {condition}");
        }
    }
    for condition in
        ["id = 1 || a", "id = 1 XOR a = 2", "id = \"a\"", "id = 1 /*!80000 OR a = 1 */", "id = 1 && a"]
    {
        assert_eq!(keys(&mysql(&format!("DELETE FROM t WHERE {condition}")), &["id"]), None, "{condition}");
    }
}

// case D25
#[test]
fn a_conditional_comment_is_read_both_ways() {
    let answer = mysql("DELETE FROM t /*!99999 WHERE id = 1 */");
    assert_eq!(keys(&answer, &["id"]), None, "an older server deletes all");
    let answer = mysql("SELECT a FROM /*!80000 t */ /*M! u */");
    assert_eq!(
        (answer.kind, answer.writes_anything),
        (Kind::Other, true),
        "no table, or two, on some servers"
    );
    // Where a literal holds the comment's end, running and skipping it read the rest differently.
    assert!(mysql("SELECT 1 FROM t /*!80000 WHERE a = '*/ ' */").writes_anything);
    // Bound values are counted in each reading.
    let answer = mysql("DELETE FROM t WHERE a = /*!80000 ? + */ ? AND id = ?");
    assert!(answer.writes.iter().all(|w| w.scope.keys(&["id"]).is_none()));
}

// case D8
#[test]
fn transaction_control_among_writes_is_listed_and_the_writes_too() {
    let answer = postgres("UPDATE a SET x = 1; COMMIT; BEGIN; DELETE FROM b WHERE id = 1");
    assert_eq!(answer.kind, Kind::Write);
    assert_eq!(answer.transaction, [TransactionVerb::Commit, TransactionVerb::Begin]);
    assert_eq!(writes(&answer), ["a", "b"]);
    assert_eq!(spelled(&answer.writes[1].scope, &["id"]).unwrap(), ["1"]);
    let chain = postgres("COMMIT AND CHAIN");
    assert_eq!(chain.transaction, [TransactionVerb::Commit, TransactionVerb::Begin]);
    assert_eq!(postgres("COMMIT AND NO CHAIN").transaction, [TransactionVerb::Commit]);
    let unknown = postgres("DELETE FROM a; FROBNICATE b; COMMIT");
    assert_eq!((unknown.kind, unknown.writes_anything), (Kind::Other, true));
    assert_eq!(unknown.transaction, [TransactionVerb::Commit]);
}

#[test]
fn every_verb_of_transaction_control_is_told_apart() {
    let verb = |dialect, sql| match analyse(dialect, sql).kind {
        Kind::Transaction(verb) => verb,
        other => panic!("{sql}: {other:?}"),
    };
    for (sql, wanted) in [
        ("BEGIN", TransactionVerb::Begin),
        ("START TRANSACTION READ WRITE", TransactionVerb::Begin),
        ("commit work", TransactionVerb::Commit),
        ("ROLLBACK", TransactionVerb::Rollback),
        ("ROLLBACK WORK TO SAVEPOINT a", TransactionVerb::RollbackTo),
        ("ROLLBACK TO a", TransactionVerb::RollbackTo),
        ("SAVEPOINT a", TransactionVerb::Savepoint),
        ("RELEASE SAVEPOINT a", TransactionVerb::Release),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", TransactionVerb::Other),
    ] {
        for dialect in ALL {
            assert_eq!(verb(dialect, sql), wanted, "{sql}");
        }
    }
    assert_eq!(verb(Dialect::Postgres, "PREPARE TRANSACTION 'a'"), TransactionVerb::Prepare);
    assert_eq!(verb(Dialect::Postgres, "COMMIT PREPARED 'a'"), TransactionVerb::CommitPrepared);
    assert!(postgres("COMMIT PREPARED 'a'").writes_anything);
    assert_eq!(verb(Dialect::MySql, "SET autocommit = 1"), TransactionVerb::Autocommit);
    assert_eq!(verb(Dialect::MySql, "SET @@session.autocommit = 0"), TransactionVerb::Autocommit);
}

#[test]
fn what_commits_on_the_side_in_mysql_says_so() {
    for sql in ["CREATE TABLE t (a INT)", "TRUNCATE t", "LOCK TABLES t READ", "BEGIN", "OPTIMIZE TABLE t"] {
        assert!(mysql(sql).implicit_commit, "{sql}");
        assert!(!postgres(sql).implicit_commit, "{sql}");
    }
    assert!(!mysql("DELETE FROM t").implicit_commit);
}

// case D12
#[test]
fn a_cascade_that_the_text_does_not_follow_writes_anything() {
    assert!(postgres("TRUNCATE t CASCADE").writes_anything);
    assert!(postgres("DROP TABLE t CASCADE").writes_anything);
    assert!(!postgres("TRUNCATE t, u RESTRICT").writes_anything);
}

// case D15
#[test]
fn an_unknown_function_may_write_wherever_it_is_called() {
    for sql in [
        "UPDATE t SET a = my_func(b) WHERE id = 1",
        "DELETE FROM t WHERE my_func(a)",
        "INSERT INTO t VALUES (f(1))",
    ] {
        for dialect in ALL {
            let answer = analyse(dialect, sql);
            assert_eq!((answer.kind, answer.writes_anything), (Kind::Write, true), "{sql}");
            assert!(answer.why_anything.unwrap().contains("function"));
        }
    }
    let answer = postgres("SELECT app.touch(id) FROM t");
    assert_eq!(answer.cacheable, Err(Uncacheable::UnknownFunction("app.touch".into())));
    // A definition does not run what it defines.
    assert!(!postgres("CREATE VIEW v AS SELECT my_func(a) FROM t").writes_anything);
    assert!(postgres("CREATE MATERIALIZED VIEW v AS SELECT my_func(a) FROM t").writes_anything);
    assert!(!postgres("SELECT x::numeric(10, 2), CAST(x AS app.money(3)) FROM t").writes_anything);
}

// case D9
#[test]
fn a_write_in_a_with_clause_is_found_at_any_depth() {
    let sql = "WITH a AS (WITH b AS (DELETE FROM t RETURNING *) SELECT * FROM b) SELECT * FROM a, u";
    let answer = postgres(sql);
    assert_eq!((writes(&answer), reads(&answer)), (vec!["t".to_owned()], vec!["u".to_owned()]));
    assert_eq!(answer.kind, Kind::Write);
    assert!(answer.cacheable.is_err());
}

// case D14
#[test]
fn a_copy_of_a_query_that_writes_is_a_write() {
    let answer = postgres("COPY (DELETE FROM t WHERE id = 1 RETURNING *) TO STDOUT");
    assert_eq!((answer.kind, writes(&answer)), (Kind::Write, vec!["t".to_owned()]));
}

// case D23 D24
#[test]
fn words_that_could_be_a_modifier_or_a_table_do_not_hide_the_table() {
    assert_eq!(writes(&mysql("DELETE FROM only x WHERE x.id = 1")), ["only"]);
    assert_eq!(writes(&postgres("DELETE FROM only x WHERE x.id = 1")), ["x"]);
    assert_eq!(reads(&sqlite("SELECT * FROM t offset, u")), ["t", "u"]);
    assert_eq!(reads(&sqlite("SELECT * FROM t window, u")), ["t", "u"]);
    assert_eq!(reads(&postgres("SELECT * FROM t set, u")), ["t", "u"]);
    assert_eq!(
        reads(&postgres("SELECT * FROM t JOIN conflict ON conflict.id = t.id, u")),
        ["t", "conflict", "u"]
    );
    assert_eq!(reads(&mysql("SELECT * FROM t lock_, u")), ["t", "u"]);
    assert_eq!(reads(&sqlite("SELECT * FROM 't', \"u\", [v], `w`")), ["t", "u", "v", "w"]);
    assert_eq!(reads(&mysql("SELECT * FROM \"t\"")), ["t"], "under ANSI_QUOTES");
}

// case D23
#[test]
fn a_name_before_insert_returning_belongs_to_the_statement_not_to_its_source() {
    let answer =
        sqlite("INSERT INTO t (a) WITH u AS (SELECT 1 AS a) SELECT a FROM u RETURNING (SELECT a FROM u)");
    assert_eq!(reads(&answer), ["u"], "the real u, behind the source");
}

// case E6
#[test]
fn a_with_name_hides_a_table_only_where_it_can_be_seen() {
    assert_eq!(reads(&postgres("WITH t AS (SELECT 1) SELECT * FROM public.t")), ["public.t"]);
    assert_eq!(reads(&postgres("WITH \"T\" AS (SELECT 1) SELECT * FROM t")), ["t"]);
    assert_eq!(reads(&postgres("WITH T AS (SELECT 1) SELECT * FROM t")), Vec::<String>::new());
    assert_eq!(reads(&mysql("WITH T AS (SELECT 1) SELECT * FROM t")), ["t"], "names may differ by case");
    assert_eq!(reads(&postgres("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a")), ["b"]);
}

// case E1
#[test]
fn the_read_scope_is_told_only_for_one_table_and_nothing_else() {
    let scope = |sql: &str| spelled(postgres(sql).read_scope(), &["id"]);
    assert_eq!(scope("SELECT * FROM t WHERE t.id = $1").unwrap(), ["$1"]);
    assert_eq!(scope("SELECT * FROM t x WHERE x.id IN (1, 2) ORDER BY a").unwrap(), ["1", "2"]);
    for sql in [
        "SELECT * FROM t, u WHERE t.id = 1",
        "SELECT * FROM t WHERE id = 1 AND a = (SELECT max(a) FROM t)",
        "SELECT * FROM t WHERE id = 1 AND EXISTS (SELECT 1 FROM u)",
        "SELECT * FROM t WHERE id = 1 UNION SELECT * FROM t",
        "SELECT * FROM (SELECT * FROM t) x WHERE id = 1",
        "SELECT * FROM t, generate_series(1, 2) WHERE id = 1",
        "WITH t AS (SELECT 1 AS id) SELECT * FROM t WHERE id = 1",
        "SELECT * FROM t WHERE id = 1; SELECT 1",
    ] {
        assert_eq!(scope(sql), None, "{sql}");
    }
}

// case E8 E9 E17 E28
#[test]
fn a_select_that_is_not_cached_says_why() {
    for (dialect, sql, wanted) in [
        (Dialect::Postgres, "SELECT * FROM t FOR UPDATE", "it locks the rows it reads"),
        (Dialect::Postgres, "SELECT now(), a FROM t", "now answers differently each time"),
        (Dialect::Postgres, "SELECT * FROM t WHERE a = current_user", "current_user depends on the session"),
        (Dialect::Postgres, "SELECT 1", "it reads no table, so no write would purge it"),
        (Dialect::Postgres, "SELECT * FROM pg_class", "pg_class describes the database itself"),
        (Dialect::Postgres, "SELECT * FROM t AS OF SYSTEM TIME '-1s'", "it reads a past version of the rows"),
        (Dialect::Postgres, "SELECT a FROM t; SELECT b FROM t", "the text holds several statements"),
        (Dialect::Postgres, "DELETE FROM t", "it is not a select"),
        (Dialect::MySql, "SELECT SQL_NO_CACHE a FROM t", "the statement asks not to be cached"),
        (
            Dialect::MySql,
            "SELECT a FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01' AS x",
            "it reads a past version of the rows",
        ),
        (Dialect::MySql, "SELECT * FROM t WHERE a = @v", "@v depends on the session"),
        (Dialect::Sqlite, "SELECT * FROM t WHERE d > date('now')", "'now' answers differently each time"),
    ] {
        let answer = analyse(dialect, sql);
        assert_eq!(answer.cacheable.unwrap_err().to_string(), wanted, "{sql}");
        assert!(answer.writes.len() <= 1 && !answer.writes_anything, "{sql}");
    }
    let bound = sqlite("SELECT * FROM t WHERE d > date(?, '-1 day')");
    assert!(bound.cacheable.is_err(), "the bound value may be 'now'");
}

// case D8
#[test]
fn what_stands_in_a_samples_arguments_is_seen() {
    for arguments in [
        "SYSTEM (a_function())",
        "SYSTEM (5) REPEATABLE (a_function())",
        "SYSTEM (5) REPEATABLE ((SELECT a_function() FROM u))",
    ] {
        let answer = postgres(&format!("SELECT a FROM t TABLESAMPLE {arguments}"));
        let of_select = postgres("SELECT a_function() FROM t");
        assert_eq!(
            (answer.writes_anything, answer.kind),
            (of_select.writes_anything, of_select.kind),
            "{arguments}"
        );
        assert!(answer.cacheable.is_err(), "{arguments}");
    }
    let write = "(WITH x AS (DELETE FROM u RETURNING a) SELECT a FROM x)";
    let answer = postgres(&format!("SELECT a FROM t TABLESAMPLE SYSTEM (5) REPEATABLE ({write})"));
    assert_eq!(writes(&answer), ["u"]);
}

// case D8 D25
#[test]
fn literals_end_where_the_server_ends_them() {
    // PostgreSQL: a literal with escapes goes on, with escapes, on the next line.
    let answer = postgres("SELECT E'a'\n'\\'; DELETE FROM t; --' FROM u");
    assert_eq!((reads(&answer), answer.is_read_only()), (vec!["u".to_owned()], true));
    // A line comment ends at a carriage return there, not so elsewhere.
    assert_eq!(writes(&postgres("SELECT 1 -- \r; DELETE FROM t")), ["t"]);
    assert!(mysql("SELECT 1 -- \r; DELETE FROM t").is_read_only());
    assert_eq!(writes(&postgres("SELECT 'a\\'; DELETE FROM t; --'")), ["t"]);
    assert!(mysql("SELECT 'a\\'; DELETE FROM t; --'").is_read_only());
    assert!(postgres("SELECT U&\"d\\0061t\" FROM t").writes_anything, "a name that is spelled in code");
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        for sql in
            ["SELECT 1 \0; DELETE FROM t", "SELECT 'a\0' FROM t", "SELECT a /* \0 */ FROM t WHERE a = 1"]
        {
            assert!(analyse(dialect, sql).writes_anything, "the server takes it to end there: {sql:?}");
        }
    }
}

#[test]
fn a_folded_name_is_bare_and_lower_case() {
    let answer = postgres("SELECT * FROM \"Shop\".\"Été\"");
    assert_eq!(answer.reads[0].table.to_string(), "Shop.Été");
    assert_eq!(answer.reads[0].table.fold(), "été");
}

// case D3
#[test]
fn a_word_that_is_a_value_is_no_column() {
    let sqls = [
        "t WHERE user = $1",
        "t WHERE 'x' = CURRENT_USER",
        "t WHERE TRUE = $1",
        "t WHERE (a, user) = (1, 2)",
    ];
    for sql in sqls {
        let write = postgres(&format!("DELETE FROM {sql}")).writes.remove(0);
        assert_eq!(write.scope, Scope::Unknown, "{sql}");
    }
    assert_eq!(keys(&postgres("DELETE FROM t WHERE \"user\" = $1"), &["user"]).unwrap(), ["$1"]);
    assert_eq!(keys(&postgres("DELETE FROM t WHERE t.user = $1"), &["user"]).unwrap(), ["$1"]);
    assert_eq!(keys(&mysql("DELETE FROM t WHERE user = ?"), &["user"]).unwrap(), ["$1"]);
}

// case E9
#[test]
fn a_call_without_parentheses_is_no_table() {
    for sql in ["SELECT * FROM user", "SELECT t.a FROM t, current_user", "SELECT * FROM localtime x"] {
        assert!(postgres(sql).cacheable.is_err(), "{sql}");
    }
    assert!(postgres("SELECT * FROM \"user\"").cacheable.is_ok());
    assert!(mysql("SELECT * FROM user").cacheable.is_ok());
}

// case D1 D5
#[test]
fn a_column_that_is_named_twice_has_no_value_that_is_told() {
    let sql = "INSERT INTO t (id, ID) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET a = 3";
    assert_eq!(keys(&sqlite(sql), &["id"]), None);
    assert_eq!(keys(&sqlite("INSERT INTO t (id, a, a) VALUES (1, 2, 3)"), &["id"]), None);
    for dialect in ALL {
        let write = analyse(dialect, "UPDATE t SET a = 1, b = 2, A = 3 WHERE id = 4").writes.remove(0);
        let values: Vec<Operand> = write.assigned.unwrap().into_iter().map(|a| a.value).collect();
        assert_eq!(values, [Operand::Other, Operand::Integer(2), Operand::Other], "{dialect:?}");
    }
}

#[test]
fn a_new_table_may_be_called_like_its_modifiers() {
    for (sql, wanted) in [
        ("SELECT a INTO temp FROM t", Some("temp")),
        ("SELECT a INTO TEMP x FROM t", Some("x")),
        ("SELECT a INTO UNLOGGED TABLE x FROM t", Some("x")),
        ("SELECT a INTO LOCAL TEMPORARY TABLE x FROM t", Some("x")),
        ("SELECT a INTO temp WHERE true", Some("temp")),
        // A word of which we do not know whether the server lets it be a name.
        ("SELECT a INTO TEMP materialized FROM t", None),
    ] {
        let answer = postgres(sql);
        assert_eq!(answer.writes.first().map(|write| &*write.table.name), wanted, "{sql}");
        assert_eq!(answer.writes_anything, wanted.is_none(), "{sql}");
    }
}

#[test]
fn a_name_that_postgresql_cuts_off_may_be_any_table() {
    let long = "t".repeat(64);
    for sql in [format!("DELETE FROM {long} WHERE id = 1"), format!("SELECT * FROM s.\"{long}\"")] {
        let answer = postgres(&sql);
        assert!(answer.writes_anything && answer.cacheable.is_err(), "{sql}");
        assert!(
            !mysql(&sql.replace('"', "`")).writes_anything,
            "elsewhere it is an error, or all of the name"
        );
        assert!(!postgres(&sql.replacen('t', "", 2)).writes_anything, "the longest there is");
    }
    assert_eq!(keys(&postgres(&format!("UPDATE t SET a = 1 WHERE {long} = 2")), &[&long]), None);
    assert!(postgres(&format!("UPDATE t SET {long} = 1")).writes_anything);
    assert!(postgres(&format!("SELECT a AS {long} FROM t")).cacheable.is_ok());
}
