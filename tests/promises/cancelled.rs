//! A client that goes away in the middle of something leaves nothing behind that others stumble over.

use std::time::Duration;

use sea_orm::{ConnectOptions, Database, TransactionTrait, entity::prelude::*};
use sea_orm_cache::{Cache, Consistency, prelude::*};

use crate::{
    entity::book,
    support::{Backend, Proxy},
    world::{StoreKind, World, retitled},
};

/// The driver leaves a transaction open on a connection whose BEGIN nobody waited for, and the pool
/// hands that connection on.
async fn no_transaction_stays_open(backend: Backend, begin: &[u8]) {
    let Some(world) = World::new(backend, StoreKind::Memory).await else { return };
    let proxy = Proxy::start(world.database.server_address().unwrap()).await;
    let mut options = ConnectOptions::new(world.database.url_through(&proxy.address()));
    options.max_connections(1).acquire_timeout(Duration::from_secs(20)).sqlx_logging(false);
    let cache = Cache::builder().consistency(Consistency::AfterCommit).build().await.unwrap();
    let db = Database::connect(options).await.unwrap().cached_by(cache);
    db.learn_schema().await.unwrap();
    proxy.hold_requests(begin);
    let beginning = {
        let db = db.clone();
        tokio::spawn(async move { db.begin().await.map(drop) })
    };
    proxy.until_holding_request().await;
    beginning.abort();
    assert!(beginning.await.unwrap_err().is_cancelled());
    proxy.release_requests();
    retitled(1, "written").update(&db).await.unwrap();
    let there = book::Entity::find_by_id(1).one(world.plain()).await.unwrap().unwrap();
    assert_eq!(there.title, "written", "{backend}: an acknowledged write that others do not see");
}

// case A9
#[tokio::test]
async fn a_begin_that_is_dropped_half_way_leaves_no_transaction_open() {
    no_transaction_stays_open(Backend::Postgres, b"BEGIN").await;
    no_transaction_stays_open(Backend::MariaDb, b"BEGIN").await;
}
