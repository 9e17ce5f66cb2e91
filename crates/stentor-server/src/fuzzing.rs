//! What reads bytes from the network, for the targets in `fuzz/`; only in builds for fuzzing.

use crate::{Limits, api, wyoming};
use stentor_types::ParamSpec;

/// A body of `POST /v1/audio/speech`, up to the point where a model is looked up. Returns whether it is a request.
pub fn speech_body(body: &[u8], specs: &[ParamSpec]) -> bool {
    let Ok(unresolved) = api::speech::parse(body, &Limits::default()) else { return false };
    unresolved.params(specs).is_ok_and(|params| {
        let ignored = unresolved.ignored(&params);
        ignored.iter().all(|name| !params.contains_key(name))
    })
}

/// A form of `POST /v1/audio/voices`. Returns whether it is an upload.
pub async fn upload_form(content_type: &str, body: Vec<u8>) -> bool {
    api::upload::parse(content_type, body, 1 << 20).await.is_ok()
}

/// What a Wyoming client sends, event by event. Returns how many there were.
pub async fn wyoming_events(mut bytes: &[u8]) -> usize {
    let mut events = 0;
    while let Ok(Some(_)) = wyoming::frame::read(&mut bytes, &Limits::default()).await {
        events += 1;
    }
    events
}
