//! The seam with SeaORM: connections and transactions that purge what their writes made wrong.

mod capture;
mod effects;
#[cfg(feature = "stream")]
mod stream;
mod transaction;
mod wrapper;

pub(crate) use capture::Capture;
pub(crate) use effects::{WriteSet, dialect};
#[cfg(feature = "stream")]
pub use stream::CachedStream;
pub use transaction::CachedTransaction;
pub use wrapper::{CachedBy, CachedConnection, ReadThrough};
