//! Forms with a voice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stentor_fuzz::wait;

fuzz_target!(|data: &[u8]| {
    wait(stentor_server::fuzzing::upload_form("multipart/form-data; boundary=x", data.to_vec()));
});
