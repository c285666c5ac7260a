//! The page for people: three files that are part of the program. They load nothing from elsewhere.

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

/// Nothing but what comes from here, and nothing inline.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

type File = ([(HeaderName, &'static str); 1], &'static str);

pub(super) fn routes() -> Router {
    Router::new()
        .route("/dashboard", get(page))
        .route("/dashboard.css", get(style))
        .route("/dashboard.js", get(script))
}

async fn page() -> File {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], include_str!("page/dashboard.html"))
}

async fn style() -> File {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page/dashboard.css"))
}

async fn script() -> File {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page/dashboard.js"))
}
