//! Sizes that MP4, Matroska and CAF files claim, held against the file before a demuxer allocates by them.
//!
//! An allocation that fails ends the process, which no thread contains; the other formats claim 4 GiB at most, which is
//! never touched. Matroska's demuxer looks for something it knows wherever it meets what it does not, and would find what was not looked
//! at here; so such a file must be well-formed, and is read from front to back.

use super::ClipError;
use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

/// Elements of a file, of which some days of sound have no more; what comes behind them would not have been looked at.
const MAX_ELEMENTS: usize = 1 << 22;
/// The last element of a file that was cut off may reach this far behind its end, in bytes.
const MAX_CUT: u64 = 16 << 20;
/// What symphonia takes for the beginning of a file of these kinds, and for how many bytes it looks for that, at least.
const HIDDEN: [&[u8; 4]; 3] = [b"ftyp", b"caff", b"\x1a\x45\xdf\xa3"];
const SEARCHED: u64 = 2 << 20;
/// Boxes of MP4 that hold boxes.
const CONTAINERS: [&[u8; 4]; 9] =
    [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf", b"edts"];
/// Tables of MP4: offset of the count behind the box's head, bytes of an entry.
const TABLES: [(&[u8; 4], u64, u64); 5] =
    [(b"stts", 4, 8), (b"stsz", 8, 4), (b"stco", 4, 4), (b"co64", 4, 8), (b"stsc", 4, 12)];
/// Elements of Matroska that hold sound: `SimpleBlock` and `Block`.
const BLOCKS: [u64; 2] = [0xa3, 0xa1];
/// Elements of Matroska that hold elements and that demuxers enter.
const MASTERS: [u32; 30] = [
    0x1a45_dfa3,
    0x1853_8067,
    0x114d_9b74,
    0x4dbb,
    0x1549_a966,
    0x1654_ae6b,
    0xae,
    0xe0,
    0xe1,
    0x6d80,
    0x6240,
    0x1f43_b675,
    0xa0,
    0x1c53_bb6b,
    0xbb,
    0xb7,
    0x1254_c367,
    0x7373,
    0x67c8,
    0x63c0,
    0x75a1,
    0xa6,
    0x5035,
    0x47e7,
    0x55b0,
    0x55d0,
    0x1043_a770,
    0x45b9,
    0xb6,
    0x80,
];

/// Fails where a claim is absurd; leaves the file at its beginning. Returns whether a demuxer may go where the file says.
pub(super) fn check(file: &File, len: u64) -> Result<bool, ClipError> {
    let mut reader = Reader { file: BufReader::new(file), at: 0, len, elements: 0, jumps: true };
    // A file that ends too early is the demuxer's to judge.
    let outcome = reader.check().unwrap_or(Ok(()));
    reader.file.seek(SeekFrom::Start(0)).map_err(|source| ClipError::Io { source })?;
    outcome.map_err(|why| ClipError::Damaged { why })?;
    Ok(reader.jumps)
}

/// Outside: the end of the file, or a failure to read. Inside: what is absurd.
type Judged = io::Result<Result<(), String>>;

struct Reader<'a> {
    file: BufReader<&'a File>,
    at: u64,
    len: u64,
    elements: usize,
    jumps: bool,
}

impl Reader<'_> {
    fn check(&mut self) -> Judged {
        let start: [u8; 8] = self.bytes()?;
        self.go(0)?;
        match start {
            [_, _, _, _, b'f', b't', b'y', b'p'] => self.boxes(self.len, true),
            [b'c', b'a', b'f', b'f', ..] => self.chunks(),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => {
                self.jumps = false;
                self.elements()
            }
            [b'R', b'I', b'F', b'F', ..]
            | [b'F', b'O', b'R', b'M', ..]
            | [b'O', b'g', b'g', b'S', ..]
            | [b'f', b'L', b'a', b'C', ..] => Ok(Ok(())),
            _ => self.hidden(),
        }
    }

    /// A demuxer is looked for behind tags and junk, too, where nothing was checked.
    fn hidden(&mut self) -> Judged {
        while let Ok([b'I', b'D', b'3', _, _, _, a, b, c, d]) = self.bytes::<10>() {
            let size = [a, b, c, d].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
            self.go(self.at + size)?;
        }
        self.go(self.at.saturating_sub(10))?;
        let mut searched = Vec::new();
        (&mut self.file).take(SEARCHED).read_to_end(&mut searched)?;
        let starts = |four: &[u8]| HIDDEN.iter().any(|start| four == start.as_slice());
        Ok(if searched.windows(4).any(starts) {
            Err("a file of another kind begins inside of it".to_owned())
        } else {
            Ok(())
        })
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn go(&mut self, to: u64) -> io::Result<()> {
        let far = || io::Error::from(io::ErrorKind::InvalidData);
        let by = i64::try_from(i128::from(to) - i128::from(self.at)).map_err(|_| far())?;
        self.file.seek_relative(by)?;
        self.at = to;
        Ok(())
    }

    /// Boxes of MP4 up to `end`.
    fn boxes(&mut self, end: u64, top: bool) -> Judged {
        while self.at + 8 <= end && self.count() {
            let start = self.at;
            let size = u64::from(u32::from_be_bytes(self.bytes()?));
            let kind: [u8; 4] = self.bytes()?;
            let size = match size {
                0 => end - start,
                1 => u64::from_be_bytes(self.bytes()?),
                size => size,
            };
            let stop = start.saturating_add(size);
            // The sound itself may have been cut off.
            if size < 8 || (stop > end && !(top && &kind == b"mdat")) {
                return Ok(Err(format!("its part `{}` is larger than what holds it", kind.escape_ascii())));
            }
            if let Some((_, offset, entry)) = TABLES.iter().find(|(name, ..)| **name == kind) {
                let head = self.at;
                self.go(head + offset)?;
                let entries = u64::from(u32::from_be_bytes(self.bytes()?));
                // Sizes that are all the same are said once, before the count.
                self.go(head + 4)?;
                let alike = &kind == b"stsz" && self.bytes::<4>()? != [0; 4];
                if !alike && entries * entry > size {
                    return Ok(Err(format!("its table `{}` claims {entries} entries", kind.escape_ascii())));
                }
            }
            if CONTAINERS.contains(&&kind)
                && let Err(why) = self.boxes(stop, false)?
            {
                return Ok(Err(why));
            }
            if stop >= end {
                break;
            }
            self.go(stop)?;
        }
        Ok(self.all_seen())
    }

    /// Chunks of CAF.
    fn chunks(&mut self) -> Judged {
        self.go(8)?;
        while self.at + 12 <= self.len && self.count() {
            let kind: [u8; 4] = self.bytes()?;
            let size = i64::from_be_bytes(self.bytes()?);
            let start = self.at;
            if &kind == b"data" {
                if size < 0 {
                    break;
                }
            } else if size < 0 || start.saturating_add(size as u64) > self.len {
                return Ok(Err(format!("its part `{}` is larger than the file", kind.escape_ascii())));
            }
            if &kind == b"pakt" {
                let packets = i64::from_be_bytes(self.bytes()?);
                if packets < 0 || packets as u64 > self.len {
                    return Ok(Err(format!("its packet table claims {packets} entries")));
                }
            }
            let next = start.saturating_add(size as u64);
            if next >= self.len {
                break;
            }
            self.go(next)?;
        }
        Ok(self.all_seen())
    }

    /// Elements of Matroska: each has a name and a size, and lies within what holds it.
    fn elements(&mut self) -> Judged {
        // Where the elements end that this one is in; those without a size end with theirs.
        let mut ends = vec![u64::MAX];
        while self.at < self.len && self.count() {
            while ends.len() > 1 && ends.last().is_some_and(|end| self.at >= *end) {
                ends.pop();
            }
            let end = ends.last().copied().unwrap_or(u64::MAX);
            let (Some((id, _)), Some((size, unknown))) = (self.number(false)?, self.number(true)?) else {
                return Ok(Err("it has something that is no element".to_owned()));
            };
            let stop = if unknown { end } else { self.at.saturating_add(size) };
            if id > u64::from(u32::MAX) || stop > end || self.at > end {
                return Ok(Err(format!("an element of it ({id:#x}) is larger than what holds it")));
            }
            if u32::try_from(id).is_ok_and(|id| MASTERS.contains(&id)) {
                ends.push(stop);
                continue;
            }
            if unknown || stop > self.len {
                // The last block of a file that was cut off reads like this too.
                return Ok(if unknown || stop - self.len > MAX_CUT {
                    Err(format!("an element of it ({id:#x}) is larger than the file"))
                } else {
                    Ok(())
                });
            }
            if BLOCKS.contains(&id)
                && let Err(why) = self.laces(stop)?
            {
                return Ok(Err(why));
            }
            self.go(stop)?;
        }
        Ok(self.all_seen())
    }

    /// The sizes of frames that share a block, where each is said by its distance from the one before.
    fn laces(&mut self, stop: u64) -> Judged {
        const DISTANCES: u8 = 0b110;
        if self.number(true)?.is_none() {
            return Ok(Err("a block of it has no track".to_owned()));
        }
        let [_, _, flags] = self.bytes()?;
        if flags & DISTANCES != DISTANCES {
            return Ok(Ok(()));
        }
        let [frames] = self.bytes()?;
        let (mut size, mut all) = (0, 0);
        for frame in 0..frames {
            let start = self.at;
            let Some((number, _)) = self.number(true)? else {
                return Ok(Err("a frame of it has no size".to_owned()));
            };
            // The first is a size, the others are how much larger than the one before they are, from below zero on.
            let half = if frame == 0 { 0 } else { (1 << (7 * (self.at - start) - 1)) - 1 };
            size += number as i64 - half;
            all += size;
            if size < 0 || all > stop as i64 - self.at as i64 {
                return Ok(Err(format!("a frame of {size} bytes does not fit its block")));
            }
        }
        Ok(Ok(()))
    }

    fn all_seen(&self) -> Result<(), String> {
        if self.elements > MAX_ELEMENTS { Err("it has too many parts".to_owned()) } else { Ok(()) }
    }

    /// A number of variable length, and whether all its bits are set; an id keeps its length marker. `None` is none.
    fn number(&mut self, strip: bool) -> io::Result<Option<(u64, bool)>> {
        let [first] = self.bytes()?;
        let more = first.leading_zeros();
        if more > 7 {
            return Ok(None);
        }
        let mut value = u64::from(first);
        if strip {
            value ^= 1 << (7 - more);
        }
        for _ in 0..more {
            let [byte] = self.bytes()?;
            value = (value << 8) | u64::from(byte);
        }
        Ok(Some((value, strip && value == (1 << (7 * (more + 1))) - 1)))
    }

    fn count(&mut self) -> bool {
        self.elements += 1;
        self.elements <= MAX_ELEMENTS
    }
}
