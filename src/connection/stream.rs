//! Streams from a [`CachedConnection`]: rows go through untouched; a write that streams what it
//! returns purges when its rows are at an end.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, QueryStream, Statement, StreamTrait};
use tokio::runtime::Handle;

use super::{CachedConnection, Sealed, effects::is_quiet};
use crate::freshness::PurgeTicket;

/// Rows of a statement sent through a [`CachedConnection`].
///
/// If the statement writes, the purge happens before the stream ends; if the stream is dropped
/// early, a background task reads it to its end and purges.
pub struct CachedStream {
    /// `None` once it is at its end.
    rows: Option<Pin<Box<QueryStream>>>,
    purge: Purge,
    runtime: Handle,
}

enum Purge {
    None,
    Owed(PurgeTicket),
    UnderWay(Pin<Box<dyn Future<Output = ()> + Send>>),
}

impl std::fmt::Debug for CachedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedStream").field("at_end", &self.rows.is_none()).finish_non_exhaustive()
    }
}

impl Stream for CachedStream {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(rows) = &mut this.rows {
            match rows.as_mut().poll_next(cx) {
                Poll::Ready(None) => this.rows = None,
                other => return other,
            }
        }
        loop {
            match std::mem::replace(&mut this.purge, Purge::None) {
                Purge::None => return Poll::Ready(None),
                Purge::Owed(ticket) => this.purge = Purge::UnderWay(Box::pin(ticket.deliver())),
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
            Purge::Owed(ticket) => {
                let rows = self.rows.take();
                self.runtime.spawn(async move {
                    if let Some(mut rows) = rows {
                        while rows.next().await.is_some() {}
                    }
                    ticket.deliver().await;
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
            let freshness = &inner.freshness;
            let analysis = inner.analyse(statement.db_backend, &statement.sql);
            let plan = match is_quiet(&analysis) {
                true => None,
                false => {
                    let values = statement.values.as_ref().map_or(&[][..], |values| &values.0);
                    let knowledge = self.knowledge().await;
                    inner.plan(statement.db_backend, analysis.clone(), values, &knowledge)
                }
            };
            if let Some(plan) = &plan {
                inner.count(&analysis, plan);
            }
            let purge = match plan {
                None => Purge::None,
                Some(plan) => Purge::Owed(freshness.ticket(plan.writes.into_purge())),
            };
            // If this fails the ticket is dropped, and so purges in the background.
            let rows = self.inner().stream_raw(statement).await?;
            Ok(CachedStream { rows: Some(Box::pin(rows)), purge, runtime: freshness.runtime().clone() })
        })
    }
}
