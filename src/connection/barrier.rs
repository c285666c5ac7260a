//! The barrier around a COMMIT: armed before it is sent, and never committed behind.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};

use crate::{
    freshness::{NewRow, PurgeTicket},
    store::StoreError,
};

/// Leaves the barrier that has to stand before the transaction is committed.
///
/// A process that stands still between here and the COMMIT, for longer than the barrier lives, must
/// not commit behind it. PostgreSQL ends the session then: it is told to end one that is idle in a
/// transaction for half of that life, and when this returns the other half at least is left.
///
/// `new_rows` are what it has written and is to be stored with the purge.
///
/// # Errors
/// The barrier could not be left and writes are to be refused then. Nothing is committed.
pub(super) async fn guard_commit(
    ticket: &mut PurgeTicket,
    transaction: &DatabaseTransaction,
    mut new_rows: Vec<NewRow>,
) -> Result<(), DbErr> {
    let limit = ticket.barrier_life() / 2;
    let mut limits = transaction.get_database_backend() == DbBackend::Postgres && ticket.leaves_barriers();
    loop {
        let rows = std::mem::take(&mut new_rows);
        if limits {
            let text = limit_of(limit);
            let limit = transaction.execute_unprepared(&text);
            let (armed, limited) = futures_util::future::join(ticket.arm_with(rows), limit).await;
            armed.map_err(refused)?;
            if let Err(error) = limited {
                // A transaction that has failed already: its COMMIT will say what became of it.
                tracing::debug!(%error, "the time limit of a transaction could not be set");
            }
            // Once is enough, and a database that is slow must not wear out one barrier after the other.
            limits = false;
        } else {
            ticket.arm_with(rows).await.map_err(refused)?;
        }
        if !ticket.is_worn() {
            return Ok(());
        }
    }
}

/// For the transaction that it is sent in; a server that does not know the setting is left alone.
fn limit_of(limit: Duration) -> String {
    let millis = limit.as_millis();
    format!(
        "SELECT set_config('idle_in_transaction_session_timeout', '{millis}ms', true) \
         WHERE current_setting('idle_in_transaction_session_timeout', true) IS NOT NULL"
    )
}

/// The error of a write that was refused.
pub(super) fn refused(error: StoreError) -> DbErr {
    DbErr::Custom(format!(
        "sea-orm-cache refused this write, and nothing was written: {error}; \
         `on_outage(OnOutage::AllowWrites)` would let it through"
    ))
}

/// May the database execute the statement, or the COMMIT, after this error? Not if it is the database's
/// own answer. Whatever else it is (a connection that broke, a time limit), nobody knows.
pub(super) fn is_in_doubt(error: &DbErr) -> bool {
    // The driver's words for an error that the server sent. Should they change, more is in doubt.
    error.sql_err().is_none() && !error.to_string().contains("error returned from database")
}
