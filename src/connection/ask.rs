//! A statement as a connection takes it, and what came back.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, Statement, Value};

use super::{
    images::{Image, Images, Selected},
    plan::Plan,
};

/// What a connection is asked to do.
pub(super) enum Ask {
    Execute(Statement),
    Unprepared(String),
    One(Statement),
    All(Statement),
}

/// What came back.
pub(super) enum Answer {
    Done(ExecResult),
    One(Option<QueryResult>),
    All(Vec<QueryResult>),
}

impl Ask {
    pub(super) fn sql(&self) -> &str {
        match self {
            Self::Execute(statement) | Self::One(statement) | Self::All(statement) => &statement.sql,
            Self::Unprepared(sql) => sql,
        }
    }

    pub(super) fn values(&self) -> &[Value] {
        match self {
            Self::Execute(statement) | Self::One(statement) | Self::All(statement) => {
                Self::values_of(statement)
            }
            Self::Unprepared(_) => &[],
        }
    }

    pub(super) fn values_of(statement: &Statement) -> &[Value] {
        statement.values.as_ref().map_or(&[][..], |values| &values.0)
    }

    /// The backend whose SQL it is.
    pub(super) fn backend(&self, connection: DbBackend) -> DbBackend {
        match self {
            Self::Execute(statement) | Self::One(statement) | Self::All(statement) => statement.db_backend,
            Self::Unprepared(_) => connection,
        }
    }

    pub(super) async fn send(self, db: &impl ConnectionTrait) -> Result<Answer, DbErr> {
        Ok(match self {
            Self::Execute(statement) => Answer::Done(db.execute_raw(statement).await?),
            Self::Unprepared(sql) => Answer::Done(db.execute_unprepared(&sql).await?),
            Self::One(statement) => Answer::One(db.query_one_raw(statement).await?),
            Self::All(statement) => Answer::All(db.query_all_raw(statement).await?),
        })
    }
}

impl Answer {
    /// What the answer says of the rows that the statement touched.
    pub(super) fn images(&self, plan: &Plan, selected: Selected) -> Images {
        let Selected { before, after, below } = selected;
        let (affected, returned) = match self {
            // MariaDB counts none where rows come back that nobody reads.
            Self::Done(result) if plan.answers_rows() && result.rows_affected() == 0 => (None, None),
            Self::Done(result) => (Some(result.rows_affected()), None),
            // It touched something, and more is not asked.
            Self::One(Some(_)) if plan.is_exact() => (None, None),
            // One row was asked for; there may have been more.
            Self::One(row) if plan.is_one_row() => (Some(u64::from(row.is_some())), Some(row.as_slice())),
            Self::One(_) => (None, None),
            Self::All(rows) => (Some(rows.len() as u64), Some(&rows[..])),
        };
        // Without RETURNING, rows that came back are not those of the write.
        let returned = returned.filter(|_| plan.returns_rows());
        let affected = if plan.returns_rows() || matches!(self, Self::Done(_)) { affected } else { None };
        let returned = returned.and_then(|rows| {
            let policy = plan.policy().filter(|_| plan.learns_from_rows())?;
            Some(rows.iter().map(|row| Image::read(row, policy)).collect())
        });
        Images { before, returned: returned.or(after), affected, below }
    }

    /// The rows that came back, if any.
    pub(super) fn rows(&self) -> &[QueryResult] {
        match self {
            Self::Done(_) => &[],
            Self::One(row) => row.as_slice(),
            Self::All(rows) => rows,
        }
    }

    pub(super) fn done(self) -> Result<ExecResult, DbErr> {
        match self {
            Self::Done(result) => Ok(result),
            _ => Err(mixed_up()),
        }
    }

    pub(super) fn one(self) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::One(row) => Ok(row),
            _ => Err(mixed_up()),
        }
    }

    pub(super) fn all(self) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::All(rows) => Ok(rows),
            _ => Err(mixed_up()),
        }
    }
}

/// Each kind of question has one kind of answer, so this does not happen.
fn mixed_up() -> DbErr {
    DbErr::Custom("sea-orm-cache: an answer of another kind than was asked for".to_owned())
}
