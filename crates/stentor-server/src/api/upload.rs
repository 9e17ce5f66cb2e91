//! The body of `POST /v1/audio/voices`: OpenAI's `name`, `audio_sample` and `consent`, and what we add to them.
//!
//! The file's own name and type are not looked at: what it is shows when it is decoded.

use crate::{ApiError, ErrorCode, routes::body};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::{convert::Infallible, str};
use stentor_catalog::{NewVoice, voice_name};
use stentor_types::Language;
use utoipa::ToSchema;

/// Bytes of a transcript or a reference to a consent.
pub(crate) const MAX_TEXT: usize = 4096;
/// Parts of a form; OpenAI's has three.
const MAX_PARTS: usize = 32;
/// What a form may need beside the recording, in bytes.
pub(crate) const FORM: usize = 64 * 1024;

/// A form whose values are within their limits; the recording has not been listened to.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) voice: NewVoice,
    pub(crate) recording: Bytes,
    /// Fields that have no effect.
    pub(crate) ignored: Vec<String>,
}

#[derive(Debug, Default)]
struct Parts {
    name: Option<String>,
    recording: Option<Bytes>,
    consent: Option<String>,
    transcript: Option<String>,
    language: Option<String>,
    ignored: Vec<String>,
}

/// Reads a complete body of the media type `content_type`.
pub(crate) async fn parse(content_type: &str, body: Vec<u8>, max_bytes: usize) -> Result<Upload, ApiError> {
    read_parts(body, boundary(content_type)?).await?.check(max_bytes)
}

/// What is too large in a body whose `beginning` is at hand: the recording, where that alone fills more than it may.
pub(crate) async fn too_large(content_type: &str, mut beginning: Vec<u8>, max_bytes: usize) -> ApiError {
    let whole = beginning.len();
    let form = async {
        let boundary = boundary(content_type).ok()?;
        // The part in which the beginning ends is read as if it ended there too.
        beginning.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        read_parts(beginning, boundary).await.ok()
    };
    let recording = form.await.and_then(|parts| parts.recording);
    match recording {
        Some(bytes) if bytes.len() > max_bytes => too_large_sample(max_bytes),
        _ => body::too_large(whole),
    }
}

fn boundary(content_type: &str) -> Result<String, ApiError> {
    multer::parse_boundary(content_type).map_err(|error| {
        if matches!(error, multer::Error::NoBoundary) {
            return malformed("its Content-Type names no boundary");
        }
        let message = "a voice is uploaded as multipart/form-data with `name` and `audio_sample`";
        ApiError::new(ErrorCode::UnsupportedMediaType, message)
    })
}

async fn read_parts(body: Vec<u8>, boundary: String) -> Result<Parts, ApiError> {
    let body = stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
    let mut form = multer::Multipart::new(body, boundary);
    let mut parts = Parts::default();
    let mut count = 0;
    while let Some(field) = form.next_field().await.map_err(|error| malformed(&error.to_string()))? {
        count += 1;
        if count > MAX_PARTS {
            return Err(malformed("it has too many parts"));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let bytes = field.bytes().await.map_err(|error| malformed(&error.to_string()))?;
        parts.take(name, bytes)?;
    }
    Ok(parts)
}

impl Parts {
    fn take(&mut self, name: String, bytes: Bytes) -> Result<(), ApiError> {
        match name.as_str() {
            "name" => put(&mut self.name, "name", text("name", &bytes)?),
            "audio_sample" => put(&mut self.recording, "audio_sample", Some(bytes)),
            "consent" => put(&mut self.consent, "consent", text("consent", &bytes)?),
            "transcript" => put(&mut self.transcript, "transcript", text("transcript", &bytes)?),
            "language" => put(&mut self.language, "language", text("language", &bytes)?),
            _ => {
                self.ignored.push(name);
                Ok(())
            }
        }
    }

    fn check(self, max_bytes: usize) -> Result<Upload, ApiError> {
        let missing = |name| ApiError::field(ErrorCode::MissingField, name, format!("`{name}` is required"));
        let name = self.name.ok_or_else(|| missing("name"))?;
        let name = voice_name(&name).map_err(|what| invalid("name", format!("`name` {what}")))?;
        let recording = self.recording.filter(|bytes| !bytes.is_empty());
        let recording = recording.ok_or_else(|| missing("audio_sample"))?;
        if recording.len() > max_bytes {
            return Err(too_large_sample(max_bytes));
        }
        let language = self.language.map(|tag| tag.parse::<Language>()).transpose();
        let language = language.map_err(|error| invalid("language", error.to_string()))?;
        let voice = NewVoice {
            name,
            languages: language.into_iter().collect(),
            transcript: self.transcript,
            consent: self.consent,
        };
        Ok(Upload { voice, recording, ignored: self.ignored })
    }
}

fn too_large_sample(max_bytes: usize) -> ApiError {
    let message = format!("`audio_sample` has more than {max_bytes} bytes");
    ApiError::field(ErrorCode::BodyTooLarge, "audio_sample", message)
}

fn put<T>(place: &mut Option<T>, name: &'static str, value: Option<T>) -> Result<(), ApiError> {
    if place.is_some() {
        return Err(invalid(name, format!("`{name}` is there twice")));
    }
    *place = value;
    Ok(())
}

/// A blank text equals none, as forms send it.
fn text(name: &'static str, bytes: &[u8]) -> Result<Option<String>, ApiError> {
    if bytes.len() > MAX_TEXT {
        return Err(invalid(name, format!("`{name}` has more than {MAX_TEXT} bytes")));
    }
    let text = str::from_utf8(bytes).map_err(|_| invalid(name, format!("`{name}` is not UTF-8")))?;
    if text.contains('\0') {
        return Err(invalid(name, format!("`{name}` holds a NUL character")));
    }
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(str::to_owned))
}

fn invalid(name: &'static str, message: String) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, name, message)
}

fn malformed(why: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidValue, format!("the body is not complete multipart/form-data: {why}"))
}

/// The answer to a `DELETE`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedVoice<'a> {
    pub id: &'a str,
    pub object: &'static str,
    pub deleted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x";

    fn part(name: &str, content: &str) -> String {
        format!(
            "--x\r\ncontent-disposition: form-data; name=\"{name}\"; filename=\"../../a.wav\"\r\n\r\n{content}\r\n"
        )
    }

    async fn read(parts: &[(&str, &str)]) -> Result<Upload, ApiError> {
        let body: String = parts.iter().map(|(name, content)| part(name, content)).collect();
        parse(TYPE, format!("{body}--x--\r\n").into_bytes(), 10).await
    }

    #[tokio::test]
    async fn a_form_is_read_and_what_it_does_not_know_is_named() {
        let upload = read(&[
            ("audio_sample", "sound"),
            ("name", " Emily "),
            ("consent", "cons_1"),
            ("language", "en-GB"),
            ("transcript", ""),
            ("colour", "red"),
        ]);
        let upload = upload.await.unwrap();
        assert_eq!((&*upload.voice.name, &*upload.recording), ("Emily", &b"sound"[..]));
        assert_eq!(upload.voice.languages, [Language::en_gb()]);
        assert_eq!((upload.voice.consent.as_deref(), upload.voice.transcript), (Some("cons_1"), None));
        assert_eq!(upload.ignored, ["colour"]);
    }

    #[tokio::test]
    async fn each_bad_part_is_named() {
        let sound = ("audio_sample", "sound");
        let rows: [(&[_], _, _); 9] = [
            (&[sound], "name", ErrorCode::MissingField),
            (&[sound, ("name", " ")], "name", ErrorCode::MissingField),
            (&[("name", "E")], "audio_sample", ErrorCode::MissingField),
            (&[("name", "E"), ("audio_sample", "")], "audio_sample", ErrorCode::MissingField),
            (&[("name", "E"), ("audio_sample", "longer than 10")], "audio_sample", ErrorCode::BodyTooLarge),
            (&[sound, ("name", "../E")], "name", ErrorCode::InvalidValue),
            (&[sound, ("name", "E\0")], "name", ErrorCode::InvalidValue),
            (&[sound, ("name", "E"), ("name", "F")], "name", ErrorCode::InvalidValue),
            (&[sound, ("name", "E"), ("language", "klingon!")], "language", ErrorCode::InvalidValue),
        ];
        for (parts, param, code) in rows {
            let error = read(parts).await.unwrap_err();
            assert_eq!((error.param.as_deref(), error.code), (Some(param), code), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_is_cut_or_of_another_kind_is_refused() {
        let whole = format!("{}{}--x--\r\n", part("name", "E"), part("audio_sample", "sound"));
        for length in 0..whole.len() - "--\r\n".len() {
            let cut = whole.as_bytes()[..length].to_vec();
            assert!(parse(TYPE, cut, 10).await.is_err(), "{length} bytes");
        }
        for (kind, code) in [
            ("application/json", ErrorCode::UnsupportedMediaType),
            ("", ErrorCode::UnsupportedMediaType),
            ("multipart/form-data", ErrorCode::InvalidValue),
        ] {
            let error = parse(kind, whole.clone().into_bytes(), 10).await.unwrap_err();
            assert_eq!(error.code, code, "{kind}");
        }
    }
}
