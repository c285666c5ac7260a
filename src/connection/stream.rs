//! Streams from a [`CachedConnection`]: rows go through untouched; a write that streams what it
//! returns purges when its rows are at an end.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, QueryStream, Statement, StreamTrait};
use tokio::runtime::Handle;

use super::{
    CachedConnection, Sealed,
    ask::{Answer, Ask},
    barrier::refused,
    effects::is_quiet,
    returned::Returned,
};
use crate::{cache::Inner, freshness::PurgeTicket, schema::SchemaWatch, watched};

/// Rows of a statement sent through a [`CachedConnection`].
///
/// If the statement writes, it is executed at once, and its rows are streamed from memory; under
/// [`Consistency::AfterCommit`](crate::Consistency::AfterCommit) they are streamed as they come. Then
/// the purge happens before the stream ends; if the stream is dropped early, a background task reads
/// it to its end and purges.
pub struct CachedStream {
    rows: Rows,
    purge: Purge,
    runtime: Handle,
}

enum Rows {
    Streamed(Pin<Box<QueryStream>>),
    Kept(Kept),
    AtEnd,
}

enum Purge {
    None,
    Owed(Box<Owed>),
    UnderWay(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// What is to be purged when the rows are at an end.
struct Owed {
    ticket: PurgeTicket,
    returned: Returned,
    cache: Arc<Inner>,
    schema: Arc<SchemaWatch>,
    /// The count of changes of the schema by which it was worked out.
    changes: u64,
}

impl Owed {
    fn see(&mut self, item: &Result<QueryResult, DbErr>) {
        self.returned.see(item, &self.cache);
    }

    /// The rows are at their end.
    async fn deliver(self: Box<Self>) {
        let Self { mut ticket, returned, cache, schema, changes } = *self;
        let writes = if schema.changes() == changes {
            returned.writes(&cache)
        } else {
            let mut writes = returned.at_most();
            writes.add_everything(&cache);
            writes
        };
        ticket.narrow(writes.into_purge());
        ticket.deliver().await;
    }
}

/// The answer of a statement that was executed at once.
pub(super) struct Kept(std::vec::IntoIter<Result<QueryResult, DbErr>>);

impl Kept {
    /// The statement's error is the first item, as if it had been sent when the stream was first read.
    ///
    /// # Errors
    /// There was no connection to send it to.
    pub(super) fn new(result: Result<Answer, DbErr>) -> Result<Self, DbErr> {
        let items = match result.and_then(Answer::all) {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error @ (DbErr::ConnectionAcquire(_) | DbErr::Conn(_))) => return Err(error),
            Err(error) => vec![Err(error)],
        };
        Ok(Self(items.into_iter()))
    }
}

impl Iterator for Kept {
    type Item = Result<QueryResult, DbErr>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

impl fmt::Debug for CachedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_end = matches!(self.rows, Rows::AtEnd);
        f.debug_struct("CachedStream").field("at_end", &at_end).finish_non_exhaustive()
    }
}

impl Stream for CachedStream {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = match &mut this.rows {
            Rows::Streamed(rows) => std::task::ready!(rows.as_mut().poll_next(cx)),
            Rows::Kept(rows) => rows.next(),
            Rows::AtEnd => None,
        };
        if let Some(item) = next {
            if let Purge::Owed(owed) = &mut this.purge {
                owed.see(&item);
            }
            return Poll::Ready(Some(item));
        }
        this.rows = Rows::AtEnd;
        loop {
            match std::mem::replace(&mut this.purge, Purge::None) {
                Purge::None => return Poll::Ready(None),
                Purge::Owed(owed) => this.purge = Purge::UnderWay(Box::pin(owed.deliver())),
                Purge::UnderWay(mut delivery) => {
                    if delivery.as_mut().poll(cx).is_pending() {
                        this.purge = Purge::UnderWay(delivery);
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Drop for CachedStream {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.purge, Purge::None) {
            Purge::None => {}
            // A delivery that is dropped goes to the queue by itself.
            Purge::UnderWay(_) => {}
            Purge::Owed(mut owed) => {
                let rows = std::mem::replace(&mut self.rows, Rows::AtEnd);
                self.runtime.spawn(async move {
                    if let Rows::Streamed(mut rows) = rows {
                        while let Some(item) = rows.next().await {
                            owed.see(&item);
                        }
                    }
                    owed.deliver().await;
                });
            }
        }
    }
}

impl StreamTrait for CachedConnection {
    type Stream<'a> = CachedStream;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(self)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            let inner = &self.cache().inner;
            let runtime = inner.freshness.runtime().clone();
            let analysis = inner.analyse(statement.db_backend, &statement.sql);
            let changes = self.schema().changes();
            if watched::is_watched() {
                self.report(&analysis).await;
            }
            let plan = match is_quiet(&analysis) {
                true => None,
                false => {
                    let knowledge = self.knowledge().await;
                    inner.plan(statement.db_backend, analysis.clone(), Ask::values_of(&statement), &knowledge)
                }
            };
            if let Some(plan) = &plan {
                inner.count(&analysis, plan);
            }
            let purge = match plan {
                None => Purge::None,
                // A barrier is to stand for no longer than it takes to commit, and not for as long as
                // somebody reads.
                Some(plan) if plan.is_better_whole() || inner.freshness.leaves_barriers() => {
                    let answer = self.write(plan, Ask::All(statement)).await;
                    return Ok(CachedStream {
                        rows: Rows::Kept(Kept::new(answer)?),
                        purge: Purge::None,
                        runtime,
                    });
                }
                Some(plan) => {
                    let mut ticket = inner.freshness.ticket(plan.writes.clone().into_purge());
                    ticket.arm().await.map_err(refused)?;
                    Purge::Owed(Box::new(Owed {
                        ticket,
                        returned: Returned::new(plan),
                        cache: inner.clone(),
                        schema: self.schema().clone(),
                        changes,
                    }))
                }
            };
            // If this fails the ticket is dropped, and so purges in the background.
            let rows = self.inner().stream_raw(statement).await?;
            Ok(CachedStream { rows: Rows::Streamed(Box::pin(rows)), purge, runtime })
        })
    }
}
