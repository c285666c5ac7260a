//! What a handler says that its response depends on.

use sea_orm::EntityTrait;

use crate::EntryOptions;

/// Tags that a handler gives its response, as an extension of it; for what a
/// [`ResponseCache`](crate::ResponseCache) does not see by itself.
///
/// ```
/// use axum::{Extension, response::IntoResponse};
/// use sea_orm_cache::CacheTags;
///
/// async fn rates() -> impl IntoResponse {
///     (Extension(CacheTags::new().tag("rates").table("currency")), "1.1")
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct CacheTags(EntryOptions);

impl CacheTags {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tag of the application's own; [`invalidate_tag`](crate::Cache::invalidate_tag) makes the response
    /// a miss.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        Self(self.0.tag(tag))
    }

    /// It shows this entity's rows: any write to its table makes it a miss.
    pub fn entity<E: EntityTrait>(self, entity: E) -> Self {
        Self(self.0.entity(entity))
    }

    /// It shows this table's rows: any write to it makes the response a miss.
    pub fn table(self, table: impl AsRef<str>) -> Self {
        Self(self.0.table(table))
    }

    pub(super) fn options(&self) -> &EntryOptions {
        &self.0
    }
}
