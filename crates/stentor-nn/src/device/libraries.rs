//! Whether the shared libraries are there that the driver and candle's CUDA side need.
//!
//! The program does not link them: each is looked for when it is first needed. A library that is found here stays loaded, and a
//! later search for its name ends at once, wherever it was found.

use std::{ffi::CString, path::PathBuf};

const DRIVER: &str = "libcuda.so.1";
/// In the order in which they need each other.
const MATHEMATICS: [&str; 3] = ["libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10"];
/// Where toolkits put their libraries without telling the system's loader.
const TOOLKIT: &str = "/usr/local/cuda/lib64";

/// The driver's own library, or why there is none.
pub(super) fn driver() -> Result<(), String> {
    if load(DRIVER) { Ok(()) } else { Err(format!("no NVIDIA driver ({DRIVER} not found)")) }
}

/// Matrix products and random numbers, which come with a toolkit or beside the program, not with the driver.
pub(super) fn mathematics() -> Result<(), String> {
    match MATHEMATICS.into_iter().find(|name| !load(name)) {
        None => Ok(()),
        Some(name) => Err(format!("{name} not found (it comes with the CUDA 13 toolkit or runtime)")),
    }
}

/// Looks for a library where the system does, in the toolkit's usual place and in `lib` beside the program.
fn load(name: &str) -> bool {
    let beside =
        std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("lib").join(name)));
    let places = [Some(PathBuf::from(name)), Some(PathBuf::from(TOOLKIT).join(name)), beside];
    places.into_iter().flatten().any(|place| open(&place))
}

fn open(place: &std::path::Path) -> bool {
    let Ok(place) = CString::new(place.as_os_str().as_encoded_bytes()) else { return false };
    #[expect(unsafe_code, reason = "only the system's loader can say whether a library can be loaded")]
    // SAFETY: the name is a C string that outlives the call. Loading runs the library's initialisers; the libraries are NVIDIA's,
    // which are made to be loaded at any time and from any thread. The handle is never closed, so nothing of them goes away.
    let handle = unsafe { libc::dlopen(place.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    !handle.is_null()
}
