//! `Cache-Control` and its kin, read so that what is not understood keeps less.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// What `Cache-Control` says that matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) s_maxage: Option<Duration>,
    pub(super) min_fresh: Option<Duration>,
}

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            match value.to_str() {
                Ok(text) => text.split(',').for_each(|directive| all.add(directive.trim())),
                Err(_) => all.no_store = true,
            }
        }
        all
    }

    fn add(&mut self, directive: &str) {
        let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim_end().to_ascii_lowercase().as_str() {
            "no-store" => self.no_store = true,
            // With field names too (`no-cache="x"`): what may be sent without those is not worked out.
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "max-age" => at_most(&mut self.max_age, seconds(argument)),
            "s-maxage" => at_most(&mut self.s_maxage, seconds(argument)),
            "min-fresh" => self.min_fresh = self.min_fresh.max(Some(seconds(argument))),
            _ => {}
        }
    }
}

/// Of two that differ the shorter one counts.
fn at_most(limit: &mut Option<Duration>, other: Duration) {
    *limit = Some(limit.map_or(other, |limit| limit.min(other)));
}

/// A number of seconds; what is none is zero.
fn seconds(text: &str) -> Duration {
    let digits = text.trim().trim_matches('"');
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::ZERO;
    }
    // RFC 9111, 1.2.2: too large is as good as for ever.
    Duration::from_secs(digits.parse().unwrap_or(u64::from(u32::MAX)))
}

/// How old a response is when it comes.
pub(super) fn age(headers: &HeaderMap) -> Duration {
    let first = headers.get(header::AGE).and_then(|value| value.to_str().ok());
    first.map_or(Duration::ZERO, seconds)
}

/// How much longer a response is fresh by what it says itself; `None` if it does not say.
pub(super) fn lifetime(headers: &HeaderMap, directives: &Directives, now: SystemTime) -> Option<Duration> {
    let whole = directives.s_maxage.or(directives.max_age).or_else(|| {
        let expires = headers.get(header::EXPIRES)?;
        let date = |value: &http::HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
        let since = headers.get(header::DATE).and_then(date).unwrap_or(now);
        // One that is no date, such as 0, is in the past.
        Some(date(expires).and_then(|until| until.duration_since(since).ok()).unwrap_or_default())
    })?;
    Some(whole.saturating_sub(age(headers)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    fn of(text: &str) -> Directives {
        Directives::of(&headers(&[("cache-control", text)]))
    }

    #[test]
    fn directives_are_found_however_they_are_written() {
        let secs = |n| Some(Duration::from_secs(n));
        assert_eq!(of("max-age=60"), Directives { max_age: secs(60), ..Directives::default() });
        assert_eq!(of("public, MAX-AGE = \"60\" ,s-maxage=5").s_maxage, secs(5));
        assert!(of("No-Store").no_store);
        assert!(of("private=\"x-user, x-other\"").private);
        assert!(of("no-cache=\"set-cookie\"").no_cache);
        let mut two = headers(&[("cache-control", "max-age=9")]);
        two.append("cache-control", "max-age=3, no-store".parse().unwrap());
        assert_eq!((Directives::of(&two).max_age, Directives::of(&two).no_store), (secs(3), true));
    }

    #[test]
    fn what_is_no_number_of_seconds_is_none_at_all() {
        for text in ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=soon", "max-age=60;x"] {
            assert_eq!(of(text).max_age, Some(Duration::ZERO), "{text}");
        }
        assert!(of("max-age=99999999999999999999999").max_age > Some(Duration::from_secs(1 << 30)));
    }

    #[test]
    fn a_response_lives_as_long_as_it_says_and_its_age_counts() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let lifetime = |all: &[(&'static str, &str)]| {
            let headers = headers(all);
            lifetime(&headers, &Directives::of(&headers), now).map(|life| life.as_secs())
        };
        assert_eq!(lifetime(&[]), None);
        assert_eq!(lifetime(&[("cache-control", "max-age=60, s-maxage=10")]), Some(10));
        assert_eq!(lifetime(&[("cache-control", "max-age=60"), ("age", "50")]), Some(10));
        assert_eq!(lifetime(&[("cache-control", "max-age=60"), ("age", "70")]), Some(0));
        let expires = ("expires", "Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(lifetime(&[expires]), Some(60));
        assert_eq!(lifetime(&[expires, ("date", "Sun, 06 Nov 1994 08:50:07 GMT")]), Some(30));
        assert_eq!(lifetime(&[expires, ("cache-control", "max-age=5")]), Some(5));
        assert_eq!(lifetime(&[("expires", "0")]), Some(0));
        assert_eq!(lifetime(&[("expires", "Sun, 06 Nov 1994 08:48:37 GMT")]), Some(0));
    }
}
