//! Settings of the C library's allocator.

/// Tells glibc to keep big blocks instead of returning each one to the system. Activations of several megabytes come and go
/// with every layer; without this each is mapped, page-faulted, zeroed and unmapped again, which costs more than many
/// of the layers themselves. The price: memory once used stays with the process. Call it first thing in a worker.
/// Elsewhere than on glibc it does nothing.
pub fn keep_big_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const KEEP: libc::c_int = libc::c_int::MAX;
        const TOP_PAD: libc::c_int = 64 << 20;
        #[expect(
            unsafe_code,
            reason = "mallopt only stores three integers and is safe to call from any thread"
        )]
        // SAFETY: mallopt has no preconditions; unknown parameters are refused by return value.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEEP);
            libc::mallopt(libc::M_TOP_PAD, TOP_PAD);
        }
    }
}
