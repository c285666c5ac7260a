//! May a handler's response be kept, and for how long; and how it is sent.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response::Parts};
use http_body::Body;

use super::{
    CacheTags, Settings,
    asked::Asked,
    body::ResponseBody,
    directives::{Directives, lifetime},
    kept::Kept,
};
use crate::{
    Cache,
    store::TagKey,
    watched::{Refusal, Watch},
};

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// What a 304 says of what the client has (RFC 9110, 15.4.5).
const OF_NOT_MODIFIED: [HeaderName; 8] = [
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::VARY,
    CACHE_STATUS,
];

/// A handler's response.
pub(super) struct Made<B: Body> {
    pub(super) response: Response<ResponseBody<B>>,
    /// As it may be kept, and under which tags, for how long at most; or why not.
    pub(super) kept: Result<(Kept, BTreeSet<TagKey>, Duration), String>,
}

/// Reads what the handler made, in the scope in which it is watched.
pub(super) async fn made<B: Body<Data = Bytes>>(
    (cache, settings): (&Cache, &Settings),
    asked: &Asked,
    watch: &Watch,
    since: SystemTime,
    response: Response<B>,
) -> Made<B> {
    let (mut head, body) = response.into_parts();
    let named = head.extensions.remove::<CacheTags>();
    let may = may_be_kept(cache, settings, asked, &head, since);
    let may = may.and_then(|life| watch.tags().map(|_| life).map_err(|refusal: Refusal| refusal.to_string()));
    let (life, fresh_for) = match may {
        Ok(life) => life,
        Err(reason) => {
            let response = Response::from_parts(head, ResponseBody::passed(body));
            return Made { response, kept: Err(reason) };
        }
    };
    let body = match ResponseBody::collect(body, settings.limit).await {
        Ok(body) => body,
        Err(body) => {
            let response = Response::from_parts(head, body);
            return Made { response, kept: Err("the body is too long".to_owned()) };
        }
    };
    if !head.headers.contains_key(header::ETAG) {
        let digest = blake3::hash(&body).to_hex();
        // The first half of it.
        if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", &digest[..32])) {
            head.headers.insert(header::ETAG, etag);
        }
    }
    // A cache on the way to this user is not to hand it to others either.
    if asked.personal && !head.headers.contains_key(header::CACHE_CONTROL) {
        head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    // The body may have been read from the database too.
    let kept = watch.tags().map_err(|refusal| refusal.to_string()).map(|mut tags| {
        if let Some(named) = &named {
            tags.extend(cache.question(&asked.key, named.options()).also);
        }
        let headers = Kept::headers_of(&head.headers);
        let made = since.checked_sub(super::directives::age(&head.headers)).unwrap_or(since);
        (Kept { status: head.status, headers, body: body.clone(), made, fresh_for }, tags, life)
    });
    Made { response: Response::from_parts(head, ResponseBody::kept(body)), kept }
}

/// For how long, and how long after it was made it is fresh by its own words.
fn may_be_kept(
    cache: &Cache,
    settings: &Settings,
    asked: &Asked,
    head: &Parts,
    now: SystemTime,
) -> Result<(Duration, Option<Duration>), String> {
    let no = |reason: &str| Err(reason.to_owned());
    let Some(ttl) = settings.ttl_of(head.status, cache.config()) else {
        return Err(format!("status {}", head.status.as_u16()));
    };
    let headers = &head.headers;
    if headers.contains_key(header::SET_COOKIE) {
        return no("the response has Set-Cookie");
    }
    let directives = Directives::of(headers);
    if directives.no_store || directives.no_cache {
        return no("the response says no-store or no-cache");
    }
    if directives.private && !asked.personal {
        return no("the response is private");
    }
    if !varies_as_declared(headers, settings, asked.personal) {
        return no("the response varies by what is not declared");
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    if content_type.is_some_and(|content_type| content_type.starts_with(b"text/event-stream")) {
        return no("a stream of events");
    }
    let left = lifetime(headers, &directives, now);
    let life = left.map_or(ttl, |left| left.min(ttl));
    if life < Duration::from_millis(1) {
        return no("its time is over at once");
    }
    let age = super::directives::age(headers);
    Ok((life, left.map(|left| left.saturating_add(age))))
}

/// Is every field that the response varies by part of the key?
fn varies_as_declared(headers: &HeaderMap, settings: &Settings, personal: bool) -> bool {
    headers.get_all(header::VARY).iter().all(|value| {
        value.to_str().is_ok_and(|names| {
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| {
                let of_user = [header::AUTHORIZATION, header::COOKIE];
                let named = |known: &HeaderName| name.eq_ignore_ascii_case(known.as_str());
                settings.vary.iter().any(named) || personal && of_user.iter().any(named)
            })
        })
    })
}

/// A response that was kept, for this client.
pub(super) fn of_kept<B: Body<Data = Bytes>>(
    kept: Kept,
    asked: &Asked,
    now: SystemTime,
    status: &str,
) -> Response<ResponseBody<B>> {
    let age = kept.age(now).as_secs();
    let length = kept.body.len();
    let body = if asked.head { Bytes::new() } else { kept.body };
    let mut response = Response::new(ResponseBody::kept(body));
    *response.status_mut() = kept.status;
    *response.headers_mut() = kept.headers;
    response.headers_mut().insert(header::AGE, age.into());
    if asked.head {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    told(response, asked, status)
}

/// Says what the cache did; and only that nothing has changed, if the client has it.
pub(super) fn told<B: Body<Data = Bytes>>(
    mut response: Response<ResponseBody<B>>,
    asked: &Asked,
    status: &str,
) -> Response<ResponseBody<B>> {
    tell(response.headers_mut(), status);
    if response.status() != StatusCode::OK || !asked.has(response.headers()) {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    let of_all = std::mem::take(&mut head.headers);
    for name in OF_NOT_MODIFIED {
        for value in of_all.get_all(&name) {
            head.headers.append(name.clone(), value.clone());
        }
    }
    // These are to be obeyed whatever the status.
    for value in of_all.get_all(header::SET_COOKIE) {
        head.headers.append(header::SET_COOKIE, value.clone());
    }
    Response::from_parts(head, ResponseBody::kept(Bytes::new()))
}

/// Adds to the field (RFC 9211): caches behind this one may have had their say.
pub(super) fn tell(headers: &mut HeaderMap, status: &str) {
    if let Ok(value) = HeaderValue::try_from(format!("sea-orm-cache; {status}")) {
        headers.append(CACHE_STATUS, value);
    }
}
