//! Cached reads: `.cached()` on a query, and rows by primary key.

mod answer;
mod by_id;
mod codec;
mod page;
mod select;
mod shape;

pub(crate) use answer::{row_question, table_tags};
pub use by_id::CachedEntity;
pub(crate) use by_id::payload;

pub use page::CachedPaginator;
pub use select::{CachedQuery, CachedSelect};
pub use shape::{NoFields, SerdeFields, TypeProbe};
