//! The seam with SeaORM: connections and transactions that purge what their writes made wrong.

mod capture;
mod connection;
mod effects;
#[cfg(feature = "stream")]
mod stream;
mod transaction;

pub(crate) use capture::Capture;
pub use connection::{CachedBy, CachedConnection, ReadThrough};
pub(crate) use effects::{WriteSet, dialect};
#[cfg(feature = "stream")]
pub use stream::CachedStream;
pub use transaction::CachedTransaction;
