//! The engine with the built-in model: determinism, cancelling, limits and timings.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};
use stentor_engine::{
    CancelFlag, ChunkOutput, ChunkRequest, EngineError, StepCounter, VoiceSlot, WholeChunk,
};
use stentor_engine_kokoro::{KokoroEngine, SpeakError, load_engine};
use stentor_g2p::{Origin, PhonemeWord, Phonemes};
use stentor_nn::NnError;
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Precision, Speed, SpokenText, VoiceSource,
};

fn engine(threads: usize) -> (KokoroEngine, VoiceSlot) {
    let mut engine = load_engine(&LoadSpec {
        model: ModelId::from("builtin"),
        engine: "kokoro".to_owned(),
        files: BTreeMap::new(),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads,
        cache_dir: None,
    })
    .unwrap();
    let voice = engine.load_voice(&VoiceSource::Preset { name: "slt".to_owned() }).unwrap();
    (engine, voice)
}

fn request(text: &str, voice: VoiceSlot) -> ChunkRequest {
    ChunkRequest {
        id: ChunkId(1),
        text: SpokenText { text: text.to_owned(), spans: Vec::new() },
        language: Language::en_us(),
        voice,
        speed: Speed::NORMAL,
        seed: 11,
        params: BTreeMap::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    }
}

/// "Hello, world!" with its words marked, as a phonemizer gives it.
fn hello() -> Phonemes {
    let word = |source, phonemes| PhonemeWord { source, phonemes, origin: Origin::Dictionary };
    Phonemes {
        text: "həlˈO, wˈɜɹld!".to_owned(),
        words: vec![word(0..5, 0..5), word(7..12, 7..13)],
        ..Phonemes::default()
    }
}

fn speak(engine: &KokoroEngine, phonemes: &Phonemes, request: &ChunkRequest) -> ChunkOutput {
    engine.speak(phonemes, request).unwrap()
}

#[test]
fn samples_are_the_same_to_the_bit_whatever_the_number_of_threads() {
    let runs = [1, 2, 4].map(|threads| {
        let (engine, voice) = engine(threads);
        let output = speak(&engine, &hello(), &request("Hello, world!", voice));
        output.samples.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    assert!(runs[0].len() > 12_000);
    assert!(runs[0] == runs[1], "one thread and two differ");
    assert!(runs[0] == runs[2], "one thread and four differ");
}

#[test]
fn the_seed_decides_the_noise_and_nothing_else() {
    let (engine, voice) = engine(1);
    let run = |seed| speak(&engine, &hello(), &ChunkRequest { seed, ..request("Hello, world!", voice) });
    let (one, same, other) = (run(1), run(1), run(2));
    assert_eq!(one, same);
    assert_ne!(one.samples, other.samples);
    assert_eq!(one.words, other.words);
    assert_eq!(one.samples.len(), other.samples.len());
}

#[test]
fn words_are_timed_in_order_and_speed_shortens_them() {
    let (engine, voice) = engine(1);
    let normal = speak(&engine, &hello(), &request("Hello, world!", voice));
    assert_eq!(normal.units, 14);
    let [first, second] = &normal.words[..] else { panic!("{:?}", normal.words) };
    assert_eq!((first.text.clone(), second.text.clone()), (0..5, 7..12));
    assert!(first.samples.end <= second.samples.start);
    assert!(second.samples.end <= normal.samples.len() as u64);
    // Something is heard while a word is said.
    for word in &normal.words {
        let heard = &normal.samples[word.samples.start as usize..word.samples.end as usize];
        let level = (heard.iter().map(|x| x * x).sum::<f32>() / heard.len() as f32).sqrt();
        assert!(level > 0.03, "{word:?} has the level {level}");
    }
    let speed = Speed::try_from(2.0).unwrap();
    let fast = speak(&engine, &hello(), &ChunkRequest { speed, ..request("Hello, world!", voice) });
    let ratio = normal.samples.len() as f32 / fast.samples.len() as f32;
    assert!((1.7..2.3).contains(&ratio), "twice the speed took 1/{ratio} of the time");
}

#[test]
fn work_ends_with_the_unit_in_which_it_is_cancelled() {
    let (engine, voice) = engine(2);
    let whole = request("Hello, world!", voice);
    speak(&engine, &hello(), &whole);
    let total = whole.progress.get();
    assert!(total > 300, "only {total} units of work");
    for at in [1, total / 10, total / 2, total - 10] {
        let request = request("Hello, world!", voice);
        let counted = std::thread::scope(|scope| {
            let (cancel, progress) = (request.cancel.clone(), request.progress.clone());
            let canceller = scope.spawn(move || {
                while progress.get() < at {
                    std::hint::spin_loop();
                }
                cancel.cancel();
                progress.get()
            });
            let result = engine.speak(&hello(), &request);
            let counted = canceller.join().unwrap();
            // A run may end before a late cancellation is seen.
            assert!(
                at > total / 2 || matches!(result, Err(SpeakError::Network(NnError::Stopped))),
                "{at}: {result:?}"
            );
            counted
        });
        let after = request.progress.get() - counted;
        assert!(after <= 2, "{after} units of work after the cancellation at {at}");
    }
}

#[test]
fn a_cancelled_request_does_no_work() {
    let (mut engine, voice) = engine(1);
    let request = request("Hello, world!", voice);
    request.cancel.cancel();
    assert_eq!(engine.synthesize(&request).unwrap(), Err(EngineError::Cancelled));
}

#[test]
fn chunks_together_are_to_the_bit_what_each_is_alone() {
    let (mut engine, voice) = engine(2);
    let texts = ["Hello, world!", "", "No.", "One of these is longer than all of the others.", "Too late."];
    let mut requests: Vec<_> =
        texts.iter().zip(0..).map(|(text, seed)| ChunkRequest { seed, ..request(text, voice) }).collect();
    requests[0].speed = Speed::try_from(1.3).unwrap();
    requests[4].cancel.cancel();
    requests.push(request("Whose voice?", VoiceSlot(99)));
    let together = engine.synthesize_together(&requests).unwrap();
    assert_eq!(together.len(), requests.len());
    for (request, outcome) in requests.iter().zip(&together) {
        assert_eq!(outcome, &engine.synthesize(request).unwrap(), "{}", request.text.text);
    }
    assert!(together[3].as_ref().unwrap().samples.len() > 24_000);
    assert_eq!(together[4], Err(EngineError::Cancelled));
    assert!(matches!(together[5], Err(EngineError::Failed(_))));
}

/// Requests of these texts and speeds.
fn requests(voice: VoiceSlot, texts: &[(&str, f32)]) -> Vec<ChunkRequest> {
    let one = |(&(text, speed), seed): (&(&str, f32), u64)| ChunkRequest {
        seed,
        speed: Speed::try_from(speed).unwrap(),
        ..request(text, voice)
    };
    texts.iter().zip(0..).map(one).collect()
}

#[test]
fn one_that_is_too_long_is_refused_and_the_others_are_spoken_in_as_many_passes_as_they_need() {
    let (mut engine, voice) = engine(2);
    let letters = "It rained on the harbour again. ".repeat(30);
    let story = "The old nurse walked down to the village, and nobody knew why. ".repeat(4);
    // Too many letters; few enough, but for more than a minute; and three that take more than one pass.
    let slow = story.repeat(2);
    let texts =
        [("Hello.", 1.0), (&letters, 1.0), (&story, 0.6), (&slow, 0.25), (&story, 0.7), (&story, 0.65)];
    let requests = requests(voice, &texts);
    let together = engine.synthesize_together(&requests).unwrap();
    for index in [1, 3] {
        let Err(EngineError::ChunkTooLong { limit }) = together[index] else {
            panic!("{:?}", together[index])
        };
        assert!(limit > 0 && limit < texts[index].0.len(), "{limit}");
    }
    let seconds = |index: usize| together[index].as_ref().unwrap().samples.len() / 24_000;
    assert!(seconds(2) + seconds(4) + seconds(5) > 60, "they fit in one pass");
    for index in [0, 2, 4, 5] {
        assert_eq!(together[index], engine.synthesize(&requests[index]).unwrap(), "{index}");
    }
}

#[test]
fn one_that_is_cancelled_on_the_way_changes_nothing_for_the_others_and_is_no_progress() {
    let (mut engine, voice) = engine(2);
    let story = "The old nurse walked down to the village, and nobody knew why.";
    let requests = requests(voice, &[(story, 1.0), ("Hello, world!", 1.0), (story, 0.9)]);
    let over = AtomicBool::new(false);
    let counted = std::thread::scope(|scope| {
        let (cancel, progress) = (requests[1].cancel.clone(), requests[1].progress.clone());
        let over = &over;
        let canceller = scope.spawn(move || {
            while progress.get() < 300 {
                assert!(!over.load(Ordering::Relaxed), "it was over after {} units of work", progress.get());
                std::hint::spin_loop();
            }
            cancel.cancel();
            progress.get()
        });
        let together = engine.synthesize_together(&requests);
        over.store(true, Ordering::Relaxed);
        let together = together.unwrap();
        for index in [0, 2] {
            assert_eq!(together[index], engine.synthesize(&requests[index]).unwrap(), "{index}");
        }
        canceller.join().unwrap()
    });
    let after = requests[1].progress.get() - counted;
    assert!(after <= 2, "{after} units of work after the cancellation");
}

#[test]
fn one_that_is_cancelled_while_an_earlier_pass_is_spoken_is_left_out_of_its_own() {
    let (mut engine, voice) = engine(2);
    let story = "The old nurse walked down to the village, and nobody knew why. ".repeat(4);
    // More than one pass, of which the longest is the last.
    let requests = requests(voice, &[(&story, 0.7), (&story, 0.6), (&story, 0.65)]);
    let together = std::thread::scope(|scope| {
        let (cancel, progress) = (requests[1].cancel.clone(), requests[1].progress.clone());
        scope.spawn(move || {
            while progress.get() < 300 {
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        engine.synthesize_together(&requests).unwrap()
    });
    assert_eq!(together[1], Err(EngineError::Cancelled));
    for index in [0, 2] {
        assert_eq!(together[index], engine.synthesize(&requests[index]).unwrap(), "{index}");
    }
}

#[test]
fn what_does_not_fit_names_a_length_that_does() {
    let (engine, voice) = engine(1);
    let text = "a".repeat(800);
    let phonemes = Phonemes { text: "ə".repeat(600), ..Phonemes::default() };
    let result = engine.speak(&phonemes, &request(&text, voice));
    let Err(SpeakError::Engine(EngineError::ChunkTooLong { limit })) = result else { panic!("{result:?}") };
    assert!((400..=680).contains(&limit), "{limit}");
    // Few enough phonemes, but more than a minute of speech.
    let slow = ChunkRequest { speed: Speed::try_from(0.25).unwrap(), ..request(&text, voice) };
    let phonemes = Phonemes { text: "hˈA wˈɜɹld, ".repeat(40), ..Phonemes::default() };
    let result = engine.speak(&phonemes, &slow);
    assert!(
        matches!(result, Err(SpeakError::Engine(EngineError::ChunkTooLong { limit })) if limit < 800),
        "{result:?}"
    );
}

#[test]
fn a_text_without_known_phonemes_is_silent_and_short() {
    let (engine, voice) = engine(1);
    for phonemes in ["", "\u{4e2d}\u{6587}"] {
        let phonemes = Phonemes { text: phonemes.to_owned(), ..Phonemes::default() };
        let output = engine.speak(&phonemes, &request("x", voice)).unwrap();
        assert!(output.samples.is_empty() && output.words.is_empty(), "{output:?}");
    }
}

#[test]
fn loudness_is_that_of_speech_and_nothing_clips() {
    let (engine, voice) = engine(1);
    let samples = speak(&engine, &hello(), &request("Hello, world!", voice)).samples;
    let peak = samples.iter().fold(0.0f32, |peak, x| peak.max(x.abs()));
    let level = (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt();
    assert!((0.2..1.0).contains(&peak), "peak {peak}");
    assert!((0.03..0.3).contains(&level), "level {level}");
}

#[test]
fn a_text_is_read_and_shown_as_phonemes() {
    let (mut engine, voice) = engine(1);
    let output = engine.synthesize(&request("Hello, world!", voice)).unwrap().unwrap();
    assert_eq!(output.words.len(), 2);
    let text = SpokenText { text: "Hello, world!".to_owned(), spans: Vec::new() };
    let trace = engine.phonemize(&text, &Language::en_us()).unwrap();
    assert_eq!(trace.words.iter().map(|word| word.0.as_str()).collect::<Vec<_>>(), ["Hello", "world"]);
    assert!(trace.phonemes.contains(&trace.words[0].1));
    let language = "xx-none".parse().unwrap();
    assert!(matches!(engine.phonemize(&text, &language), Err(EngineError::Rejected(_))));
}
