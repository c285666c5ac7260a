//! How a command ends other than well.

use std::{io, process::ExitCode};

use sea_orm_cache::{CacheError, stores::StoreError};

#[derive(Debug)]
pub enum Failure {
    /// It did not work, or something wrong was found.
    Failed(String),
    /// It was said already, in the answer itself.
    Found,
    /// It was asked for in a way that makes no sense.
    Usage(String),
    /// Redis is away.
    Unreachable(String),
    /// Nobody reads the answer any more, which is all right.
    NobodyListens,
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) | Self::Found => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Unreachable(_) => ExitCode::from(3),
            Self::NobodyListens => ExitCode::SUCCESS,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Unreachable(text) => Some(text),
            Self::Found | Self::NobodyListens => None,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyListens,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Timeout { .. } | StoreError::Unreachable { .. } => Self::Unreachable(text),
            StoreError::Config(_) => Self::Usage(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<CacheError> for Failure {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Store(error) => error.into(),
            CacheError::Config(_) => Self::Usage(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<redis::RedisError> for Failure {
    /// Without the server's own words, which may quote keys.
    fn from(error: redis::RedisError) -> Self {
        let away = error.is_io_error() || error.is_timeout() || error.is_connection_dropped();
        let text = format!("Redis: {}", error.code().unwrap_or_else(|| error.category()));
        if away { Self::Unreachable(text) } else { Self::Failed(text) }
    }
}
