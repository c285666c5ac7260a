//! One type for whatever statements are sent through, which remembers what was sent.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use futures_util::StreamExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    Statement, StreamTrait,
};
use sea_orm_cache::{CachedConnection, CachedTransaction};

/// Statements remembered for the report of a difference.
const REMEMBERED: usize = 60;

/// The last statements, as they were sent.
#[derive(Debug, Default)]
pub struct Sent(Mutex<VecDeque<String>>);

impl Sent {
    pub fn note(&self, text: impl Into<String>) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() == REMEMBERED {
            sent.pop_front();
        }
        sent.push_back(text.into());
    }

    pub fn text(&self) -> String {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().map(|line| format!("  {line}\n")).collect()
    }
}

#[derive(Clone, Copy)]
pub enum Target<'a> {
    Cached(&'a CachedConnection),
    InTransaction(&'a CachedTransaction),
    /// Past the cache: what is written here purges nothing.
    Plain(&'a DatabaseConnection),
    PlainTransaction(&'a DatabaseTransaction),
}

#[derive(Clone, Copy)]
pub struct Executor<'a> {
    pub target: Target<'a>,
    pub sent: &'a Sent,
}

macro_rules! on_target {
    ($self:ident, $connection:ident => $call:expr) => {
        match $self.target {
            Target::Cached($connection) => $call,
            Target::InTransaction($connection) => $call,
            Target::Plain($connection) => $call,
            Target::PlainTransaction($connection) => $call,
        }
    };
}

impl Executor<'_> {
    fn note(&self, statement: &Statement) {
        self.sent.note(statement.to_string());
    }

    /// Reads a stream to the end, or only its first row.
    pub async fn stream(&self, statement: Statement, to_the_end: bool) -> Result<usize, DbErr> {
        self.note(&statement);
        on_target!(self, connection => {
            let mut rows = connection.stream_raw(statement).await?;
            let mut count = 0;
            while let Some(row) = rows.next().await {
                row?;
                count += 1;
                if !to_the_end {
                    break;
                }
            }
            Ok(count)
        })
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Executor<'_> {
    fn get_database_backend(&self) -> DbBackend {
        on_target!(self, connection => ConnectionTrait::get_database_backend(connection))
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.note(&statement);
        on_target!(self, connection => connection.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.sent.note(sql);
        on_target!(self, connection => connection.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note(&statement);
        on_target!(self, connection => connection.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note(&statement);
        on_target!(self, connection => connection.query_all_raw(statement).await)
    }

    fn support_returning(&self) -> bool {
        on_target!(self, connection => connection.support_returning())
    }

    fn is_mock_connection(&self) -> bool {
        on_target!(self, connection => connection.is_mock_connection())
    }
}
