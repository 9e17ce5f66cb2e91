//! Memory that the system can read from a file again.

/// Takes the whole pages of `bytes` out of this process's memory if they are the program's own: whoever reads them next
/// gets them from its file. What was read once, as weights inside the program are, does not stay resident.
/// Elsewhere than on Linux, and for bytes that no file backs, it does nothing.
pub(crate) fn give_back(bytes: &'static [u8]) {
    #[cfg(target_os = "linux")]
    {
        let page = page_size();
        let range = bytes.as_ptr_range();
        let (start, end) = ((range.start as usize).next_multiple_of(page), range.end as usize / page * page);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        if start < end && maps.lines().any(|line| backs(line, start, end)) {
            #[expect(unsafe_code, reason = "the range is a system call's argument")]
            // SAFETY: the pages are mapped from a file and read-only, so what comes back is what was there; all of their bytes
            // belong to a slice that nobody may write.
            unsafe {
                libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
}

/// Whether a line of `/proc/self/maps`, which is `start-end permissions offset device inode path`, is a read-only map of
/// a file with all of `start..end` in it.
#[cfg(target_os = "linux")]
fn backs(line: &str, start: usize, end: usize) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let range = fields.next().and_then(|range| range.split_once('-'));
    let address = |text| usize::from_str_radix(text, 16).ok();
    let within = range.is_some_and(|(first, last)| {
        address(first).is_some_and(|first| first <= start) && address(last).is_some_and(|last| end <= last)
    });
    within
        && matches!(fields.next(), Some("r--p" | "r-xp"))
        && fields.nth(3).is_some_and(|path| path.starts_with('/'))
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

    static IN_THE_PROGRAM: &[u8] = include_bytes!("../../../models/builtin/model.safetensors");

    fn sum(bytes: &[u8]) -> u64 {
        bytes.iter().map(|&byte| u64::from(byte)).sum()
    }

    /// Pages of files in this process's memory, in bytes.
    fn resident_of_files() -> usize {
        let counts = std::fs::read_to_string("/proc/self/statm").unwrap();
        counts.split(' ').nth(2).unwrap().parse::<usize>().unwrap() * page_size()
    }

    #[test]
    fn what_the_program_holds_leaves_memory_and_reads_the_same_again() {
        let before = sum(IN_THE_PROGRAM);
        let read = resident_of_files();
        give_back(IN_THE_PROGRAM);
        let given_back = resident_of_files();
        // Other tests read files meanwhile.
        assert!(read.saturating_sub(given_back) > IN_THE_PROGRAM.len() / 2, "{read} to {given_back} bytes");
        assert_eq!(sum(IN_THE_PROGRAM), before);
    }

    #[test]
    fn what_no_file_backs_stays_as_it_is() {
        let leaked: &'static [u8] = vec![7; 1 << 20].leak();
        give_back(leaked);
        assert_eq!(sum(leaked), 7 << 20);
    }
}
