//! A file as symphonia reads it, with an end to how much is read.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use symphonia::core::io::MediaSource;

/// Bytes read of one recording at most. Thirty seconds of the widest format, 192 kHz in eight channels of 32 bits, take
/// 184 MB; what lies before the sound is skipped by seeking where the format allows.
pub(super) const MAX_READ: u64 = 256 << 20;

pub(super) struct Bounded {
    file: File,
    len: u64,
    left: u64,
    jumps: bool,
    exhausted: Arc<AtomicBool>,
}

impl Bounded {
    /// `jumps` lets the demuxer go where the file says; without, it reads from front to back. The flag tells afterwards that
    /// reading was stopped by the bound.
    pub(super) fn new(file: File, len: u64, jumps: bool) -> (Self, Arc<AtomicBool>) {
        let exhausted = Arc::new(AtomicBool::new(false));
        (Self { file, len, left: MAX_READ, jumps, exhausted: exhausted.clone() }, exhausted)
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.exhausted.store(true, Ordering::Relaxed);
            return Err(io::Error::other("read too far"));
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl MediaSource for Bounded {
    fn is_seekable(&self) -> bool {
        self.jumps
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
