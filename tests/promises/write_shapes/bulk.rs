//! Writes of many rows by one statement that does not name them.

use sea_orm::{ConnectionTrait, QueryOrder, TransactionTrait, entity::prelude::*, sea_query::Query};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    entity::{author, book, publisher, review},
    question::{Asked, Question, question},
    support::Backend,
    world::World,
};

fn authors() -> Vec<Question> {
    vec![
        question!("author 1", author::Entity::find_by_id(1), one),
        question!("author 50", author::Entity::find_by_id(50), one),
        question!("authors", author::Entity::find().order_by_asc(author::Column::Id), all),
        question!("how many", author::Entity::find(), count),
        question!(
            "named Author 1",
            author::Entity::find()
                .filter(author::Column::Name.eq("Author 1"))
                .order_by_asc(author::Column::Id),
            all
        ),
    ]
}

// case D10
#[tokio::test]
async fn rows_made_of_other_rows_are_seen_by_lists_counts_and_where_there_was_none() {
    for world in World::all().await {
        let asked = Asked::new(&world, authors()).await;
        let new = ["author 50", "authors", "how many"];
        let from_publishers =
            "INSERT INTO author (id, name) SELECT id + 49, name FROM publisher WHERE id = 1";
        asked.after("INSERT ... SELECT as text", &new, send(&world, from_publishers)).await;
        author::Entity::delete_by_id(50).exec(&world.db).await.unwrap();
        let rows = Query::select()
            .expr(Expr::cust("id + 49"))
            .column(author::Column::Name)
            .from(author::Entity)
            .and_where(author::Column::Id.eq(1_i64))
            .to_owned();
        let mut insert = Query::insert();
        insert.into_table(author::Entity).columns([author::Column::Id, author::Column::Name]);
        insert.select_from(rows).unwrap();
        let new = ["author 50", "authors", "how many", "named Author 1"];
        asked.after("INSERT ... SELECT as a query", &new, world.db.execute(&insert)).await;
    }
}

// case D11
#[tokio::test]
async fn a_merge_updates_deletes_and_inserts() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        let asked = Asked::new(&world, authors()).await;
        let insert = "MERGE INTO author AS a USING (VALUES (50, 'merged')) AS v (id, name) ON a.id = v.id \
                      WHEN MATCHED THEN UPDATE SET name = v.name \
                      WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, v.name)";
        asked.after("MERGE that inserts", &["author 50", "authors", "how many"], send(&world, insert)).await;
        let update = insert.replace("'merged'", "'Author 1'");
        let changed = ["author 50", "authors", "named Author 1"];
        asked.after("MERGE that updates", &changed, send(&world, &update)).await;
        let delete = "MERGE INTO author AS a USING publisher AS p ON a.id = 50 AND p.id = 1 \
                      WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING";
        let changed = ["author 50", "authors", "how many", "named Author 1"];
        asked.after("MERGE that deletes", &changed, send(&world, delete)).await;
    }
}

async fn review_every_book(world: &World) {
    let sql = "INSERT INTO review (id, book_id, customer_id, stars) SELECT id, id, 1, 5 FROM book";
    world.database.execute(sql).await;
}

fn shop() -> Vec<Question> {
    vec![
        question!("publisher 1", publisher::Entity::find_by_id(1), one),
        question!("book 1", book::Entity::find_by_id(1), one),
        question!("review 1", review::Entity::find_by_id(1), one),
        question!("books", book::Entity::find(), count),
        question!("reviews", review::Entity::find(), count),
        question!(
            "books with reviews",
            book::Entity::find()
                .find_with_related(review::Entity)
                .order_by_asc(book::Column::Id)
                .order_by_asc(review::Column::Id),
            all
        ),
    ]
}

// case D12
#[tokio::test]
async fn an_emptied_table_is_empty_and_so_is_what_referred_to_it() {
    for world in World::all().await {
        review_every_book(&world).await;
        let asked = Asked::new(&world, shop()).await;
        let no_reviews = ["review 1", "reviews", "books with reviews"];
        let empty = match world.database.backend() {
            Backend::Sqlite => "DELETE FROM review",
            _ => "TRUNCATE TABLE review",
        };
        asked.after("one table emptied", &no_reviews, send(&world, empty)).await;
        if world.database.backend() != Backend::Postgres {
            continue;
        }
        review_every_book(&world).await;
        world.cache().clear().await;
        asked.after("two tables emptied", &no_reviews, send(&world, "TRUNCATE book_author, review")).await;
        review_every_book(&world).await;
        world.cache().clear().await;
        let taken_back = async {
            let tx = world.db.begin().await?;
            tx.execute_unprepared("TRUNCATE publisher CASCADE").await?;
            assert_eq!(book::Entity::find().cached().count(&tx).await?, 0);
            tx.rollback().await
        };
        let purged = asked.after("a TRUNCATE that is rolled back", &[], taken_back).await;
        assert_eq!(purged, [""; 0], "{world}");
        let all = ["publisher 1", "book 1", "review 1", "books", "reviews", "books with reviews"];
        asked.after("TRUNCATE ... CASCADE", &all, send(&world, "TRUNCATE publisher CASCADE")).await;
    }
}

// case D12, A28
#[tokio::test]
async fn a_truncate_that_commits_by_itself_purges_what_the_transaction_had_written() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::MariaDb) {
        review_every_book(&world).await;
        let asked = Asked::new(&world, shop()).await;
        let write = async {
            let tx = world.db.begin().await?;
            tx.execute_unprepared("UPDATE publisher SET name = 'Renamed' WHERE id = 1").await?;
            tx.execute_unprepared("TRUNCATE TABLE review").await?;
            tx.rollback().await
        };
        let changed = ["publisher 1", "review 1", "reviews", "books with reviews"];
        asked.after("TRUNCATE in a transaction that is rolled back", &changed, write).await;
    }
}

// case D14
#[tokio::test]
async fn rows_that_are_loaded_from_a_file_are_seen() {
    for world in World::all().await {
        let asked = Asked::new(&world, authors()).await;
        let load = match world.database.backend() {
            // SQLite's .import is the shell's, and sends INSERTs.
            Backend::Sqlite => continue,
            Backend::Postgres => {
                "COPY author (id, name) FROM PROGRAM 'echo 50,Author 1' WITH (FORMAT csv)".to_owned()
            }
            Backend::MariaDb => {
                let file = "SELECT CONCAT(@@datadir, DATABASE(), '.csv') AS file";
                let backend = world.plain().get_database_backend();
                let file = world.plain().query_one_raw(sea_orm::Statement::from_string(backend, file)).await;
                let file: String = file.unwrap().unwrap().try_get("", "file").unwrap();
                // The server's own file: it may not read everybody's.
                world.database.execute(&format!("SELECT 50, 'Author 1' INTO OUTFILE '{file}'")).await;
                format!("LOAD DATA INFILE '{file}' INTO TABLE author (id, name)")
            }
        };
        let new = ["author 50", "authors", "how many", "named Author 1"];
        asked.after("a load", &new, send(&world, &load)).await;
    }
}
