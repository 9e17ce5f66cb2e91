//! Memory of devices: of GPUs through NVIDIA's management library, of the CPU through the host's.
//!
//! The library comes with the driver. It is loaded when it is first asked for; where there is none, that is an
//! error text and nothing else.

use crate::host_memory::HostMemory;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor, error::NvmlError};
use std::sync::OnceLock;
use stentor_supervisor::{MemoryReader, MemoryReading};
use stentor_types::DeviceSpec;

/// Reads GPUs and host. CUDA's `cuda:N` is the N-th GPU that `CUDA_VISIBLE_DEVICES` leaves visible, in the order of
/// the PCI bus: on a machine with GPUs of several kinds that holds with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.
pub(crate) struct DeviceMemory {
    library: OnceLock<Result<Nvml, String>>,
    visible: Visible,
    host: HostMemory,
}

/// What the driver says of itself and its GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Driver {
    /// For example `580.65.06`.
    pub(crate) version: String,
    /// The newest CUDA that it runs: major, minor.
    pub(crate) cuda: (i32, i32),
    /// By CUDA index; those that CUDA doesn't see are not in it.
    pub(crate) cards: Vec<Result<Card, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) name: String,
    /// Compute capability: major, minor.
    pub(crate) capability: (i32, i32),
    pub(crate) memory: MemoryReading,
}

impl DeviceMemory {
    /// `visible`: the value of `CUDA_VISIBLE_DEVICES`.
    pub(crate) fn new(visible: Option<&str>) -> Self {
        let visible = Visible::parse(visible);
        Self { library: OnceLock::new(), visible, host: HostMemory::default() }
    }

    pub(crate) fn driver(&self) -> Result<Driver, String> {
        let nvml = self.library()?;
        let cuda = said(nvml.sys_cuda_driver_version())?;
        let present = said(nvml.device_count())?;
        let cards = (0..self.visible.count(present)).map(|index| self.card(index)).collect();
        Ok(Driver {
            version: said(nvml.sys_driver_version())?,
            cuda: (cuda_driver_version_major(cuda), cuda_driver_version_minor(cuda)),
            cards,
        })
    }

    fn library(&self) -> Result<&Nvml, String> {
        self.library.get_or_init(|| said(Nvml::init())).as_ref().map_err(Clone::clone)
    }

    fn card(&self, index: usize) -> Result<Card, String> {
        let device = self.device(index)?;
        let capability = said(device.cuda_compute_capability())?;
        Ok(Card {
            name: said(device.name())?,
            capability: (capability.major, capability.minor),
            memory: memory(&device)?,
        })
    }

    fn device(&self, index: usize) -> Result<Device<'_>, String> {
        let nvml = self.library()?;
        match self.visible.nth(index)? {
            Name::Index(index) => said(nvml.device_by_index(index)),
            Name::Uuid(uuid) => {
                said(nvml.device_by_uuid(uuid.as_str())).or_else(|error| by_prefix(nvml, &uuid).ok_or(error))
            }
        }
    }
}

impl MemoryReader for DeviceMemory {
    fn read(&self, device: DeviceSpec) -> Result<MemoryReading, String> {
        match device {
            DeviceSpec::Cpu => self.host.read(),
            DeviceSpec::Cuda(index) => memory(&self.device(index)?),
            DeviceSpec::Auto => Err("the device is not settled yet".to_owned()),
        }
    }
}

fn memory(device: &Device) -> Result<MemoryReading, String> {
    let info = said(device.memory_info())?;
    Ok(MemoryReading { total: info.total, free: info.free })
}

/// CUDA takes the beginning of a UUID for the whole.
fn by_prefix<'a>(nvml: &'a Nvml, prefix: &str) -> Option<Device<'a>> {
    let mut devices = (0..nvml.device_count().ok()?).filter_map(|index| nvml.device_by_index(index).ok());
    devices.find(|device| device.uuid().is_ok_and(|uuid| uuid.starts_with(prefix)))
}

/// An error as text, which can be kept.
fn said<T>(result: Result<T, NvmlError>) -> Result<T, String> {
    result.map_err(|error| format!("NVML: {error}"))
}

/// Which GPUs CUDA sees, as `CUDA_VISIBLE_DEVICES` says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Visible {
    All,
    These(Vec<Name>),
}

/// How NVML is asked for a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Index(u32),
    Uuid(String),
}

impl Visible {
    /// As CUDA reads it: the first entry that is no device hides itself and all that follow.
    fn parse(value: Option<&str>) -> Self {
        let Some(value) = value else { return Self::All };
        let name = |entry: &str| match entry.trim() {
            uuid if uuid.starts_with("GPU-") || uuid.starts_with("MIG-") => Some(Name::Uuid(uuid.to_owned())),
            index => index.parse().ok().map(Name::Index),
        };
        Self::These(value.split(',').map_while(name).collect())
    }

    fn count(&self, present: u32) -> usize {
        match self {
            Self::All => present as usize,
            Self::These(names) => names.len(),
        }
    }

    fn nth(&self, index: usize) -> Result<Name, String> {
        match self {
            Self::All => u32::try_from(index).map(Name::Index).map_err(|_| "no such GPU".to_owned()),
            Self::These(names) => names
                .get(index)
                .cloned()
                .ok_or_else(|| format!("CUDA_VISIBLE_DEVICES leaves no cuda:{index}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visible_devices_are_counted_as_cuda_counts_them() {
        let nth = |value: Option<&str>, index| {
            Visible::parse(value).nth(index).map_err(drop).map(|name| format!("{name:?}"))
        };
        let index = |n: u32| Ok(format!("{:?}", Name::Index(n)));
        assert_eq!(nth(None, 3), index(3));
        assert_eq!(nth(Some("2,0"), 0), index(2));
        assert_eq!(nth(Some(" 2 , 0 "), 1), index(0));
        assert_eq!(nth(Some("2,0"), 2), Err(()));
        assert_eq!(nth(Some("1,-1,0"), 1), Err(()), "what follows a wrong entry is hidden");
        assert_eq!(nth(Some("GPU-8932f937"), 0), Ok(format!("{:?}", Name::Uuid("GPU-8932f937".to_owned()))));
        for none in ["", "-1", "NoDevFiles"] {
            assert_eq!(nth(Some(none), 0), Err(()), "{none:?}");
            assert_eq!(Visible::parse(Some(none)).count(8), 0);
        }
        assert_eq!((Visible::All.count(8), Visible::parse(Some("4,5")).count(8)), (8, 2));
    }

    #[test]
    fn the_cpu_is_read_and_what_is_not_there_is_an_error_text() {
        let memory = DeviceMemory::new(Some(""));
        assert!(memory.read(DeviceSpec::Cpu).is_ok_and(|reading| reading.free > 0));
        for device in [DeviceSpec::Cuda(0), DeviceSpec::Auto] {
            // Also where there is a driver: nothing is visible.
            let error = memory.read(device).expect_err("nothing to read");
            assert!(!error.is_empty());
        }
    }
}
