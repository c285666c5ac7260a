//! The list of pure functions against what a PostgreSQL server says of its own, with all extensions
//! that it can load.

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DbErr, Statement, TransactionSession, TransactionTrait,
};

use super::Dialect;
use super::function::{Class, class};

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
