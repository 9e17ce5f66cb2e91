//! Who asks and how urgently: what a request's headers and its peer's address say beside the body.

use crate::{ApiError, AppState, ErrorCode, Limits};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use sha2::{Digest as _, Sha256};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use stentor_supervisor::Ticket;
use stentor_types::{ClientId, Lane};

const TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// A day; whoever wants more means "for ever" or is mistaken.
const LONGEST_TIMEOUT: f64 = 86_400.0;

/// On which terms a request is served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    pub client: ClientId,
    /// As asked for; `None` goes by the length of the text.
    pub lane: Option<Lane>,
    /// As asked for; `None` goes by the configuration.
    pub deadline: Option<Duration>,
    /// Finished chunks may be kept, and taken from the store.
    pub keep: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { client: ClientId::default(), lane: None, deadline: None, keep: true }
    }
}

impl Terms {
    /// Those of a protocol that says nothing beside the text.
    pub(crate) fn of_peer(address: Option<IpAddr>) -> Self {
        Self { client: client(&HeaderMap::new(), address), ..Self::default() }
    }

    /// What admission is asked with.
    pub(crate) fn ticket(&self, chars: usize, limits: &Limits) -> Ticket {
        let by_length = if chars <= limits.interactive_chars { Lane::Interactive } else { Lane::Batch };
        Ticket {
            client: self.client,
            lane: self.lane.unwrap_or(by_length),
            chars,
            deadline: self.deadline.or(limits.request_timeout),
        }
    }
}

impl FromRequestParts<AppState> for Terms {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, ApiError> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        let lane = parts.headers.get(PRIORITY).map(|value| lane(value.to_str().unwrap_or_default()));
        Ok(Self {
            client: client(&parts.headers, peer),
            lane: lane.transpose().map_err(|()| {
                let message = "the header `x-priority` must be `interactive` or `batch`";
                ApiError::field(ErrorCode::InvalidValue, "x-priority", message)
            })?,
            deadline: deadline(&parts.headers)?,
            keep: true,
        })
    }
}

/// `interactive` or `batch`, in any case.
pub(crate) fn lane(text: &str) -> Result<Lane, ()> {
    let text = text.trim();
    [Lane::Interactive, Lane::Batch].into_iter().find(|lane| text.eq_ignore_ascii_case(lane.name())).ok_or(())
}

/// The key if there is one, else the address: of IPv6 the half that names a network, because one host may use
/// every address in it.
fn client(headers: &HeaderMap, peer: Option<IpAddr>) -> ClientId {
    let mut hash = Sha256::new();
    if let Some(key) = bearer(headers) {
        hash.update(b"key\0");
        hash.update(key);
    } else {
        hash.update(b"peer\0");
        match peer.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => hash.update(ip.octets()),
            Some(IpAddr::V6(ip)) => hash.update(&ip.octets()[..8]),
            None => {}
        }
    }
    let digest = hash.finalize();
    ClientId(digest.iter().take(8).fold(0, |id, byte| (id << 8) | u64::from(*byte)))
}

/// An empty key, as SDKs send it, equals none.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    let key = key.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !key.is_empty()).then_some(key)
}

/// `X-Request-Timeout: 30`, else `Prefer: wait=30`. A preference that can't be honoured is none (RFC 7240); our own header
/// has to be right.
fn deadline(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    if let Some(value) = headers.get(TIMEOUT) {
        let asked = seconds(value.to_str().unwrap_or_default());
        return asked.map(Some).ok_or_else(|| {
            let message = format!(
                "the header `x-request-timeout` must give seconds above 0 and up to {LONGEST_TIMEOUT}"
            );
            ApiError::field(ErrorCode::InvalidValue, "x-request-timeout", message)
        });
    }
    let preferences = headers.get_all(PREFER).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    let wait = preferences
        .flat_map(|line| line.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"));
    Ok(wait.and_then(|(_, value)| seconds(value.trim().trim_matches('"'))))
}

fn seconds(text: &str) -> Option<Duration> {
    let number = text.trim().parse::<f64>().ok().filter(|n| *n > 0.0 && *n <= LONGEST_TIMEOUT);
    number.map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_key_is_the_client_and_without_one_the_address_is() {
        let ip = |text: &str| text.parse::<IpAddr>().ok();
        let with = |key: &str, address: &str| client(&headers(&[("authorization", key)]), ip(address));
        assert_eq!(with("Bearer abc", "10.0.0.1"), with("bearer abc", "10.0.0.2"));
        assert_ne!(with("Bearer abc", "10.0.0.1"), with("Bearer abe", "10.0.0.1"));
        assert_eq!(with("Bearer ", "10.0.0.1"), client(&headers(&[]), ip("10.0.0.1")));
        assert_ne!(with("Bearer ", "10.0.0.1"), with("Bearer ", "10.0.0.2"));
        assert_eq!(with("", "::ffff:10.0.0.1"), with("", "10.0.0.1"));
        assert_eq!(with("", "2001:db8::1"), with("", "2001:db8::2"));
        assert_ne!(with("", "2001:db8::1"), with("", "2001:db8:0:1::1"));
    }

    #[test]
    fn a_deadline_is_read_from_either_header() {
        let read = |pairs: &[(&'static str, &str)]| deadline(&headers(pairs)).map_err(|error| error.param);
        let seconds = |n: f64| Ok(Some(Duration::from_secs_f64(n)));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("x-request-timeout", "2.5")]), seconds(2.5));
        assert_eq!(read(&[("prefer", "respond-async, wait=10")]), seconds(10.0));
        assert_eq!(read(&[("prefer", "return=minimal; foo"), ("prefer", "Wait = \"7\"; x=y")]), seconds(7.0));
        assert_eq!(read(&[("x-request-timeout", "3"), ("prefer", "wait=9")]), seconds(3.0));
        assert_eq!(read(&[("prefer", "handling=lenient")]), Ok(None));
        for bad in ["0", "-1", "soon", "nan", "inf", "1e9", ""] {
            assert_eq!(read(&[("x-request-timeout", bad)]), Err(Some("x-request-timeout".into())), "{bad}");
            assert_eq!(read(&[("prefer", &format!("wait={bad}"))]), Ok(None), "{bad}");
        }
    }

    #[test]
    fn the_lane_goes_by_length_unless_it_is_asked_for() {
        let limits = Limits { interactive_chars: 10, ..Limits::default() };
        let lane_of = |lane, chars| Terms { lane, ..Terms::default() }.ticket(chars, &limits).lane;
        assert_eq!((lane_of(None, 10), lane_of(None, 11)), (Lane::Interactive, Lane::Batch));
        assert_eq!(lane_of(Some(Lane::Batch), 1), Lane::Batch);
        assert_eq!((lane(" Batch"), lane("fast")), (Ok(Lane::Batch), Err(())));
    }

    #[test]
    fn a_request_without_a_deadline_gets_the_configured_one() {
        let limits = |request_timeout| Limits { request_timeout, ..Limits::default() };
        let (asked, configured) = (Duration::from_secs(3), Duration::from_secs(9));
        let of =
            |deadline, limits: &Limits| Terms { deadline, ..Terms::default() }.ticket(1, limits).deadline;
        assert_eq!(of(Some(asked), &limits(Some(configured))), Some(asked));
        assert_eq!(of(None, &limits(Some(configured))), Some(configured));
        assert_eq!(of(None, &limits(None)), None);
    }
}
