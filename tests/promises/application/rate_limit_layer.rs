//! A rate limit in front of a router.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
    routing::get,
};
use sea_orm_cache::{Quota, RateLimitLayer, RateLimiter};
use tower::ServiceExt;

use crate::world::caches;

const HOUR: Duration = Duration::from_secs(3600);

async fn ask(app: &Router, user: Option<&str>) -> (StatusCode, HeaderMap) {
    let mut request = Request::builder().uri("/");
    if let Some(user) = user {
        request = request.header("x-user", user);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    (response.status(), response.headers().clone())
}

fn by_user(
    limiter: RateLimiter,
) -> RateLimitLayer<impl Fn(&axum::http::request::Parts) -> Option<String> + Clone> {
    RateLimitLayer::new(limiter, |head| Some(head.headers.get("x-user")?.to_str().ok()?.to_owned()))
}

fn number(field: &str, parameter: &str) -> u64 {
    let (_, value) = field.split_once(&format!(";{parameter}=")).unwrap();
    value.split(';').next().unwrap().parse().unwrap()
}

// feature C5
#[tokio::test]
async fn what_is_too_much_is_answered_with_429_and_every_answer_tells_the_limit() {
    for (kind, cache) in caches().await {
        let limiter = RateLimiter::new(&cache, "api", Quota::new(1, HOUR).burst(2));
        let app = Router::new().route("/", get(async || "hello")).layer(by_user(limiter));
        for left in [1, 0] {
            let (status, headers) = ask(&app, Some("7")).await;
            assert_eq!(status, StatusCode::OK, "{kind:?}");
            assert_eq!(headers["ratelimit-policy"], "\"api\";q=2;w=7200", "{kind:?}");
            let state = headers["ratelimit"].to_str().unwrap();
            assert!(state.starts_with("\"api\";r="), "{state}");
            assert_eq!(number(state, "r"), left, "{kind:?}");
            assert!(number(state, "t") <= 7200 && number(state, "t") > 0, "{kind:?}");
            assert!(!headers.contains_key("retry-after"), "{kind:?}");
        }
        let (status, headers) = ask(&app, Some("7")).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{kind:?}");
        let pause: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=3600).contains(&pause), "{kind:?} {pause}");
        assert_eq!(number(headers["ratelimit"].to_str().unwrap(), "r"), 0, "{kind:?}");
        assert_eq!(ask(&app, Some("8")).await.0, StatusCode::OK, "{kind:?}");
        let (status, headers) = ask(&app, None).await;
        assert!(status == StatusCode::OK && !headers.contains_key("ratelimit"), "nobody to limit");
    }
}

#[tokio::test]
async fn two_limits_on_top_of_each_other_both_have_their_say() {
    for (kind, cache) in caches().await {
        let burst = RateLimiter::new(&cache, "burst", Quota::per_hour(1));
        let day = RateLimiter::new(&cache, "day", Quota::per_day(100));
        let app = Router::new().route("/", get(async || "hello")).layer(by_user(burst)).layer(by_user(day));
        for status in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            let (told, headers) = ask(&app, Some("7")).await;
            assert_eq!(told, status, "{kind:?}");
            let policies: Vec<_> = headers.get_all("ratelimit-policy").iter().collect();
            assert_eq!(policies, ["\"burst\";q=1;w=3600", "\"day\";q=100;w=86400"], "{kind:?}");
        }
    }
}
