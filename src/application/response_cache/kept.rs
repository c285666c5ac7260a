//! A response as it is kept: status, header and body, and when it was made.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Header fields of one connection, which are not the response's; and what is told anew each time.
const NOT_KEPT: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AGE,
];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// No later than when it was made.
    pub(super) made: SystemTime,
    /// For how long after that it says that it is fresh; `None` if it does not say.
    pub(super) fresh_for: Option<Duration>,
}

impl Kept {
    /// The headers without those that are not kept. `Connection` may name more.
    pub(super) fn headers_of(headers: &HeaderMap) -> HeaderMap {
        let mut kept = headers.clone();
        for value in headers.get_all(header::CONNECTION) {
            for name in value.to_str().unwrap_or_default().split(',') {
                if let Ok(name) = HeaderName::try_from(name.trim()) {
                    kept.remove(name);
                }
            }
        }
        for name in NOT_KEPT {
            kept.remove(name);
        }
        kept
    }

    pub(super) fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.made).unwrap_or_default()
    }

    /// Status, time, header fields with the length of each part, and the body to the end.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 256);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let made = self.made.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis);
        out.extend_from_slice(&self.status.as_u16().to_le_bytes());
        out.extend_from_slice(&made.to_le_bytes());
        out.extend_from_slice(&self.fresh_for.map_or(u64::MAX, millis).to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.headers.len()).unwrap_or(u32::MAX).to_le_bytes());
        for (name, value) in &self.headers {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(&self.body);
        out
    }

    /// `None` for what is no such response.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let mut rest = bytes.clone();
        let status = StatusCode::from_u16(u16::from_le_bytes(number(&mut rest)?)).ok()?;
        let made = u64::from_le_bytes(number(&mut rest)?);
        let fresh_for = u64::from_le_bytes(number(&mut rest)?);
        let count = u32::from_le_bytes(number(&mut rest)?);
        let mut headers = HeaderMap::new();
        for _ in 0..count {
            let name = HeaderName::from_bytes(&part(&mut rest)?).ok()?;
            headers.append(name, HeaderValue::from_maybe_shared(part(&mut rest)?).ok()?);
        }
        Some(Self {
            status,
            headers,
            body: rest,
            made: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(made))?,
            fresh_for: (fresh_for != u64::MAX).then(|| Duration::from_millis(fresh_for)),
        })
    }
}

fn number<const N: usize>(rest: &mut Bytes) -> Option<[u8; N]> {
    let taken = (rest.len() >= N).then(|| rest.split_to(N))?;
    taken.as_ref().try_into().ok()
}

fn part(rest: &mut Bytes) -> Option<Bytes> {
    let length = u32::from_le_bytes(number(rest)?) as usize;
    (rest.len() >= length).then(|| rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        let mut headers = HeaderMap::new();
        headers.append("link", "</a>".parse().unwrap());
        headers.append("link", HeaderValue::from_bytes(b"\xe4").unwrap());
        headers.append("x-empty", "".parse().unwrap());
        Kept {
            status: StatusCode::NOT_FOUND,
            headers,
            body: Bytes::from_static(b"\0no\xff"),
            made: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            fresh_for: Some(Duration::from_secs(7)),
        }
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        for kept in [kept(), Kept { fresh_for: None, body: Bytes::new(), ..kept() }] {
            assert_eq!(Kept::decode(&kept.encode().into()), Some(kept));
        }
    }

    #[test]
    fn what_was_cut_short_in_its_head_is_no_response() {
        let whole = kept().encode();
        let head = whole.len() - kept().body.len();
        for length in 0..head {
            assert_eq!(Kept::decode(&Bytes::copy_from_slice(&whole[..length])), None, "{length}");
        }
    }

    #[test]
    fn fields_of_the_connection_are_not_kept() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-hop, keep-alive"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("age", "3"),
            ("x-stays", "1"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let kept = Kept::headers_of(&headers);
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-stays"]);
    }
}
