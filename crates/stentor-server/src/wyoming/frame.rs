//! Events on the wire: a line of JSON, then bytes of more JSON, then a payload. What is read is bounded before it is
//! held, and must be complete in time once it has begun.

use crate::{ApiError, ErrorCode, Limits};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::io;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink},
    time::timeout,
};

/// As long as the lines that the protocol's own library reads.
const HEADER_BYTES: u64 = 64 * 1024;
/// Nothing that a text needs comes as a payload, so one is read over.
const PAYLOAD_BYTES: u64 = 1024 * 1024;

/// An event that a client sent.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame {
    pub(super) kind: String,
    pub(super) data: Map<String, Value>,
}

/// Why there is no event.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nobody is there to be told anything.
    Left,
    /// To be told, and then the connection is closed: after a broken event nothing can be found in the bytes, and
    /// clients that wait for the end of audio see no other sign of a failure.
    Told(ApiError),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        Self::Told(error)
    }
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "type")]
    kind: String,
    data: Option<Map<String, Value>>,
    data_length: Option<u64>,
    payload_length: Option<u64>,
}

/// Waits for the next event, for as long as it takes to begin; `None` when the client has closed its side between two.
pub(crate) async fn read<R: AsyncBufRead + Unpin>(
    source: &mut R,
    limits: &Limits,
) -> Result<Option<Frame>, Fault> {
    if source.fill_buf().await?.is_empty() {
        return Ok(None);
    }
    let patience = limits.body_timeout;
    timeout(patience, read_begun(source, limits.max_body_bytes() as u64)).await.unwrap_or_else(|_| {
        let message = format!("the event was not complete within {} s", patience.as_secs());
        Err(ApiError::new(ErrorCode::BodyTimeout, message).into())
    })
}

async fn read_begun<R: AsyncBufRead + Unpin>(source: &mut R, most: u64) -> Result<Option<Frame>, Fault> {
    let mut line = Vec::new();
    (&mut *source).take(HEADER_BYTES).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Err(if line.len() as u64 == HEADER_BYTES {
            too_long("header", HEADER_BYTES)
        } else {
            Fault::Left
        });
    }
    // Read as an object first, because serde takes a list for a struct, too.
    let fields: Map<String, Value> = serde_json::from_slice(&line).map_err(|e| not_json("header", &e))?;
    let header: Header = serde_json::from_value(Value::Object(fields)).map_err(|e| not_json("header", &e))?;
    let mut data = header.data.unwrap_or_default();
    let length = header.data_length.unwrap_or(0);
    if length > most {
        return Err(too_long("data", most));
    }
    if length > 0 {
        // Grows as bytes come: a length alone takes no memory.
        let mut bytes = Vec::new();
        (&mut *source).take(length).read_to_end(&mut bytes).await?;
        if (bytes.len() as u64) < length {
            return Err(Fault::Left);
        }
        let more: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|e| not_json("data", &e))?;
        data.extend(more);
    }
    let length = header.payload_length.unwrap_or(0);
    if length > PAYLOAD_BYTES {
        return Err(too_long("payload", PAYLOAD_BYTES));
    }
    if copy(&mut (&mut *source).take(length), &mut sink()).await? < length {
        return Err(Fault::Left);
    }
    Ok(Some(Frame { kind: header.kind, data }))
}

fn not_json(part: &str, error: &serde_json::Error) -> Fault {
    let message = format!("the {part} of the event is not a valid JSON object: {error}");
    ApiError::new(ErrorCode::InvalidJson, message).into()
}

fn too_long(part: &str, most: u64) -> Fault {
    let message = format!("the {part} of the event has more than {most} bytes");
    ApiError::new(ErrorCode::BodyTooLarge, message).into()
}

/// Sends an event; `data` is an object or `null`.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    out: &mut W,
    kind: &str,
    data: &Value,
    payload: &[u8],
) -> io::Result<()> {
    let mut header = json!({ "type": kind });
    let data = if data.is_null() { Vec::new() } else { data.to_string().into_bytes() };
    for (name, length) in [("data_length", data.len()), ("payload_length", payload.len())] {
        if length > 0 {
            header[name] = length.into();
        }
    }
    let mut bytes = header.to_string().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(&data);
    bytes.extend_from_slice(payload);
    out.write_all(&bytes).await?;
    out.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn read_all(mut bytes: &[u8]) -> Vec<Result<Frame, Option<ErrorCode>>> {
        let mut found = Vec::new();
        loop {
            match read(&mut bytes, &Limits::default()).await {
                Ok(Some(frame)) => found.push(Ok(frame)),
                Ok(None) => return found,
                Err(Fault::Left) => found.push(Err(None)),
                Err(Fault::Told(error)) => {
                    found.push(Err(Some(error.code)));
                    return found;
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_data_may_stand_in_the_header() {
        let mut bytes = Vec::new();
        write(&mut bytes, "synthesize", &json!({"text": "Grüße\n"}), b"abc\n").await.expect("memory");
        write(&mut bytes, "describe", &Value::Null, &[]).await.expect("memory");
        bytes.extend(
            b"{\"type\":\"a\",\"data\":{\"x\":1,\"y\":1},\"data_length\":7,\"version\":\"1\"}\n{\"y\":2}",
        );
        bytes.extend(b"{\"type\":\"b\",\"data\":null,\"data_length\":null,\"payload_length\":0}\n");
        let found: Vec<_> = read_all(&bytes).await.into_iter().map(|f| f.expect("an event")).collect();
        let rows: Vec<_> = found.iter().map(|f| (f.kind.as_str(), Value::Object(f.data.clone()))).collect();
        let expected = [
            ("synthesize", json!({"text": "Grüße\n"})),
            ("describe", json!({})),
            ("a", json!({"x": 1, "y": 2})),
            ("b", json!({})),
        ];
        assert_eq!(rows, expected);
    }

    #[tokio::test]
    async fn broken_events_are_refused_and_cut_ones_have_left() {
        let long = format!("{{\"type\":\"{}\"}}\n", "a".repeat(HEADER_BYTES as usize));
        let rows: [(&str, Option<ErrorCode>); 10] = [
            ("\n", Some(ErrorCode::InvalidJson)),
            ("[]\n", Some(ErrorCode::InvalidJson)),
            ("[\"describe\",null,null,null]\n", Some(ErrorCode::InvalidJson)),
            ("{\"type\":7}\n", Some(ErrorCode::InvalidJson)),
            ("{\"type\":\"a\",\"data_length\":-1}\n", Some(ErrorCode::InvalidJson)),
            ("{\"type\":\"a\",\"data_length\":2}\n[]", Some(ErrorCode::InvalidJson)),
            ("{\"type\":\"a\",\"data_length\":99999999999}\n", Some(ErrorCode::BodyTooLarge)),
            ("{\"type\":\"a\",\"payload_length\":18446744073709551615}\n", Some(ErrorCode::BodyTooLarge)),
            (&long, Some(ErrorCode::BodyTooLarge)),
            ("{\"type\":\"a\",\"payload_length\":5}\nabc", None),
        ];
        for (bytes, code) in rows {
            assert_eq!(read_all(bytes.as_bytes()).await, [Err(code)], "{bytes:.60}");
        }
    }

    #[tokio::test]
    async fn an_event_that_has_begun_must_be_complete_in_time() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"{\"type\":").await.expect("memory");
        let limits = Limits { body_timeout: Duration::from_millis(20), ..Limits::default() };
        let result = read(&mut tokio::io::BufReader::new(ours), &limits).await;
        assert!(
            matches!(&result, Err(Fault::Told(error)) if error.code == ErrorCode::BodyTimeout),
            "{result:?}"
        );
    }
}
