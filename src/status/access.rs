//! Who may come in, and from where.

use std::fmt;

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};

use super::Problem;
use crate::CacheError;

/// A token that is shorter can be guessed.
const SHORTEST_TOKEN: usize = 16;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may come in.
pub(super) enum Access {
    /// Nobody.
    Closed,
    /// Who has the token. Its hash: two of them are compared in constant time, and hold nothing of it.
    Token(blake3::Hash),
    /// A layer of the caller's decides.
    ByCaller,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "Closed",
            Self::Token(_) => "Token",
            Self::ByCaller => "ByCaller",
        })
    }
}

impl Access {
    pub(super) fn token(token: &str) -> Result<Self, CacheError> {
        if token.len() < SHORTEST_TOKEN {
            return Err(CacheError::Config(format!(
                "the token of the status routes is shorter than {SHORTEST_TOKEN} bytes; openssl rand -hex 32 \
                 makes a good one"
            )));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let why =
                "the token of the status routes is not plain ASCII without spaces, as a header wants it";
            return Err(CacheError::Config(why.to_owned()));
        }
        Ok(Self::Token(blake3::hash(token.as_bytes())))
    }

    /// Did the request bring the token?
    pub(super) fn has_token(&self, headers: &HeaderMap) -> bool {
        let Self::Token(expected) = self else { return false };
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(bearer).is_some_and(|given| blake3::hash(given.as_bytes()) == *expected)
    }

    pub(super) fn admits(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        match self {
            Self::Closed => {
                let message = "These routes are closed: the application has given no token for them.";
                return Err(Problem::new(StatusCode::FORBIDDEN, "closed", message));
            }
            Self::Token(_) if !self.has_token(headers) => {
                let message = "Send Authorization: Bearer with the token of the status routes.";
                return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
            }
            Self::Token(_) | Self::ByCaller => {}
        }
        if method.is_safe() {
            return Ok(());
        }
        if !is_from_here(headers) {
            let message = "Requests that change something must not come from another site.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "cross-site", message));
        }
        // A form cannot send it, so no other site can without being asked for leave first.
        if !is_json(headers) {
            let message = "Send content-type: application/json.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", message));
        }
        Ok(())
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Not from a page of another site, as far as the browser says. Who is no browser says nothing.
fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(&SEC_FETCH_SITE) {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text(&header::ORIGIN) else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == text(&header::HOST)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or(kind).trim();
    kind.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn code(access: &Access, method: &Method, pairs: &[(&'static str, &str)]) -> u16 {
        access.admits(method, &headers(pairs)).map_or_else(|denied| denied.code.as_u16(), |()| 200)
    }

    #[test]
    fn a_token_that_can_be_guessed_or_sent_by_nobody_is_refused() {
        for bad in [
            "",
            "short",
            "fifteen bytes..",
            "0123456789abcdef with spaces",
            "0123456789abcdef\n",
            "ééééééééé",
        ] {
            assert!(matches!(Access::token(bad), Err(CacheError::Config(_))), "{bad:?}");
        }
        assert!(!format!("{:?}", Access::token(TOKEN).unwrap()).contains("0123"));
    }

    #[test]
    fn nobody_comes_in_without_the_token() {
        let access = Access::token(TOKEN).unwrap();
        let with = |value: &str| code(&access, &Method::GET, &[("authorization", value)]);
        assert_eq!(with(&format!("Bearer {TOKEN}")), 200);
        assert_eq!(with(&format!("bearer {TOKEN}")), 200);
        for bad in [
            "Bearer ",
            "Bearer",
            TOKEN,
            "Basic MDEyMzQ=",
            "Bearer 0123456789abcdef012",
            "Bearer 0123456789abcdef01234",
        ] {
            assert_eq!(with(bad), 401, "{bad}");
        }
        assert_eq!(code(&access, &Method::GET, &[]), 401);
        assert_eq!(code(&access, &Method::GET, &[("cookie", TOKEN)]), 401);
        assert_eq!(code(&Access::Closed, &Method::GET, &[("authorization", "Bearer ")]), 403);
        assert_eq!(code(&Access::ByCaller, &Method::GET, &[]), 200);
    }

    #[test]
    fn no_page_of_another_site_changes_anything() {
        for access in [Access::token(TOKEN).unwrap(), Access::ByCaller] {
            let bearer = format!("Bearer {TOKEN}");
            let post = |more: &[(&'static str, &str)]| {
                let mut all = vec![("authorization", bearer.as_str()), ("host", "shop.example:8080")];
                all.extend_from_slice(more);
                code(&access, &Method::POST, &all)
            };
            const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
            assert_eq!(post(&[JSON]), 200);
            assert_eq!(post(&[JSON, ("origin", "https://shop.example:8080")]), 200);
            assert_eq!(
                post(&[JSON, ("sec-fetch-site", "same-origin"), ("origin", "https://proxy.example")]),
                200
            );
            for from in ["cross-site", "same-site", "?"] {
                assert_eq!(post(&[JSON, ("sec-fetch-site", from)]), 403, "{from}");
            }
            for from in ["https://evil.example", "null", "https://shop.example", "shop.example:8080"] {
                assert_eq!(post(&[JSON, ("origin", from)]), 403, "{from}");
            }
            // What a form can send.
            for kind in ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"] {
                assert_eq!(post(&[("content-type", kind)]), 415, "{kind}");
            }
            assert_eq!(post(&[]), 415);
        }
    }
}
