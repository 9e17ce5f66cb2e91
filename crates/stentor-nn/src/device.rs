//! Opens the device that a model is to run on, or says why it runs on the CPU.
//!
//! A machine without a card, a driver or one of its libraries is not an error: the CPU always works, only slower.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod libraries;

use candle_core::Device;
use stentor_types::{DeviceSpec, Precision};

/// Bytes of a card's freed memory that a model's worker keeps for its next chunk, at most: as many as it keeps of the heap on the CPU.
pub const KEPT_ON_CARD: u64 = 512 << 20;

/// A device that works, and what became of the request for it.
#[derive(Debug, Clone)]
pub struct Opened {
    pub device: Device,
    /// Where that is; never [`DeviceSpec::Auto`].
    pub spec: DeviceSpec,
    /// What was asked for, if the device knows it.
    pub precision: Precision,
    /// One line that says why it is the CPU though a card was asked for, or is there.
    pub degraded: Option<String>,
}

impl Opened {
    /// The CPU, `why` being the reason if something else was wanted.
    pub fn cpu(precision: Precision, why: Option<String>) -> Self {
        let degraded = why.map(|why| format!("{why}; runs on the CPU"));
        Self { device: Device::Cpu, spec: DeviceSpec::Cpu, precision, degraded }
    }

    /// Free memory of a card, in bytes; `None` on the CPU or where it can't be read.
    pub fn free_memory(&self) -> Option<u64> {
        cuda::free_memory(&self.device)
    }

    /// Has a card's driver keep so many bytes of what is freed for this process at most. By default it gives all of it back whenever
    /// somebody waits for the card, and each chunk's activations are mapped anew. A card without pools of memory stays as it is, as does
    /// the CPU.
    pub fn keep_freed(&self, bytes: u64) {
        cuda::keep_freed(&self.device, bytes);
    }

    /// Brings every kernel onto the card, so that none is compiled while somebody waits for speech. On the CPU it does nothing.
    pub fn preload(&self) -> crate::Result<()> {
        #[cfg(feature = "cuda")]
        cuda::preload(&self.device)?;
        Ok(())
    }
}

/// Opens what `spec` asks for. A card must be of compute capability 7.5 or newer and compute something right first;
/// one that does not is replaced by the CPU, with the reason. `Auto` is the first card that passes.
///
/// To be called on the thread that will load and run the model.
pub fn open_device(spec: DeviceSpec, precision: Precision) -> Opened {
    // A card has no use for bytes: it computes as fast as it reads halves.
    let on_card = |device, index| {
        let precision = if precision == Precision::Int8 { Precision::F16 } else { precision };
        Opened { device, spec: DeviceSpec::Cuda(index), precision, degraded: None }
    };
    let cpu = |why| Opened::cpu(precision, why);
    match spec {
        DeviceSpec::Cpu => cpu(None),
        DeviceSpec::Cuda(index) => match cuda::open(index) {
            Ok(device) => on_card(device, index),
            Err(why) => cpu(Some(format!("asked for {spec}: {why}"))),
        },
        DeviceSpec::Auto => {
            // Without a driver or a card there is nothing to explain.
            let (cards, trouble) = cuda::cards();
            let mut reasons = Vec::from_iter(trouble);
            for index in 0..cards {
                match cuda::open(index) {
                    Ok(device) => return on_card(device, index),
                    Err(why) => reasons.push(format!("{}: {why}", DeviceSpec::Cuda(index))),
                }
            }
            cpu((!reasons.is_empty()).then(|| reasons.join("; ")))
        }
    }
}

/// What stands in for the driver in a program that was built without CUDA.
#[cfg(not(feature = "cuda"))]
mod cuda {
    use candle_core::Device;

    const WITHOUT: &str = "this program was built without CUDA";

    pub(super) fn cards() -> (usize, Option<String>) {
        (0, None)
    }

    pub(super) fn open(_index: usize) -> Result<Device, String> {
        Err(WITHOUT.to_owned())
    }

    pub(super) fn free_memory(_device: &Device) -> Option<u64> {
        None
    }

    pub(super) fn keep_freed(_device: &Device, _bytes: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_what_it_is() {
        let opened = open_device(DeviceSpec::Cpu, Precision::F16);
        assert!(opened.device.is_cpu());
        assert_eq!((opened.spec, opened.precision, opened.degraded), (DeviceSpec::Cpu, Precision::F16, None));
    }

    #[test]
    fn a_card_that_is_not_there_becomes_the_cpu_with_a_reason() {
        // No machine has so many; without CUDA or without a driver that is said instead.
        let opened = open_device(DeviceSpec::Cuda(4096), Precision::F32);
        let why = opened.degraded.unwrap();
        assert_eq!(opened.spec, DeviceSpec::Cpu);
        assert!(why.starts_with("asked for cuda:4096: ") && why.ends_with("; runs on the CPU"), "{why}");
        #[cfg(not(feature = "cuda"))]
        assert!(why.contains("this program was built without CUDA"), "{why}");
    }

    #[test]
    fn auto_settles_on_something() {
        assert_ne!(open_device(DeviceSpec::Auto, Precision::F32).spec, DeviceSpec::Auto);
    }
}
