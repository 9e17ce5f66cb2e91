//! A model hub on loopback that answers as the real one does: small files directly, large ones by a redirect to a
//! second host, byte ranges, commit and etag headers; and that fails on demand.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, StatusCode, Uri, header},
};
use futures_util::stream;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[derive(Clone)]
struct Served {
    bytes: Bytes,
    /// Kept in large-file storage: redirected, and its etag is its sha256.
    large: bool,
    sha256: String,
}

#[derive(Default)]
struct Inner {
    /// By `owner/name/path`.
    files: HashMap<String, Served>,
    /// `path start-end` of every request for bytes, in order; one-byte requests for headers are left out.
    ranges: Vec<(String, u64, u64)>,
    requests: usize,
    /// Connections for bytes beyond this offset are cut there, so many times.
    cut: Option<(u64, usize)>,
    status: Option<StatusCode>,
    commit: String,
    storage: Option<SocketAddr>,
}

#[derive(Clone)]
pub(crate) struct FakeHub {
    inner: Arc<Mutex<Inner>>,
    pub(crate) endpoint: String,
}

impl FakeHub {
    pub(crate) async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner { commit: COMMIT.to_owned(), ..Inner::default() }));
        let storage = listen(Router::new().fallback(from_storage).with_state(inner.clone())).await;
        inner.lock().unwrap().storage = Some(storage);
        let hub = listen(Router::new().fallback(resolve).with_state(inner.clone())).await;
        Self { inner, endpoint: format!("http://{hub}") }
    }

    pub(crate) fn put(&self, repository: &str, path: &str, bytes: impl Into<Bytes>, large: bool) {
        let bytes = bytes.into();
        let sha256 = sha256(&bytes);
        let served = Served { bytes, large, sha256 };
        self.inner.lock().unwrap().files.insert(format!("{repository}/{path}"), served);
    }

    /// Announces a hash that the bytes do not have.
    pub(crate) fn lie_about(&self, repository: &str, path: &str) {
        let mut inner = self.inner.lock().unwrap();
        inner.files.get_mut(&format!("{repository}/{path}")).unwrap().sha256 = "0".repeat(64);
    }

    pub(crate) fn remove(&self, repository: &str, path: &str) {
        self.inner.lock().unwrap().files.remove(&format!("{repository}/{path}"));
    }

    /// Cuts connections at byte `offset` of a file, `times` times.
    pub(crate) fn cut_at(&self, offset: u64, times: usize) {
        self.inner.lock().unwrap().cut = Some((offset, times));
    }

    pub(crate) fn answer(&self, status: Option<StatusCode>) {
        self.inner.lock().unwrap().status = status;
    }

    pub(crate) fn name_commit(&self, commit: &str) {
        commit.clone_into(&mut self.inner.lock().unwrap().commit);
    }

    /// First and last byte of every request for the bytes of `path`.
    pub(crate) fn ranges(&self, path: &str) -> Vec<(u64, u64)> {
        let inner = self.inner.lock().unwrap();
        inner.ranges.iter().filter(|(p, _, _)| p == path).map(|&(_, start, end)| (start, end)).collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.inner.lock().unwrap().requests
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// `len` bytes without a short period.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

async fn listen(app: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn empty(status: StatusCode) -> Response<Body> {
    Response::builder().status(status).body(Body::empty()).unwrap()
}

/// `/owner/name/resolve/revision/path`
async fn resolve(State(inner): State<Arc<Mutex<Inner>>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let mut hub = inner.lock().unwrap();
    hub.requests += 1;
    if let Some(status) = hub.status {
        return empty(status);
    }
    let parts: Vec<&str> = uri.path().trim_start_matches('/').splitn(5, '/').collect();
    let [owner, name, "resolve", revision, path] = parts[..] else { return empty(StatusCode::BAD_REQUEST) };
    if revision != "main" && revision != COMMIT {
        return empty(StatusCode::NOT_FOUND);
    }
    let key = format!("{owner}/{name}/{path}");
    let Some(file) = hub.files.get(&key).cloned() else { return empty(StatusCode::NOT_FOUND) };
    if !file.large {
        let mut response = ranged(&mut hub, &key, &file, &headers);
        let etag = format!("\"{}\"", &file.sha256[..40]);
        response.headers_mut().insert(header::ETAG, etag.parse().unwrap());
        response.headers_mut().insert("x-repo-commit", hub.commit.parse().unwrap());
        return response;
    }
    Response::builder()
        .status(StatusCode::FOUND)
        .header(header::LOCATION, format!("http://{}/{key}", hub.storage.unwrap()))
        .header(header::ETAG, "\"etag-of-the-redirect\"")
        .header("x-linked-etag", format!("\"{}\"", file.sha256))
        .header("x-repo-commit", &hub.commit)
        .body(Body::empty())
        .unwrap()
}

async fn from_storage(
    State(inner): State<Arc<Mutex<Inner>>>,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let mut hub = inner.lock().unwrap();
    let key = uri.path().trim_start_matches('/').to_owned();
    let Some(file) = hub.files.get(&key).cloned() else { return empty(StatusCode::NOT_FOUND) };
    ranged(&mut hub, &key, &file, &headers)
}

fn ranged(hub: &mut Inner, key: &str, file: &Served, headers: &HeaderMap) -> Response<Body> {
    let total = file.bytes.len() as u64;
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    let Some((start, end)) = asked.and_then(|range| range.split_once('-')) else {
        return Response::new(Body::from(file.bytes.clone()));
    };
    let start: u64 = start.parse().unwrap();
    let end = end.parse::<u64>().unwrap().min(total - 1);
    if start >= total {
        return empty(StatusCode::RANGE_NOT_SATISFIABLE);
    }
    let bytes = file.bytes.slice(start as usize..=end as usize);
    if end > 0 {
        let path = key.splitn(3, '/').nth(2).unwrap_or_default();
        hub.ranges.push((path.to_owned(), start, end));
    }
    let response = Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_RANGE, format!("bytes {start}-{end}/{total}"))
        .header(header::CONTENT_LENGTH, bytes.len());
    match &mut hub.cut {
        Some((offset, times)) if *times > 0 && (start..=end).contains(offset) => {
            *times -= 1;
            let sent = bytes.slice(..(*offset - start) as usize);
            let cut = stream::iter([Ok(sent), Err(io::Error::other("cut"))]);
            response.body(Body::from_stream(cut)).unwrap()
        }
        _ => response.body(Body::from(bytes)).unwrap(),
    }
}
