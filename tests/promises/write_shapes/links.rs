//! Relations that are rows: many-to-many links seen from both sides, and children of several parents.

use sea_orm::{
    ActiveValue::{Set, Unchanged},
    IntoActiveModel, QueryOrder,
    entity::prelude::*,
};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::book_author,
    linked::{author, book},
    question::{Asked, question},
    world::World,
};

fn author_1() -> author::ActiveModelEx {
    author::ActiveModel { id: Unchanged(1), name: Unchanged("Author 1".into()) }.into_ex()
}

fn book_3() -> book::ActiveModelEx {
    book::ActiveModel { id: Unchanged(3), title: Unchanged("Title 3".into()) }.into_ex()
}

// case D18
#[tokio::test]
async fn links_that_come_and_go_are_seen_from_both_sides() {
    for world in World::all().await {
        let questions = vec![
            question!(
                "books of author 1",
                author::Entity::find_by_id(1).find_with_related(book::Entity).order_by_asc(book::Column::Id),
                all
            ),
            question!(
                "authors of book 3",
                book::Entity::find_by_id(3)
                    .find_with_related(author::Entity)
                    .order_by_asc(author::Column::Id),
                all
            ),
            question!(
                "authors of book 4",
                book::Entity::find_by_id(4)
                    .find_with_related(author::Entity)
                    .order_by_asc(author::Column::Id),
                all
            ),
            question!(
                "author 1 and a book",
                author::Entity::find_by_id(1).find_also_related(book::Entity),
                all
            ),
            question!("link 3, 1", book_author::Entity::find_by_id((3, 1)), one),
            question!("link 4, 1", book_author::Entity::find_by_id((4, 1)), one),
            question!("links", book_author::Entity::find(), count),
            question!("author 1", author::Entity::find_by_id(1), one),
        ];
        let asked = Asked::new(&world, questions).await;
        let three = ["books of author 1", "authors of book 3", "author 1 and a book", "link 3, 1", "links"];

        let add = async {
            let mut author = author_1();
            author.books.append(book_3());
            author.save(&world.db).await
        };
        let purged = asked.after("a link added", &three, add).await;
        assert!(!purged.contains(&"author 1"), "{world}: the author's own row was not touched");
        let remove = book_author::Entity::delete_by_id((3, 1)).exec(&world.db);
        asked.after("a link removed", &three, remove).await;
        let from_the_book = async {
            let mut book = book_3();
            book.authors.append(author_1());
            book.save(&world.db).await
        };
        asked.after("a link added from the other side", &three, from_the_book).await;
        let replace = async {
            let mut author = author_1();
            let four = book::Entity::find_by_id(4).one(world.plain()).await?.unwrap();
            author.books.replace_all([four.into_active_model().into_ex()]);
            author.save(&world.db).await
        };
        let both = [
            "books of author 1",
            "authors of book 3",
            "authors of book 4",
            "author 1 and a book",
            "link 3, 1",
            "link 4, 1",
        ];
        asked.after("all links replaced", &both, replace).await;
        let clear = async {
            let mut author = author_1();
            author.books.replace_all([]);
            author.save(&world.db).await
        };
        let four = ["books of author 1", "authors of book 4", "author 1 and a book", "link 4, 1", "links"];
        asked.after("all links removed", &four, clear).await;
        let by_hand =
            "INSERT INTO book_author (book_id, author_id) SELECT id, 1 FROM book WHERE id IN (3, 4)";
        let all = [&both[..], &["links"]].concat();
        asked.after("links made of a select", &all, send(&world, by_hand)).await;
        let renamed = author::ActiveModel { id: Unchanged(1), name: Set("Renamed".into()) };
        let named = [
            "books of author 1",
            "authors of book 3",
            "authors of book 4",
            "author 1 and a book",
            "author 1",
        ];
        asked.after("the author renamed", &named, renamed.update(&world.db)).await;
    }
}

/// Remarks about anything: a table's name and a key of it.
mod remark {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "remark")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        pub subject_type: String,
        pub subject_id: i64,
        pub body: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn about(kind: &str, id: i64) -> sea_orm::Select<remark::Entity> {
    remark::Entity::find()
        .filter(remark::Column::SubjectType.eq(kind))
        .filter(remark::Column::SubjectId.eq(id))
        .order_by_asc(remark::Column::Id)
}

// case D19
#[tokio::test]
async fn children_of_one_table_or_another_are_told_apart_and_can_change_sides() {
    for world in World::all().await {
        let sql = "CREATE TABLE remark (id BIGINT PRIMARY KEY, subject_type VARCHAR(20) NOT NULL, \
                   subject_id BIGINT NOT NULL, body VARCHAR(50) NOT NULL)";
        world.database.execute(sql).await;
        let questions = vec![
            question!("of book 1", about("book", 1), all),
            question!("of shelf 1", about("shelf", 1), all),
            question!("of book 2", about("book", 2), all),
            question!("how many of books", about("book", 1), count),
            question!("remark 1", remark::Entity::find_by_id(1), one),
        ];
        let asked = Asked::new(&world, questions).await;
        let new = remark::ActiveModel {
            id: Set(1),
            subject_type: Set("book".into()),
            subject_id: Set(1),
            body: Set("well".into()),
        };
        let of_book = ["of book 1", "how many of books", "remark 1"];
        asked.after("a first remark", &of_book, new.insert(&world.db)).await;
        let moved =
            remark::ActiveModel { id: Set(1), subject_type: Set("shelf".into()), ..Default::default() };
        let changed = ["of book 1", "of shelf 1", "how many of books", "remark 1"];
        asked.after("the remark moved", &changed, moved.update(&world.db)).await;
        let moved = "UPDATE remark SET subject_type = 'book', subject_id = subject_id + 1 WHERE id = 1";
        let changed = ["of shelf 1", "of book 2", "remark 1"];
        asked.after("the remark moved again", &changed, send(&world, moved)).await;
        let gone = remark::Entity::delete_many().filter(remark::Column::SubjectType.eq("book"));
        asked.after("the remark deleted", &["of book 2", "remark 1"], gone.exec(&world.db)).await;
    }
}
