//! Recordings in every format that is read, whole, damaged and absurd.

use std::{
    fs,
    path::{Path, PathBuf},
};
use stentor_audio::{Clip, ClipError, ClipNeeds, ClipNote, Least};
use stentor_types::{AudioFormat, SampleRate};

const NEEDS: ClipNeeds = ClipNeeds { least: Least::AtLeast(1.0), good: 5.0 };

/// A tone at half of full scale with a slow swell.
fn tone(rate: u32, seconds: f64) -> Vec<f32> {
    let samples = (f64::from(rate) * seconds) as usize;
    let at = |i: usize| std::f64::consts::TAU * i as f64 / f64::from(rate);
    (0..samples).map(|i| (0.5 * (at(i) * 440.0).sin() * (0.7 + 0.3 * at(i).sin())) as f32).collect()
}

fn encoded(format: AudioFormat, rate: u32, samples: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    let total = Some(samples.len() as u64);
    let mut encoder = stentor_audio::encoder(format, SampleRate(rate), total).expect("an encoder");
    encoder.encode(samples, &mut out).expect("encoded");
    encoder.finish(&mut out).expect("finished");
    out
}

fn wav(rate: u32, channels: &[&[f32]], float: bool) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: channels.len() as u16,
        sample_rate: rate,
        bits_per_sample: if float { 32 } else { 16 },
        sample_format: if float { hound::SampleFormat::Float } else { hound::SampleFormat::Int },
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("a writer");
    for i in 0..channels[0].len() {
        for channel in channels {
            if float {
                writer.write_sample(channel[i]).expect("a sample");
            } else {
                writer.write_sample((channel[i] * 32_767.0) as i16).expect("a sample");
            }
        }
    }
    writer.finalize().expect("a file");
    file.into_inner()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn open(&self, name: &str, bytes: &[u8]) -> Result<Clip, ClipError> {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).expect("a file");
        Clip::open(&path, 30.0)
    }

    fn told(&self, name: &str, bytes: &[u8]) -> String {
        match self.open(name, bytes).and_then(|clip| Ok((clip.check(NEEDS)?, clip.notes))) {
            Ok((checked, notes)) => {
                let all = notes.iter().chain(&checked).map(ToString::to_string).collect::<Vec<_>>();
                format!("fine: {}", all.join("; "))
            }
            Err(error) => error.to_string(),
        }
    }
}

fn samples_here() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips");
    let files = fs::read_dir(folder).expect("a folder").map(|item| item.expect("a file").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_none_or(|end| end != "md")).collect();
    files.sort();
    assert_eq!(files.len(), 13);
    files
}

/// All formats as (file name, content).
fn every_format() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = samples_here()
        .iter()
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("content"))
        })
        .collect();
    let own = tone(24_000, 0.3);
    for (name, format) in [
        ("own.mp3", AudioFormat::Mp3),
        ("own.flac", AudioFormat::Flac),
        ("own.opus", AudioFormat::Opus),
        ("own.wav", AudioFormat::Wav),
        ("own.aac", AudioFormat::Aac),
    ] {
        all.push((name.to_owned(), encoded(format, 24_000, &own)));
    }
    all.push(("float.wav".to_owned(), wav(24_000, &[&own, &own], true)));
    all
}

/// Frequency by counting upward crossings of zero in the middle half.
fn pitch(clip: &Clip) -> f64 {
    let (from, to) = (clip.samples.len() / 4, clip.samples.len() * 3 / 4);
    let inner = &clip.samples[from..to];
    let ups = inner.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    ups as f64 * f64::from(clip.rate) / inner.len() as f64
}

#[test]
fn every_format_gives_the_tone_that_is_in_it() {
    let folder = Folder::new();
    for (name, bytes) in every_format() {
        let clip = folder.open(&name, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = pitch(&clip);
        assert!((found - 440.0).abs() < 20.0, "{name}: {found} Hz at {} Hz", clip.rate);
        assert!(clip.seconds() > 0.14 && clip.seconds() < 0.8, "{name}: {} s", clip.seconds());
        let whole = clip.whole_seconds.unwrap_or(clip.seconds());
        // A packet of ALAC counts whole in CAF, however little of it is sound.
        let slack = if name.ends_with("caf") { 0.4 } else { 0.1 };
        assert!(
            (whole - clip.seconds()).abs() < slack,
            "{name}: {whole} s are announced, {} s held",
            clip.seconds()
        );
        let unfit = |note: &&ClipNote| !matches!(note, ClipNote::LowRate { .. });
        assert_eq!(clip.notes.iter().find(unfit), None, "{name}");
        let peak = clip.samples.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        assert!(peak > 0.3 && peak < 0.8, "{name}: peak {peak}");
    }
}

#[test]
fn a_wrong_extension_does_not_matter() {
    let folder = Folder::new();
    for (_, bytes) in every_format() {
        assert!((pitch(&folder.open("clip.wav", &bytes).expect("decoded")) - 440.0).abs() < 20.0);
    }
}

#[test]
fn opus_loses_what_the_encoder_put_before_and_after_the_sound() {
    let folder = Folder::new();
    let own = tone(24_000, 0.3);
    let clip = folder.open("a.opus", &encoded(AudioFormat::Opus, 24_000, &own)).expect("decoded");
    assert_eq!((clip.rate, clip.samples.len()), (48_000, own.len() * 2));
    // Without the pre-skip the tone would be 6.5 ms late, almost three periods.
    let mut worst = 0.0_f32;
    for (i, expected) in own.iter().enumerate().skip(1000).take(5000) {
        worst = worst.max((clip.samples[2 * i] - expected).abs());
    }
    assert!(worst < 0.15, "off by {worst}");
}

#[test]
fn channels_become_their_mean() {
    let (left, right) = (tone(44_100, 0.2), vec![0.25; 8820]);
    let clip = Folder::new().open("a.wav", &wav(44_100, &[&left, &right], true)).expect("decoded");
    assert_eq!((clip.rate, clip.channels, clip.samples.len()), (44_100, 2, left.len()));
    for (mixed, left) in clip.samples.iter().zip(&left) {
        assert!((mixed - (left + 0.25) / 2.0).abs() < 1e-6);
    }
}

#[test]
fn rates_from_8_to_192_khz_are_read_and_no_others() {
    let folder = Folder::new();
    for rate in [8000, 11_025, 22_050, 48_000, 96_000, 192_000] {
        let clip = folder.open("a.wav", &wav(rate, &[&tone(rate, 0.2)], false)).expect("decoded");
        assert_eq!(clip.rate, rate);
    }
    for rate in [4000, 7999, 192_001, 384_000] {
        let told = folder.told("a.wav", &wav(rate, &[&tone(rate, 0.2)], false));
        assert_eq!(told, format!("its sample rate of {rate} Hz lies outside 8000 to 192000 Hz"));
    }
}

#[test]
fn what_is_wrong_with_a_recording_is_told() {
    let folder = Folder::new();
    let rate = 24_000;
    let long = tone(rate, 6.0);
    let silent: Vec<f32> = vec![0.0001; 6 * 24_000];
    let square: Vec<f32> = long.iter().map(|x| x.signum()).collect();
    let hot: Vec<f32> = long.iter().map(|x| (x * 2.05).clamp(-1.0, 1.0)).collect();
    let quiet: Vec<f32> = long.iter().map(|x| x / 30.0).collect();
    let late = [vec![0.0; 24_000 * 3], long.clone()].concat();
    let mut broken = long.clone();
    broken[5000] = f32::NAN;
    let mp3 = encoded(AudioFormat::Mp3, rate, &long);
    let opus = encoded(AudioFormat::Opus, rate, &long);
    let whole = |samples: &[f32]| wav(rate, &[samples], true);
    let cut = &whole(&long)[..200_000];
    for (name, bytes, told) in [
        ("a.wav", whole(&long), "fine: "),
        ("a.wav", whole(&tone(rate, 0.7)), "it is too short: it lasts 0.7 s, at least 1 s are needed"),
        ("a.wav", whole(&tone(rate, 3.0)), "fine: it lasts only 3.0 s; from 5 s on a voice is caught better"),
        ("a.wav", whole(&silent), "it is silent: only 0.0 s of the 6.0 s looked at are louder than -55 dB"),
        ("a.wav", whole(&square), "it is overdriven: 100% of its samples are clipped"),
        (
            "a.wav",
            whole(&hot),
            "fine: 1.4% of its samples are clipped; a cleaner recording will sound better",
        ),
        (
            "a.wav",
            whole(&quiet),
            "fine: it is very quiet (peak at -36 dB); a louder recording will sound better",
        ),
        (
            "a.wav",
            whole(&late),
            "fine: its first 3.0 s are silent; cut them off, for a voice is taken from the beginning",
        ),
        ("a.wav", whole(&broken), "it holds values that are not finite numbers"),
        ("a.wav", cut.to_vec(), "the file is cut off: it announces 6.0 s and holds 2.1 s"),
        ("a.wav", b"RIFF".to_vec(), "it is cut off or damaged: no sound could be decoded"),
        (
            "a.wav",
            b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec(),
            "it is cut off or damaged: no sound could be decoded",
        ),
        ("a.mp3", b"a text about something else\n".repeat(99), "it is no audio file of a known kind"),
        ("a.mp3", Vec::new(), "the file is empty"),
        ("a.mp3", mp3[..60].to_vec(), "it is cut off or damaged: no sound could be decoded"),
        ("a.opus", opus[..60].to_vec(), "it is cut off or damaged: no sound could be decoded"),
    ] {
        let found = folder.told(name, &bytes);
        assert!(
            found.contains(told) && (told != "fine: " || found == told),
            "{name}: `{found}`, not `{told}`"
        );
    }
    let other = Clip::open(folder.0.path(), 30.0).expect_err("a folder");
    assert_eq!(other.to_string(), "it is no regular file");
    let gone = Clip::open(&folder.0.path().join("nothing.wav"), 30.0).expect_err("nothing");
    assert!(gone.to_string().starts_with("it cannot be read: "), "{gone}");
}

#[test]
fn damaged_pieces_in_the_middle_are_left_out_and_counted() {
    let folder = Folder::new();
    let own = tone(24_000, 6.0);
    for format in [AudioFormat::Mp3, AudioFormat::Aac, AudioFormat::Flac, AudioFormat::Opus] {
        let mut bytes = encoded(format, 24_000, &own);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 900].fill(0x55);
        let clip = folder.open(&format!("a.{format}"), &bytes).unwrap_or_else(|e| panic!("{format}: {e}"));
        assert!(clip.seconds() > 5.0, "{format}: {} s", clip.seconds());
        assert!((pitch(&clip) - 440.0).abs() < 60.0, "{format}: {} Hz", pitch(&clip));
    }
}

#[test]
fn longer_recordings_are_cut_with_a_note() {
    let folder = Folder::new();
    let own = tone(24_000, 40.0);
    for format in [AudioFormat::Mp3, AudioFormat::Aac, AudioFormat::Flac, AudioFormat::Opus, AudioFormat::Wav]
    {
        let clip = folder.open("long", &encoded(format, 24_000, &own)).expect("decoded");
        assert_eq!(clip.samples.len(), 30 * clip.rate as usize, "{format}");
        let [ClipNote::Trimmed { used: 30.0, whole }] = clip.notes[..] else {
            panic!("{format}: {:?}", clip.notes);
        };
        assert!(whole.is_none_or(|whole| (whole - 40.0).abs() < 1.0), "{format}: {whole:?}");
    }
    let note = |whole| ClipNote::Trimmed { used: 30.0, whole }.to_string();
    assert_eq!(note(Some(10_800.0)), "only its first 30 s are used (it lasts 3 h 0 min)");
    assert_eq!(note(Some(40.0)), "only its first 30 s are used (it lasts 40 s)");
    assert_eq!(note(None), "only its first 30 s are used");
}

#[test]
fn turbo_like_needs_are_exclusive() {
    let folder = Folder::new();
    let needs = ClipNeeds { least: Least::MoreThan(5.0), good: 5.0 };
    let of = |samples: usize| {
        let samples = &tone(24_000, 6.0)[..samples];
        folder.open("a.wav", &wav(24_000, &[samples], false)).expect("decoded").check(needs)
    };
    assert_eq!(of(120_001).expect("long enough"), []);
    let told = of(120_000).expect_err("too short").to_string();
    assert_eq!(told, "it is too short: it lasts 5.0 s, more than 5 s are needed");
}

#[test]
fn absurd_sizes_are_refused_before_memory_is_taken() {
    let folder = Folder::new();
    let read = |name: &str| {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clips").join(name)).expect("a sample")
    };
    for table in [b"stts", b"stsc", b"stco"] {
        let mut bytes = read("aac.m4a");
        let at = bytes.windows(4).position(|four| four == table).expect("a table");
        bytes[at + 8..at + 12].fill(0xff);
        let told = folder.told("a.m4a", &bytes);
        let table = String::from_utf8_lossy(table);
        assert_eq!(told, format!("it is damaged: its table `{table}` claims 4294967295 entries"));
    }
    for name in ["aac.m4a", "alac.caf", "opus.webm"] {
        let bytes = [b"ID".as_slice(), &read(name)].concat();
        let told = folder.told("a.bin", &bytes);
        assert_eq!(told, "it is damaged: a file of another kind begins inside of it", "{name}");
    }
    let mut bytes = read("alac.caf");
    let at = bytes.windows(4).position(|four| four == b"pakt").expect("a table");
    bytes[at + 12..at + 20].copy_from_slice(&(1_i64 << 40).to_be_bytes());
    assert_eq!(folder.told("a.caf", &bytes), "it is damaged: its packet table claims 1099511627776 entries");
    let mut bytes = read("alac.m4a");
    // Of the sample entry's own box the second is the decoder's: version and flags, then frames of a packet.
    let at = bytes.windows(4).rposition(|four| four == b"alac").expect("a header");
    bytes[at + 8..at + 12].fill(0x7f);
    assert_eq!(folder.told("a.m4a", &bytes), "it is damaged: it claims packets of absurd length");
    let mut bytes = read("opus.webm");
    let at = bytes.windows(8).position(|eight| eight == b"OpusHead").expect("a header");
    // The private data's size, one byte with its marker, becomes one of eight bytes.
    bytes.splice(at - 1..at, [1, 0x20, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        folder.told("a.webm", &bytes),
        "it is damaged: an element of it (0x63a2) is larger than what holds it"
    );
    let mut bytes = read("opus.webm");
    let at = bytes.windows(4).rposition(|four| four == [0x16, 0x54, 0xae, 0x6b]).expect("the tracks");
    bytes.insert(at, 0);
    assert_eq!(folder.told("a.webm", &bytes), "it is damaged: it has something that is no element");
    let mut bytes = read("opus.webm");
    // The first block with sound: track 1, no time, a key frame.
    let at = bytes.windows(4).position(|four| four == [0x81, 0, 0, 0x80]).expect("a block");
    // Three frames: one of a byte, one that is 2^55 - 2 bytes longer, the rest.
    bytes[at + 3..at + 14].copy_from_slice(&[0x86, 2, 0x81, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(
        folder.told("a.webm", &bytes),
        "it is damaged: a frame of 36028797018963969 bytes does not fit its block"
    );
}

/// The state of a small generator of pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Whatever is done to a file, the answer is a clip or an error: a panic here would be seen as the decoder's that "gave up".
#[test]
fn cut_and_flipped_files_end_in_a_clip_or_an_error() {
    let folder = Folder::new();
    let mut random = Random(1);
    for (name, bytes) in every_format() {
        for _ in 0..12 {
            let cut = random.below(bytes.len());
            drop(folder.open(&name, &bytes[..cut]));
        }
        for round in 0..24 {
            let mut bytes = bytes.clone();
            // Half of the hits go to the head, where the sizes are.
            let reach = if round % 2 == 0 { bytes.len().min(400) } else { bytes.len() };
            for _ in 0..=round / 4 {
                let at = random.below(reach);
                bytes[at] ^= 1 << random.below(8);
            }
            if let Ok(clip) = folder.open(&name, &bytes) {
                assert!(clip.samples.iter().all(|x| x.is_finite()), "{name}");
                drop(clip.check(NEEDS));
            }
        }
    }
}
