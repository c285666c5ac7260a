//! What a request asks for: under which key, or why not of the cache.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Method, Uri, header, request::Parts};

use super::{Settings, directives::Directives, kept::Kept};
use crate::keys::KeyHash;

/// What all keys of responses begin with; before a colon, so that `responses:*` stands for them.
pub(super) const STEM: &str = "responses";

/// Conditions that only the handler can answer, and connections that become something else.
const NOT_FOR_US: [HeaderName; 5] =
    [header::RANGE, header::IF_RANGE, header::IF_MATCH, header::IF_UNMODIFIED_SINCE, header::UPGRADE];

/// A request that may be answered by the cache.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) key: String,
    /// Only for the one whom the key names.
    pub(super) personal: bool,
    /// HEAD: the header alone.
    pub(super) head: bool,
    directives: Directives,
    if_none_match: Vec<String>,
}

impl Asked {
    /// # Errors
    /// Why the request goes to the handler.
    pub(super) fn of(head: &Parts, settings: &Settings) -> Result<Self, &'static str> {
        if head.method != Method::GET && head.method != Method::HEAD {
            return Err("neither GET nor HEAD");
        }
        let headers = &head.headers;
        if NOT_FOR_US.iter().any(|name| headers.contains_key(name)) {
            return Err("a request of another kind");
        }
        let mut directives = Directives::of(headers);
        if directives.no_store {
            return Err("the request says no-store");
        }
        if !headers.contains_key(header::CACHE_CONTROL) {
            let pragma = headers.get_all(header::PRAGMA).iter();
            directives.no_cache =
                pragma.into_iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"no-cache"));
        }
        let user = settings.keyed_by.as_ref().and_then(|keyed_by| keyed_by(head));
        let tells = headers.contains_key(header::AUTHORIZATION) || headers.contains_key(header::COOKIE);
        if tells && user.is_none() {
            return Err("the request has Authorization or Cookie");
        }
        let if_none_match = headers.get_all(header::IF_NONE_MATCH).iter();
        Ok(Self {
            key: key(head, settings, user.as_deref()),
            personal: user.is_some(),
            head: head.method == Method::HEAD,
            directives,
            if_none_match: if_none_match.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect(),
        })
    }

    /// The client wants what is made for it.
    pub(super) fn is_fresh(&self) -> bool {
        self.directives.no_cache || self.directives.max_age == Some(Duration::ZERO)
    }

    /// Is what was kept young enough for the client, and by its own words?
    pub(super) fn takes(&self, kept: &Kept, now: SystemTime) -> bool {
        let age = kept.age(now);
        let needed = self.directives.min_fresh.unwrap_or_default();
        self.directives.max_age.is_none_or(|most| age <= most)
            && kept.fresh_for.is_none_or(|life| age.saturating_add(needed) < life)
    }

    /// Does the client have this already?
    pub(super) fn has(&self, headers: &HeaderMap) -> bool {
        let etag = headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        etag.is_some_and(|etag| self.if_none_match.iter().any(|list| names(list, etag)))
    }
}

/// Does the list of `If-None-Match` name the tag? By the weak comparison (RFC 9110, 13.1.2).
fn names(list: &str, etag: &str) -> bool {
    let etag = etag.strip_prefix("W/").unwrap_or(etag);
    let mut rest = list.trim();
    if rest == "*" {
        return true;
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        rest = rest.strip_prefix("W/").unwrap_or(rest);
        let Some(end) = rest.strip_prefix('"').and_then(|inner| inner.find('"')) else { return false };
        let (tag, after) = rest.split_at(end + 2);
        if tag == etag {
            return true;
        }
        rest = after;
    }
}

/// One key for all that is the same request: host, path, query with its parameters in order, the fields
/// that are declared, and the user. A hash, for a path may be long and say much.
fn key(head: &Parts, settings: &Settings, user: Option<&str>) -> String {
    let whole = whole_uri(head);
    let host = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = host.or_else(|| Some(head.headers.get(header::HOST)?.as_bytes())).unwrap_or_default();
    let mut parts: Vec<Vec<u8>> = vec![host.to_ascii_lowercase()];
    // A router within another sees what is left of the path, a middleware may have changed it.
    for uri in [whole, &head.uri] {
        parts.extend([
            uri.path().as_bytes().to_vec(),
            canonical(uri.query().unwrap_or_default()).into_bytes(),
        ]);
    }
    match user {
        Some(user) => parts.extend([b"user".to_vec(), user.as_bytes().to_vec()]),
        None => parts.push(b"all".to_vec()),
    }
    for name in &settings.vary {
        parts.push(name.as_str().as_bytes().to_vec());
        let values: Vec<_> = head.headers.get_all(name).iter().map(|value| value.as_bytes()).collect();
        parts.push(values.len().to_string().into_bytes());
        parts.extend(values.into_iter().map(|value| value.trim_ascii().to_vec()));
    }
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    format!("{STEM}:{}", KeyHash::of(&parts))
}

#[cfg(feature = "axum")]
fn whole_uri(head: &Parts) -> &Uri {
    head.extensions.get::<axum::extract::OriginalUri>().map_or(&head.uri, |whole| &whole.0)
}

#[cfg(not(feature = "axum"))]
fn whole_uri(head: &Parts) -> &Uri {
    &head.uri
}

/// Parameters in the order of their names, those of one name in the order in which they came.
fn canonical(query: &str) -> String {
    let mut parameters: Vec<_> = query.split('&').filter(|parameter| !parameter.is_empty()).collect();
    parameters.sort_by_key(|parameter| parameter.split('=').next());
    parameters.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_other_names_may_come_in_any_order_those_of_one_name_may_not() {
        assert_eq!(canonical("b=2&a=1"), canonical("a=1&b=2"));
        assert_eq!(canonical("a=1&&b=2&"), canonical("b=2&a=1"));
        assert_ne!(canonical("a=1&a=2"), canonical("a=2&a=1"));
        assert_ne!(canonical("a=1"), canonical("a"));
        assert_ne!(canonical("a=1&b=2"), canonical("a=1%26b=2"));
    }

    #[test]
    fn an_entity_tag_is_found_in_a_list() {
        for (list, etag) in [
            ("*", "\"a\""),
            ("\"a\"", "\"a\""),
            ("W/\"a\"", "\"a\""),
            ("\"a\"", "W/\"a\""),
            ("\"x\", \"a\"", "\"a\""),
            ("\"x,y\",W/\"z\"  , \"a\"", "\"a\""),
        ] {
            assert!(names(list, etag), "{list} {etag}");
        }
        for (list, etag) in
            [("", "\"a\""), ("\"b\"", "\"a\""), ("a", "a"), ("\"x, a\"", "\"a\""), ("\"a", "\"a\"")]
        {
            assert!(!names(list, etag), "{list} {etag}");
        }
    }
}
