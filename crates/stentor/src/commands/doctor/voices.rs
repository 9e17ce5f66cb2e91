//! Files of voices: what can be told of them without an engine.

use super::report::Check;
use hound::{SampleFormat, WavReader};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};
use stentor_catalog::Catalog;

/// Longer heads of safetensors files are not believed, in bytes.
const MAX_HEAD: u64 = 64 << 20;
/// Where the directory of a ZIP archive ends, at most this far from the end of the file.
const ZIP_END: u64 = 22 + 65_536;
/// Larger raw style files are not read, in bytes.
const MAX_RAW: u64 = 64 << 20;

/// How far a file was looked into.
type Found = Result<&'static str, String>;

pub(super) fn checks(catalog: &Catalog) -> Vec<Check> {
    let mut sound: BTreeMap<&str, usize> = BTreeMap::new();
    let mut checks = Vec::new();
    for path in catalog.voice_files() {
        match inspect(path) {
            Ok(how) => *sound.entry(how).or_default() += 1,
            Err(fault) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let detail = format!("{}: {fault}", path.display());
                checks
                    .push(Check::warn(format!("voice {name}"), detail).remedy("replace or remove the file"));
            }
        }
    }
    let counts: Vec<String> = sound.iter().map(|(how, count)| format!("{count} {how}")).collect();
    let detail =
        if counts.is_empty() { "none beside those inside models".to_owned() } else { counts.join(", ") };
    checks.push(Check::ok("voice files", detail));
    checks
}

fn inspect(path: &Path) -> Found {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let found = match extension.as_str() {
        "safetensors" => safetensors(path),
        "pt" => torch(path),
        "bin" => raw(path),
        "wav" => Ok(wav(path)),
        _ => container(path, &extension),
    };
    found.unwrap_or_else(|error| Err(error.to_string()))
}

/// A head that names tensors, all of which lie within the file.
fn safetensors(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEAD || length.saturating_add(8) > size {
        return Ok(Err("the head of the safetensors file is longer than the file".to_owned()));
    }
    let mut head = Vec::new();
    file.take(length).read_to_end(&mut head)?;
    let Ok(Value::Object(tensors)) = serde_json::from_slice(&head) else {
        return Ok(Err("the head of the safetensors file is not JSON".to_owned()));
    };
    let ends = tensors.iter().filter(|(name, _)| *name != "__metadata__");
    let mut ends = ends.map(|(_, tensor)| tensor["data_offsets"][1].as_u64()).peekable();
    if ends.peek().is_none() {
        return Ok(Err("it holds no tensor".to_owned()));
    }
    let within = ends.all(|end| end.is_some_and(|end| end <= size - 8 - length));
    Ok(if within {
        Ok("style files (head read)")
    } else {
        Err("a tensor ends behind the end of the file".to_owned())
    })
}

/// A ZIP archive whose directory is there; a file that was cut off has lost it.
fn torch(path: &Path) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut start = [0; 4];
    file.read_exact(&mut start)?;
    if start != *b"PK\x03\x04" {
        return Ok(Err("it is no file of torch.save (a ZIP archive)".to_owned()));
    }
    file.seek(SeekFrom::Start(size.saturating_sub(ZIP_END)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let has_directory = end.windows(4).any(|bytes| bytes == b"PK\x05\x06");
    Ok(if has_directory {
        Ok("style files (archive's directory found)")
    } else {
        Err("the archive is cut off: its directory is missing".to_owned())
    })
}

/// Floats and nothing else; their number is the engine's business.
fn raw(path: &Path) -> io::Result<Found> {
    let size = fs::metadata(path)?.len();
    if size == 0 || size % 4 != 0 || size > MAX_RAW {
        return Ok(Err(format!("{size} bytes are no table of 32-bit floats")));
    }
    let bytes = fs::read(path)?;
    let finite = bytes.as_chunks().0.iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite());
    Ok(if finite {
        Ok("style tables (values read)")
    } else {
        Err("it holds values that are not finite".to_owned())
    })
}

fn wav(path: &Path) -> Found {
    let decoded = WavReader::open(path).and_then(|mut wav| match wav.spec().sample_format {
        SampleFormat::Float => {
            wav.samples::<f32>().try_fold(0_u64, |count, sample| sample.map(|_| count + 1))
        }
        SampleFormat::Int => wav.samples::<i32>().try_fold(0_u64, |count, sample| sample.map(|_| count + 1)),
    });
    match decoded {
        Ok(0) => Err("it holds no sound".to_owned()),
        Ok(_) => Ok("recordings (decoded)"),
        Err(error) => Err(format!("it can't be decoded: {error}")),
    }
}

/// Compressed recordings are only told by their first bytes.
fn container(path: &Path, extension: &str) -> io::Result<Found> {
    let mut start = Vec::new();
    File::open(path)?.take(12).read_to_end(&mut start)?;
    let mp3_frame = |bytes: &[u8]| matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0);
    let known = match extension {
        "mp3" => start.starts_with(b"ID3") || mp3_frame(&start),
        "flac" => start.starts_with(b"fLaC") || start.starts_with(b"ID3"),
        "ogg" | "opus" => start.starts_with(b"OggS"),
        "m4a" => start.get(4..8) == Some(b"ftyp"),
        _ => false,
    };
    Ok(if known {
        Ok("compressed recordings (only their first bytes looked at)")
    } else {
        Err(format!("it does not begin like a .{extension} file"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(name: &str, content: &[u8]) -> Result<&'static str, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(name);
        fs::write(&path, content).expect("a file");
        inspect(&path)
    }

    fn wav_file(samples: usize) -> Vec<u8> {
        let mut file = io::Cursor::new(Vec::new());
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 24_000,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::new(&mut file, spec).expect("a writer");
        (0..samples).for_each(|_| writer.write_sample(7_i16).expect("a sample"));
        writer.finalize().expect("a file");
        file.into_inner()
    }

    fn safetensors_file(end: usize) -> Vec<u8> {
        let head = format!("{{\"__metadata__\":{{}},\"v\":{{\"data_offsets\":[0,{end}]}}}}");
        [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &[0; 16]].concat()
    }

    #[test]
    fn sound_files_pass() {
        for (name, content) in [
            ("a.wav", wav_file(9)),
            ("a.WAV", wav_file(9)),
            ("a.mp3", b"ID3\x03".to_vec()),
            ("a.mp3", vec![0xff, 0xfb, 0x90]),
            ("a.flac", b"fLaC".to_vec()),
            ("a.opus", b"OggS".to_vec()),
            ("a.m4a", b"\0\0\0\x20ftypM4A ".to_vec()),
            ("a.bin", 1.5_f32.to_le_bytes().to_vec()),
            ("a.pt", b"PK\x03\x04....PK\x05\x06".to_vec()),
            ("a.safetensors", safetensors_file(16)),
        ] {
            assert!(look(name, &content).is_ok(), "{name}: {:?}", look(name, &content));
        }
    }

    #[test]
    fn broken_files_are_told_with_the_reason() {
        let cut = wav_file(900)[..100].to_vec();
        for (name, content, told) in [
            ("a.wav", b"x".to_vec(), "decoded"),
            ("a.wav", cut, "decoded"),
            ("a.wav", wav_file(0), "no sound"),
            ("a.mp3", b"RIFF".to_vec(), ".mp3"),
            ("a.m4a", b"x".to_vec(), ".m4a"),
            ("a.bin", vec![0; 7], "7 bytes"),
            ("a.bin", f32::NAN.to_le_bytes().to_vec(), "finite"),
            ("a.pt", b"\x80\x02}q".to_vec(), "torch.save"),
            ("a.pt", b"PK\x03\x04....".to_vec(), "cut off"),
            ("a.safetensors", safetensors_file(17), "behind the end"),
            ("a.safetensors", vec![0xff; 20], "longer than the file"),
            ("a.safetensors", [&8_u64.to_le_bytes()[..], b"not json"].concat(), "JSON"),
            ("a.safetensors", [&2_u64.to_le_bytes()[..], b"{}"].concat(), "no tensor"),
        ] {
            let fault = look(name, &content).expect_err(told);
            assert!(fault.contains(told), "{name}: {fault}");
        }
    }
}
