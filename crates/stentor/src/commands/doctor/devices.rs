//! GPUs, their driver, and memory, against what this program was built for.

use super::{patient::Patient, places::size, report::Check};
use crate::nvml::{Card, Driver};
use stentor_supervisor::MemoryReader as _;
use stentor_types::DeviceSpec;
use stentor_worker::{Instructions, instructions};

/// Built with CUDA at all.
const WITH_CUDA: bool = cfg!(feature = "cuda");
/// There are kernels for this compute capability as PTX, which drivers compile for any later one.
const CAPABILITY: (i32, i32) = (7, 5);
/// The CUDA that the kernels were compiled with; an older driver doesn't read them.
const CUDA: (i32, i32) = (13, 0);
/// Less free memory on the host than this leaves no room for any model.
const HOST_NEEDS: u64 = 512 << 20;

pub(super) fn checks(patient: &Patient) -> Vec<Check> {
    let mut checks = vec![build(patient.device())];
    checks.extend(gpus(patient.device(), &patient.memory.driver()));
    checks.push(processor(instructions()));
    checks.push(host(patient));
    checks
}

fn processor(instructions: Instructions) -> Check {
    let name = "processor";
    match instructions {
        Instructions::Avx512 => Check::ok(name, "computes with AVX-512"),
        Instructions::Avx2 => Check::ok(name, "computes with AVX2"),
        Instructions::Portable if cfg!(target_arch = "x86_64") => {
            Check::warn(name, "lacks AVX2, FMA or F16C: on the CPU models take several times as long")
                .remedy("in a virtual machine, pass the host's processor through (`-cpu host`)")
        }
        Instructions::Portable => Check::ok(name, "computes with what the program was compiled for"),
    }
}

fn build(device: DeviceSpec) -> Check {
    match (WITH_CUDA, device) {
        (true, _) => Check::ok(
            "cuda build",
            format!(
                "yes: CUDA {}.{}, compute capability {}.{} and later",
                CUDA.0, CUDA.1, CAPABILITY.0, CAPABILITY.1
            ),
        ),
        (false, DeviceSpec::Cuda(_)) => {
            Check::warn("cuda build", format!("no, though the device is {device}: models run on the CPU"))
                .remedy("use a program that was built with CUDA, or set the device `cpu`")
        }
        (false, _) => Check::ok("cuda build", "no: models run on the CPU"),
    }
}

/// Whether a GPU that is not fit is anybody's loss.
fn is_wanted(device: DeviceSpec, index: usize) -> bool {
    WITH_CUDA && (device == DeviceSpec::Auto || device == DeviceSpec::Cuda(index))
}

fn gpus(device: DeviceSpec, driver: &Result<Driver, String>) -> Vec<Check> {
    let driver = match driver {
        Ok(driver) => driver,
        Err(error) => return vec![no_driver(device, error)],
    };
    let mut checks = vec![driver_check(device, driver)];
    let cards = driver.cards.iter().enumerate();
    checks.extend(cards.map(|(index, card)| card_check(index, card, is_wanted(device, index))));
    if let DeviceSpec::Cuda(index) = device
        && WITH_CUDA
        && index >= driver.cards.len()
    {
        let found = driver.cards.len();
        let detail = format!("is configured, but CUDA sees {found} GPUs: models run on the CPU");
        let remedy = "correct the device or CUDA_VISIBLE_DEVICES";
        checks.push(Check::warn(format!("gpu cuda:{index}"), detail).remedy(remedy));
    }
    checks
}

fn no_driver(device: DeviceSpec, error: &str) -> Check {
    let detail = format!("none found ({error})");
    if WITH_CUDA && matches!(device, DeviceSpec::Cuda(_)) {
        return Check::warn("gpu driver", format!("{detail}, so models run on the CPU"))
            .remedy("install the driver, or in a container pass the GPU through; else set the device `cpu`");
    }
    Check::ok("gpu driver", detail)
}

fn driver_check(device: DeviceSpec, driver: &Driver) -> Check {
    let Driver { version, cuda: (major, minor), cards } = driver;
    let detail = format!("{version}, CUDA up to {major}.{minor}, {} GPUs to be seen", cards.len());
    if WITH_CUDA && device != DeviceSpec::Cpu && driver.cuda < CUDA {
        return Check::fail("gpu driver", format!("{detail}; the program needs {}.{}", CUDA.0, CUDA.1))
            .remedy("update the driver (580 or later), or set the device `cpu`");
    }
    Check::ok("gpu driver", detail)
}

fn card_check(index: usize, card: &Result<Card, String>, wanted: bool) -> Check {
    let name = format!("gpu cuda:{index}");
    let Card { name: model, capability, memory } = match card {
        Ok(card) => card,
        Err(error) => return Check::warn(name, format!("can't be read: {error}")),
    };
    let detail = format!(
        "{model}, compute capability {}.{}, {} of {} free",
        capability.0,
        capability.1,
        size(memory.free),
        size(memory.total)
    );
    if *capability >= CAPABILITY {
        return Check::ok(name, detail);
    }
    let detail = format!("{detail}; {}.{} or later is needed", CAPABILITY.0, CAPABILITY.1);
    let check = if wanted { Check::fail(name, detail) } else { Check::warn(name, detail) };
    check.remedy("use another GPU, or set the device `cpu`")
}

fn host(patient: &Patient) -> Check {
    match patient.memory.read(DeviceSpec::Cpu) {
        Ok(memory) => {
            let detail = format!("{} of {} free", size(memory.free), size(memory.total));
            if memory.free < HOST_NEEDS {
                Check::warn("host memory", detail)
                    .remedy("a model may not fit: free some, or raise the limit")
            } else {
                Check::ok("host memory", detail)
            }
        }
        Err(error) => Check::warn("host memory", error),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Status, *};
    use stentor_supervisor::MemoryReading;

    fn card(capability: (i32, i32)) -> Card {
        let memory = MemoryReading { total: 16 << 30, free: 4 << 30 };
        Card { name: "Tesla".to_owned(), capability, memory }
    }

    #[test]
    fn a_processor_without_wide_vectors_is_named() {
        assert_eq!(processor(Instructions::Avx512).status, Status::Ok);
        assert_eq!(processor(Instructions::Avx2).status, Status::Ok);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(processor(Instructions::Portable).status, Status::Warn);
    }

    #[test]
    fn a_card_is_held_against_what_the_kernels_were_built_for() {
        for (capability, wanted, expected) in [
            ((7, 5), true, Status::Ok),
            ((9, 0), true, Status::Ok),
            ((12, 0), true, Status::Ok),
            ((7, 0), true, Status::Fail),
            ((6, 1), false, Status::Warn),
        ] {
            let check = card_check(1, &Ok(card(capability)), wanted);
            assert_eq!(check.status, expected, "{check:?}");
            assert!(check.name == "gpu cuda:1" && check.detail.contains("4.0 GiB of 16.0 GiB"), "{check:?}");
        }
        assert_eq!(card_check(0, &Err("lost".to_owned()), true).status, Status::Warn);
    }

    #[test]
    fn each_card_gets_a_line_and_no_driver_is_well_where_none_is_wanted() {
        let driver = Driver { version: "580.1".to_owned(), cuda: (13, 0), cards: vec![Ok(card((9, 0))); 2] };
        let checks = gpus(DeviceSpec::Cpu, &Ok(driver));
        assert_eq!(checks.len(), 3);
        assert!(checks.iter().all(|check| check.status == Status::Ok), "{checks:?}");
        let checks = gpus(DeviceSpec::Cpu, &Err("no libnvidia-ml.so.1".to_owned()));
        assert_eq!(checks[0].status, Status::Ok);
        assert!(checks[0].detail.contains("no libnvidia-ml.so.1"));
    }

    #[test]
    fn an_old_driver_is_a_failure_only_for_a_program_that_would_use_it() {
        let driver = Driver { version: "535.1".to_owned(), cuda: (12, 2), cards: Vec::new() };
        let expected = if WITH_CUDA { Status::Fail } else { Status::Ok };
        assert_eq!(driver_check(DeviceSpec::Cuda(0), &driver).status, expected);
        assert_eq!(driver_check(DeviceSpec::Cpu, &driver).status, Status::Ok);
    }
}
