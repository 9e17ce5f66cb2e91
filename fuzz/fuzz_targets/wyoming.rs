//! Events of a Wyoming client.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stentor_fuzz::wait;

fuzz_target!(|data: &[u8]| {
    wait(stentor_server::fuzzing::wyoming_events(data));
});
