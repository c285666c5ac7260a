//! A rate limit in front of a tower service.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request};
use tower_layer::Layer;
use tower_service::Service;

use super::{Decision, Quota, RateLimiter};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Limits the requests that a service gets: a tower layer.
///
/// Whom a request counts for is said by a closure that sees its head. `None` is not limited. What is
/// too much is answered with 429 (Too Many Requests), without a body, and does not reach the service;
/// `Retry-After` says in how many seconds it may. All that is limited is answered with `RateLimit` and
/// `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), whose policy has the limiter's name.
/// Several layers, on top of each other, are several policies in these fields.
///
/// If the address of the client is the key, take it from where the server puts it (in axum
/// `ConnectInfo`, among the request's extensions), and from a header only behind a proxy of your own
/// that sets it.
///
/// ```
/// # async fn example(cache: sea_orm_cache::Cache) {
/// use axum::{Router, routing::get};
/// use sea_orm_cache::{Quota, RateLimitLayer, RateLimiter};
///
/// let limiter = RateLimiter::new(&cache, "api", Quota::per_minute(600).burst(50));
/// let by_token = RateLimitLayer::new(limiter, |head| {
///     Some(head.headers.get("authorization")?.to_str().ok()?.to_owned())
/// });
/// let app: Router = Router::new().route("/", get(async || "hello")).layer(by_token);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimitLayer<K> {
    limiter: RateLimiter,
    key: K,
}

impl<K> RateLimitLayer<K>
where
    K: Fn(&request::Parts) -> Option<String>,
{
    /// Limits by what `key` says of a request's head.
    pub fn new(limiter: RateLimiter, key: K) -> Self {
        Self { limiter, key }
    }
}

impl<S, K: Clone> Layer<S> for RateLimitLayer<K> {
    type Service = RateLimitService<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService { inner, limiter: self.limiter.clone(), key: self.key.clone() }
    }
}

/// What [`RateLimitLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct RateLimitService<S, K> {
    inner: S,
    limiter: RateLimiter,
    key: K,
}

impl<S, K, Body, Answer> Service<Request<Body>> for RateLimitService<S, K>
where
    S: Service<Request<Body>, Response = Response<Answer>> + Clone + Send + 'static,
    S::Future: Send,
    K: Fn(&request::Parts) -> Option<String>,
    Body: Send + 'static,
    Answer: Default,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (head, body) = request.into_parts();
        let key = (self.key)(&head);
        let request = Request::from_parts(head, body);
        // The one that was polled ready is the one to call.
        let other = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, other);
        let limiter = self.limiter.clone();
        Box::pin(async move {
            let Some(key) = key else { return inner.call(request).await };
            let decision = limiter.check(&key).await;
            let mut response = if decision.allowed {
                inner.call(request).await?
            } else {
                let mut refusal = Response::new(Answer::default());
                *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                if let Some(pause) = decision.retry_after {
                    refusal.headers_mut().insert(header::RETRY_AFTER, seconds(pause).max(1).into());
                }
                refusal
            };
            tell(response.headers_mut(), limiter.name(), limiter.quota(), &decision);
            Ok(response)
        })
    }
}

/// Adds to the fields, for they are lists: another limit may have its say in them too.
fn tell(headers: &mut HeaderMap, name: &str, quota: Quota, decision: &Decision) {
    let name = string(name);
    let policy = format!("{name};q={};w={}", decision.limit, seconds(quota.window()));
    let state = format!("{name};r={};t={}", decision.remaining, seconds(decision.reset_after));
    for (field, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(field, value);
        }
    }
}

/// Rounded up: whoever comes back then must not be too early.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// A String of structured fields (RFC 9651): printable ASCII in quotes. Other characters are left out
/// as `?`.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_text_is_a_string_of_structured_fields() {
        assert_eq!(string("login"), r#""login""#);
        assert_eq!(string("a \"b\" \\ c"), r#""a \"b\" \\ c""#);
        assert_eq!(string("Größe\r\n"), r#""Gr??e??""#);
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_nanos(1)), 1);
        assert_eq!(seconds(Duration::from_millis(2000)), 2);
        assert_eq!(seconds(Duration::from_millis(2001)), 3);
    }
}
