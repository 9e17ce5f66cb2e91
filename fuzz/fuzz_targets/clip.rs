//! Recordings of voices, in every container and codec.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{io::Write as _, panic, process, thread};
use stentor_audio::{Clip, DECODER_THREAD};

/// Seconds.
const LIMIT: f64 = 2.0;

fuzz_target!(
    init: {
        // A decoder that panics on its own thread is answered as a damaged recording; any other panic is a find.
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(DECODER_THREAD) {
                report(info);
                process::abort();
            }
        }));
    },
    |data: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(data).expect("room for it");
        let Ok(clip) = Clip::open(file.path(), LIMIT) else { return };
        assert!(clip.rate > 0 && clip.channels > 0, "{} Hz, {} channels", clip.rate, clip.channels);
        assert!(clip.seconds() <= LIMIT + 0.01, "{} s were decoded", clip.seconds());
        assert!(clip.samples.iter().all(|x| x.is_finite()), "a sample is not finite");
    }
);
