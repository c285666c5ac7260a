//! What is read while a form runs: each with an entry of its own.

use std::fmt::Debug;

use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{author, book, book_author, customer, publisher, review, shelf},
    world::World,
};

use super::bookshop::*;

/// A cached read, with an entry of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Read {
    Book(i64),
    Publisher(i64),
    Shelf(i64),
    Author(i64),
    Customer(i64),
    Review(i64),
    BookAuthor(i64, i64),
    Books,
    BooksOnShelf(i64),
    BookCount,
    BookTitles,
    BooksAndPublishers,
    PublishersWithBooks,
    BooksWithReviews,
    Publishers,
    Shelves,
    Authors,
    Customers,
    Reviews,
    BookAuthors,
    /// An entry of the application's own, made of the books.
    OfBooks,
    /// One with the tag that the books declare to purge.
    FrontPage,
    /// One that depends on no table.
    OfNothing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Cached,
    Plain,
}

impl Read {
    /// All of them. The keys are those of rows that are there, and of some that are not: 50 and
    /// what the database gives next.
    pub(super) fn all(next: &NextKeys) -> Vec<Self> {
        let mut all: Vec<Self> = (1..=BOOKS).map(Self::Book).collect();
        all.extend([50, 51, 60].map(Self::Book));
        all.extend(next.books.map(Self::Book));
        all.extend([1, 2, 3].map(Self::Publisher));
        all.extend([1, 2, 3].map(Self::Shelf));
        all.extend([1, 2, 3, 50].map(Self::Author));
        all.extend([1].map(Self::Customer));
        all.extend([1, 2, 3, 4, 50].map(Self::Review));
        all.extend(next.reviews.map(Self::Review));
        all.extend(
            [(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)].map(|(book, author)| Self::BookAuthor(book, author)),
        );
        all.extend([1, 2].map(Self::BooksOnShelf));
        all.extend([Self::Books, Self::BookCount, Self::BookTitles, Self::BooksAndPublishers]);
        all.extend([Self::PublishersWithBooks, Self::BooksWithReviews, Self::Publishers, Self::Shelves]);
        all.extend([Self::Authors, Self::Customers, Self::Reviews, Self::BookAuthors]);
        all.extend([Self::OfBooks, Self::FrontPage, Self::OfNothing]);
        all
    }

    /// The row, if this reads one by its key.
    pub(super) fn row(self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Book(id) => ("book", id.to_string()),
            Self::Publisher(id) => ("publisher", id.to_string()),
            Self::Shelf(id) => ("shelf", id.to_string()),
            Self::Author(id) => ("author", id.to_string()),
            Self::Customer(id) => ("customer", id.to_string()),
            Self::Review(id) => ("review", id.to_string()),
            Self::BookAuthor(book, author) => ("book_author", format!("{book},{author}")),
            _ => return None,
        })
    }

    /// The tables whose writes purge it, if it is not the row of a key.
    pub(super) fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Books
            | Self::BooksOnShelf(_)
            | Self::BookCount
            | Self::BookTitles
            | Self::OfBooks
            | Self::FrontPage => &["book"],
            Self::BooksAndPublishers | Self::PublishersWithBooks => &["book", "publisher"],
            Self::BooksWithReviews => &["book", "review"],
            Self::Publishers => &["publisher"],
            Self::Shelves => &["shelf"],
            Self::Authors => &["author"],
            Self::Customers => &["customer"],
            Self::Reviews => &["review"],
            Self::BookAuthors => &["book_author"],
            _ => &[],
        }
    }

    /// What it says, through the cache or past it.
    pub(super) async fn from(self, world: &World, how: How) -> String {
        macro_rules! read {
            ($select:expr, $end:ident) => {
                match how {
                    How::Cached => show($select.cached().$end(&world.db).await),
                    How::Plain => show($select.$end(world.plain()).await),
                }
            };
        }
        macro_rules! list {
            ($entity:ident) => {
                read!($entity::Entity::find().order_by_asc($entity::Column::Id), all)
            };
        }
        match self {
            Self::Book(id) => read!(book::Entity::find_by_id(id), one),
            Self::Publisher(id) => read!(publisher::Entity::find_by_id(id), one),
            Self::Shelf(id) => read!(shelf::Entity::find_by_id(id), one),
            Self::Author(id) => read!(author::Entity::find_by_id(id), one),
            Self::Customer(id) => read!(customer::Entity::find_by_id(id), one),
            Self::Review(id) => read!(review::Entity::find_by_id(id), one),
            Self::BookAuthor(book, author) => read!(book_author::Entity::find_by_id((book, author)), one),
            Self::Books => list!(book),
            Self::BooksOnShelf(shelf) => {
                let books = book::Entity::find().filter(book::Column::ShelfId.eq(shelf));
                read!(books.order_by_asc(book::Column::Id), all)
            }
            Self::BookCount => read!(book::Entity::find(), count),
            Self::BookTitles => {
                let titles = book::Entity::find().select_only().column(book::Column::Title);
                read!(titles.order_by_asc(book::Column::Id).into_tuple::<String>(), all)
            }
            Self::BooksAndPublishers => {
                let both = book::Entity::find().find_also_related(publisher::Entity);
                read!(both.order_by_asc(book::Column::Id), all)
            }
            Self::PublishersWithBooks => {
                let families = publisher::Entity::find().find_with_related(book::Entity);
                read!(families.order_by_asc(publisher::Column::Id).order_by_asc(book::Column::Id), all)
            }
            Self::BooksWithReviews => {
                let families = book::Entity::find().find_with_related(review::Entity);
                read!(families.order_by_asc(book::Column::Id).order_by_asc(review::Column::Id), all)
            }
            Self::Publishers => list!(publisher),
            Self::Shelves => list!(shelf),
            Self::Authors => list!(author),
            Self::Customers => list!(customer),
            Self::Reviews => list!(review),
            Self::BookAuthors => {
                let links = book_author::Entity::find().order_by_asc(book_author::Column::BookId);
                read!(links.order_by_asc(book_author::Column::AuthorId), all)
            }
            Self::OfBooks => own(world, how, "of books", EntryOptions::new().entity(book::Entity)).await,
            Self::FrontPage => own(world, how, "of a tag", EntryOptions::new().tag("front page")).await,
            Self::OfNothing => match how {
                How::Cached => {
                    let load = async || Ok::<_, DbErr>("always the same".to_owned());
                    show(world.cache().get_or_load("of nothing", EntryOptions::new(), load).await)
                }
                How::Plain => show(Ok("always the same".to_owned())),
            },
        }
    }
}

/// The stock of all books, as an entry of the application's own.
pub(super) async fn own(world: &World, how: How, key: &str, options: EntryOptions) -> String {
    let load = async || {
        let stock = book::Entity::find().select_only().column(book::Column::Id).column(book::Column::Stock);
        stock.order_by_asc(book::Column::Id).into_tuple::<(i64, i32)>().all(world.plain()).await
    };
    match how {
        How::Cached => show(world.cache().get_or_load(key, options, load).await),
        How::Plain => show(load().await),
    }
}

pub(super) fn show<T: Debug>(read: Result<T, DbErr>) -> String {
    format!("{:?}", read.unwrap())
}
