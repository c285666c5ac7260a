//! Which calls count as computing their answer from their arguments, and which look at the clock.

use super::{Analysis, Dialect, Uncacheable, analyse};

fn asked(dialect: Dialect, expression: &str) -> Analysis {
    analyse(dialect, &format!("SELECT {expression} FROM book"))
}

/// It may write, and its answer is not kept.
fn is_unknown(dialect: Dialect, expression: &str) -> bool {
    let answer = asked(dialect, expression);
    answer.writes_anything && matches!(answer.cacheable, Err(Uncacheable::UnknownFunction(_)))
}

#[test]
fn a_name_that_only_another_server_has_built_in_is_the_users_own() {
    let own = [
        (Dialect::Postgres, "hex glob ignore empty json instr ifnull sha1 isnull iif rlike datetime sounds"),
        (Dialect::MySql, "glob empty array_agg date_trunc ilike iif trunc generate_series zeroblob"),
        (Dialect::Sqlite, "empty array_agg date_trunc year md5 to_char json_table"),
    ];
    for (dialect, names) in own {
        for name in names.split(' ') {
            assert!(is_unknown(dialect, &format!("{name}(2)")), "{dialect:?} {name}");
        }
    }
}

#[test]
fn a_word_of_syntax_that_is_not_reserved_is_a_function_where_syntax_does_not_have_it() {
    let words = "search next first last year day month by key value of over filter columns rows sets cube \
        rollup cycle passing escape conflict partition set zone varying groups range ties without";
    for word in words.split_whitespace() {
        let pure = word == "cube";
        assert!(pure || is_unknown(Dialect::Postgres, &format!("{word}(2)")), "{word}");
        assert!(pure || is_unknown(Dialect::Postgres, &format!("id, {word}(2)")), "{word}");
    }
    let words = "search next first last path of filter columns sets cube rollup cycle passing escape conflict \
        zone groups without similar only unknown";
    for word in words.split_whitespace() {
        assert!(is_unknown(Dialect::MySql, &format!("{word}(2)")), "{word}");
    }
    for trick in
        ["DISTINCT ON (id) over(2)", "1 OPERATOR(pg_catalog.+) over(2)", "NOT ilike(id)", "operator(2)"]
    {
        assert!(is_unknown(Dialect::Postgres, trick), "{trick}");
    }
    let inside = "SELECT id FROM book WHERE shelf_id IN (SELECT id FROM search('t%'))";
    assert!(analyse(Dialect::Postgres, inside).writes_anything);
}

#[test]
fn a_word_of_syntax_in_its_place_calls_nothing() {
    let all = [
        "count(*) FILTER (WHERE id > 1) OVER (PARTITION BY (a), b ORDER BY (c))",
        "title ILIKE ('%a') AND title NOT ILIKE ('%b') AND title LIKE 'x' ESCAPE ('!')",
        "at AT TIME ZONE (zone) AND id = ANY (ARRAY[1]) AND (a, b) IN ((1, 2))",
        "1 OPERATOR(pg_catalog.+) (2)",
        "CAST(a AS character varying(3)), b::numeric(10, 2), varchar(9) 'x'",
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY id)",
    ];
    for expression in all {
        let answer = asked(Dialect::Postgres, expression);
        assert_eq!((answer.cacheable, answer.writes_anything), (Ok(()), false), "{expression}");
    }
    let grouped = "SELECT a FROM book GROUP BY a, (b), ROLLUP (c, d), GROUPING SETS ((a), CUBE (b, c))";
    assert_eq!(analyse(Dialect::Postgres, grouped).cacheable, Ok(()));
    let mysql =
        "MATCH (title) AGAINST ('x'), json_contains(a, '1') AND 1 MEMBER OF (a), CONVERT(a, DECIMAL(9, 2))";
    assert_eq!(asked(Dialect::MySql, mysql).cacheable, Ok(()));
    let sqlite = "title GLOB ('a*'), sum(id) FILTER (WHERE id > 1) OVER (ORDER BY (id)), title REGEXP ('x')";
    assert_eq!(asked(Dialect::Sqlite, sqlite).cacheable, Ok(()));
}

#[test]
fn quotes_make_a_word_of_syntax_the_name_of_a_function() {
    for call in ["\"coalesce\"(1)", "\"in\"(2)", "\"ABS\"(2)", "\"values\"(2)"] {
        assert!(is_unknown(Dialect::Postgres, call), "{call}");
    }
    assert_eq!(asked(Dialect::Postgres, "\"abs\"(id)").cacheable, Ok(()));
    assert!(is_unknown(Dialect::MySql, "`count`(id)"));
}

#[test]
fn words_that_mean_now_to_sqlite_are_found_alone_and_in_double_quotes() {
    let clocks = [
        "unixepoch('subsec')",
        "strftime('%s', 'subsecond')",
        "date(\"now\")",
        "datetime(\"now\", \"localtime\")",
        "strftime('%f', \" NOW \")",
    ];
    for expression in clocks {
        let answer = asked(Dialect::Sqlite, expression);
        assert!(matches!(answer.cacheable, Err(Uncacheable::Volatile(_))), "{expression}");
    }
    assert_eq!(asked(Dialect::Sqlite, "date(\"at\"), \"now\"").cacheable, Ok(()));
}

#[test]
fn a_function_that_runs_a_text_may_write_unless_the_text_is_there_and_does_not() {
    for (call, reads_only) in [
        ("query_to_xml('SELECT 1 FROM t', true, false, '')", true),
        ("query_to_xml('SELECT touch()', true, false, '')", false),
        (
            "query_to_xml('SELECT query_to_xml(''SELECT touch()'', true, false, '''')', true, false, '')",
            false,
        ),
        ("query_to_xml('SELECT ' || 'touch()', true, false, '')", false),
        ("query_to_xml($1, true, false, '')", false),
        ("ts_stat('SELECT to_tsvector(touch()::text)')", false),
        ("table_to_xml('a_view', true, false, '')", false),
    ] {
        let answer = analyse(Dialect::Postgres, &format!("SELECT * FROM {call}"));
        assert_eq!(answer.is_read_only(), reads_only, "{call}");
        assert!(answer.cacheable.is_err(), "{call}");
    }
}
