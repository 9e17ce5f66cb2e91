//! Checkpoints and voices as they are found in the wild, and what is said of damaged ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};
use stentor_engine::{Engine, EngineError, LoadError, Waiter};
use stentor_engine_kokoro::{
    Config, Voice,
    model::{Excitation, Kokoro, Style},
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::hash_weights;
use stentor_types::{DeviceSpec, LoadSpec, ModelId, Precision, VoiceSource};

fn golden(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden", file].iter().collect()
}

fn tiny_config() -> Config {
    Config::parse(&fs::read_to_string(golden("tiny-config.json")).unwrap()).unwrap()
}

type Tensors = HashMap<String, Tensor>;

/// The tiny checkpoint's tensors by the model's names.
fn tiny_tensors() -> Tensors {
    let weights = Weights::open(&golden("tiny.pth"), &Device::Cpu).unwrap();
    let read = |name: &str| {
        let shape = weights.root().shape(name).unwrap();
        (name.to_owned(), weights.root().tensor(name, &shape).unwrap())
    };
    weights.names().map(read).collect()
}

fn load(spec: &[(&str, PathBuf)]) -> Result<Box<dyn Engine>, LoadError> {
    let files: BTreeMap<_, _> = spec.iter().map(|(role, path)| ((*role).to_owned(), path.clone())).collect();
    let (model, engine) = (ModelId::from("tiny"), "kokoro".to_owned());
    stentor_engine_kokoro::load(&LoadSpec {
        model,
        engine,
        files,
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    })
}

/// What loading says of the given tensors, saved as safetensors.
fn complaint(tensors: &Tensors) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(tensors, &path).unwrap();
    match load(&[("config", golden("tiny-config.json")), ("weights", path)]) {
        Ok(_) => panic!("a damaged checkpoint was loaded"),
        Err(LoadError(message)) => message,
    }
}

#[test]
fn a_checkpoint_of_torch_save_in_the_published_layout_speaks_as_the_reference_does() {
    let config = tiny_config();
    let weights = Weights::open(&golden("tiny.pth"), &Device::Cpu).unwrap();
    let model = Kokoro::load(&weights, &config, &Device::Cpu, Precision::F32).unwrap();
    let expected = candle_core::safetensors::load(golden("tiny.safetensors"), &Device::Cpu).unwrap();
    let ids: Vec<u32> = expected["ids"].to_vec1::<i64>().unwrap().into_iter().map(|id| id as u32).collect();
    let voice = Voice::open(&golden("tiny-voice.pt"), &config).unwrap();
    let style = Style::new(voice.row(ids.len() - 2), &Device::Cpu).unwrap();
    let plan = model.plan(&ids, &style, 1.0, &Unwatched).unwrap();
    let durations: Vec<i64> = plan.durations.iter().map(|&frames| frames as i64).collect();
    assert_eq!(durations, expected["durations"].to_vec1::<i64>().unwrap());
    let curves = model.curves(&plan, &Unwatched).unwrap();
    let audio = expected["audio"].to_vec1::<f32>().unwrap();
    let noise = hash_weights::noise(audio.len() * 9);
    let ours = model.render(&plan, &curves, Excitation::Noise(&noise), &Unwatched).unwrap();
    let error = ours.iter().zip(&audio).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
    println!("largest error {error:e}");
    assert_eq!(ours.len(), audio.len());
    assert!(error < 1e-3, "{error}");
}

#[test]
fn the_same_tensors_load_from_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&tiny_tensors(), &path).unwrap();
    let engine = load(&[("config", golden("tiny-config.json")), ("weights", path)]).unwrap();
    assert_eq!(engine.descriptor().sample_rate.0, 24_000);
    assert!(engine.descriptor().presets.is_empty());
}

#[test]
fn a_missing_tensor_is_named() {
    for name in
        ["bert_encoder.bias", "decoder.decode.0.conv1.weight_v", "predictor.lstm.weight_hh_l0_reverse"]
    {
        let mut tensors = tiny_tensors();
        tensors.remove(name).unwrap();
        let message = complaint(&tensors);
        assert!(message.contains(name) && message.contains("missing"), "{message}");
    }
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let mut tensors = tiny_tensors();
    let name = "predictor.duration_proj.linear_layer.weight";
    let transposed = tensors[name].t().unwrap().contiguous().unwrap();
    tensors.insert(name.to_owned(), transposed);
    let message = complaint(&tensors);
    assert!(
        message.contains(name) && message.contains("[8, 50]") && message.contains("[50, 8]"),
        "{message}"
    );
}

#[test]
fn a_wrong_prefix_and_a_tensor_too_many_are_refused() {
    let prefixed = tiny_tensors().into_iter().map(|(name, tensor)| (format!("net.{name}"), tensor)).collect();
    assert!(complaint(&prefixed).contains("bert.embeddings.word_embeddings.weight"));
    let mut tensors = tiny_tensors();
    tensors.insert("decoder.extra.weight".to_owned(), Tensor::new(&[1f32], &Device::Cpu).unwrap());
    assert!(complaint(&tensors).contains("decoder.extra.weight"));
}

#[test]
fn instance_norm_parameters_are_accepted_only_where_they_do_nothing() {
    let mut tensors = tiny_tensors();
    let name = "decoder.encode.norm1.norm.weight";
    tensors.insert(name.to_owned(), Tensor::new(&[1f32, 0.5], &Device::Cpu).unwrap());
    assert!(complaint(&tensors).contains(name));
    tensors.insert(name.to_owned(), Tensor::ones(10, candle_core::DType::F32, &Device::Cpu).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    candle_core::safetensors::save(&tensors, &path).unwrap();
    load(&[("config", golden("tiny-config.json")), ("weights", path)]).unwrap();
}

#[test]
fn truncated_and_foreign_files_are_errors_that_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(golden("tiny.pth")).unwrap();
    let safetensors = folder.path().join("whole.safetensors");
    candle_core::safetensors::save(&tiny_tensors(), &safetensors).unwrap();
    let stored = fs::read(&safetensors).unwrap();
    let config = fs::read(golden("tiny-config.json")).unwrap();
    for (name, bytes) in [
        ("half.pth", &whole[..whole.len() / 2]),
        ("half.safetensors", &stored[..stored.len() / 2]),
        ("header.safetensors", &stored[..100]),
        ("empty.safetensors", &[][..]),
        ("text.pth", &config[..]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let result = load(&[("config", golden("tiny-config.json")), ("weights", path)]);
        let message = result.err().unwrap_or_else(|| panic!("{name} was loaded")).0;
        assert!(message.contains(name), "{name}: {message}");
        // What is no checkpoint at all is not one that was cut off.
        assert_eq!(message.contains("was the download cut?"), name != "text.pth", "{name}: {message}");
        if name == "half.safetensors" {
            let told = format!("expected {} bytes, the file has {}", stored.len(), stored.len() / 2);
            assert!(message.contains(&told), "{message}");
        }
    }
    let missing = load(&[("config", folder.path().join("none.json")), ("weights", golden("tiny.pth"))]);
    assert!(missing.err().unwrap().0.contains("none.json"));
    assert!(load(&[("config", golden("tiny-config.json"))]).err().unwrap().0.contains("`weights`"));
}

#[test]
fn a_config_that_cannot_work_is_refused() {
    let text = fs::read_to_string(golden("tiny-config.json")).unwrap();
    for (from, to) in [
        ("\"style_dim\": 4", "\"style_dim\": 0"),
        ("\"gen_istft_hop_size\": 4", "\"gen_istft_hop_size\": 0"),
        ("\"upsample_initial_channel\": 8", "\"upsample_initial_channel\": 6"),
        ("\"num_attention_heads\": 2", "\"num_attention_heads\": 3"),
        ("\"n_token\": 178", "\"n_token\": 20"),
    ] {
        assert!(text.contains(from));
        assert!(Config::parse(&text.replace(from, to)).is_err(), "{to}");
    }
    assert!(Config::parse("{}").unwrap_err().contains("hidden_dim"));
}

#[test]
fn configs_of_the_family_load_with_kokoros_numbers_where_a_key_is_absent() {
    let published = fs::read_to_string(golden("kokoro-config.json")).unwrap();
    let config = Config::parse(&published).unwrap();
    assert_eq!((config.decoder_dim, config.asr_res_dim, config.plbert.embedding_size), (1024, 64, 128));
    assert_eq!((config.sample_rate, config.samples_per_frame(), config.max_phonemes()), (24_000, 600, 510));
    // The Chinese variant differs in its table, which has more entries than it has characters of one code point.
    let chinese = published.replacen("\";\": 1", "\"\u{3105}\": 30, \"\u{5341}\u{4e8c}\": 31, \";\": 1", 1);
    assert_eq!(Config::parse(&chinese).unwrap().vocab.len(), config.vocab.len() + 2);
}

/// Rows of the hash voice as they lie in a file.
fn hash_rows(rows: std::ops::Range<usize>, width: usize) -> Vec<f32> {
    rows.flat_map(|row| hash_weights::voice_row(row, width)).collect()
}

#[test]
fn voices_of_every_layout_hold_the_same_rows() {
    let (config, folder) = (tiny_config(), tempfile::tempdir().unwrap());
    let width = config.voice_dim();
    let values = hash_rows(0..510, width);
    let raw = folder.path().join("voice.bin");
    fs::write(&raw, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).unwrap();
    let stored = folder.path().join("voice.safetensors");
    let tensor = Tensor::from_vec(values.clone(), (510, 1, width), &Device::Cpu).unwrap();
    candle_core::safetensors::save(&HashMap::from([("any name", tensor)]), &stored).unwrap();
    for path in [golden("tiny-voice.pt"), raw, stored] {
        let voice = Voice::open(&path, &config).unwrap();
        for phonemes in [1, 2, 509, 510] {
            assert_eq!(voice.row(phonemes), &values[(phonemes - 1) * width..][..width], "{}", path.display());
        }
        assert_eq!(voice.row(0), voice.row(1));
        assert_eq!(voice.row(600), voice.row(510));
    }
}

#[test]
fn a_view_of_a_larger_storage_is_read_by_its_shape_and_offset() {
    let config = tiny_config();
    let voice = Voice::open(&golden("tiny-legacy-voice.pt"), &config).unwrap();
    let values = hash_rows(1..511, config.voice_dim());
    for phonemes in [1, 255, 510] {
        let start = (phonemes - 1) * config.voice_dim();
        assert_eq!(voice.row(phonemes), &values[start..start + config.voice_dim()]);
    }
}

#[test]
fn voices_of_a_wrong_size_are_rejected_with_the_size_that_is_needed() {
    let (config, folder) = (tiny_config(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    fs::write(path("short.bin"), vec![0u8; 510 * config.voice_dim() * 4 - 4]).unwrap();
    fs::write(path("text.pt"), "not a voice").unwrap();
    let save = |name: &str, tensors: &[(&str, Tensor)]| {
        let tensors: HashMap<_, _> = tensors.iter().cloned().collect();
        candle_core::safetensors::save(&tensors, path(name)).unwrap();
    };
    let rows =
        |count: usize, width: usize| Tensor::zeros((count, 1, width), candle_core::DType::F32, &Device::Cpu);
    save("wide.safetensors", &[("v", rows(510, 256).unwrap())]);
    save("few.safetensors", &[("v", rows(509, 8).unwrap())]);
    save("two.safetensors", &[("v", rows(510, 8).unwrap()), ("w", rows(510, 8).unwrap())]);
    let infinite = (rows(510, 8).unwrap() + f64::INFINITY).unwrap();
    save("infinite.safetensors", &[("v", infinite)]);
    for name in [
        "short.bin",
        "text.pt",
        "wide.safetensors",
        "few.safetensors",
        "two.safetensors",
        "infinite.safetensors",
    ] {
        let result = Voice::open(&path(name), &config);
        let Err(EngineError::Rejected(message)) = result else { panic!("{name}: {result:?}") };
        assert!(message.contains(name), "{message}");
    }
    let Err(EngineError::Rejected(message)) = Voice::open(&path("wide.safetensors"), &config) else {
        panic!()
    };
    assert!(message.contains("[510, 1, 256]") && message.contains("[510, 1, 8]"), "{message}");
}

#[test]
fn a_blend_is_the_weighted_mean_of_rows_normalised_by_the_sum_of_weights() {
    let config = tiny_config();
    let [a, b] =
        ["tiny-voice.pt", "tiny-legacy-voice.pt"].map(|file| Voice::open(&golden(file), &config).unwrap());
    let blend = Voice::blend(&[(a.clone(), 3.0), (b.clone(), 1.0)]).unwrap();
    for phonemes in [1, 100, 510] {
        for ((mixed, a), b) in blend.row(phonemes).iter().zip(a.row(phonemes)).zip(b.row(phonemes)) {
            assert!((mixed - (0.75 * a + 0.25 * b)).abs() < 1e-6);
        }
    }
    for weight in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(
            Voice::blend(&[(a.clone(), 1.0), (b.clone(), weight)]),
            Err(EngineError::Rejected(_))
        ));
    }
    assert!(matches!(Voice::blend(&[]), Err(EngineError::Rejected(_))));
}

#[test]
fn the_engine_takes_presets_files_and_blends_but_no_recordings() {
    let mut engine = stentor_engine_kokoro::load(&LoadSpec {
        model: ModelId::from("builtin"),
        engine: "kokoro".to_owned(),
        files: BTreeMap::new(),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    })
    .unwrap();
    assert_eq!(engine.descriptor().presets, ["rms", "slt"]);
    let mut load_voice = |source: &VoiceSource| engine.load_voice(source, &Waiter::default());
    let preset = |name: &str| VoiceSource::Preset { name: name.to_owned() };
    let blend = VoiceSource::Blend { parts: vec![(preset("rms"), 2.0), (preset("slt"), 1.0)] };
    assert!(load_voice(&blend).is_ok());
    let embedding = VoiceSource::Embedding { path: golden("tiny-voice.pt") };
    let Err(EngineError::Rejected(message)) = load_voice(&embedding) else { panic!() };
    assert!(message.contains("[510, 1, 8]") && message.contains("[510, 1, 64]"), "{message}");
    let reference = VoiceSource::Reference { path: Path::new("x.wav").to_owned(), transcript: None };
    assert!(matches!(load_voice(&reference), Err(EngineError::Rejected(_))));
}

#[test]
fn a_card_that_cannot_be_used_becomes_the_cpu_and_says_why() {
    let engine = stentor_engine_kokoro::load(&LoadSpec {
        model: ModelId::from("builtin"),
        engine: "kokoro".to_owned(),
        files: BTreeMap::new(),
        // No machine has so many; without CUDA or without a driver that is said instead.
        device: DeviceSpec::Cuda(4096),
        precision: Precision::F16,
        threads: 1,
        cache_dir: None,
    });
    let descriptor = engine.unwrap().descriptor().clone();
    assert_eq!((descriptor.device, descriptor.precision), (DeviceSpec::Cpu, Precision::F32));
    let why = descriptor.degraded.unwrap();
    assert!(why.starts_with("asked for cuda:4096: ") && why.ends_with("; runs on the CPU"), "{why}");
    #[cfg(not(feature = "cuda"))]
    assert_eq!(why, "asked for cuda:4096: this program was built without CUDA; runs on the CPU");
}
