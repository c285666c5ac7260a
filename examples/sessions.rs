//! Signing in, doing more, signing out everywhere.
//!
//! ```text
//! cargo run --example sessions
//! REDIS_URL=redis://127.0.0.1/ cargo run --example sessions
//! ```
// feature C3
#![allow(missing_docs, clippy::print_stdout)]

use std::time::Duration;

use sea_orm_cache::{Cache, Sessions};
use serde::{Deserialize, Serialize};

/// What the shop remembers of somebody.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Visit {
    name: String,
    basket: Vec<i64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().namespace("sessions-example").from_env()?.build().await?;
    let sessions = Sessions::<Visit>::new(&cache, "shop")
        .idle(Duration::from_secs(20 * 60))
        .longest(Duration::from_secs(8 * 3600));

    // She has given her password. The id goes into a cookie, and nowhere else.
    let visit = Visit { name: "Ann".to_owned(), ..Default::default() };
    let laptop = sessions.create("user 7", &visit).await?;
    let phone = sessions.create("user 7", &visit).await?;

    // A request comes in with the cookie.
    let cookie = laptop.as_str();
    let Some(mut session) = sessions.get(cookie).await? else { return Err("not signed in".into()) };
    session.data.basket.push(42);
    sessions.set(cookie, &session.data).await?;
    println!("{} has {:?} in her basket", session.data.name, session.data.basket);

    // She has given her password again, to see her orders: from now on there is another cookie.
    let laptop = sessions.set_permissions(cookie, ["orders"]).await?.ok_or("not signed in")?;
    let session = sessions.get(laptop.as_str()).await?.ok_or("not signed in")?;
    println!("may see orders: {}, basket {:?}", session.may("orders"), session.data.basket);

    // She has lost her phone.
    sessions.log_out_everywhere("user 7").await?;
    for (device, id) in [("laptop", laptop), ("phone", phone)] {
        println!("signed in on the {device}: {}", sessions.is_valid(id.as_str()).await?);
    }
    println!("signed in with a made-up id: {}", sessions.is_valid(&"0".repeat(64)).await?);
    Ok(())
}
