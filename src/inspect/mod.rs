//! What stands in the store, for operators: the command line `sea-orm-cache` is made of this.
//!
//! It reads keys, headers and tags as the cache itself does, and knows nothing of the application's
//! entities. Keys hold primary keys and index values, and payloads hold rows: show them to people who
//! may see these.

mod entry;
mod namespace;
mod tag;

pub use entry::{EntryContent, InspectedEntry, PayloadKind, Unreadable};
pub use namespace::{KeyKind, Namespace, PurgeKeys};
pub use tag::{Mark, TagStanding};
