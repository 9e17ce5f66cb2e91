//! The bytes of a chunk's file: what it is, whose it is, words, samples, and a hash of all that.
//!
//! Integers and samples are little-endian. `magic, version u32, key, words u64, samples u64, units u64`, then each
//! word as four u64 (start and end in the text, first and last sample), then the samples as f32, then SHA-256.

use sha2::{Digest as _, Sha256};
use std::ops::Range;
use stentor_types::{ChunkKey, SpokenChunk, WordTiming};

const MAGIC: &[u8; 8] = b"STENTORC";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 32 + 3 * 8;
const WORD: usize = 4 * 8;
const SAMPLE: usize = 4;
const HASH: usize = 32;

/// How long the file will be, in bytes.
pub(crate) fn encoded_len(chunk: &SpokenChunk) -> u64 {
    (HEADER + chunk.words.len() * WORD + chunk.samples.len() * SAMPLE + HASH) as u64
}

pub(crate) fn encode(key: &ChunkKey, chunk: &SpokenChunk) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_len(chunk) as usize);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&key.0);
    let mut number = |n: u64| bytes.extend_from_slice(&n.to_le_bytes());
    number(chunk.words.len() as u64);
    number(chunk.samples.len() as u64);
    number(chunk.units);
    for word in &chunk.words {
        number(word.text.start as u64);
        number(word.text.end as u64);
        number(word.samples.start);
        number(word.samples.end);
    }
    bytes.extend(chunk.samples.iter().flat_map(|sample| sample.to_le_bytes()));
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// `None` when these are not the bytes that [`encode`] made for this key.
pub(crate) fn decode(key: &ChunkKey, bytes: &[u8]) -> Option<SpokenChunk> {
    let (content, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
    if Sha256::digest(content).as_slice() != hash {
        return None;
    }
    let rest = content.strip_prefix(MAGIC)?.strip_prefix(&VERSION.to_le_bytes())?.strip_prefix(&key.0)?;
    let (counts, rest) = rest.split_at_checked(3 * 8)?;
    let [words, samples, units] = numbers(counts)?;
    let (words, samples) = (usize::try_from(words).ok()?, usize::try_from(samples).ok()?);
    let (words, rest) = rest.split_at_checked(words.checked_mul(WORD)?)?;
    if Some(rest.len()) != samples.checked_mul(SAMPLE) {
        return None;
    }
    Some(SpokenChunk {
        samples: rest.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        words: words.as_chunks::<WORD>().0.iter().map(|bytes| word(bytes)).collect::<Option<_>>()?,
        units,
    })
}

fn word(bytes: &[u8]) -> Option<WordTiming> {
    let [start, end, first, last] = numbers(bytes)?;
    let text = Range { start: usize::try_from(start).ok()?, end: usize::try_from(end).ok()? };
    Some(WordTiming { text, samples: first..last })
}

fn numbers<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let numbers: Vec<u64> = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    numbers.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: ChunkKey = ChunkKey([7; 32]);

    fn chunk(samples: Vec<f32>, words: &[(usize, u64)]) -> SpokenChunk {
        let words = words.iter().map(|&(at, from)| WordTiming { text: at..at + 3, samples: from..from + 9 });
        SpokenChunk { samples, words: words.collect(), units: 5 }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_bit_by_bit(
            samples in prop::collection::vec(any::<u32>(), 0..300),
            words in prop::collection::vec((0..1_000_usize, 0..1_000_000_u64), 0..20),
        ) {
            let chunk = chunk(samples.iter().map(|bits| f32::from_bits(*bits)).collect(), &words);
            let bytes = encode(&KEY, &chunk);
            prop_assert_eq!(bytes.len() as u64, encoded_len(&chunk));
            let back = decode(&KEY, &bytes).expect("sound");
            prop_assert_eq!(back.samples.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), samples);
            prop_assert_eq!((back.words, back.units), (chunk.words, chunk.units));
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&KEY, &bytes).is_none());
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = encode(&KEY, &chunk(vec![0.5, -0.25], &[(0, 0)]));
        for at in 0..bytes.len() {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << (at % 8);
            assert_eq!(decode(&KEY, &broken), None, "byte {at}");
            assert_eq!(decode(&KEY, &bytes[..at]), None, "cut at {at}");
        }
        assert_eq!(decode(&ChunkKey([8; 32]), &bytes), None, "another's file");
    }

    #[test]
    fn a_count_that_lies_is_refused_though_the_hash_is_right() {
        let bytes = encode(&KEY, &chunk(vec![0.5; 4], &[]));
        for (at, count) in [(44, u64::MAX), (44, 1), (52, u64::MAX), (52, 3), (52, 1 << 62)] {
            let mut lie = bytes[..bytes.len() - HASH].to_vec();
            lie[at..at + 8].copy_from_slice(&count.to_le_bytes());
            let hash = Sha256::digest(&lie);
            lie.extend_from_slice(&hash);
            assert_eq!(decode(&KEY, &lie), None, "{count} at {at}");
        }
    }
}
