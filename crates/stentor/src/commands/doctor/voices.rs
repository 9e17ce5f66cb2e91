//! Files of voices: what can be told of them without an engine.

use super::report::Check;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
};
use stentor_audio::{Clip, ClipNeeds, ClipNote, Least};
use stentor_catalog::{Catalog, Model};
use stentor_types::VoiceSource;

/// Longer heads of safetensors files are not believed, in bytes.
const MAX_HEAD: u64 = 64 << 20;
/// Where the directory of a ZIP archive ends, at most this far from the end of the file.
const ZIP_END: u64 = 22 + 65_536;
/// Larger raw style files are not read, in bytes.
const MAX_RAW: u64 = 64 << 20;

/// Recordings are decoded to here, in seconds; no model hears more of one.
const MAX_SECONDS: f64 = 30.0;
/// What every model that clones asks of a recording; some ask for more, and their manifests say so.
const NEEDS: ClipNeeds = ClipNeeds { least: Least::AtLeast(1.0), good: 5.0 };

/// How far a file was looked into, or what is wrong with it.
type Found = Result<&'static str, String>;

/// What can be told of a file that is fit to be a voice.
#[derive(Debug, Clone, PartialEq)]
struct Looked {
    how: &'static str,
    notes: Vec<ClipNote>,
    /// Of a recording, as far as it was decoded.
    seconds: Option<f64>,
}

pub(super) fn checks(catalog: &Catalog) -> Vec<Check> {
    let mut sound: BTreeMap<&str, usize> = BTreeMap::new();
    let mut checks = Vec::new();
    for path in catalog.voice_files() {
        let name = format!("voice {}", path.file_name().unwrap_or_default().to_string_lossy());
        let detail = |what: String| format!("{}: {what}", path.display());
        match inspect(path) {
            Ok(looked) => {
                *sound.entry(looked.how).or_default() += 1;
                let too_short = looked.seconds.and_then(|seconds| too_short(catalog, path, seconds));
                let notes: Vec<String> = looked.notes.iter().map(ToString::to_string).collect();
                let told = detail(too_short.clone().into_iter().chain(notes).collect::<Vec<_>>().join("; "));
                checks.extend(match too_short {
                    Some(_) => {
                        Some(Check::warn(name, told).remedy("use a longer recording, or another model"))
                    }
                    None => noted(name, &looked.notes, told),
                });
            }
            Err(fault) => {
                checks.push(Check::warn(name, detail(fault)).remedy("replace or remove the file"));
            }
        }
    }
    let counts: Vec<String> = sound.iter().map(|(how, count)| format!("{count} {how}")).collect();
    let detail =
        if counts.is_empty() { "none beside those inside models".to_owned() } else { counts.join(", ") };
    checks.push(Check::ok("voice files", detail));
    checks
}

/// Which of the models that could use the recording ask for a longer one.
fn too_short(catalog: &Catalog, path: &Path, seconds: f64) -> Option<String> {
    let uses = |model: &Model| {
        let mut voices = catalog.voices(model).into_iter();
        voices.any(|voice| matches!(&voice.source, VoiceSource::Reference { path: its, .. } if its == path))
    };
    let refuse = |model: &&Model| {
        let over = model.manifest().recording_over_secs;
        over.is_some_and(|over| seconds <= over) && uses(model)
    };
    let need = |model: &Model| {
        format!("{} (more than {} s)", model.id, model.manifest().recording_over_secs.unwrap_or_default())
    };
    let models: Vec<String> = catalog.models().iter().filter(refuse).map(need).collect();
    (!models.is_empty()).then(|| format!("it lasts {seconds:.1} s, too short for {}", models.join(", ")))
}

/// One line about a recording that is fit to be a voice and yet not all it could be.
fn noted(name: String, notes: &[ClipNote], detail: String) -> Option<Check> {
    let harmless = |note: &ClipNote| matches!(note, ClipNote::Trimmed { .. });
    match notes {
        [] => None,
        notes if notes.iter().all(harmless) => Some(Check::ok(name, detail)),
        _ => {
            Some(Check::warn(name, detail).remedy("it speaks; a clean recording of 10 to 30 s speaks better"))
        }
    }
}

fn inspect(path: &Path) -> Result<Looked, String> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let found = match extension.as_str() {
        "safetensors" => safetensors(path),
        "pt" => torch(path),
        "bin" => raw(path),
        _ => return recording(path),
    };
    let looked = |how| Looked { how, notes: Vec::new(), seconds: None };
    found.unwrap_or_else(|error| Err(error.to_string())).map(looked)
}

fn recording(path: &Path) -> Result<Looked, String> {
    let clip = Clip::open(path, MAX_SECONDS).map_err(|error| error.to_string())?;
    let checked = clip.check(NEEDS).map_err(|error| error.to_string())?;
    let seconds = Some(clip.seconds());
    Ok(Looked {
        how: "recordings (decoded)",
        notes: clip.notes.into_iter().chain(checked).collect(),
        seconds,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use stentor_types::{AudioFormat, SampleRate};

    fn look(name: &str, content: &[u8]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(name);
        fs::write(&path, content).expect("a file");
        inspect(&path).map(|looked| looked.notes.iter().map(ToString::to_string).collect())
    }

    fn recorded(format: AudioFormat, seconds: usize, level: f32) -> Vec<u8> {
        let samples: Vec<f32> = (0..seconds * 24_000).map(|i| level * (i as f32 * 0.1).sin()).collect();
        let mut file = Vec::new();
        let mut encoder = stentor_audio::encoder(format, SampleRate(24_000), Some(samples.len() as u64))
            .expect("an encoder");
        encoder.encode(&samples, &mut file).expect("encoded");
        encoder.finish(&mut file).expect("finished");
        file
    }

    fn safetensors_file(end: usize) -> Vec<u8> {
        let head = format!("{{\"__metadata__\":{{}},\"v\":{{\"data_offsets\":[0,{end}]}}}}");
        [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &[0; 16]].concat()
    }

    #[test]
    fn sound_files_pass() {
        for (name, content) in [
            ("a.wav", recorded(AudioFormat::Wav, 6, 0.5)),
            ("a.WAV", recorded(AudioFormat::Wav, 6, 0.5)),
            ("a.mp3", recorded(AudioFormat::Mp3, 6, 0.5)),
            ("a.flac", recorded(AudioFormat::Flac, 6, 0.5)),
            ("a.opus", recorded(AudioFormat::Opus, 6, 0.5)),
            ("a.aac", recorded(AudioFormat::Aac, 6, 0.5)),
            ("a.bin", 1.5_f32.to_le_bytes().to_vec()),
            ("a.pt", b"PK\x03\x04....PK\x05\x06".to_vec()),
            ("a.safetensors", safetensors_file(16)),
        ] {
            assert_eq!(look(name, &content), Ok(Vec::new()), "{name}");
        }
    }

    #[test]
    fn broken_files_are_told_with_the_reason() {
        let cut = recorded(AudioFormat::Mp3, 6, 0.5)[..60].to_vec();
        for (name, content, told) in [
            ("a.wav", b"x".to_vec(), "no audio file"),
            ("a.mp3", cut, "cut off or damaged"),
            ("a.wav", recorded(AudioFormat::Wav, 6, 0.0), "it is silent"),
            ("a.mp3", b"a letter to a friend. ".repeat(99), "no audio file"),
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

    #[test]
    fn recordings_that_could_be_better_are_told_with_what_to_do() {
        let short = look("a.wav", &recorded(AudioFormat::Wav, 3, 0.5)).expect("usable");
        assert_eq!(short, ["it lasts only 3.0 s; from 5 s on a voice is caught better"]);
        let long = look("a.wav", &recorded(AudioFormat::Wav, 40, 0.5)).expect("usable");
        assert_eq!(long, ["only its first 30 s are used (it lasts 40 s)"]);
        let line = |notes: &[ClipNote]| {
            let check = noted("voice a.wav".to_owned(), notes, String::new())?;
            Some(serde_json::to_value(check).expect("JSON")["status"].clone())
        };
        let trimmed = ClipNote::Trimmed { used: 30.0, whole: None };
        let short = ClipNote::Short { seconds: 3.0, good: 5.0 };
        assert_eq!(line(&[]), None);
        assert_eq!(line(std::slice::from_ref(&trimmed)), Some("ok".into()));
        assert_eq!(line(&[trimmed, short]), Some("warn".into()));
    }
}
