//! The wrapper's own questions around a write in a transaction.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};

use super::CachedTransaction;
use crate::connection::{
    images::{Image, Selected},
    plan::Plan,
};

impl CachedTransaction {
    /// Reads the rows once more, after the write, if it computed what has to be known.
    pub(super) async fn select_after(
        &self,
        plan: &Plan,
        before: Option<&[Image]>,
    ) -> Result<Option<Vec<Image>>, DbErr> {
        let (Some(select), Some(policy), Some(before)) = (plan.pre_select(), plan.policy(), before) else {
            return Ok(None);
        };
        let Some(after) = select.after(before) else { return Ok(None) };
        Ok(select.images(&self.inner.query_all_raw(after).await?, policy))
    }

    /// Reads the rows that a write will touch, and those that the database will touch because of them, if
    /// there is something to be gained by it.
    pub(super) async fn select_before(&self, plan: &Plan) -> Result<Selected, DbErr> {
        let (Some(select), Some(policy)) = (plan.pre_select(), plan.policy()) else {
            return Ok(Selected::default());
        };
        // Without a transaction around both, the write may find other rows.
        if self.writes.has_ended() {
            return Ok(Selected::default());
        }
        if let Some(lock) = &select.lock_first {
            self.inner.execute_unprepared(lock).await?;
        }
        let Some(rows) = self.select(&select.statement).await? else { return Ok(Selected::default()) };
        let before = select.images(&rows, policy);
        let below = match plan.descent(&rows, before.as_deref()) {
            None => None,
            Some(mut descent) => {
                while let Some(statement) = descent.next() {
                    descent.take(self.select(&statement).await?.as_deref());
                }
                descent.finish()
            }
        };
        Ok(Selected { before, after: None, below })
    }

    /// A select of ours; `None` if the database would not have it.
    async fn select(&self, statement: &Statement) -> Result<Option<Vec<QueryResult>>, DbErr> {
        let proven = &self.seen.proven;
        if proven.knows(&statement.sql) {
            // The write would not have fared better: it takes the same locks. And the error may have
            // ended the transaction.
            return Ok(Some(self.inner.query_all_raw(statement.clone()).await?));
        }
        let rows = self.select_unproven(statement).await?;
        if rows.is_some() {
            proven.learn(&statement.sql);
        }
        Ok(rows)
    }

    /// The first time a text is sent, it is sent in a savepoint: an error of ours must not be the end
    /// of the user's transaction, and if it is that of the transaction itself, the savepoint is gone.
    async fn select_unproven(&self, select: &Statement) -> Result<Option<Vec<QueryResult>>, DbErr> {
        // By text: a nested transaction of SeaORM's would count one that the user has ended by text.
        if let Err(error) = self.inner.execute_unprepared("SAVEPOINT sea_orm_cache").await {
            // In PostgreSQL the statement will say the same, if it is not on its own.
            return if select.db_backend == DbBackend::Postgres { Ok(None) } else { Err(error) };
        }
        let result = self.inner.query_all_raw(select.clone()).await;
        if let Err(error) = &result {
            tracing::warn!(%error, "the rows of a write could not be read before it: purging more");
            let back = self.inner.execute_unprepared("ROLLBACK TO SAVEPOINT sea_orm_cache").await;
            if back.is_err() {
                return result.map(Some);
            }
        }
        self.inner.execute_unprepared("RELEASE SAVEPOINT sea_orm_cache").await?;
        Ok(result.ok())
    }
}
