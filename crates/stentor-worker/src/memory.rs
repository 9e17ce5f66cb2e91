//! What a loaded model holds: measured, for the server decides by it what else fits beside it.

use stentor_engine::{Engine, LoadError};
use stentor_types::DeviceSpec;

/// Loads an engine and says how many bytes it holds on its device; zero if that can't be told.
pub(crate) fn measured(
    load: impl FnOnce() -> Result<Box<dyn Engine>, LoadError>,
) -> Result<(Box<dyn Engine>, u64), LoadError> {
    let before = resident();
    let engine = load()?;
    let memory = match engine.descriptor().device {
        // The engine has measured it: other processes on the card don't show from here.
        DeviceSpec::Cuda(_) => engine.descriptor().memory.weights,
        DeviceSpec::Cpu | DeviceSpec::Auto => resident().saturating_sub(before),
    };
    Ok((engine, memory))
}

/// Bytes of this process in memory, mapped files included; zero where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_engine::{
        ChunkRequest, DeviceLost, EngineDescriptor, EngineError, MemoryUse, StepSink, VoiceSlot, Waiter,
    };
    use stentor_types::{ChunkBudget, ChunkId, Precision, SampleRate, VoiceSource};

    /// Holds bytes and never speaks.
    struct Ballast {
        descriptor: EngineDescriptor,
        _bytes: Vec<u8>,
    }

    impl Engine for Ballast {
        fn descriptor(&self) -> &EngineDescriptor {
            &self.descriptor
        }
        fn load_voice(&mut self, _: &VoiceSource, _: &Waiter) -> Result<VoiceSlot, EngineError> {
            Ok(VoiceSlot(0))
        }
        fn drop_voice(&mut self, _: VoiceSlot) {}
        fn admit(&mut self, _: ChunkRequest) -> Result<(), EngineError> {
            Ok(())
        }
        fn step(&mut self, _: &mut dyn StepSink) -> Result<(), DeviceLost> {
            Ok(())
        }
        fn cancel(&mut self, _: ChunkId) {}
    }

    fn ballast(device: DeviceSpec, mib: usize) -> Box<dyn Engine> {
        let descriptor = EngineDescriptor {
            name: "ballast".to_owned(),
            sample_rate: SampleRate::HZ_24000,
            languages: Vec::new(),
            voice_kinds: Vec::new(),
            presets: Vec::new(),
            chunk_budget: ChunkBudget { first: 1, max: 1 },
            max_slots: 1,
            streams: false,
            native_speed: true,
            params: Vec::new(),
            memory: MemoryUse { weights: 77, speaking: 0 },
            device,
            precision: Precision::F32,
            degraded: None,
            tags: Vec::new(),
            watermark: None,
        };
        // Pages that nobody has written to are not there.
        Box::new(Ballast { descriptor, _bytes: vec![1; mib << 20] })
    }

    #[test]
    fn growth_is_measured_on_the_cpu_and_taken_from_the_engine_on_a_card() {
        let (engine, memory) = measured(|| Ok(ballast(DeviceSpec::Cpu, 64))).unwrap();
        assert!((60 << 20..80 << 20).contains(&memory), "{memory} bytes for 64 MiB");
        drop(engine);
        let (_engine, memory) = measured(|| Ok(ballast(DeviceSpec::Cuda(1), 1))).unwrap();
        assert_eq!(memory, 77);
    }
}
