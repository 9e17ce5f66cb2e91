//! How much memory a device has. The readings come from outside, so that tests can make them up.

use stentor_types::DeviceSpec;

/// One look at a device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryReading {
    pub total: u64,
    /// Free for anybody: what other tenants of the card hold is not in it.
    pub free: u64,
}

/// Reads a device's memory. Called off the async threads; may take milliseconds.
pub trait MemoryReader: Send + Sync {
    /// `Err` says why nothing is known; it is then neither full nor empty, and nothing is changed for it.
    fn read(&self, device: DeviceSpec) -> Result<MemoryReading, String>;
}

/// Knows nothing of any device.
pub struct NoReadings;

impl MemoryReader for NoReadings {
    fn read(&self, device: DeviceSpec) -> Result<MemoryReading, String> {
        Err(format!("nobody reads the memory of {device}"))
    }
}
