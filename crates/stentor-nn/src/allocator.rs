//! Settings of the C library's allocator.

/// Free memory at the end of the heap beyond which glibc gives all of it back, in bytes. Above what a chunk of the usual 25 seconds
/// takes with Kokoro-82M, so that a chunk does not give back and take again between its layers.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEEP: libc::c_int = 512 << 20;
/// What the heap grows by at least, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const STEP: libc::c_int = 16 << 20;

/// Tells glibc to keep big blocks instead of returning each one to the system. Activations of several megabytes come and go
/// with every layer; without this each is mapped, page-faulted, zeroed and unmapped again, which costs more than many
/// of the layers themselves. The price: what a chunk took stays with the process, up to 512 MiB at
/// the heap's end and whatever is free below.
/// Elsewhere than on glibc it does nothing.
pub fn keep_big_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        set(libc::M_MMAP_MAX, 0);
        set(libc::M_TRIM_THRESHOLD, KEEP);
        set(libc::M_TOP_PAD, STEP);
    }
}

/// One heap for all threads in place of one for each: what one thread freed serves the next, and nothing is kept
/// many times over. The price: threads that allocate at the same moment wait for each other, which is rare where blocks are big. Call it
/// before the second thread starts; heaps that threads have got already stay.
pub fn one_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set(libc::M_ARENA_MAX, 1);
}

/// For a process that holds blocks of a few megabytes for a while, as the server does with what was spoken: two heaps in place of
/// one for each thread, and blocks of a megabyte and more go back to the system as soon as they are free. The price: the next one
/// is page-faulted anew, 0.2 ms for a chunk of 25 seconds. Call it before the second thread starts.
pub fn give_back_early() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        set(libc::M_ARENA_MAX, 2);
        set(libc::M_MMAP_THRESHOLD, 1 << 20);
        set(libc::M_TRIM_THRESHOLD, 4 << 20);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set(parameter: libc::c_int, value: libc::c_int) {
    #[expect(unsafe_code, reason = "mallopt only stores an integer and is safe to call from any thread")]
    // SAFETY: mallopt has no preconditions; unknown parameters are refused by return value.
    unsafe {
        libc::mallopt(parameter, value);
    }
}
