//! Entities whose hooks write something else.

use sea_orm::{ActiveValue::Set, TransactionTrait, entity::prelude::*};
use sea_orm_cache::prelude::*;

use crate::{
    entity::{author, customer, publisher},
    question::{Asked, Question, question},
    world::World,
};

/// Shelves: every hook writes to another table, and those of shelves with certain names fail afterwards.
mod shelf {
    use sea_orm::{ActiveValue::Set, entity::prelude::*};

    use crate::entity::{author, customer, publisher};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shelf")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub label: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    fn fail_if(fails: bool) -> Result<(), DbErr> {
        if fails { Err(DbErr::Custom("as told".into())) } else { Ok(()) }
    }

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn before_save<C: ConnectionTrait>(self, db: &C, _: bool) -> Result<Self, DbErr> {
            let name = Set(format!("before {}", self.label.as_ref()));
            publisher::ActiveModel { id: Set(1), name }.update(db).await?;
            fail_if(self.label.as_ref() == "fails before")?;
            Ok(self)
        }

        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _: bool) -> Result<Model, DbErr> {
            author::ActiveModel { id: Set(1), name: Set(format!("after {}", model.label)) }
                .update(db)
                .await?;
            fail_if(model.label == "fails after")?;
            Ok(model)
        }

        async fn before_delete<C: ConnectionTrait>(self, db: &C) -> Result<Self, DbErr> {
            publisher::ActiveModel { id: Set(2), name: Set("before a delete".into()) }.update(db).await?;
            Ok(self)
        }

        async fn after_delete<C: ConnectionTrait>(self, db: &C) -> Result<Self, DbErr> {
            let name = Set("after a delete".into());
            let customer = customer::ActiveModel { id: Set(1), name, ..Default::default() };
            customer.update(db).await?;
            fail_if(self.id.as_ref() == &91)?;
            Ok(self)
        }
    }
}

fn labelled(id: i64, label: &str) -> shelf::ActiveModel {
    shelf::ActiveModel { id: Set(id), label: Set(label.into()) }
}

fn questions() -> Vec<Question> {
    vec![
        question!("shelf 1", shelf::Entity::find_by_id(1), one),
        question!("shelf 90", shelf::Entity::find_by_id(90), one),
        question!("shelf 91", shelf::Entity::find_by_id(91), one),
        question!("shelves", shelf::Entity::find(), count),
        question!("publisher 1", publisher::Entity::find_by_id(1), one),
        question!("publisher 2", publisher::Entity::find_by_id(2), one),
        question!("author 1", author::Entity::find_by_id(1), one),
        question!("customer 1", customer::Entity::find_by_id(1), one),
    ]
}

/// That it failed, and only by its hook.
fn as_told<T: std::fmt::Debug>(result: Result<T, DbErr>) -> Result<(), DbErr> {
    assert!(matches!(&result, Err(DbErr::Custom(why)) if why == "as told"), "{result:?}");
    Ok(())
}

// case D30
#[tokio::test]
async fn what_a_hook_wrote_is_seen_whether_or_not_the_hook_succeeds() {
    for world in World::all().await {
        let asked = Asked::new(&world, questions()).await;
        let changed = ["shelf 90", "shelves", "publisher 1", "author 1"];
        asked.after("an insert", &changed, labelled(90, "new").insert(&world.db)).await;
        let changed = ["shelf 1", "publisher 1", "author 1"];
        asked.after("an update", &changed, labelled(1, "other").update(&world.db)).await;
        let fails = async { as_told(labelled(1, "fails before").update(&world.db).await) };
        asked.after("a hook that fails before", &["publisher 1"], fails).await;
        let fails = async { as_told(labelled(1, "fails after").update(&world.db).await) };
        asked.after("a hook that fails after", &changed, fails).await;
        let fails = async { as_told(labelled(91, "fails after").insert(&world.db).await) };
        let purged = asked.after("an insert whose hook fails", &["shelf 91", "shelves"], fails).await;
        assert!(purged.contains(&"publisher 1") && purged.contains(&"author 1"), "{world}: {purged:?}");
        let changed = ["shelf 90", "shelves", "publisher 2", "customer 1"];
        asked.after("a delete", &changed, labelled(90, "new").delete(&world.db)).await;
        let fails = async { as_told(labelled(91, "x").delete(&world.db).await) };
        asked.after("a delete whose hook fails", &["shelf 91", "shelves"], fails).await;
    }
}

// case D30
#[tokio::test]
async fn what_a_hook_wrote_in_a_transaction_shares_its_end() {
    for world in World::all().await {
        let asked = Asked::new(&world, questions()).await;
        let rolled_back = async {
            let tx = world.db.begin().await?;
            labelled(1, "in a transaction").update(&tx).await?;
            as_told(labelled(90, "fails after").insert(&tx).await)?;
            tx.rollback().await
        };
        assert_eq!(asked.after("a rollback", &[], rolled_back).await, [""; 0], "{world}");
        let committed = async {
            let tx = world.db.begin().await?;
            labelled(1, "in a transaction").update(&tx).await?;
            let inner = tx.begin().await?;
            labelled(90, "new").insert(&inner).await?;
            inner.rollback().await?;
            tx.commit().await
        };
        let purged = asked.after("a commit", &["shelf 1", "publisher 1", "author 1"], committed).await;
        assert!(!purged.contains(&"customer 1"), "{world}: {purged:?}");
    }
}
