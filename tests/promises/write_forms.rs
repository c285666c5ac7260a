//! Every way to write, on every database and store: the entries that it made wrong are gone, and no
//! other.
//!
//! Each form is run on a stocked bookshop whose every entry is cached. What the database itself says
//! before and after tells which rows the form changed, and each form declares the same, so that a
//! declaration that is not true fails too. An entry that is gone although nothing of it was written
//! fails the test, unless the form declares that its text does not say which rows it touches.
//!
//! With `SEA_ORM_CACHE_WRITE_TABLE=<path>` the table that this test stands for is written there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write as _},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{LocalBoxFuture, join_all},
};
use sea_orm::{
    ActiveValue::{NotSet, Set, Unchanged},
    ConnectionTrait, ExprTrait, IntoActiveModel, QueryOrder, QuerySelect, Statement, StreamTrait,
    TransactionError, TransactionTrait, TryInsertResult,
    entity::prelude::*,
    sea_query::{OnConflict, Query},
};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{author, book, book_author, customer, publisher, review, shelf},
    support::{Backend, eventually},
    world::{StoreKind, World, new_book, retitled},
};

const SOON: Duration = Duration::from_secs(20);

/// Books on the shelves while a form runs: 1 to this.
const BOOKS: i64 = 8;

// ---------------------------------------------------------------------------------- what is read

/// A cached read, with an entry of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
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
enum How {
    Cached,
    Plain,
}

impl Read {
    /// All of them. The keys are those of rows that are there, and of some that are not: 50 and
    /// what the database gives next.
    fn all(next: &NextKeys) -> Vec<Self> {
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
    fn row(self) -> Option<(&'static str, String)> {
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
    fn tables(self) -> &'static [&'static str] {
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
    async fn from(self, world: &World, how: How) -> String {
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
async fn own(world: &World, how: How, key: &str, options: EntryOptions) -> String {
    let load = async || {
        let stock = book::Entity::find().select_only().column(book::Column::Id).column(book::Column::Stock);
        stock.order_by_asc(book::Column::Id).into_tuple::<(i64, i32)>().all(world.plain()).await
    };
    match how {
        How::Cached => show(world.cache().get_or_load(key, options, load).await),
        How::Plain => show(load().await),
    }
}

fn show<T: Debug>(read: Result<T, DbErr>) -> String {
    format!("{:?}", read.unwrap())
}

// --------------------------------------------------------------------------------- the bookshop

/// Keys that the database will give to the next rows, or one further.
struct NextKeys {
    books: [i64; 2],
    reviews: [i64; 2],
}

/// Puts the stock back, behind the cache's back, and empties the cache.
async fn restock(world: &World) -> NextKeys {
    let db = world.plain();
    for table in ["review", "book_author", "book", "customer", "author", "publisher", "shelf"] {
        world.database.execute(&format!("DELETE FROM {table}")).await;
    }
    let shelves = (1..=3).map(|id| shelf::ActiveModel { id: Set(id), label: Set(format!("Shelf {id}")) });
    shelf::Entity::insert_many(shelves).exec_without_returning(db).await.unwrap();
    let name = |what: &str, id: i64| Set(format!("{what} {id}"));
    let publishers = (1..=3).map(|id| publisher::ActiveModel { id: Set(id), name: name("Publisher", id) });
    publisher::Entity::insert_many(publishers).exec_without_returning(db).await.unwrap();
    let authors = (1..=3).map(|id| author::ActiveModel { id: Set(id), name: name("Author", id) });
    author::Entity::insert_many(authors).exec_without_returning(db).await.unwrap();
    let customer =
        customer::ActiveModel { id: Set(1), name: name("Customer", 1), password_hash: name("hash", 1) };
    customer::Entity::insert(customer).exec_without_returning(db).await.unwrap();
    book::Entity::insert_many((1..=BOOKS).map(new_book)).exec_without_returning(db).await.unwrap();
    let links = [(1, 1), (2, 1), (2, 2)].map(|(book, author)| link(book, author));
    book_author::Entity::insert_many(links).exec_without_returning(db).await.unwrap();
    let reviews = [(1, 1), (2, 1), (3, 2), (4, 4)].map(|(id, book)| review_of(book, Set(id)));
    review::Entity::insert_many(reviews).exec_without_returning(db).await.unwrap();

    let last = book::Entity::insert(book::ActiveModel { id: NotSet, ..new_book(1) }).exec(db).await.unwrap();
    book::Entity::delete_by_id(last.last_insert_id).exec(db).await.unwrap();
    let books = [last.last_insert_id, last.last_insert_id + 1];
    let last = review::Entity::insert(review_of(1, NotSet)).exec(db).await.unwrap();
    review::Entity::delete_by_id(last.last_insert_id).exec(db).await.unwrap();
    let reviews = [last.last_insert_id, last.last_insert_id + 1];

    world.cache().clear().await;
    NextKeys { books, reviews }
}

/// From now on the database gives keys beyond those that the forms give.
async fn advance_keys(world: &World) {
    let db = world.plain();
    book::Entity::insert(new_book(1000)).exec_without_returning(db).await.unwrap();
    review::Entity::insert(review_of(1000, Set(1000))).exec_without_returning(db).await.unwrap();
    if world.database.backend() == Backend::Postgres {
        for table in ["review", "book"] {
            let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000)");
            world.database.execute(&sql).await;
        }
    }
}

fn link(book: i64, author: i64) -> book_author::ActiveModel {
    book_author::ActiveModel { book_id: Set(book), author_id: Set(author) }
}

fn review_of(book: i64, id: sea_orm::ActiveValue<i64>) -> review::ActiveModel {
    review::ActiveModel { id, book_id: Set(book), customer_id: Set(1), stars: Set(5), body: Set(None) }
}

/// A statement with `?` for its values, in the words of the database.
fn bound<const N: usize>(world: &World, sql: &str, values: [Value; N]) -> Statement {
    let backend = world.plain().get_database_backend();
    let mut text = String::new();
    for (number, piece) in sql.split('?').enumerate() {
        if number > 0 {
            match world.database.backend() {
                Backend::Postgres => write!(text, "${number}").unwrap(),
                _ => text.push('?'),
            }
        }
        text.push_str(piece);
    }
    Statement::from_sql_and_values(backend, text, values)
}

fn raw(world: &World, sql: &str) -> Statement {
    Statement::from_string(world.plain().get_database_backend(), sql)
}

async fn unprepared(world: &World, sql: &str) -> Result<(), DbErr> {
    world.db.execute_unprepared(sql).await.map(drop)
}

/// Waits until the purge of this table has happened, without reading anything through the cache.
async fn purged(world: &World, table: &str) {
    let tag = format!("{}:t:{table}", world.namespace);
    eventually("the purge in the background happens", SOON, async || {
        world.cache().keys(100_000).await.is_ok_and(|keys| !keys.contains(&tag))
    })
    .await;
}

/// The bookshop's code that does not know of the cache.
async fn restock_book<C: ConnectionTrait>(db: &C, id: i64) -> Result<(), DbErr> {
    let book = book::ActiveModel { id: Set(id), stock: Set(99), ..Default::default() };
    book.update(db).await.map(drop)
}

/// Authors and books as they are linked, on the bookshop's own tables.
mod linked {
    pub mod author {
        use sea_orm::entity::prelude::*;

        #[sea_orm::model]
        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "author")]
        pub struct Model {
            #[sea_orm(primary_key)]
            pub id: i64,
            pub name: String,
            #[sea_orm(has_many, via = "book_author")]
            pub books: HasMany<super::book::Entity>,
        }

        impl ActiveModelBehavior for ActiveModel {}
    }

    pub mod book {
        use sea_orm::entity::prelude::*;

        #[sea_orm::model]
        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "book")]
        pub struct Model {
            #[sea_orm(primary_key)]
            pub id: i64,
            pub title: String,
            #[sea_orm(has_many, via = "book_author")]
            pub authors: HasMany<super::author::Entity>,
        }

        impl ActiveModelBehavior for ActiveModel {}
    }

    pub mod book_author {
        use sea_orm::entity::prelude::*;

        #[sea_orm::model]
        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "book_author")]
        pub struct Model {
            #[sea_orm(primary_key, auto_increment = false)]
            pub book_id: i64,
            #[sea_orm(primary_key, auto_increment = false)]
            pub author_id: i64,
            #[sea_orm(belongs_to, from = "book_id", to = "id")]
            pub book: BelongsTo<super::book::Entity>,
            #[sea_orm(belongs_to, from = "author_id", to = "id")]
            pub author: BelongsTo<super::author::Entity>,
        }

        impl ActiveModelBehavior for ActiveModel {}
    }
}

/// Shelves whose hook writes to another table.
mod hooked {
    use sea_orm::{ActiveValue::Set, entity::prelude::*};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shelf")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub label: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _: bool) -> Result<Model, DbErr> {
            let name = Set(format!("of {}", model.label));
            crate::entity::publisher::ActiveModel { id: Set(2), name }.update(db).await?;
            Ok(model)
        }
    }
}

// ------------------------------------------------------------------------------------ the forms

type Run = for<'w> fn(&'w World) -> LocalBoxFuture<'w, Result<(), DbErr>>;
type OnBackend = fn(Backend) -> bool;

/// A way to write.
struct Form {
    name: &'static str,
    run: Run,
    /// The tables it writes, and of each the rows that were there and that it changes or removes.
    rows: BTreeMap<&'static str, BTreeSet<String>>,
    /// Tables to which it adds rows with keys that were read as missing.
    adds: BTreeSet<&'static str>,
    /// Tables whose rows its text does not name, and on which databases.
    wide: Vec<(&'static str, OnBackend)>,
    /// Databases on which nothing says what the touched rows have in the index column, so that the
    /// lists of all its values are purged.
    all_lists: OnBackend,
    /// A list that is purged although it does not change, and on which databases.
    list: Option<(i64, OnBackend)>,
    /// It turns out to touch no row, and so purges nothing.
    of_no_row: bool,
    /// The database refuses it.
    refused: bool,
    /// Databases on which it is not understood, and purges the namespace.
    everything: OnBackend,
    /// Why a database does not have it.
    lacks: fn(Backend) -> Option<&'static str>,
}

fn form(name: &'static str, run: Run) -> Form {
    Form {
        name,
        run,
        rows: BTreeMap::new(),
        adds: BTreeSet::new(),
        wide: Vec::new(),
        all_lists: |_| false,
        list: None,
        of_no_row: false,
        refused: false,
        everything: |_| false,
        lacks: |_| None,
    }
}

impl Form {
    /// The database refuses it, and nothing is written.
    fn refused(mut self) -> Self {
        self.refused = true;
        self
    }

    /// It changes or removes these rows of the table, which may be none.
    fn rows<const N: usize>(mut self, table: &'static str, keys: [i64; N]) -> Self {
        self.rows.insert(table, keys.iter().map(i64::to_string).collect());
        self
    }

    /// The same for keys of several columns.
    fn pairs<const N: usize>(mut self, table: &'static str, keys: [&str; N]) -> Self {
        self.rows.insert(table, keys.map(str::to_owned).into());
        self
    }

    /// It adds rows to the table.
    fn adds(mut self, table: &'static str) -> Self {
        self.rows.entry(table).or_default();
        self.adds.insert(table);
        self
    }

    /// It does not say which rows of the table it touches, so all of them are purged.
    fn wide(self, table: &'static str) -> Self {
        self.wide_on(table, |_| true)
    }

    fn wide_on(mut self, table: &'static str, on: OnBackend) -> Self {
        self.wide.push((table, on));
        self
    }

    fn all_lists(self) -> Self {
        self.all_lists_on(|_| true)
    }

    fn all_lists_on(mut self, on: OnBackend) -> Self {
        self.all_lists = on;
        self
    }

    fn list_on(mut self, shelf: i64, on: OnBackend) -> Self {
        self.list = Some((shelf, on));
        self
    }

    fn of_no_row(mut self) -> Self {
        self.of_no_row = true;
        self
    }

    fn everything_on(mut self, on: OnBackend) -> Self {
        self.everything = on;
        self
    }

    fn lacks(mut self, why: fn(Backend) -> Option<&'static str>) -> Self {
        self.lacks = why;
        self
    }

    /// Must the read miss, once the form has run?
    fn purges(&self, read: Read, was_missing: bool, changed: bool, backend: Backend) -> bool {
        if (self.everything)(backend) {
            return true;
        }
        if self.of_no_row {
            return false;
        }
        if let Read::BooksOnShelf(shelf) = read {
            let listed = self.list.is_some_and(|(listed, on)| listed == shelf && on(backend));
            let without_need = (self.all_lists)(backend) || listed;
            return self.rows.contains_key("book") && (changed || without_need);
        }
        let Some((table, key)) = read.row() else {
            return read.tables().iter().any(|table| self.rows.contains_key(table));
        };
        let Some(keys) = self.rows.get(table) else { return false };
        // "No such row" depends on the table.
        was_missing || keys.contains(&key) || self.is_wide(table, backend)
    }

    fn is_wide(&self, table: &str, backend: Backend) -> bool {
        self.wide.iter().any(|(wide, on)| *wide == table && on(backend))
    }

    fn touches(&self, read: Read) -> bool {
        read.row().is_some_and(|(table, key)| self.rows.get(table).is_some_and(|keys| keys.contains(&key)))
    }
}

fn on_mariadb(backend: Backend) -> bool {
    backend == Backend::MariaDb
}

fn no_typed_returning(backend: Backend) -> Option<&'static str> {
    on_mariadb(backend).then_some("SeaORM has no RETURNING for MySQL")
}

fn no_update_returning(backend: Backend) -> Option<&'static str> {
    on_mariadb(backend).then_some("MariaDB has no UPDATE ... RETURNING")
}

fn postgres_only(backend: Backend) -> Option<&'static str> {
    (backend != Backend::Postgres).then_some("PostgreSQL's")
}

fn mariadb_only(backend: Backend) -> Option<&'static str> {
    (backend != Backend::MariaDb).then_some("MariaDB's")
}

fn sqlite_only(backend: Backend) -> Option<&'static str> {
    (backend != Backend::Sqlite).then_some("SQLite's")
}

fn not_mariadb(backend: Backend) -> Option<&'static str> {
    on_mariadb(backend).then_some("not in MariaDB's SQL")
}

fn not_sqlite(backend: Backend) -> Option<&'static str> {
    (backend == Backend::Sqlite).then_some("not in SQLite's SQL")
}

fn without_key() -> book::ActiveModel {
    book::ActiveModel { id: NotSet, ..new_book(1) }
}

fn forms() -> Vec<Form> {
    let mut forms = active_models();
    forms.extend(inserts());
    forms.extend(upserts());
    forms.extend(updates());
    forms.extend(deletes());
    forms.extend(relations());
    forms.extend(transactions());
    forms.extend(raw_texts());
    forms.extend(returning_texts());
    forms.extend(dialects());
    forms
}

fn active_models() -> Vec<Form> {
    vec![
        form("`ActiveModel::insert`, the key from the database", |w| {
            Box::pin(async { without_key().insert(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`ActiveModel::insert`, the key given", |w| {
            Box::pin(async { new_book(50).insert(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`ActiveModel::update`", |w| {
            Box::pin(async { retitled(3, "new").update(&w.db).await.map(drop) })
        })
        .rows("book", [3]),
        form("`ActiveModel::update`, to another shelf and publisher", |w| {
            Box::pin(async {
                let moved =
                    book::ActiveModel { shelf_id: Set(2), publisher_id: Set(3), ..retitled(3, "moved") };
                moved.update(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`ActiveModel::update`, nothing set", |w| {
            Box::pin(async {
                let nothing = book::ActiveModel { id: Unchanged(3), ..Default::default() };
                nothing.update(&w.db).await.map(drop)
            })
        }),
        form("`ActiveModel::update_without_returning`", |w| {
            Box::pin(async { retitled(3, "new").update_without_returning(&w.db).await.map(drop) })
        })
        .rows("book", [3]),
        form("`ActiveModel::update`, of no row", |w| {
            Box::pin(async {
                assert!(matches!(retitled(4711, "new").update(&w.db).await, Err(DbErr::RecordNotUpdated)));
                Ok(())
            })
        })
        .rows("book", [])
        .of_no_row(),
        form("`ActiveModel::save`, new", |w| Box::pin(async { without_key().save(&w.db).await.map(drop) }))
            .adds("book"),
        form("`ActiveModel::save`, there", |w| {
            Box::pin(async {
                let model = book::Entity::find_by_id(3).one(&w.db).await?.unwrap();
                let mut book = model.into_active_model();
                book.stock = Set(77);
                book.save(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`ActiveModel::delete`", |w| Box::pin(async { new_book(5).delete(&w.db).await.map(drop) }))
            .rows("book", [5]),
        form("`Model::delete`", |w| {
            Box::pin(async {
                let model = book::Entity::find_by_id(5).one(&w.db).await?.unwrap();
                model.delete(&w.db).await.map(drop)
            })
        })
        .rows("book", [5]),
        form("`ActiveModel::update`, another table", |w| {
            Box::pin(async {
                let renamed = publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) };
                renamed.update(&w.db).await.map(drop)
            })
        })
        .rows("publisher", [2]),
        form("`ActiveModel::update`, a table without a policy", |w| {
            Box::pin(async {
                let renamed = author::ActiveModel { id: Set(2), name: Set("Renamed".into()) };
                renamed.update(&w.db).await.map(drop)
            })
        })
        .rows("author", [2]),
        form("`ActiveModel::update`, with a hook that writes another table", |w| {
            Box::pin(async {
                let shelf = hooked::ActiveModel { id: Set(1), label: Set("Hooked".into()) };
                shelf.update(&w.db).await.map(drop)
            })
        })
        .rows("shelf", [1])
        .rows("publisher", [2]),
        form("any of them through a function of `&impl ConnectionTrait`", |w| {
            Box::pin(restock_book(&w.db, 3))
        })
        .rows("book", [3]),
    ]
}

fn inserts() -> Vec<Form> {
    vec![
        form("`Entity::insert`, `exec`", |w| {
            Box::pin(async { book::Entity::insert(new_book(50)).exec(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`Entity::insert`, `exec_without_returning`", |w| {
            Box::pin(async {
                book::Entity::insert(new_book(50)).exec_without_returning(&w.db).await.map(drop)
            })
        })
        .adds("book"),
        form("`Entity::insert`, `exec_with_returning`", |w| {
            Box::pin(async { book::Entity::insert(new_book(50)).exec_with_returning(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`Entity::insert`, `exec_with_returning_keys`", |w| {
            Box::pin(async {
                book::Entity::insert(without_key()).exec_with_returning_keys(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert`, `exec_with_returning_many`", |w| {
            Box::pin(async {
                book::Entity::insert(new_book(50)).exec_with_returning_many(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert`, refused: the key is there", |w| {
            Box::pin(async {
                assert!(book::Entity::insert(new_book(3)).exec(&w.db).await.is_err());
                Ok(())
            })
        })
        .refused(),
        form("`Entity::insert_many`, `exec`", |w| {
            Box::pin(async { book::Entity::insert_many([50, 51].map(new_book)).exec(&w.db).await.map(drop) })
        })
        .adds("book"),
        form("`Entity::insert_many`, `exec_without_returning`", |w| {
            Box::pin(async {
                let books = book::Entity::insert_many([50, 51].map(new_book));
                books.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .adds("book"),
        form("`Entity::insert_many`, `exec_with_returning`", |w| {
            Box::pin(async {
                let books = book::Entity::insert_many([50, 51].map(new_book));
                books.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert_many`, `exec_with_returning_keys`", |w| {
            Box::pin(async {
                let books = book::Entity::insert_many([without_key(), without_key()]);
                books.exec_with_returning_keys(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .lacks(no_typed_returning),
        form("`Entity::insert_many`, empty", |w| {
            Box::pin(async {
                let none: [book::ActiveModel; 0] = [];
                book::Entity::insert_many(none).exec(&w.db).await.map(drop)
            })
        }),
        form("`Entity::insert`, a key of two columns", |w| {
            Box::pin(async { book_author::Entity::insert(link(3, 1)).exec(&w.db).await.map(drop) })
        })
        .adds("book_author"),
    ]
}

fn upserts() -> Vec<Form> {
    vec![
        form("`on_conflict` on the key, `update_column`, there", |w| {
            Box::pin(async {
                let title =
                    OnConflict::column(book::Column::Id).update_column(book::Column::Title).to_owned();
                let book = book::ActiveModel { title: Set("upserted".into()), ..new_book(3) };
                book::Entity::insert(book).on_conflict(title).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide_on("book", on_mariadb),
        form("`on_conflict` on the key, `update_columns`, one new and one there", |w| {
            Box::pin(async {
                let columns = [book::Column::Title, book::Column::Stock];
                let update = OnConflict::column(book::Column::Id).update_columns(columns).to_owned();
                let book = |id| book::ActiveModel { title: Set("upserted".into()), ..new_book(id) };
                let both = book::Entity::insert_many([3, 50].map(book)).on_conflict(update);
                both.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .adds("book")
        .wide_on("book", on_mariadb),
        form("`on_conflict` on the key, `value` computed", |w| {
            Box::pin(async {
                let more = OnConflict::column(book::Column::Id)
                    .value(book::Column::Stock, Expr::col((book::Entity, book::Column::Stock)).add(1))
                    .to_owned();
                let insert = book::Entity::insert(new_book(3)).on_conflict(more);
                insert.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide_on("book", on_mariadb),
        form("`on_conflict_do_nothing`, there", |w| {
            Box::pin(async {
                let done = book::Entity::insert(new_book(3)).on_conflict_do_nothing().exec(&w.db).await?;
                // MySQL is told to set the key to itself, and SeaORM cannot tell.
                assert!(
                    matches!(done, TryInsertResult::Conflicted) || w.database.backend() == Backend::MariaDb
                );
                Ok(())
            })
        })
        .rows("book", [])
        .list_on(1, on_mariadb),
        form("`on_conflict_do_nothing`, one new and one there", |w| {
            Box::pin(async {
                let both = book::Entity::insert_many([3, 50].map(new_book)).on_conflict_do_nothing();
                both.exec_without_returning(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .list_on(1, |_| true),
    ]
}

fn updates() -> Vec<Form> {
    vec![
        form("`Entity::update`, `exec`", |w| {
            Box::pin(async { book::Entity::update(retitled(3, "new")).exec(&w.db).await.map(drop) })
        })
        .rows("book", [3]),
        form("`Entity::update` with a further filter", |w| {
            Box::pin(async {
                let update = book::Entity::update(retitled(3, "new")).validate()?;
                update.filter(book::Column::Stock.gt(0)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by key", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Title, Expr::value("new"));
                update.filter(book::Column::Id.eq(3_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by keys", |w| {
            Box::pin(async {
                let update = book::Entity::update_many()
                    .set(book::ActiveModel { title: Set("new".into()), ..Default::default() });
                update.filter(book::Column::Id.is_in([3_i64, 4])).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4]),
        form("`update_many` by key, `stock = stock + 1`", |w| {
            Box::pin(async {
                let more = Expr::col(book::Column::Stock).add(1);
                let update = book::Entity::update_many().col_expr(book::Column::Stock, more);
                update.filter(book::Column::Id.eq(3_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by key and another column", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                let update =
                    update.filter(book::Column::ShelfId.eq(1_i64)).filter(book::Column::Id.eq(3_i64));
                update.exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`update_many` by key or another column", |w| {
            Box::pin(async {
                let either = book::Column::Id.eq(3_i64).or(book::Column::Title.eq("Title 4"));
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(either).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .wide("book"),
        form("`update_many` by a range of keys", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::Id.between(3_i64, 4_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .wide("book"),
        form("`update_many` by another column", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::ShelfId.eq(1_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 6])
        .wide("book"),
        form("`update_many` by a subquery", |w| {
            Box::pin(async {
                let reviewed = Query::select().column(review::Column::BookId).from(review::Entity).to_owned();
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::Id.in_subquery(reviewed)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [1, 2, 4])
        .all_lists()
        .wide("book"),
        form("`update_many` without a filter", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [1, 2, 3, 4, 5, 6, 7, 8])
        .wide("book"),
        form("`update_many` of the key itself", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Id, Expr::value(60_i64));
                update.filter(book::Column::Id.eq(6_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [6])
        .adds("book"),
        form("`update_many` of no row", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                update.filter(book::Column::Id.eq(4711_i64)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [])
        .of_no_row(),
        form("`update_many` by more keys than are named one by one", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                let keys = (3_i64..5).chain(100_000..101_500);
                update.filter(book::Column::Id.is_in(keys)).exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .wide("book"),
        form("`update_many`, `exec_with_returning`", |w| {
            Box::pin(async {
                let update = book::Entity::update_many().col_expr(book::Column::Stock, Expr::value(0));
                let update = update.filter(book::Column::Id.eq(3_i64));
                update.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .lacks(no_typed_returning),
        form("`update_many` by a key of two columns", |w| {
            Box::pin(async {
                let update = book_author::Entity::update_many();
                let update = update.col_expr(book_author::Column::AuthorId, Expr::value(2_i64));
                let update = update.filter(book_author::Column::BookId.eq(1_i64));
                update.filter(book_author::Column::AuthorId.eq(1_i64)).exec(&w.db).await.map(drop)
            })
        })
        .pairs("book_author", ["1,1"])
        .wide("book_author"),
    ]
}

fn deletes() -> Vec<Form> {
    vec![
        form("`Entity::delete`, `exec`", |w| {
            Box::pin(async { book::Entity::delete(new_book(5)).exec(&w.db).await.map(drop) })
        })
        .rows("book", [5]),
        form("`Entity::delete`, `exec_with_returning`", |w| {
            Box::pin(async {
                let delete = book::Entity::delete(new_book(5));
                delete.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [5])
        .lacks(no_typed_returning),
        form("`Entity::delete_by_id`", |w| {
            Box::pin(async { book::Entity::delete_by_id(5).exec(&w.db).await.map(drop) })
        })
        .rows("book", [5]),
        form("`Entity::delete_by_id`, of no row", |w| {
            Box::pin(async { book::Entity::delete_by_id(4711).exec(&w.db).await.map(drop) })
        })
        .rows("book", [])
        .of_no_row(),
        form("`Entity::delete_by_id`, a key of two columns", |w| {
            Box::pin(async { book_author::Entity::delete_by_id((2, 1)).exec(&w.db).await.map(drop) })
        })
        .pairs("book_author", ["2,1"]),
        form("`delete_many` by keys", |w| {
            Box::pin(async {
                let delete = book::Entity::delete_many().filter(book::Column::Id.is_in([5_i64, 6]));
                delete.exec(&w.db).await.map(drop)
            })
        })
        .rows("book", [5, 6]),
        form("`delete_many` by another column", |w| {
            Box::pin(async {
                let delete = review::Entity::delete_many().filter(review::Column::BookId.eq(1_i64));
                delete.exec(&w.db).await.map(drop)
            })
        })
        .rows("review", [1, 2])
        .wide("review"),
        form("`delete_many` by half of a key of two columns", |w| {
            Box::pin(async {
                let delete = book_author::Entity::delete_many().filter(book_author::Column::BookId.eq(2_i64));
                delete.exec(&w.db).await.map(drop)
            })
        })
        .pairs("book_author", ["2,1", "2,2"])
        .wide("book_author"),
        form("`delete_many` without a filter", |w| {
            Box::pin(async { review::Entity::delete_many().exec(&w.db).await.map(drop) })
        })
        .rows("review", [1, 2, 3, 4])
        .wide("review"),
        form("`delete_many`, `exec_with_returning`", |w| {
            Box::pin(async {
                let delete = book::Entity::delete_many().filter(book::Column::Id.is_in([5_i64, 6]));
                delete.exec_with_returning(&w.db).await.map(drop)
            })
        })
        .rows("book", [5, 6])
        .lacks(no_typed_returning),
    ]
}

fn relations() -> Vec<Form> {
    vec![
        form("`ActiveModelEx::save`, a new book with two reviews", |w| {
            Box::pin(async {
                let review = || review::ActiveModel::builder().set_customer_id(1).set_stars(4).set_body(None);
                let book = book::ActiveModel::builder().set_title("nested").set_price_cents(1).set_stock(1);
                let book = book.set_shelf_id(1).set_publisher_id(1).add_review(review()).add_review(review());
                book.save(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .adds("review"),
        form("`ActiveModelEx::save`, a book that is there and a new review of it", |w| {
            Box::pin(async {
                let review = review::ActiveModel::builder().set_customer_id(1).set_stars(4).set_body(None);
                let book = book::ActiveModel::builder().set_id(3).set_title("nested");
                book.add_review(review).save(&w.db).await.map(drop)
            })
        })
        .rows("book", [3])
        .adds("review"),
        form("`ActiveModelEx::save`, a book with a new publisher", |w| {
            Box::pin(async {
                let book = book::ActiveModel::builder().set_title("nested").set_price_cents(1).set_stock(1);
                let publisher = publisher::ActiveModel::builder().set_name("nested");
                book.set_shelf_id(1).set_publisher(publisher).save(&w.db).await.map(drop)
            })
        })
        .adds("book")
        .adds("publisher"),
        form("`Model::cascade_delete`, a book and its reviews", |w| {
            Box::pin(async {
                let model = book::Entity::find_by_id(4).one(&w.db).await?.unwrap();
                model.cascade_delete(&w.db).await.map(drop)
            })
        })
        .rows("book", [4])
        .rows("review", [4]),
        form("`ActiveModelEx::save`, many to many: link", |w| {
            Box::pin(async {
                let author =
                    linked::author::ActiveModel { id: Unchanged(1), name: Unchanged("Author 1".into()) };
                let book = linked::book::ActiveModel { id: Unchanged(3), title: Unchanged("Title 3".into()) };
                let mut author = author.into_ex();
                author.books.append(book);
                author.save(&w.db).await.map(drop)
            })
        })
        .adds("book_author"),
        form("`ActiveModelEx::save`, many to many: replace all", |w| {
            Box::pin(async {
                let author =
                    linked::author::ActiveModel { id: Unchanged(1), name: Unchanged("Author 1".into()) };
                let book = linked::book::ActiveModel { id: Unchanged(3), title: Unchanged("Title 3".into()) };
                let mut author = author.into_ex();
                author.books.replace_all([book.into_ex()]);
                author.save(&w.db).await.map(drop)
            })
        })
        .pairs("book_author", ["1,1", "2,1"])
        .adds("book_author"),
    ]
}

fn transactions() -> Vec<Form> {
    vec![
        form("transaction: save, commit", |w| {
            Box::pin(async {
                let tx = w.db.begin().await?;
                retitled(3, "new").save(&tx).await?;
                without_key().save(&tx).await?;
                tx.commit().await
            })
        })
        .rows("book", [3])
        .adds("book"),
        form("transaction: two tables in a closure", |w| {
            Box::pin(async {
                let done = w.db.transaction::<_, (), DbErr>(|tx| {
                    Box::pin(async move {
                        publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) }.update(tx).await?;
                        restock_book(tx, 3).await
                    })
                });
                done.await.map_err(|error| match error {
                    TransactionError::Connection(error) | TransactionError::Transaction(error) => error,
                })
            })
        })
        .rows("book", [3])
        .rows("publisher", [2]),
        form("transaction: savepoint rolled back, commit", |w| {
            Box::pin(async {
                let tx = w.db.begin().await?;
                retitled(3, "new").update(&tx).await?;
                let inner = tx.begin().await?;
                publisher::ActiveModel { id: Set(2), name: Set("Renamed".into()) }.update(&inner).await?;
                inner.rollback().await?;
                tx.commit().await
            })
        })
        .rows("book", [3]),
        form("transaction: rolled back", |w| {
            Box::pin(async {
                let tx = w.db.begin().await?;
                retitled(3, "new").update(&tx).await?;
                book::Entity::delete_by_id(5).exec(&tx).await?;
                tx.rollback().await
            })
        }),
    ]
}

fn raw_texts() -> Vec<Form> {
    vec![
        form("`execute_raw`, values bound, by key", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET title = ?, stock = stock + ? WHERE id = ?";
                let statement = bound(w, sql, ["new".into(), 1.into(), 3i64.into()]);
                w.db.execute_raw(statement).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`execute_raw`, values bound, by keys", |w| {
            Box::pin(async {
                let sql = "DELETE FROM book WHERE stock < ? AND (id IN (?, ?))";
                let statement = bound(w, sql, [1000.into(), 5i64.into(), 6i64.into()]);
                w.db.execute_raw(statement).await.map(drop)
            })
        })
        .rows("book", [5, 6]),
        form("`execute`, a query built by hand", |w| {
            Box::pin(async {
                let mut update = Query::update();
                update
                    .table(book::Entity)
                    .value(book::Column::Stock, 0)
                    .and_where(book::Column::Id.eq(3_i64));
                w.db.execute(&update).await.map(drop)
            })
        })
        .rows("book", [3]),
        form("`execute_unprepared`, by key", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = stock - 1 WHERE id = 3"))
        })
        .rows("book", [3]),
        form("`execute_unprepared`, by key, in comments and capitals", |w| {
            Box::pin(unprepared(
                w,
                "/* publisher */ update -- shelf\n book set stock = 0 where Id = 3; -- author",
            ))
        })
        .rows("book", [3]),
        form("`execute_unprepared`, a name and a keyword in a text value", |w| {
            Box::pin(unprepared(w, "UPDATE book SET title = 'DELETE FROM publisher; --' WHERE id = 3"))
        })
        .rows("book", [3]),
        form("`execute_unprepared`, the table under another name", |w| {
            Box::pin(async {
                let sql = match w.database.backend() {
                    Backend::MariaDb => "UPDATE `book` AS `b` SET `b`.`stock` = 0 WHERE `b`.`id` = 3",
                    _ => "UPDATE \"book\" AS \"b\" SET \"stock\" = 0 WHERE \"b\".\"id\" = 3",
                };
                unprepared(w, sql).await
            })
        })
        .rows("book", [3])
        .all_lists(),
        form("`execute_unprepared`, the table with its schema", |w| {
            Box::pin(async {
                let schema = match w.database.backend() {
                    Backend::Postgres => "public".to_owned(),
                    Backend::Sqlite => "main".to_owned(),
                    Backend::MariaDb => {
                        let row =
                            w.plain().query_one_raw(raw(w, "SELECT DATABASE() AS name")).await?.unwrap();
                        row.try_get("", "name")?
                    }
                };
                unprepared(w, &format!("UPDATE {schema}.book SET stock = 0 WHERE id = 3")).await
            })
        })
        .rows("book", [3])
        .all_lists(),
        form("`execute_unprepared`, the key as text", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE id = '3'"))
        })
        .rows("book", [3])
        .all_lists()
        .wide("book"),
        form("`execute_unprepared`, the key computed", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE id = 1 + 2"))
        })
        .rows("book", [3])
        .all_lists()
        .wide("book"),
        form("`execute_unprepared`, rows unknown", |w| {
            Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE price_cents > 600"))
        })
        .rows("book", [7, 8])
        .all_lists()
        .wide("book"),
        form("`execute_unprepared`, two statements", |w| {
            Box::pin(unprepared(
                w,
                "UPDATE book SET stock = 0 WHERE id = 3; UPDATE publisher SET name = 'Renamed' WHERE id = 2",
            ))
        })
        .rows("book", [3])
        .all_lists()
        .rows("publisher", [2]),
        form("`execute_unprepared`, all rows of a table", |w| Box::pin(unprepared(w, "DELETE FROM review")))
            .rows("review", [1, 2, 3, 4])
            .wide("review"),
        form("`execute_unprepared`, `INSERT ... VALUES`", |w| {
            Box::pin(unprepared(w, "INSERT INTO author (id, name) VALUES (50, 'Author 50')"))
        })
        .adds("author"),
        form("`execute_unprepared`, `INSERT ... SELECT`", |w| {
            Box::pin(unprepared(
                w,
                "INSERT INTO book (id, shelf_id, publisher_id, title, price_cents, stock) \
                 SELECT id + 47, shelf_id, publisher_id, title, price_cents, stock FROM book WHERE id = 3",
            ))
        })
        .adds("book")
        .all_lists(),
        form("DDL: another table made and dropped", |w| {
            Box::pin(async {
                unprepared(w, "CREATE TABLE pamphlet (id INT PRIMARY KEY)").await?;
                unprepared(w, "DROP TABLE pamphlet").await
            })
        }),
        form("DDL: a table renamed, and back", |w| {
            Box::pin(unprepared(
                w,
                "ALTER TABLE author RENAME TO writer; ALTER TABLE writer RENAME TO author",
            ))
        })
        .rows("author", [])
        .wide("author"),
        form("DDL: a column added", |w| {
            Box::pin(async {
                unprepared(w, "ALTER TABLE review ADD COLUMN votes INT").await?;
                // The read first: another connection of SQLite's may not have noticed the column.
                let undo = "SELECT COUNT(votes) FROM review; ALTER TABLE review DROP COLUMN votes";
                w.database.execute(undo).await;
                Ok(())
            })
        })
        .rows("review", [])
        .wide("review"),
    ]
}

fn returning_texts() -> Vec<Form> {
    vec![
        form("`query_one_raw`, `UPDATE ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id = ? RETURNING title";
                w.db.query_one_raw(bound(w, sql, [3i64.into()])).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .lacks(no_update_returning),
        form("`query_all_raw`, `UPDATE ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id IN (?, ?) RETURNING *";
                w.db.query_all_raw(bound(w, sql, [3i64.into(), 4i64.into()])).await.map(drop)
            })
        })
        .rows("book", [3, 4])
        .lacks(no_update_returning),
        form("`query_one_raw`, `INSERT ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "INSERT INTO author (id, name) VALUES (?, ?) RETURNING id";
                w.db.query_one_raw(bound(w, sql, [50i64.into(), "new".into()])).await.map(drop)
            })
        })
        .adds("author"),
        form("`query_all_raw`, `DELETE ... RETURNING`", |w| {
            Box::pin(async {
                let sql = "DELETE FROM book WHERE id IN (?, ?) RETURNING id";
                w.db.query_all_raw(bound(w, sql, [5i64.into(), 6i64.into()])).await.map(drop)
            })
        })
        .rows("book", [5, 6])
        .all_lists(),
        form("`stream_raw`, `UPDATE ... RETURNING`, read to the end", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id IN (3, 4) RETURNING id";
                let mut rows = w.db.stream_raw(raw(w, sql)).await?;
                while let Some(row) = rows.next().await {
                    row?;
                }
                Ok(())
            })
        })
        .rows("book", [3, 4])
        .lacks(no_update_returning),
        form("`stream_raw`, `UPDATE ... RETURNING`, dropped half-way", |w| {
            Box::pin(async {
                let sql = "UPDATE book SET stock = 0 WHERE id IN (3, 4) RETURNING id";
                let mut rows = w.db.stream_raw(raw(w, sql)).await?;
                rows.next().await.unwrap()?;
                drop(rows);
                purged(w, "book").await;
                Ok(())
            })
        })
        .rows("book", [3, 4])
        .lacks(no_update_returning),
        form("`stream_raw`, `DELETE ... RETURNING`, dropped half-way", |w| {
            Box::pin(async {
                let sql = "DELETE FROM book WHERE id IN (5, 6) RETURNING id";
                let mut rows = w.db.stream_raw(raw(w, sql)).await?;
                rows.next().await.unwrap()?;
                drop(rows);
                purged(w, "book").await;
                Ok(())
            })
        })
        .rows("book", [5, 6])
        .all_lists(),
    ]
}

fn dialects() -> Vec<Form> {
    vec![
        form("`WITH ... UPDATE`", |w| {
            Box::pin(unprepared(
                w,
                "WITH best AS (SELECT book_id FROM review WHERE stars = 5) \
                 UPDATE book SET stock = 0 WHERE id IN (SELECT book_id FROM best)",
            ))
        })
        .rows("book", [1, 2, 4])
        .all_lists()
        .wide("book")
        .lacks(not_mariadb),
        form("`WITH x AS (UPDATE ... RETURNING ...) DELETE`", |w| {
            Box::pin(async {
                let sql = "WITH moved AS (UPDATE book SET stock = 0 WHERE id = 3 RETURNING id) \
                           DELETE FROM review WHERE id = 3";
                w.db.query_all_raw(raw(w, sql)).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .rows("review", [3])
        .lacks(postgres_only),
        form("`UPDATE ... FROM`", |w| {
            Box::pin(unprepared(
                w,
                "UPDATE book SET stock = 0 FROM publisher AS p WHERE p.id = book.publisher_id AND p.id = 1",
            ))
        })
        .rows("book", [2, 4, 6, 8])
        .wide("book")
        .lacks(not_mariadb),
        form("`UPDATE` of a join", |w| {
            Box::pin(unprepared(
                w,
                "UPDATE book JOIN publisher AS p ON p.id = book.publisher_id SET book.stock = 0 WHERE p.id = 1",
            ))
        })
        .rows("book", [2, 4, 6, 8])
        .wide("book")
        .lacks(mariadb_only),
        form("`DELETE ... USING`", |w| {
            Box::pin(unprepared(w, "DELETE FROM review USING book WHERE book.id = review.book_id AND book.id = 1"))
        })
        .rows("review", [1, 2])
        .wide("review")
        .lacks(postgres_only),
        form("`DELETE` from a join", |w| {
            Box::pin(unprepared(w, "DELETE r FROM review AS r JOIN book ON book.id = r.book_id WHERE book.id = 1"))
        })
        .rows("review", [1, 2])
        .wide("review")
        .lacks(mariadb_only),
        form("`MERGE`", |w| {
            Box::pin(unprepared(
                w,
                "MERGE INTO book USING (VALUES (3), (4)) AS v (id) ON book.id = v.id \
                 WHEN MATCHED THEN UPDATE SET stock = 0",
            ))
        })
        .rows("book", [3, 4])
        .wide("book")
        .lacks(postgres_only),
        form("`TRUNCATE`", |w| Box::pin(unprepared(w, "TRUNCATE TABLE review")))
            .rows("review", [1, 2, 3, 4])
            .wide("review")
            .lacks(not_sqlite),
        form("`EXPLAIN ANALYZE UPDATE`", |w| {
            Box::pin(async {
                let sql = "EXPLAIN ANALYZE UPDATE book SET stock = 0 WHERE id = 3";
                w.db.query_all_raw(raw(w, sql)).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide("book")
        .lacks(postgres_only),
        form("`ANALYZE UPDATE`", |w| {
            Box::pin(async {
                let sql = "ANALYZE UPDATE book SET stock = 0 WHERE id = 3";
                w.db.query_all_raw(raw(w, sql)).await.map(drop)
            })
        })
        .rows("book", [3])
        .all_lists()
        .wide("book")
        .lacks(mariadb_only),
        form("a `DO` block", |w| {
            Box::pin(unprepared(w, "DO $$ BEGIN UPDATE book SET stock = 0 WHERE id = 3; END $$"))
        })
        .rows("book", [3])
        .everything_on(|_| true)
        .lacks(postgres_only),
        form("`EXECUTE IMMEDIATE`", |w| {
            Box::pin(unprepared(w, "EXECUTE IMMEDIATE 'UPDATE book SET stock = 0 WHERE id = 3'"))
        })
        .rows("book", [3])
        .everything_on(|_| true)
        .lacks(mariadb_only),
        form("`INSERT ... ON DUPLICATE KEY UPDATE`", |w| {
            Box::pin(unprepared(
                w,
                "INSERT INTO author (id, name) VALUES (2, 'new') ON DUPLICATE KEY UPDATE name = VALUES(name)",
            ))
        })
        .rows("author", [2])
        .wide("author")
        .lacks(mariadb_only),
        form("`INSERT ... SET`", |w| {
            Box::pin(unprepared(w, "INSERT INTO author SET id = 50, name = 'new'"))
        })
        .adds("author")
        .lacks(mariadb_only),
        form("`INSERT IGNORE`", |w| {
            Box::pin(unprepared(w, "INSERT IGNORE INTO author (id, name) VALUES (1, 'old'), (50, 'new')"))
        })
        .adds("author")
        .lacks(mariadb_only),
        form("`INSERT OR IGNORE`", |w| {
            Box::pin(unprepared(w, "INSERT OR IGNORE INTO author (id, name) VALUES (1, 'old'), (50, 'new')"))
        })
        .adds("author")
        .lacks(sqlite_only),
        form("`REPLACE INTO`", |w| {
            Box::pin(unprepared(w, "REPLACE INTO review (id, book_id, customer_id, stars) VALUES (3, 2, 1, 1)"))
        })
        .rows("review", [3])
        .wide("review")
        .lacks(|backend| (backend == Backend::Postgres).then_some("not in PostgreSQL's SQL")),
        form("`INSERT OR REPLACE`", |w| {
            Box::pin(unprepared(
                w,
                "INSERT OR REPLACE INTO review (id, book_id, customer_id, stars) VALUES (3, 2, 1, 1)",
            ))
        })
        .rows("review", [3])
        .wide("review")
        .lacks(sqlite_only),
        form("`UPDATE OR REPLACE`", |w| {
            Box::pin(unprepared(w, "UPDATE OR REPLACE review SET id = 4 WHERE id = 3"))
        })
        .rows("review", [3, 4])
        .wide("review")
        .lacks(sqlite_only),
        form("by `rowid`", |w| Box::pin(unprepared(w, "UPDATE book SET stock = 0 WHERE rowid = 3")))
            .rows("book", [3])
            .all_lists()
            .wide("book")
            .lacks(sqlite_only),
        form("`ON CONFLICT DO UPDATE` of the key", |w| {
            Box::pin(unprepared(
                w,
                "INSERT INTO author (id, name) VALUES (3, 'new') ON CONFLICT (id) DO UPDATE SET id = 50",
            ))
        })
        .rows("author", [3])
        .adds("author")
        .wide("author")
        .lacks(not_mariadb),
        form("a table's name in capitals", |w| {
            Box::pin(unprepared(w, "UPDATE BOOK SET stock = 0 WHERE ID = 3"))
        })
        .rows("book", [3])
        .all_lists()
        .lacks(|backend| on_mariadb(backend).then_some("MariaDB tells capitals in names apart")),
    ]
}

// ----------------------------------------------------------------------------------- the trial

/// Runs every form in one world: what the cells of its column say, and what went wrong.
async fn try_all(world: World) -> (String, Vec<String>, Vec<String>) {
    let mut cells = Vec::new();
    let mut wrong = Vec::new();
    advance_keys(&world).await;
    for form in forms() {
        cells.push(match (form.lacks)(world.database.backend()) {
            Some(why) => format!("n/a: {why}"),
            None => {
                let mut failures = Vec::new();
                let cell = try_one(&world, &form, &mut failures).await;
                wrong.extend(failures.iter().map(|failure| format!("{world}: {}: {failure}", form.name)));
                if failures.is_empty() { cell.to_owned() } else { "**wrong**".to_owned() }
            }
        });
    }
    let store = match world.store {
        StoreKind::Memory => "memory",
        StoreKind::Redis => "Redis",
    };
    (format!("{}, {store}", world.database.backend()), cells, wrong)
}

async fn try_one(world: &World, form: &Form, wrong: &mut Vec<String>) -> &'static str {
    let backend = world.database.backend();
    let reads = Read::all(&restock(world).await);
    let mut before = Vec::new();
    for read in &reads {
        before.push(read.from(world, How::Cached).await);
        eventually("what was read is cached", SOON, async || {
            world.is_hit(read.from(world, How::Cached)).await.1
        })
        .await;
    }
    if let Err(error) = (form.run)(world).await {
        wrong.push(error.to_string());
    }
    let mut cell = "exact";
    let mut found = BTreeSet::new();
    for (read, before) in reads.into_iter().zip(before) {
        let (cached, hit) = world.is_hit(read.from(world, How::Cached)).await;
        let truth = read.from(world, How::Plain).await;
        if cached != truth {
            wrong.push(format!("{read:?} is stale: {cached}, and the database says {truth}"));
        }
        let was_missing = before == "None";
        let changed = before != truth;
        if let Some((table, _)) = read.row().filter(|_| was_missing && changed) {
            found.insert(table);
        }
        if !was_missing && read.row().is_some() && changed != form.touches(read) {
            wrong.push(format!("{read:?}: declared {}, {before} became {truth}", form.touches(read)));
        }
        let purges = form.purges(read, was_missing, changed, backend);
        if form.refused {
            // Nothing was written. Where it was sent on its own nobody knows, and it is purged.
            continue;
        }
        match (purges, hit) {
            (true, true) => wrong.push(format!("{read:?} was to be purged and is a hit")),
            (false, false) => wrong.push(format!("{read:?} was purged without need")),
            (true, false) if !was_missing && read.row().is_some() && !form.touches(read) => cell = "wide",
            _ => {}
        }
    }
    // A declaration that no read could prove wrong would be worth nothing.
    for table in form.adds.iter().filter(|table| ["book", "review", "author", "book_author"].contains(table))
    {
        if !found.contains(table) {
            wrong.push(format!("no read saw what was added to {table}"));
        }
    }
    if (form.everything)(backend) { "everything" } else { cell }
}

fn markdown(columns: &[(String, Vec<String>)]) -> String {
    let mut out = String::from("| form |");
    columns.iter().for_each(|(title, _)| write!(out, " {title} |").unwrap());
    out.push_str("\n|---|");
    columns.iter().for_each(|_| out.push_str("---|"));
    out.push('\n');
    for (row, form) in forms().iter().enumerate() {
        write!(out, "| {} |", form.name).unwrap();
        columns.iter().for_each(|(_, cells)| write!(out, " {} |", cells[row]).unwrap());
        out.push('\n');
    }
    out
}

const PREFACE: &str = "\
# Every way to write, and what it purges

Written by the test `every_write_form_purges_what_it_made_wrong` (`tests/promises/write_forms.rs`) from \
what it saw. Lists, counts, joins and entries that say \"no such row\" of a table go with any write to it; \
what the cells tell is which *row entries* go:

* **exact**: those of the rows that the statement touched, and no other.
* **wide**: those of all rows of the table, because the text does not say which it touches.
* **everything**: all entries of the namespace, because the statement says nothing of what it touches.
* **n/a**: the database, or SeaORM for it, has no such form.

";

// case D1, D2, D3, D4, D5, D6, D7, D8, D9, D10, D11, D12, D13, D18, D21, D23, D24, D25, D27, D28, D29, D30, D31, D32
#[tokio::test]
async fn every_write_form_purges_what_it_made_wrong() {
    let trials = join_all(World::all().await.into_iter().map(try_all)).await;
    let mut columns = Vec::new();
    let mut wrong = Vec::new();
    for (title, cells, failures) in trials {
        columns.push((title, cells));
        wrong.extend(failures);
    }
    let table = markdown(&columns);
    println!("{table}");
    if let Some(path) = std::env::var_os("SEA_ORM_CACHE_WRITE_TABLE") {
        assert_eq!(columns.len(), 6, "the table is of all databases and stores, and some are not there");
        std::fs::write(path, format!("{PREFACE}{table}")).unwrap();
    }
    assert!(wrong.is_empty(), "{} failures:\n{}", wrong.len(), wrong.join("\n"));
}
