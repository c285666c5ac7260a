//! Cached reads: `.cached()` on a query, and rows by primary key.

mod answer;
mod by_id;
mod codec;
mod explain;
mod load;
mod near;
mod page;
mod question;
mod same_text;
mod select;
mod shape;
mod write_through;

pub use by_id::CachedEntity;
pub(crate) use by_id::payload;
pub(crate) use question::Reader;
pub(crate) use write_through::{NewRowOf, write_through};

pub use page::CachedPaginator;
pub use select::{CachedQuery, CachedSelect};
pub use shape::{NoFields, SerdeFields, TypeProbe};
