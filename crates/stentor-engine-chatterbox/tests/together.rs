//! Several chunks through the flow and the vocoder at once are to the bit what each is alone, with our kernels.

mod golden_checks {
    pub(crate) mod render;
}

use candle_core::Device;
use golden_checks::render::{check_together, load};
use stentor_testkit::chatterbox::Part;
use stentor_types::Precision;

#[test]
fn windows_of_several_chunks_are_to_the_bit_what_each_is_alone() {
    for part in [Part::S3Gen, Part::S3GenMeanflow] {
        check_together(&load(part, (&Device::Cpu, Precision::F32)), 1.0);
    }
}
