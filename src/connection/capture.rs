//! A connection that runs nothing and remembers what it was asked: the way to the exact statement
//! that SeaORM would send for a paginated, limited or counted query.

use std::sync::Mutex;

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};

/// Answers every query with no rows.
#[derive(Debug)]
pub(crate) struct Capture {
    backend: DbBackend,
    // A std lock: held for one assignment. A `Cell` would do, but `ConnectionTrait` asks for `Sync`.
    asked: Mutex<Option<Statement>>,
}

impl Capture {
    pub(crate) fn new(backend: DbBackend) -> Self {
        Self { backend, asked: Mutex::new(None) }
    }

    /// The statement that was asked last.
    pub(crate) fn statement(self) -> Result<Statement, DbErr> {
        self.asked
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .ok_or_else(|| DbErr::Custom("the query sent no statement to be cached".to_owned()))
    }

    fn note(&self, statement: Statement) {
        *self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(statement);
    }
}

#[async_trait]
impl ConnectionTrait for Capture {
    fn get_database_backend(&self) -> DbBackend {
        self.backend
    }

    async fn execute_raw(&self, _: Statement) -> Result<ExecResult, DbErr> {
        Err(not_a_read())
    }

    async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
        Err(not_a_read())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note(statement);
        Ok(None)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note(statement);
        Ok(Vec::new())
    }
}

fn not_a_read() -> DbErr {
    DbErr::Query(RuntimeErr::Internal("a cached read may not execute statements".to_owned()))
}
