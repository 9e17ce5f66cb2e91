//! Room that a thread keeps, so that a tile need not have the system clear some for it.

use std::cell::RefCell;

thread_local! {
    static ROOM: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// f32 in a cache line.
pub(crate) const LINE: usize = 16;

/// Calls `work` with `len` numbers of any value, which begin with a cache line. Inside of `work` there is other room.
pub(crate) fn with_scratch<T>(len: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut room = ROOM.take();
    if room.len() < len + LINE {
        room.resize(len + LINE, 0.0);
    }
    let start = room.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = work(&mut room[start..start + len]);
    ROOM.set(room);
    result
}
