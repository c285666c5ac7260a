//! Is the database a copy of another? Then what is loaded from it may be behind.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

// Without a schema, so that who cannot call the server's own may put another in its place.
const POSTGRES: &str = "SELECT CAST(pg_is_in_recovery() AS text) AS it";

/// The switch that keeps writers from a replica; newer servers call it by a word.
const MYSQL: &str = "SELECT CAST(@@GLOBAL.read_only AS CHAR) AS it";

/// Asks, in one round trip. SQLite has no copies that follow.
pub(super) async fn is_replica(db: &DatabaseConnection) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        DbBackend::MySql => MYSQL,
        DbBackend::Sqlite => return Ok(false),
        _ => POSTGRES,
    };
    let Some(row) = db.query_one_raw(Statement::from_string(backend, sql)).await? else { return Ok(false) };
    let text: String = row.try_get("", "it")?;
    Ok(!matches!(text.to_ascii_lowercase().as_str(), "0" | "off" | "false"))
}
