//! Cached pages.

use std::sync::Arc;

use sea_orm::{DbErr, ItemsAndPagesNumber, PaginatorTrait, Select};

use super::{CachedSelect, select::models};
use crate::{ReadThrough, connection::Capture, entity::Rebuild};

/// Pages of a cached query, each an entry of its own. Made by [`CachedSelect::paginate`].
#[derive(Debug)]
pub struct CachedPaginator<'db, C, E: Rebuild> {
    select: CachedSelect<Select<E>>,
    db: &'db C,
    page_size: u64,
}

impl<E: Rebuild> CachedSelect<Select<E>>
where
    E::Model: Send + Sync,
{
    /// Pages of this query. As with SeaORM, pages are counted from zero, and the query should be
    /// ordered.
    ///
    /// # Panics
    /// If `page_size` is zero, as SeaORM's paginator does.
    pub fn paginate<C: ReadThrough>(self, db: &C, page_size: u64) -> CachedPaginator<'_, C, E> {
        assert!(page_size != 0, "page_size should not be zero");
        CachedPaginator { select: self, db, page_size }
    }
}

impl<C: ReadThrough, E: Rebuild> CachedPaginator<'_, C, E>
where
    E::Model: Send + Sync,
{
    /// One page. One round trip on a hit.
    ///
    /// # Errors
    /// The database's.
    pub async fn fetch_page(&self, page: u64) -> Result<Vec<E::Model>, DbErr> {
        let capture = Capture::new(self.db.get_database_backend());
        self.select.query.clone().paginate(&capture, self.page_size).fetch_page(page).await?;
        let rows = models::<E, C>(self.db, &capture.statement()?, &self.select.options).await?;
        Ok(Arc::unwrap_or_clone(rows))
    }

    /// How many rows there are. One round trip on a hit.
    ///
    /// # Errors
    /// The database's.
    pub async fn num_items(&self) -> Result<u64, DbErr> {
        self.select.clone().count(self.db).await
    }

    /// How many pages there are. One round trip on a hit.
    ///
    /// # Errors
    /// The database's.
    pub async fn num_pages(&self) -> Result<u64, DbErr> {
        Ok(self.num_items().await?.div_ceil(self.page_size))
    }

    /// How many rows and pages there are. One round trip on a hit.
    ///
    /// # Errors
    /// The database's.
    pub async fn num_items_and_pages(&self) -> Result<ItemsAndPagesNumber, DbErr> {
        let number_of_items = self.num_items().await?;
        let number_of_pages = number_of_items.div_ceil(self.page_size);
        Ok(ItemsAndPagesNumber { number_of_items, number_of_pages })
    }
}
