//! Status, advice, invalidation and a dashboard, as routes for axum.
//!
//! Everything but one word of health is closed until the caller says who may come in.

mod access;
mod actions;
mod entries;
mod page;
mod report;
mod warm_up;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;

use self::{access::Access, warm_up::WarmUps};
use crate::{Cache, CacheError, CachedConnection};

/// The longest request that is read.
const LONGEST_REQUEST: usize = 64 << 10;

/// Routes that say how a cache is, and do what an operator asks.
///
/// | route | |
/// |---|---|
/// | `GET /health` | one word, and 503 if the store is away; all there is to know with the token |
/// | `GET /status` | counters, tables, the server, advice |
/// | `GET /purges` | the last purges of this process |
/// | `GET /entries` | how many entries are stored, by table; walks through the store |
/// | `POST /invalidate` | everything, a table, a row, a tag, a group, a pattern |
/// | `POST /reset-stats` | counters to zero |
/// | `GET`, `POST /warm-up` | how far a warm-up is; starts one |
/// | `GET /dashboard` | a page for people |
///
/// Only `/health` is open. The others answer 403 until there is a [`token`](StatusRouter::token), or
/// the caller says that [a layer of his own](StatusRouter::guarded_by_caller) guards them. What is sent
/// and answered is in `docs/operations.md`.
///
/// ```
/// # fn routes(cache: sea_orm_cache::Cache, secret: &str) -> Result<axum::Router, sea_orm_cache::CacheError> {
/// use sea_orm_cache::status_router;
///
/// let status = status_router(cache).token(secret)?.into_router();
/// let app = axum::Router::new().nest("/cache", status);
/// # Ok(app) }
/// ```
pub fn status_router(cache: Cache) -> StatusRouter {
    StatusRouter { cache, access: Access::Closed, db: None, dashboard: true }
}

/// Routes about to be made, see [`status_router`].
#[derive(Debug)]
#[must_use = "it serves nothing until it is made into a router"]
pub struct StatusRouter {
    cache: Cache,
    access: Access,
    db: Option<CachedConnection>,
    dashboard: bool,
}

/// What the routes share.
struct Shared {
    cache: Cache,
    access: Access,
    warm_ups: WarmUps,
}

impl StatusRouter {
    /// Whoever sends `Authorization: Bearer <token>` may come in. Take it from the environment or a
    /// secret store, and let it be random: `openssl rand -hex 32`.
    ///
    /// # Errors
    /// It is shorter than 16 bytes, or cannot stand in a header.
    pub fn token(mut self, token: impl AsRef<str>) -> Result<Self, CacheError> {
        self.access = Access::token(token.as_ref())?;
        Ok(self)
    }

    /// The caller puts a layer of his own around these routes that lets nobody in who should not be:
    /// **without one they are open to everybody**. Requests that change something must come from the
    /// same origin all the same, so that cookies alone will not do.
    pub fn guarded_by_caller(mut self) -> Self {
        self.access = Access::ByCaller;
        self
    }

    /// Lets `POST /warm-up` load what this connection's `warm_up` does.
    pub fn warm_up_with(mut self, db: CachedConnection) -> Self {
        self.db = Some(db);
        self
    }

    /// Without the page.
    pub fn without_dashboard(mut self) -> Self {
        self.dashboard = false;
        self
    }

    /// Makes the routes.
    pub fn into_router(self) -> Router {
        let is_closed = matches!(self.access, Access::Closed);
        if is_closed {
            tracing::warn!(
                "the status routes are closed: give a token, or say that a layer of your own guards them"
            );
        }
        let shared =
            Arc::new(Shared { cache: self.cache, access: self.access, warm_ups: WarmUps::new(self.db) });
        let closed = Router::new()
            .route("/status", get(report::status))
            .route("/purges", get(report::purges))
            .route("/entries", get(entries::entries))
            .route("/invalidate", post(actions::invalidate))
            .route("/reset-stats", post(actions::reset_stats))
            .route("/warm-up", get(warm_up::progress).post(warm_up::start))
            .layer(from_fn_with_state(shared.clone(), guard));
        // It holds nothing but itself; what it shows, it asks for with the token.
        let page = if self.dashboard && !is_closed { page::routes() } else { Router::new() };
        Router::new()
            .route("/health", get(health))
            .merge(closed)
            .with_state(shared)
            .merge(page)
            .layer(DefaultBodyLimit::max(LONGEST_REQUEST))
            .layer(from_fn(careful_headers))
    }
}

impl From<StatusRouter> for Router {
    fn from(status: StatusRouter) -> Self {
        status.into_router()
    }
}

async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.access.admits(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}

/// One word to everybody: what else there is to know might help who attacks.
async fn health(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    #[derive(Serialize)]
    struct OneWord {
        status: crate::HealthStatus,
    }
    let health = shared.cache.health().await;
    let code = if health.is_usable() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if shared.access.has_token(&headers) {
        (code, Json(health)).into_response()
    } else {
        (code, Json(OneWord { status: health.status })).into_response()
    }
}

/// What is answered is shown by no other page, kept by nobody and taken for nothing else.
async fn careful_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a request was not done.
struct Problem {
    code: StatusCode,
    error: &'static str,
    message: String,
}

impl Problem {
    fn new(code: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        Self { code, error, message: message.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: &'static str,
            message: String,
        }
        let mut response =
            (self.code, Json(Body { error: self.error, message: self.message })).into_response();
        if self.code == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
