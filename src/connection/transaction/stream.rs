//! Streams from a [`CachedTransaction`].

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, StreamTrait, TransactionStream};

use super::CachedTransaction;
use crate::connection::{ask::Ask, plan::Plan, returned::Returned, stream::Kept};

/// Rows of a statement sent through a [`CachedTransaction`].
///
/// What a statement that writes made wrong is purged with the transaction: the rows that it returned,
/// if the stream was read to its end, and more, if it was not.
pub struct CachedTransactionStream<'a> {
    rows: Rows<'a>,
    transaction: &'a CachedTransaction,
    /// The statement's number among the writes of the transaction, until it is known what it wrote.
    write: Option<(u64, Returned)>,
    /// What became visible at once: the transaction had ended.
    purge: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

enum Rows<'a> {
    Streamed(Pin<Box<TransactionStream<'a>>>),
    Kept(Kept),
    AtEnd,
}

impl fmt::Debug for CachedTransactionStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_end = matches!(self.rows, Rows::AtEnd);
        f.debug_struct("CachedTransactionStream").field("at_end", &at_end).finish_non_exhaustive()
    }
}

impl Stream for CachedTransactionStream<'_> {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = match &mut this.rows {
            Rows::Streamed(rows) => std::task::ready!(rows.as_mut().poll_next(cx)),
            Rows::Kept(rows) => rows.next(),
            Rows::AtEnd => None,
        };
        if let Some(item) = next {
            this.transaction.saw(item.as_ref().err());
            if let Some((_, returned)) = &mut this.write {
                returned.see(&item, &this.transaction.cache.inner);
            }
            return Poll::Ready(Some(item));
        }
        this.rows = Rows::AtEnd;
        if let Some((number, returned)) = this.write.take() {
            this.transaction.settle(number, returned.writes(&this.transaction.cache.inner));
            let ticket = this.transaction.ticket_if_ended();
            this.purge = ticket.map(|ticket| Box::pin(ticket.deliver()) as _);
        }
        if let Some(delivery) = &mut this.purge {
            std::task::ready!(delivery.as_mut().poll(cx));
            this.purge = None;
        }
        Poll::Ready(None)
    }
}

impl Drop for CachedTransactionStream<'_> {
    fn drop(&mut self) {
        if self.write.is_some() {
            // Dropped half-way: what the statement may have written at most stays noted. A ticket that
            // is dropped is delivered in the background.
            drop(self.transaction.ticket_if_ended());
        }
    }
}

impl CachedTransaction {
    /// Is the statement to be executed at once, and its answer streamed from memory? If it is on its
    /// own, it must not be visible before it is read.
    fn executes_at_once(&self, plan: &Plan) -> bool {
        plan.is_better_whole() || plan.commits || plan.ends || self.writes.has_ended()
    }
}

impl StreamTrait for CachedTransaction {
    type Stream<'a> = CachedTransactionStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.inner)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            let plan = self.plan(statement.db_backend, &statement.sql, Ask::values_of(&statement));
            let (rows, write) = match plan {
                Some(plan) if self.executes_at_once(&plan) => {
                    let result = self.write(plan, Ask::All(statement)).await;
                    self.saw(result.as_ref().err());
                    (Rows::Kept(Kept::new(result)?), None)
                }
                plan => {
                    let write = plan.map(|plan| (self.note(&plan).0, Returned::new(plan)));
                    (Rows::Streamed(Box::pin(self.inner.stream_raw(statement).await?)), write)
                }
            };
            Ok(CachedTransactionStream { rows, transaction: self, write, purge: None })
        })
    }
}
