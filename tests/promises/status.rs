//! The status routes: closed until somebody says who may come in, true, and bounded.

mod browser;
mod client;
mod routes;

use axum::Router;
use sea_orm_cache::{Cache, StatusRouter, status_router};
use tokio::{net::TcpListener, task::AbortHandle};

pub use self::client::{Answer, request};

pub const TOKEN: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A server of the test's own, until it is dropped.
pub struct Served {
    pub address: String,
    task: AbortHandle,
}

impl Served {
    pub async fn start(app: impl Into<Router>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = app.into();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }).abort_handle();
        Self { address, task }
    }

    /// Asks with the token.
    pub async fn get(&self, path: &str) -> Answer {
        request(&self.address, "GET", path, &[&bearer()], None).await
    }

    /// Sends a document with the token.
    pub async fn post(&self, path: &str, body: serde_json::Value) -> Answer {
        let headers = [&bearer()[..], "content-type: application/json"];
        request(&self.address, "POST", path, &headers, Some(&body.to_string())).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn bearer() -> String {
    format!("authorization: Bearer {TOKEN}")
}

/// Open to who has the token.
pub fn with_token(cache: &Cache) -> StatusRouter {
    status_router(cache.clone()).token(TOKEN).unwrap()
}
