//! The fake engine fulfils the contract that it stands in for, with one slot and with several, and so do an
//! engine of whole chunks that is lifted by `Stepped` and one that stands behind the wrapper of faults.

use stentor_engine::{
    ChunkOutput, ChunkRequest, DeviceLost, Engine, EngineDescriptor, EngineError, PhonemeTrace, Stepped,
    VoiceSlot, WholeChunk, conformance,
};
use stentor_testkit::{FakeEngine, FakeOptions, Faulty};
use stentor_types::{Language, SpokenText, VoiceSource};

mod one_slot {
    use super::*;
    conformance!(|| Box::new(FakeEngine::default()));
}

mod three_slots {
    use super::*;
    conformance!(
        || Box::new(FakeEngine::new(FakeOptions { slots: 3, step_ms: 1, ..FakeOptions::default() })),
        VoiceSource::Preset { name: "two".to_owned() }
    );
}

mod behind_faults {
    use super::*;
    conformance!(|| Box::new(Faulty::new(Box::new(FakeEngine::default()))));
}

mod whole_chunks {
    use super::*;
    conformance!(|| Box::new(Stepped::new(Whole::new())));
}

mod whole_chunks_together {
    use super::*;
    conformance!(|| Box::new(Stepped::new(Whole { together: usize::MAX, ..Whole::new() })));
}

/// Speaks one sample per character and checkpoint, in a pitch that follows from the seed.
struct Whole {
    descriptor: EngineDescriptor,
    /// Chunks that it speaks in one step.
    together: usize,
}

impl Whole {
    fn new() -> Self {
        let fake = FakeEngine::new(FakeOptions { slots: 2, ..FakeOptions::default() });
        Self { descriptor: fake.descriptor().clone(), together: 1 }
    }
}

impl WholeChunk for Whole {
    fn descriptor(&self) -> &EngineDescriptor {
        &self.descriptor
    }

    fn load_voice(&mut self, source: &VoiceSource) -> Result<VoiceSlot, EngineError> {
        match source {
            VoiceSource::Preset { name } if self.descriptor.presets.contains(name) => Ok(VoiceSlot(0)),
            _ => Err(EngineError::Rejected("no such voice".to_owned())),
        }
    }

    fn drop_voice(&mut self, _slot: VoiceSlot) {}

    fn synthesize(&mut self, request: &ChunkRequest) -> Result<Result<ChunkOutput, EngineError>, DeviceLost> {
        let mut output = ChunkOutput::default();
        for byte in request.text.text.bytes() {
            if let Err(cancelled) = request.checkpoint() {
                return Ok(Err(cancelled));
            }
            output.samples.push(f32::from(byte) / 512.0 + request.seed as f32 / 1024.0);
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
        Ok(Ok(output))
    }

    fn together(&self, _waiting: &[ChunkRequest]) -> usize {
        self.together
    }

    fn phonemize(&self, _: &SpokenText, _: &Language) -> Result<PhonemeTrace, EngineError> {
        Err(EngineError::Rejected("no phonemes".to_owned()))
    }
}
