//! Frames between server and worker, from both ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stentor_fuzz::wait;
use stentor_protocol::{FrameReader, FromWorker, ToWorker};

fuzz_target!(|data: &[u8]| {
    wait(async {
        let mut frames = FrameReader::new(data);
        while let Ok(Some(frame)) = frames.next().await {
            let _ = (frame.parse::<ToWorker>(), frame.parse::<FromWorker>());
        }
    });
});
