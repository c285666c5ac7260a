//! Cached reads: `.cached()` on a query, and rows by primary key.

mod answer;
mod by_id;
mod codec;
mod explain;
mod near;
mod page;
mod question;
mod select;
mod shape;

pub use by_id::CachedEntity;
pub(crate) use by_id::payload;
pub(crate) use question::Reader;

pub use page::CachedPaginator;
pub use select::{CachedQuery, CachedSelect};
pub use shape::{NoFields, SerdeFields, TypeProbe};
