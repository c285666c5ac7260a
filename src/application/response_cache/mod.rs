//! A cache of HTTP responses in front of a tower service.
//!
//! # Which tags
//! A response depends on the tables that its handler read. Which those are is known when it is made, and
//! by the engine's rule their stamps must have been taken *before*: a stamp that is taken afterwards
//! would stand for a write that the handler did not see.
//!
//! So the layer keeps a list of the tags that its responses were seen to depend on, and the engine
//! remembers those of each key. Before the handler runs, the stamps of these are taken, in the same round
//! trip in which the entry is looked for. When it has run, what it read is compared with that:
//!
//! * all of it was stamped before: the response is stored under these stamps, and handed to those who
//!   wait for it. Whoever waits has seen the same stamps, after it came.
//! * something was not: the response is for this client alone. What it depends on is remembered, and the
//!   next miss, of this or any other key of the layer, stores.
//!
//! One of the tags of a read is that of the table, which every write to it purges. Reads within the scope
//! do not use what is in memory on trust (`max_staleness`): that may be older than the stamps. A
//! transaction, a write, a read of a replica, of volatile functions or of entries whose tags nobody knows
//! make the response one that is not kept. See `watched`.

mod answer;
mod asked;
mod body;
mod directives;
mod kept;
mod tags;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, header, request};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

pub use body::ResponseBody;
pub use tags::CacheTags;

use self::{
    answer::{Made, made, of_kept, tell, told},
    asked::Asked,
    kept::Kept,
};
use crate::{
    Cache, CacheConfig, EntryOptions,
    entity::TtlSpec,
    freshness::{Loaded, Look, Outcome, Payload, PayloadKind, Question},
    store::TagKey,
    watched::{self, Refusal, Watch},
};

/// Under which name responses are counted.
const RESPONSES: &str = "(responses)";
/// Bodies longer than this are not kept, if nobody says otherwise.
const LIMIT: usize = 256 << 10;
/// Tags that a layer learns from its responses. What depends on others is learned for each key.
const MOST_LEARNED: usize = 32;

type KeyedBy = Arc<dyn Fn(&request::Parts) -> Option<String> + Send + Sync>;

/// Keeps the responses of a service, and drops them when a write changes what they show: a tower layer.
///
/// A response depends on the tables that the handler read through a
/// [`CachedConnection`](crate::CachedConnection) of the same cache, whether `.cached()` or not. A write to
/// one of them through such a connection, in any process, makes it a miss. Further tags are given to all
/// responses by [`tag`](Self::tag), and to one by the handler, as [`CacheTags`].
///
/// Kept are answers to GET without `Authorization` and `Cookie` (see [`keyed_by`](Self::keyed_by)), with
/// status 200, 203, 301, 404 or 410, without `Set-Cookie`, and as `Cache-Control`, `Expires` and `Vary`
/// allow (RFC 9111). Everything else goes through, untouched and streamed. Not kept either: what a handler
/// made that wrote, used a transaction, or read what no tag stands for.
///
/// A hit is one round trip. Of many who ask for the same at a time one is answered by the handler. An
/// outage of the store means that the handler runs. `Cache-Status` (RFC 9211) says what happened.
///
/// **Not seen** is what the handler reads in tasks that it spawns, on [`inner`](crate::CachedConnection::inner),
/// from other sources than the database, or what a middleware in front of this layer has read for it. Give
/// such responses tags, or `Cache-Control: no-store`. A hit runs nothing that is behind the layer: put who
/// checks permissions, and rate limits, in front.
///
/// With axum, switch the feature `axum` on: only then is the whole path known in nested routers.
///
/// ```
/// # async fn example(cache: sea_orm_cache::Cache) {
/// use std::time::Duration;
/// use axum::{Router, routing::get};
/// use sea_orm_cache::ResponseCache;
///
/// let responses = ResponseCache::new(&cache).ttl(Duration::from_secs(60)).vary(["accept-language"]);
/// let app: Router = Router::new().route("/books", get(async || "books")).layer(responses);
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ResponseCache {
    cache: Cache,
    settings: Arc<Settings>,
    learned: Arc<Learned>,
}

#[derive(Clone)]
struct Settings {
    ttl: Option<TtlSpec>,
    statuses: Vec<(StatusCode, Option<TtlSpec>)>,
    limit: usize,
    vary: Vec<HeaderName>,
    options: EntryOptions,
    keyed_by: Option<KeyedBy>,
}

impl Settings {
    /// For how long responses with this status are kept; `None`: not at all.
    fn ttl_of(&self, status: StatusCode, config: &CacheConfig) -> Option<std::time::Duration> {
        let own = self.statuses.iter().rev().find(|(known, _)| *known == status);
        let ttl = config.ttl(self.ttl.unwrap_or(TtlSpec::For(config.default_ttl)));
        match own {
            Some((_, spec)) => Some(spec.map_or(ttl, |spec| config.ttl(spec))),
            None if matches!(status.as_u16(), 200 | 203 | 301) => Some(ttl),
            None if matches!(status.as_u16(), 404 | 410) => Some(ttl.min(config.negative_ttl)),
            None => None,
        }
    }

    /// The longest of all.
    fn longest(&self, config: &CacheConfig) -> std::time::Duration {
        let own = self.statuses.iter().map(|(status, _)| *status);
        own.chain([StatusCode::OK]).filter_map(|status| self.ttl_of(status, config)).max().unwrap_or_default()
    }
}

/// Tags that responses were seen to depend on.
// A std lock: held for a clone of an Arc, or to put another in its place; never across an await.
#[derive(Debug, Default)]
struct Learned(RwLock<Arc<[TagKey]>>);

impl Learned {
    fn tags(&self) -> Arc<[TagKey]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn learn(&self, tags: &[TagKey]) {
        let known = self.tags();
        if tags.iter().all(|tag| known.contains(tag)) {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let new = tags.iter().filter(|tag| !known.contains(tag));
        *known = known.iter().chain(new).take(MOST_LEARNED).cloned().collect();
    }
}

impl ResponseCache {
    /// Keeps responses in this cache.
    pub fn new(cache: &Cache) -> Self {
        let settings = Settings {
            ttl: None,
            statuses: Vec::new(),
            limit: LIMIT,
            vary: Vec::new(),
            options: EntryOptions::new(),
            keyed_by: None,
        };
        Self { cache: cache.clone(), settings: Arc::new(settings), learned: Arc::default() }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// How long responses are kept, unless they say that it is shorter; without this, the cache's default.
    pub fn ttl(self, ttl: impl Into<TtlSpec>) -> Self {
        let ttl = ttl.into();
        self.with(|settings| settings.ttl = Some(ttl))
    }

    /// How long those with this status are kept. Without this, 200, 203 and 301 as long as `ttl` says, 404
    /// and 410 no longer than the cache's `negative_ttl`, and no others. Zero: not at all. What is partial
    /// or not final is never kept.
    pub fn status_ttl(self, status: StatusCode, ttl: impl Into<TtlSpec>) -> Self {
        let ttl = ttl.into();
        let never = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        match never || status.is_informational() {
            true => self,
            false => self.with(|settings| settings.statuses.push((status, Some(ttl)))),
        }
    }

    /// Bodies that are longer go through and are not kept; no more of them than this is held. 256 KiB
    /// without this; with header and all no more than the cache's `max_entry_bytes`.
    pub fn limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.limit = bytes)
    }

    /// Request fields that tell responses apart. What a response says in `Vary` and is not among them is
    /// not kept.
    pub fn vary<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().filter_map(|name| {
            let parsed = HeaderName::try_from(name.as_ref());
            if parsed.is_err() {
                tracing::warn!(name = name.as_ref(), "not a name of a header field: not declared");
            }
            parsed.ok()
        });
        let names: Vec<_> = names.collect();
        self.with(|settings| {
            settings.vary.extend(names);
            settings.vary.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
            settings.vary.dedup();
        })
    }

    /// A tag of the application's own on all responses; [`invalidate_tag`](Cache::invalidate_tag) makes
    /// them misses. (`responses:*` stands for all responses of the cache.)
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.with(|settings| settings.options = mem::take(&mut settings.options).tag(tag))
    }

    /// Says for whom a response is made, by the head of the request: each has responses of their own, also
    /// such as say `Cache-Control: private`. Then requests with `Authorization` or `Cookie` are answered
    /// from the cache too. `None`: for everybody; with one of these fields, not from the cache.
    ///
    /// It must be somebody whom a middleware in front has checked: a hit runs nothing behind the layer.
    pub fn keyed_by(
        self,
        keyed_by: impl Fn(&request::Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.with(|settings| settings.keyed_by = Some(Arc::new(keyed_by)))
    }

    fn question(&self, asked: &Asked) -> Question {
        let config = self.cache.config();
        let longest = TtlSpec::For(self.settings.longest(config));
        let options = self.settings.options.clone().ttl(longest);
        let mut question = self.cache.question(&asked.key, &options);
        question.fresh = asked.is_fresh();
        question.expected = Some(self.learned.tags());
        // Any of them may show rows that are to be encrypted.
        question.wrap.encrypt |= config.encryption_keys.is_some();
        question
    }

    /// The payload of what may be kept.
    fn payload(
        &self,
        question: &Question,
        kept: Result<(Kept, std::collections::BTreeSet<TagKey>, std::time::Duration), String>,
    ) -> (Option<Payload>, Option<String>) {
        let (kept, tags, life) = match kept {
            Ok(kept) => kept,
            Err(reason) => return (None, Some(reason)),
        };
        let named = |tag: &TagKey| question.tags.contains(tag) || question.also.contains(tag);
        let more: Vec<_> = tags.into_iter().filter(|tag| !named(tag)).collect();
        self.learned.learn(&more);
        let payload = Payload {
            kind: PayloadKind::Custom,
            bytes: kept.encode(),
            more,
            depends_on_family: false,
            at_most: Some(life),
            took: std::time::Duration::ZERO,
        };
        let payload = self.cache.storable(payload);
        let reason = payload.is_none().then(|| "larger than max_entry_bytes".to_owned());
        (payload, reason)
    }

    async fn answer<S, R, B>(&self, mut inner: S, asked: Asked, request: Request<R>) -> Served<S, R, B>
    where
        S: Service<Request<R>, Response = Response<B>>,
        B: Body<Data = Bytes>,
    {
        // Whoever keeps what is made of this would not know what it depends on.
        watched::refuse(Refusal::Within);
        let counters = self.cache.inner.counters.table(RESPONSES);
        let freshness = &self.cache.inner.freshness;
        let question = self.question(&asked);
        let decode = |kind: PayloadKind, payload: &Bytes| {
            let kept = Kept::decode(payload).filter(|_| kind == PayloadKind::Custom)?;
            asked.takes(&kept, SystemTime::now()).then_some(Answer::Kept(kept))
        };
        if asked.head {
            // What the handler says to HEAD has no body to keep.
            if let Look::Hit { kind, payload, .. } = freshness.look(&question).await
                && let Some(Answer::Kept(kept)) = decode(kind, &payload).map(|answer: Answer<B>| answer)
            {
                counters.count(Outcome::Hit);
                return Ok(of_kept(kept, &asked, SystemTime::now(), "hit"));
            }
            let response = inner.call(request).await?.map(ResponseBody::passed);
            return Ok(told(response, &asked, "fwd=method"));
        }
        let load = || async {
            let since = SystemTime::now();
            let watch = Watch::new(freshness, asked.personal);
            let work = async {
                let response = inner.call(unconditional(request)).await?;
                Ok(made((&self.cache, &self.settings), &asked, &watch, since, response).await)
            };
            let Made { response, kept } = watch.over(work).await?;
            let (payload, reason) = self.payload(&question, kept);
            Ok(Loaded { value: Answer::Made(response, reason), payload })
        };
        match freshness.fetch(&question, decode, load, || None).await {
            Ok(fetched) => {
                counters.count(fetched.outcome);
                Ok(match fetched.value {
                    Answer::Kept(kept) => {
                        let joined = fetched.outcome == Outcome::Joined;
                        let status = if joined { "fwd=miss; collapsed" } else { "hit" };
                        of_kept(kept, &asked, SystemTime::now(), status)
                    }
                    Answer::Made(response, reason) => {
                        let status = status(fetched.outcome, &asked, reason.as_deref());
                        told(response, &asked, &status)
                    }
                })
            }
            Err(error) => {
                counters.count(Outcome::Miss);
                Err(error)
            }
        }
    }
}

type Served<S, R, B> = Result<Response<ResponseBody<B>>, <S as Service<Request<R>>>::Error>;

enum Answer<B: Body> {
    Kept(Kept),
    /// From the handler, and why it is not kept.
    Made(Response<ResponseBody<B>>, Option<String>),
}

/// Without the conditions under which the handler might answer that nothing has changed.
fn unconditional<R>(mut request: Request<R>) -> Request<R> {
    request.headers_mut().remove(header::IF_NONE_MATCH);
    request.headers_mut().remove(header::IF_MODIFIED_SINCE);
    request
}

/// As `Cache-Status` says it. None of the reasons has a quote in it.
fn status(outcome: Outcome, asked: &Asked, reason: Option<&str>) -> String {
    let forwarded = match outcome {
        Outcome::Bypass(reason) => return format!("fwd=bypass; detail=\"{reason}\""),
        _ if asked.is_fresh() => "fwd=request",
        _ => "fwd=miss",
    };
    match reason {
        Some(reason) => format!("{forwarded}; detail=\"{reason}\""),
        None => forwarded.to_owned(),
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { ttl, statuses, limit, vary, options, keyed_by } = &*self.settings;
        f.debug_struct("ResponseCache")
            .field("ttl", ttl)
            .field("statuses", statuses)
            .field("limit", limit)
            .field("vary", vary)
            .field("options", options)
            .field("keyed_by", &keyed_by.is_some())
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ResponseCache {
    type Service = ResponseCacheService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ResponseCacheService { inner, responses: self.clone() }
    }
}

/// What [`ResponseCache`] makes of a service.
#[derive(Clone, Debug)]
pub struct ResponseCacheService<S> {
    inner: S,
    responses: ResponseCache,
}

impl<S, R, B> Service<Request<R>> for ResponseCacheService<S>
where
    S: Service<Request<R>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    R: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        // The one that was polled ready is the one to call.
        let other = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, other);
        let responses = self.responses.clone();
        let (head, body) = request.into_parts();
        let asked = match responses.cache.config().enabled {
            true => Asked::of(&head, &responses.settings),
            false => Err("the cache is switched off"),
        };
        let request = Request::from_parts(head, body);
        Box::pin(async move {
            match asked {
                Ok(asked) => responses.answer(inner, asked, request).await,
                Err(reason) => {
                    let mut response = inner.call(request).await?.map(ResponseBody::passed);
                    tell(response.headers_mut(), &format!("fwd=bypass; detail=\"{reason}\""));
                    Ok(response)
                }
            }
        })
    }
}
