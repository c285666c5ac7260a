//! Tables whose names are keywords, have capitals, or are parts of other names; tables that change theirs.

use sea_orm::{QueryOrder, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use super::send;
use crate::{
    question::{Asked, Question, question},
    support::Backend,
    world::World,
};

/// Tables with a key and a name.
macro_rules! entities {
    ($($module:ident = $table:literal,)*) => {
        $(mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub id: i64,
                pub name: String,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        })*
    };
}

entities! {
    post = "post",
    post_tag = "post_tag",
    posts = "posts",
    pos = "pos",
    tag = "tag",
    order = "Order",
    select = "select",
    old = "old_name",
    new = "new_name",
}

/// Makes the table, with rows 1 and 2, in the quotes of the database.
async fn create(world: &World, table: &str) {
    let quoted = quoted(world, table);
    world
        .database
        .execute(&format!("CREATE TABLE {quoted} (id BIGINT PRIMARY KEY, name VARCHAR(50) NOT NULL)"))
        .await;
    world
        .database
        .execute(&format!("INSERT INTO {quoted} (id, name) VALUES (1, '{table}'), (2, '{table}')"))
        .await;
}

fn quoted(world: &World, table: &str) -> String {
    match world.database.backend() {
        Backend::MariaDb => format!("`{table}`"),
        _ => format!("\"{table}\""),
    }
}

// case D24
#[tokio::test]
async fn a_name_that_is_part_of_another_is_another_table() {
    for world in World::all().await {
        let tables = ["post", "post_tag", "posts", "pos", "tag"];
        for table in tables {
            create(&world, table).await;
        }
        let questions = vec![
            question!("post", post::Entity::find_by_id(1), one),
            question!("post, all", post::Entity::find().order_by_asc(post::Column::Id), all),
            question!("post_tag", post_tag::Entity::find_by_id(1), one),
            question!("post_tag, all", post_tag::Entity::find().order_by_asc(post_tag::Column::Id), all),
            question!("posts", posts::Entity::find_by_id(1), one),
            question!("posts, all", posts::Entity::find().order_by_asc(posts::Column::Id), all),
            question!("pos", pos::Entity::find_by_id(1), one),
            question!("pos, all", pos::Entity::find().order_by_asc(pos::Column::Id), all),
            question!("tag", tag::Entity::find_by_id(1), one),
            question!("tag, all", tag::Entity::find().order_by_asc(tag::Column::Id), all),
        ];
        let lists: Vec<_> = questions.iter().map(|question| question.name).collect();
        let asked = Asked::new(&world, questions).await;
        for (number, table) in tables.into_iter().enumerate() {
            let changed = &lists[2 * number..2 * number + 2];
            let sql = format!("UPDATE {table} SET name = 'post_tag, tag' WHERE id = 1");
            let purged = asked.after(&sql, changed, send(&world, &sql)).await;
            assert_eq!(purged, changed, "{world}: {sql}");
        }
    }
}

fn orders() -> Vec<Question> {
    vec![
        question!("order 1", order::Entity::find_by_id(1), one),
        question!("order 2", order::Entity::find_by_id(2), one),
        question!("orders", order::Entity::find().order_by_asc(order::Column::Id), all),
        question!("select 1", select::Entity::find_by_id(1), one),
        question!("select 2", select::Entity::find_by_id(2), one),
        question!("selects", select::Entity::find().order_by_asc(select::Column::Id), all),
    ]
}

// case D23
#[tokio::test]
async fn a_name_that_is_a_keyword_or_has_capitals_is_found_in_its_quotes() {
    let order = ["order 1", "orders"];
    let select = ["select 1", "selects"];
    for world in World::all().await {
        create(&world, "Order").await;
        create(&world, "select").await;
        let asked = Asked::new(&world, orders()).await;
        let mut writes = vec![
            (r#"UPDATE "Order" SET name = 'a' WHERE id = 1"#, &order),
            (r#"UPDATE "Order" SET name = 'b' WHERE "Order"."id" = 1"#, &order),
            (r#"UPDATE "select" SET "name" = '"Order"' WHERE "id" = 1"#, &select),
            (r#"/* UPDATE "select" */ UPDATE"Order"SET"name"='c'WHERE"id"=1"#, &order),
            (r#"DELETE FROM "select" WHERE "select".id IN (1)"#, &select),
        ];
        writes.extend(match world.database.backend() {
            Backend::Sqlite => vec![
                (r#"UPDATE [Order] AS "select" SET name = 'd' WHERE "select".id = 1"#, &order),
                ("UPDATE main.`Order` SET name = 'e' WHERE `id` = 1", &order),
                (r#"INSERT INTO 'select' (id, name) VALUES (1, 'back')"#, &select),
                (r#"UPDATE 'select' SET name = 'f' WHERE id = 1"#, &select),
                (r#"UPDATE "oRDER" SET name = 'g' FROM "select" s WHERE s.id = 2 AND "oRDER".id=1"#, &order),
            ],
            Backend::Postgres => vec![
                (r#"UPDATE "public"."Order" AS "select" SET name = 'd' WHERE "select".id = 1"#, &order),
                (r#"UPDATE ONLY public."Order" SET name = 'e' WHERE id = 1"#, &order),
                (r#"UPDATE U&"\004Frder" SET name = 'f' WHERE id = 1"#, &order),
                (r#"UPDATE "Order" o SET name = 'g' FROM "select" s WHERE s.id = 2 AND o.id = 1"#, &order),
                // Each is called by the other's name.
                (
                    r#"UPDATE "Order" AS "select" SET name = 'h' FROM "select" AS "Order"
                       WHERE "Order".id = 2 AND "select".id = 1"#,
                    &order,
                ),
                (r#"DELETE FROM "Order" o USING "select" s WHERE s.id = 2 AND o.id = s.id - 1"#, &order),
            ],
            Backend::MariaDb => vec![
                ("UPDATE `Order` AS `select` SET name = 'd' WHERE `select`.id = 1", &order),
                ("UPDATE `Order` o JOIN `select` s ON s.id = 2 SET o.name = 'e' WHERE o.id = 1", &order),
                (
                    "UPDATE `Order` `select`, `select` `Order` SET `select`.name = 'f' \
                  WHERE `Order`.id = 2 AND `select`.id = 1",
                    &order,
                ),
                ("DELETE o FROM `Order` AS o JOIN `select` s WHERE s.id = 2 AND o.id = s.id - 1", &order),
                ("INSERT INTO `Order` SET id = 1, name = 'back'", &order),
                ("DELETE FROM `Order` USING `Order` JOIN `select` s WHERE `Order`.id = s.id - 1", &order),
            ],
        });
        for (sql, changed) in writes {
            let sql = match world.database.backend() {
                Backend::MariaDb => sql.replace('"', "`").replace("'`", "'\"").replace("`'", "\"'"),
                _ => sql.to_owned(),
            };
            asked.after(&sql, &changed[..], send(&world, &sql)).await;
        }
    }
}

/// A table of one name in two schemas.
mod branch {
    pub mod here {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "branch", schema_name = "here")]
        pub struct Model {
            #[sea_orm(primary_key, auto_increment = false)]
            pub id: i64,
            pub name: String,
        }

        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    }

    pub mod there {
        use sea_orm::entity::prelude::*;

        #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
        #[sea_orm(table_name = "branch", schema_name = "there")]
        pub struct Model {
            #[sea_orm(primary_key, auto_increment = false)]
            pub id: i64,
            pub name: String,
        }

        #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
        pub enum Relation {}

        impl ActiveModelBehavior for ActiveModel {}
    }
}

// case D23
#[tokio::test]
async fn tables_of_one_name_in_two_schemas_are_not_mixed_up() {
    use branch::{here, there};
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::Postgres)
    {
        for schema in ["here", "there"] {
            world.database.execute(&format!("CREATE SCHEMA {schema}")).await;
            let table = format!("{schema}.branch (id BIGINT PRIMARY KEY, name VARCHAR(50) NOT NULL)");
            world.database.execute(&format!("CREATE TABLE {table}")).await;
            world.database.execute(&format!("INSERT INTO {schema}.branch VALUES (1, '{schema}')")).await;
        }
        let questions = vec![
            question!("here", here::Entity::find_by_id(1), one),
            question!("here, all", here::Entity::find(), all),
            question!("there", there::Entity::find_by_id(1), one),
            question!("there, all", there::Entity::find(), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let sql = "UPDATE here.branch SET name = 'new' WHERE id = 1";
        asked.after("a write here", &["here", "here, all"], send(&world, sql)).await;
        let sql =
            r#"SET search_path TO there; UPDATE branch SET name = 'new' WHERE id = 1; RESET search_path"#;
        asked.after("a write there, without its schema", &["there", "there, all"], send(&world, sql)).await;
    }
}

// case D32
#[tokio::test]
async fn tables_that_change_places_are_read_under_their_new_names() {
    for world in World::all().await {
        create(&world, "old_name").await;
        create(&world, "new_name").await;
        let questions = vec![
            question!("old 1", old::Entity::find_by_id(1), one),
            question!("olds", old::Entity::find().order_by_asc(old::Column::Id), all),
            question!("new 1", new::Entity::find_by_id(1), one),
            question!("news", new::Entity::find().order_by_asc(new::Column::Id), all),
        ];
        let asked = Asked::new(&world, questions).await;
        let all = ["old 1", "olds", "new 1", "news"];
        let swap = match world.database.backend() {
            Backend::MariaDb => "RENAME TABLE old_name TO aside, new_name TO old_name, aside TO new_name",
            _ => {
                "ALTER TABLE old_name RENAME TO aside; ALTER TABLE new_name RENAME TO old_name; \
                 ALTER TABLE aside RENAME TO new_name"
            }
        };
        asked.after("a swap", &all, send(&world, swap)).await;
        if world.database.backend() == Backend::Postgres {
            let undone = async {
                let tx = world.db.begin().await?;
                sea_orm::ConnectionTrait::execute_unprepared(&tx, swap).await?;
                tx.rollback().await
            };
            asked.after("a swap, rolled back", &[], undone).await;
        }
        let replace = "DROP TABLE old_name; ALTER TABLE new_name RENAME TO old_name; \
                       CREATE TABLE new_name (id BIGINT PRIMARY KEY, name VARCHAR(50) NOT NULL)";
        asked.after("a table in another's place", &all, send(&world, replace)).await;
    }
}

/// A column that is not spelled in ASCII.
mod livre {
    use sea_orm::entity::prelude::*;
    use sea_orm_cache::CacheEntity;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, CacheEntity)]
    #[sea_orm(table_name = "livre")]
    #[cache(index("etagere"))]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        #[sea_orm(column_name = "\u{e9}tag\u{e8}re")]
        pub etagere: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// case D28
#[tokio::test]
async fn a_column_is_known_by_every_name_under_which_the_server_finds_it() {
    for world in World::all().await.into_iter().filter(|world| world.database.backend() == Backend::MariaDb) {
        let table = "CREATE TABLE livre (id BIGINT PRIMARY KEY, `\u{e9}tag\u{e8}re` BIGINT NOT NULL)";
        world.database.execute(table).await;
        world.database.execute("INSERT INTO livre VALUES (1, 1), (2, 2)").await;
        let questions = vec![
            question!("on 1", livre::Entity::find().filter(livre::Column::Etagere.eq(1_i64)), count),
            question!("on 3", livre::Entity::find().filter(livre::Column::Etagere.eq(3_i64)), count),
        ];
        let asked = Asked::new(&world, questions).await;
        let sql = "UPDATE livre SET `\u{c9}TAG\u{c8}RE` = 3 WHERE id = 1";
        asked.after(sql, &["on 1", "on 3"], send(&world, sql)).await;
    }
}
