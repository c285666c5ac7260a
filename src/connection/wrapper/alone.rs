//! A write on its own, outside any transaction of the user's: as it is, or in a transaction of ours.

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use super::CachedConnection;
use crate::{
    connection::{
        ask::{Answer, Ask},
        barrier::{guard_commit, is_in_doubt, refused},
        images::Selected,
        plan::Plan,
        preselect::PreSelect,
    },
    entity::TablePolicy,
    freshness::{Finishing, PurgeSet, PurgeTicket},
};

impl CachedConnection {
    /// Runs a write that was sent outside any transaction, then purges; both even if the caller
    /// goes away meanwhile.
    pub(in crate::connection) async fn write(&self, plan: Plan, ask: Ask) -> Result<Answer, DbErr> {
        let runtime = self.cache.inner.freshness.runtime().clone();
        let this = self.clone();
        Finishing::new(&runtime, async move {
            let mut written = Written { changes: this.schema.changes(), plan, selected: Selected::default() };
            if written.plan.changes_schema {
                this.schema.changed();
                written.changes = this.schema.changes();
            }
            let at_most = std::mem::take(&mut written.plan.writes).into_purge();
            let mut ticket = this.cache.inner.freshness.ticket(at_most);
            let result = match this.runs_in_a_transaction(&written.plan) {
                true => this.run_in_a_transaction(&mut written, ask, &mut ticket).await,
                false => this.run_alone(&mut written, ask, &mut ticket).await,
            };
            ticket.deliver().await;
            result
        })
        .await
    }

    /// Behind a select of the rows that it will touch, or where the barrier is to stand for no longer
    /// than a COMMIT takes: a statement on its own may wait for a lock, and be executed by the
    /// database when its sender, and the barrier, are long gone. Or before the COMMIT stamps are to be
    /// taken for the rows that came back.
    fn runs_in_a_transaction(&self, plan: &Plan) -> bool {
        let freshness = &self.cache.inner.freshness;
        let outlives = self.inner.get_database_backend() != DbBackend::Sqlite
            && freshness.store().outlives_the_process();
        let gains = freshness.leaves_barriers() && (outlives || plan.writes_through());
        let may_be = plan.may_be_wrapped() && !self.inner.is_mock_connection();
        plan.pre_select().is_some() || gains && may_be
    }

    /// The barrier stands before the statement is sent, on all that it could touch.
    async fn run_alone(
        &self,
        written: &mut Written,
        ask: Ask,
        ticket: &mut PurgeTicket,
    ) -> Result<Answer, DbErr> {
        ticket.arm().await.map_err(refused)?;
        let result = ticket.while_armed(ask.send(&self.inner)).await;
        if result.as_ref().is_err_and(is_in_doubt) {
            ticket.doubt();
        }
        // Also after an error: the statement may have had its effect, in whole or in part.
        if let Some(set) = result.as_ref().ok().and_then(|answer| written.narrowed(self, answer)) {
            ticket.narrow(set);
        }
        written.doubt_reach(self, ticket);
        if written.plan.changes_schema {
            self.schema.changed();
        }
        result
    }

    /// The barrier stands before the COMMIT is sent, on what the statement has touched.
    async fn run_in_a_transaction(
        &self,
        written: &mut Written,
        ask: Ask,
        ticket: &mut PurgeTicket,
    ) -> Result<Answer, DbErr> {
        let options = TransactionOptions {
            // A transaction that reads first and writes then would fail if another wrote in between.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        // Nothing is owed until the statement has run; but MyISAM keeps what one wrote before it failed.
        let keeps = self.inner.get_database_backend() == DbBackend::MySql;
        let at_most = (!keeps).then(|| ticket.put_off());
        let transaction = self.inner.begin_with_options(options).await?;
        let select = written.plan.pre_select().zip(written.plan.policy());
        let selected = match select {
            None => Ok(Selected::default()),
            Some((select, policy)) => select_first(&transaction, &written.plan, select, policy).await,
        };
        let Selected { before, below, .. } = match selected {
            Ok(selected) => selected,
            Err(error) => {
                // It was ours; the statement itself may do better.
                tracing::warn!(%error, "the rows of a write could not be read before it: purging more");
                transaction.rollback().await?;
                at_most.into_iter().for_each(|set| ticket.narrow(set));
                return self.run_alone(written, ask, ticket).await;
            }
        };
        let answer = ask.send(&transaction).await?;
        let after = select
            .zip(before.as_deref())
            .and_then(|((select, policy), before)| Some((select, policy, select.after(before)?)));
        let after = match after {
            None => None,
            // The rows are there: they were just written here, and are locked.
            Some((select, policy, again)) => match transaction.query_all_raw(again).await {
                Ok(rows) => select.images(&rows, policy),
                // In PostgreSQL that was the end of the transaction.
                Err(error) if self.inner.get_database_backend() == DbBackend::Postgres => return Err(error),
                Err(_) => None,
            },
        };
        written.selected = Selected { before, after, below };
        if let Some(set) = written.narrowed(self, &answer).or(at_most) {
            ticket.narrow(set);
        }
        written.doubt_reach(self, ticket);
        let new_rows = match self.session {
            None => written.plan.new_rows(&self.cache, answer.rows()),
            // Others may see another row under this key.
            Some(_) => Vec::new(),
        };
        guard_commit(ticket, &transaction, new_rows).await?;
        if let Err(error) = ticket.while_armed(transaction.commit()).await {
            if is_in_doubt(&error) {
                ticket.doubt();
            }
            return Err(error);
        }
        if !written.doubt_reach(self, ticket) {
            ticket.committed();
        }
        Ok(answer)
    }
}

/// Reads the rows that a write will touch, and those that the database will touch because of them.
async fn select_first(
    transaction: &DatabaseTransaction,
    plan: &Plan,
    select: &PreSelect,
    policy: &TablePolicy,
) -> Result<Selected, DbErr> {
    let rows = transaction.query_all_raw(select.statement.clone()).await?;
    let before = select.images(&rows, policy);
    let below = match plan.descent(&rows, before.as_deref()) {
        None => None,
        Some(mut descent) => {
            while let Some(statement) = descent.next() {
                descent.take(Some(&transaction.query_all_raw(statement).await?));
            }
            descent.finish()
        }
    };
    Ok(Selected { before, after: None, below })
}

/// A write under way outside any transaction of the user's.
struct Written {
    /// Without what it purges at most, which its ticket holds.
    plan: Plan,
    /// The count of changes of the schema when it began.
    changes: u64,
    selected: Selected,
}

impl Written {
    /// What the write reached was worked out by a schema that was changing: then that is everything.
    fn doubt_reach(&self, db: &CachedConnection, ticket: &mut PurgeTicket) -> bool {
        let changed = db.schema.changes() != self.changes;
        if changed {
            ticket.widen(db.cache.inner.keys.everything());
        }
        changed
    }

    /// What it made wrong, if the answer says more than the plan does.
    fn narrowed(&mut self, db: &CachedConnection, answer: &Answer) -> Option<PurgeSet> {
        if !self.plan.can_narrow() || db.schema.changes() != self.changes {
            return None;
        }
        let images = answer.images(&self.plan, std::mem::take(&mut self.selected));
        Some(self.plan.narrowed(&db.cache.inner, images)?.into_purge())
    }
}
