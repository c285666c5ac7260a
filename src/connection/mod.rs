//! The seam with SeaORM: connections and transactions that purge what their writes made wrong.

mod ask;
mod barrier;
mod capture;
mod descent;
mod effects;
mod images;
mod plan;
mod preselect;
mod reported;
#[cfg(feature = "stream")]
mod returned;
#[cfg(feature = "stream")]
mod stream;
mod surroundings;
mod table_tags;
mod touched;
mod transaction;
mod words;
mod wrapper;

pub(crate) use capture::Capture;
pub(crate) use effects::WriteSet;
#[cfg(feature = "stream")]
pub use stream::CachedStream;
pub(crate) use touched::{named, named_exactly};
pub use transaction::CachedTransaction;
#[cfg(feature = "stream")]
pub use transaction::CachedTransactionStream;
pub(crate) use words::{change_in_words, scope_in_words};
pub(crate) use wrapper::sealed::Sealed;
pub use wrapper::{CachedBy, CachedConnection, ReadThrough};
