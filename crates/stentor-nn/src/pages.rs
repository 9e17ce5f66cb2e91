//! Memory that the system can read from the program's file again.

/// Takes the whole pages of `bytes` out of this process's memory if they are constants of the program: whoever reads them next gets
/// them from its file. What was read once, as weights inside the program are, does not stay resident.
/// Elsewhere than on Linux, and for bytes from anywhere else, it does nothing.
pub(crate) fn give_back(bytes: &'static [u8]) {
    #[cfg(target_os = "linux")]
    {
        let page = page_size();
        let range = bytes.as_ptr_range();
        let (start, end) = ((range.start as usize).next_multiple_of(page), range.end as usize / page * page);
        if start < end && is_constant(start, end) {
            #[expect(unsafe_code, reason = "the range is a system call's argument")]
            // SAFETY: the pages hold nothing but bytes of a constant, which come from the program's file as they are: no addresses
            // are in them that the loader would have written, and nobody else may write them. So what comes back is what was there,
            // also for another thread that reads them meanwhile.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
}

/// Whether all of `start..end` lies in one read-only map of the program's own file.
#[cfg(target_os = "linux")]
fn is_constant(start: usize, end: usize) -> bool {
    let (Ok(program), Ok(maps)) =
        (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
    else {
        return false;
    };
    // A line is `start-end permissions offset device inode path`.
    maps.lines().any(|line| {
        let mut fields = line.splitn(6, ' ');
        let range = fields.next().and_then(|range| range.split_once('-'));
        let address = |text| usize::from_str_radix(text, 16).ok();
        let within = range.is_some_and(|(first, last)| {
            address(first).is_some_and(|first| first <= start)
                && address(last).is_some_and(|last| end <= last)
        });
        let read_only = matches!(fields.next(), Some("r--p" | "r-xp"));
        let path = fields.nth(3).map(str::trim_start);
        within && read_only && path.is_some() && path == program.to_str()
    })
}

#[cfg(target_os = "linux")]
fn page_size() -> usize {
    #[expect(unsafe_code, reason = "sysconf only reads a setting")]
    // SAFETY: sysconf has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::Weights;
    use candle_core::Device;

    static IN_THE_PROGRAM: &[u8] = include_bytes!("../../../models/builtin/model.safetensors");

    fn sum(bytes: &[u8]) -> u64 {
        bytes.iter().map(|&byte| u64::from(byte)).sum()
    }

    /// Pages in memory of the map that `bytes` lie in, in bytes.
    fn resident(bytes: &[u8]) -> Option<usize> {
        let maps = std::fs::read_to_string("/proc/self/smaps").ok()?;
        let hex = |text: &str| usize::from_str_radix(text, 16).unwrap_or(0);
        let mut of_it = maps.lines().skip_while(|line| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            !range.is_some_and(|(first, last)| (hex(first)..hex(last)).contains(&(bytes.as_ptr() as usize)))
        });
        let line = of_it.find_map(|line| line.strip_prefix("Rss:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? * 1024)
    }

    #[test]
    fn weights_inside_the_program_leave_memory_and_can_be_read_again() {
        let before = sum(IN_THE_PROGRAM);
        for _ in 0..2 {
            let weights = Weights::embedded("a test", IN_THE_PROGRAM, &Device::Cpu).unwrap();
            assert_eq!(sum(IN_THE_PROGRAM), before);
            let read = resident(IN_THE_PROGRAM).unwrap();
            drop(weights);
            let given_back = read.saturating_sub(resident(IN_THE_PROGRAM).unwrap());
            // Other tests read other constants meanwhile.
            assert!(given_back > IN_THE_PROGRAM.len() * 9 / 10, "{given_back} of {read} bytes");
        }
        assert_eq!(sum(IN_THE_PROGRAM), before);
    }

    #[test]
    fn what_is_not_of_the_program_stays_as_it_is() {
        let leaked: &'static [u8] = vec![7; 1 << 20].leak();
        give_back(leaked);
        assert_eq!(sum(leaked), 7 << 20);
    }
}
