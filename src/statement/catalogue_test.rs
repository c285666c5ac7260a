//! The list of pure functions against what a PostgreSQL server says of its own, with all extensions
//! that it can load, and the words of syntax against what it says of its keywords.

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DbErr, Statement, TransactionSession, TransactionTrait,
};

use super::function::{Class, class, is_reserved_word};
use super::{Dialect, analyse};

async fn names(db: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

async fn load(tx: &impl TransactionTrait, extension: &str) -> Result<(), DbErr> {
    let savepoint = tx.begin().await?;
    let create = format!("CREATE EXTENSION IF NOT EXISTS \"{extension}\" CASCADE");
    match savepoint.execute_unprepared(&create).await {
        Ok(_) => savepoint.commit().await,
        // Some want a setting of the server, or the superuser.
        Err(_) => savepoint.rollback().await,
    }
}

async fn server() -> Option<DatabaseConnection> {
    let Ok(url) = std::env::var("SEA_ORM_CACHE_TEST_POSTGRES") else {
        let required = std::env::var("SEA_ORM_CACHE_TEST_REQUIRE").is_ok_and(|value| value == "1");
        assert!(!required, "SEA_ORM_CACHE_TEST_REQUIRE=1, and no PostgreSQL server");
        skip();
        return None;
    };
    Some(Database::connect(url).await.unwrap())
}

#[allow(clippy::print_stderr)]
fn skip() {
    eprintln!("skipped: SEA_ORM_CACHE_TEST_POSTGRES is not set");
}

// case E9
#[tokio::test]
async fn no_function_that_postgresql_calls_volatile_is_taken_for_pure() {
    let Some(db) = server().await else { return };
    // What is loaded goes with the transaction.
    let tx = db.begin().await.unwrap();
    for extension in names(&tx, "SELECT name::text FROM pg_available_extensions ORDER BY name").await {
        load(&tx, &extension).await.unwrap();
    }
    let volatile = names(&tx, "SELECT DISTINCT proname::text FROM pg_proc WHERE provolatile = 'v'").await;
    tx.rollback().await.unwrap();
    assert!(volatile.iter().any(|name| name == "random"), "{volatile:?}");
    let pure = |name: &&String| matches!(class(Dialect::Postgres, name), Class::Pure | Class::Clock);
    assert_eq!(volatile.iter().filter(pure).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn no_word_that_postgresql_lets_users_call_is_taken_for_syntax() {
    let Some(db) = server().await else { return };
    // Unreserved, or reserved but for names of functions.
    let free = "SELECT word::text FROM pg_get_keywords() WHERE catcode IN ('U', 'T')
        AND word NOT IN (SELECT proname FROM pg_catalog.pg_proc)";
    let free = names(&db, free).await;
    assert!(free.iter().any(|word| word == "search") && free.iter().any(|word| word == "ilike"), "{free:?}");
    // Functions of usual extensions.
    let known = ["cube", "each"];
    let wrong = |word: &&String| {
        let called = analyse(Dialect::Postgres, &format!("SELECT id, {word}(2) FROM book"));
        !known.contains(&word.as_str())
            && (!called.writes_anything || is_reserved_word(Dialect::Postgres, word))
    };
    assert_eq!(free.iter().filter(wrong).collect::<Vec<_>>(), [""; 0]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn what_is_taken_for_a_word_of_postgresqls_syntax_is_reserved_there() {
    let Some(db) = server().await else { return };
    let others = "SELECT word::text FROM pg_get_keywords() WHERE catcode IN ('U', 'T')";
    let others = names(&db, others).await;
    let reserved = |word: &&String| is_reserved_word(Dialect::Postgres, word);
    assert_eq!(others.iter().filter(reserved).collect::<Vec<_>>(), [""; 0]);
    db.close().await.unwrap();
}
