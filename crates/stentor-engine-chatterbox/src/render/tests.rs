//! Windows against whole renderings, with a full-width vocoder and something simple in the flow's place.

use super::{
    together::{Stretch, advance as advance_all},
    *,
};
use crate::model::{
    SAMPLES_PER_TOKEN,
    hift::{PITCH_REACH, RENDER_REACH},
};
use std::{
    collections::HashMap,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};
use stentor_nn::Unwatched;
use stentor_testkit::chatterbox::{self, Depth, Part};

const PROMPT_FRAMES: usize = 6;

/// The vocoder with hash weights, whose pitch moves between noise and some hundred hertz.
fn hift() -> &'static Hift {
    static HIFT: OnceLock<Hift> = OnceLock::new();
    HIFT.get_or_init(|| {
        let mut tensors = Part::S3Gen.tensors(Depth::Full);
        tensors.retain(|(name, _)| name.starts_with("mel2wav."));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s3gen.safetensors");
        let edit = |name: &str, values: &mut [f32]| {
            if name.ends_with("classifier.weight") {
                for x in values {
                    *x *= 300.0;
                }
            }
        };
        chatterbox::write_tensors(&path, &tensors, edit).unwrap();
        let weights = Weights::open(&path, &Device::Cpu).unwrap();
        Hift::load(&weights.root(), &Device::Cpu, Precision::F32).unwrap()
    })
}

/// A mel that is a function of the frame, with a shade of `blur` for each token that the window lacks.
fn mel_of(first: usize, count: usize, blur: f32) -> Tensor {
    let value = |bin: usize, frame: usize| {
        let slow = (frame as f32 * 0.23 + bin as f32 * 0.7).sin()
            + (frame as f32 * 0.061 * (1 + bin % 5) as f32).cos();
        slow - 3.0 + blur
    };
    let values: Vec<f32> =
        (0..MELS).flat_map(|bin| (first..first + count).map(move |frame| value(bin, frame))).collect();
    Tensor::from_vec(values, (MELS, count), &Device::Cpu).unwrap()
}

fn rendering(window: usize) -> Rendering {
    let mel = vec![0.0; PROMPT_FRAMES * MELS];
    let prompt = S3GenPrompt { tokens: vec![0; PROMPT_FRAMES / 2], mel, xvector: vec![0.0; 192] };
    Rendering::new(Arc::new(prompt), 11, 2, window)
}

/// Token i of every chunk here is i, so that a stretch tells where it is.
fn tokens(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}

/// [`Rendering::render`] with `mel` in the flow's place.
fn advance(
    rendering: &mut Rendering,
    (tokens, last): (&[u32], bool),
    mel: &dyn Fn(&Stretch<'_>) -> Tensor,
    watch: &dyn Watch,
) -> Result<Vec<f32>> {
    let due = Due { rendering, tokens, last, cancel: &CancelFlag::default() };
    let mels = |stretches: &[Stretch<'_>]| Ok(stretches.iter().map(|stretch| Ok(mel(stretch))).collect());
    advance_all(hift(), &mut [due], &mels, watch)?.remove(0)
}

/// The frames that the next window settles.
fn window(rendering: &mut Rendering, tokens: &[u32], mel: &dyn Fn(&Stretch<'_>) -> Tensor) -> Tensor {
    let window = rendering.window(tokens.len(), false).unwrap();
    let (prompt, noise) = (Arc::clone(&rendering.prompt), rendering.noise(&window));
    let tokens = &tokens[window.tokens.clone()];
    let frames = mel(&Stretch { prompt, steps: rendering.steps, tokens, last: window.last, noise });
    let settled = rendering.settle(&window, &frames).unwrap().unwrap();
    rendering.pass(&window);
    settled
}

/// The fake flow: `blur` makes it depend on how much of `all` tokens it saw.
fn flow(stretch: &Stretch<'_>, blur: f32, all: usize) -> Tensor {
    let lookahead = if stretch.last { 0 } else { LOOKAHEAD };
    let count = 2 * (stretch.tokens.len() - lookahead);
    assert_eq!(stretch.noise.len(), (PROMPT_FRAMES + count) * MELS);
    let first = stretch.tokens[0] as usize;
    mel_of(2 * first, count, blur * (all - first - stretch.tokens.len()) as f32)
}

/// The chunk's samples when its tokens come in steps of `pace`.
fn speak(count: usize, window: usize, pace: usize, blur: f32) -> Vec<f32> {
    let (all, mut rendering, mut samples) = (tokens(count), rendering(window), Vec::new());
    let mel = |stretch: &Stretch<'_>| flow(stretch, blur, count);
    let mut known = 0;
    while known < count {
        known = (known + pace).min(count);
        let last = known == count;
        if rendering.window(known, last).is_some() {
            samples.extend(advance(&mut rendering, (&all[..known], last), &mel, &Unwatched).unwrap());
        }
    }
    assert!(rendering.window(count, true).is_none(), "a finished chunk wants nothing");
    samples
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn windows_of_one_mel_give_what_the_whole_gives() {
    let whole = speak(60, 0, 60, 0.0);
    assert!(whole[2000..].iter().any(|x| x.abs() > 0.05), "there is something to hear");
    for window in [10, 17] {
        let error = largest_difference(&speak(60, window, 1, 0.0), &whole);
        assert!(error < 1e-4, "window {window}: {error}");
    }
}

#[test]
fn samples_do_not_depend_on_when_tokens_come() {
    let steady = speak(45, 8, 1, 0.01);
    assert_eq!(speak(45, 8, 7, 0.01), steady);
    assert_eq!(speak(45, 8, 45, 0.01), steady);
}

#[test]
fn every_schedule_gives_960_samples_a_token() {
    for (count, window, pace) in
        [(1, 0, 1), (1, 1, 1), (2, 1, 1), (3, 25, 1), (4, 1, 1), (5, 2, 3), (23, 1, 2), (31, 20, 1)]
    {
        let samples = speak(count, window, pace, 0.02);
        assert_eq!(samples.len(), count * SAMPLES_PER_TOKEN, "{count} tokens, window {window}");
        assert!(samples.iter().all(|x| x.is_finite() && x.abs() <= 0.99));
        assert!(samples[..=480].iter().all(|&x| x == 0.0), "the start is silent");
    }
    let nothing = advance(&mut rendering(4), (&[], true), &|s| flow(s, 0.0, 0), &Unwatched).unwrap();
    assert!(nothing.is_empty());
}

#[test]
fn the_first_window_speaks_early_and_later_ones_are_longer() {
    let (all, mut rendering) = (tokens(200), rendering(20));
    let mel = |stretch: &Stretch<'_>| flow(stretch, 0.0, 200);
    let mut windows = Vec::new();
    for known in 1..=all.len() {
        if rendering.window(known, false).is_some() {
            let samples = advance(&mut rendering, (&all[..known], false), &mel, &Unwatched).unwrap();
            windows.push((known, samples.len()));
        }
    }
    let ends: Vec<usize> = windows.iter().map(|(known, _)| *known).collect();
    assert_eq!(ends, [23, 63, 143]);
    let held = FADE + PITCH_REACH + RENDER_REACH;
    assert_eq!(windows[0].1, (40 - held) * 480);
    assert_eq!(windows[1].1, 80 * 480);
}

#[test]
fn a_frame_starts_from_the_same_noise_in_every_window() {
    let seen: Mutex<HashMap<usize, Vec<f32>>> = Mutex::default();
    let mel = |stretch: &Stretch<'_>| {
        let first = 2 * stretch.tokens[0] as usize;
        let mut seen = seen.lock().unwrap();
        for (row, noise) in stretch.noise.chunks(MELS).enumerate() {
            // The prompt's frames are numbered behind all of the chunk's.
            let frame = if row < PROMPT_FRAMES { 10_000 + row } else { first + row - PROMPT_FRAMES };
            assert_eq!(seen.entry(frame).or_insert_with(|| noise.to_vec()), noise, "frame {frame}");
        }
        flow(stretch, 0.0, 150)
    };
    let mut rendering = rendering(20);
    let all = tokens(150);
    let mut shifted = false;
    for known in [23, 63, 143] {
        window(&mut rendering, &all[..known], &mel);
        shifted |= rendering.settled > 2 * CONTEXT;
    }
    assert!(shifted, "some window began after the chunk's first token");
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), PROMPT_FRAMES + 280);
    let distinct: std::collections::HashSet<Vec<u32>> =
        seen.values().map(|row| row.iter().map(|x| x.to_bits()).collect()).collect();
    assert_eq!(distinct.len(), seen.len(), "no two frames share their noise");
}

#[test]
fn where_windows_disagree_the_join_is_faded_and_nothing_clicks() {
    // A flow that sees more of the chunk says the same frames up to 0.9 (on a logarithmic scale) lower.
    let (all, mut rendering) = (tokens(60), rendering(15));
    let mel = |stretch: &Stretch<'_>| flow(stretch, 0.03, 60);
    let first = window(&mut rendering, &all[..18], &mel);
    let second = window(&mut rendering, &all[..48], &mel);
    let joined = Tensor::cat(&[&first, &second], 1).unwrap().narrow(0, 0, 1).unwrap();
    let blur = (joined - mel_of(0, 86, 0.0).narrow(0, 0, 1).unwrap()).unwrap().flatten_all().unwrap();
    let blur = blur.to_vec1::<f32>().unwrap();
    let steps: Vec<f32> = blur.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    assert!((blur[0] - 42.0 * 0.03).abs() < 1e-4 && (blur[85] - 12.0 * 0.03).abs() < 1e-4, "{blur:?}");
    assert!(steps.iter().all(|&step| step < 0.9 / FADE as f32), "{steps:?}");
    // A click would be a sample that leaps further than any does in the whole rendering.
    let leap = |samples: &[f32]| samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    let (windows, whole) = (speak(60, 15, 1, 0.002), speak(60, 0, 60, 0.0));
    assert!(leap(&windows) < 1.2 * leap(&whole), "{} and {}", leap(&windows), leap(&whole));
}

#[test]
fn another_seed_speaks_otherwise_and_the_same_one_the_same() {
    let mel = |stretch: &Stretch<'_>| flow(stretch, 0.0, 6);
    let run = |seed| {
        let mut rendering = Rendering { seed, vocoding: Vocoding::new(seed), ..rendering(0) };
        advance(&mut rendering, (&tokens(6), true), &mel, &Unwatched).unwrap()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Stops the pass at the given unit of work.
struct StopAt(usize, AtomicUsize);

impl Watch for StopAt {
    fn tick(&self) -> bool {
        self.1.fetch_add(1, Ordering::Relaxed) < self.0
    }
}

#[test]
fn a_pass_stops_where_it_is_told_to() {
    let mel = |stretch: &Stretch<'_>| flow(stretch, 0.0, 10);
    for unit in [0, 3, 40, 200] {
        let watch = StopAt(unit, AtomicUsize::new(0));
        let result = advance(&mut rendering(0), (&tokens(10), true), &mel, &watch);
        assert!(matches!(result, Err(NnError::Stopped)), "unit {unit}");
        let units = watch.1.into_inner();
        assert!(units < unit + 50, "{units} units of work after being told to stop at {unit}");
    }
}

/// Chunks of several lengths and windows, whose tokens all come in steps of `pace`: the samples of each, and how many windows
/// went through the flow at once. `watched` is told of each step.
fn speak_together(
    chunks: &[(usize, usize, u64)],
    pace: usize,
    watched: &dyn Fn(usize, &[CancelFlag]),
) -> (Vec<Result<Vec<f32>>>, Vec<usize>) {
    let mut renderings: Vec<Rendering> = chunks
        .iter()
        .map(|&(_, window, seed)| Rendering { seed, vocoding: Vocoding::new(seed), ..rendering(window) })
        .collect();
    let all: Vec<Vec<u32>> = chunks.iter().map(|chunk| tokens(chunk.0)).collect();
    let cancel: Vec<CancelFlag> = chunks.iter().map(|_| CancelFlag::default()).collect();
    let passes = Mutex::new(Vec::new());
    let mels = |stretches: &[Stretch<'_>]| {
        passes.lock().unwrap().push(stretches.len());
        let mel = |stretch: &Stretch<'_>| {
            let broken = stretch.tokens.contains(&BROKEN);
            if broken { Err(NnError::Stopped) } else { Ok(flow(stretch, 0.0, 1000)) }
        };
        Ok(stretches.iter().map(mel).collect())
    };
    let mut samples: Vec<Result<Vec<f32>>> = chunks.iter().map(|_| Ok(Vec::new())).collect();
    for (step, known) in (pace..).step_by(pace).enumerate() {
        watched(step, &cancel);
        let each = renderings.iter_mut().zip(&all).zip(&cancel);
        let mut due: Vec<Due<'_>> = each
            .map(|((rendering, all), cancel)| {
                let known = known.min(all.len());
                Due { rendering, tokens: &all[..known], last: known == all.len(), cancel }
            })
            .collect();
        let heard = advance_all(hift(), &mut due, &mels, &Unwatched).unwrap();
        for (samples, heard) in samples.iter_mut().zip(heard) {
            match (&mut *samples, heard) {
                (Ok(samples), Ok(heard)) => samples.extend(heard),
                (Err(_), _) => {}
                (samples, error) => *samples = error,
            }
        }
        if known > chunks.iter().map(|chunk| chunk.0).max().unwrap() {
            break;
        }
    }
    (samples, passes.into_inner().unwrap())
}

/// A token that makes the fake flow fail.
const BROKEN: u32 = 77;
/// Tokens, window and seed. The last one speaks the broken token.
const CHUNKS: [(usize, usize, u64); 5] = [(60, 10, 1), (31, 0, 2), (3, 10, 3), (47, 8, 4), (90, 20, 5)];

fn alone(chunk: (usize, usize, u64)) -> Vec<f32> {
    let (mut samples, _) = speak_together(&[chunk], 12, &|_, _| ());
    samples.remove(0).unwrap()
}

#[test]
fn chunks_together_are_to_the_bit_what_each_is_alone_and_one_that_fails_fails_alone() {
    let (together, passes) = speak_together(&CHUNKS, 12, &|_, _| ());
    assert!(passes.contains(&3), "windows go through the flow at once: {passes:?}");
    for (chunk, samples) in CHUNKS.iter().zip(&together).take(4) {
        let (samples, alone) = (samples.as_ref().unwrap(), alone(*chunk));
        assert_eq!(samples.len(), chunk.0 * SAMPLES_PER_TOKEN);
        assert!(*samples == alone, "{chunk:?} is off by {}", largest_difference(samples, &alone));
    }
    assert!(together[4].is_err());
}

#[test]
fn a_chunk_that_is_cancelled_between_windows_leaves_and_the_others_stay_as_they_are() {
    let (together, _) = speak_together(&CHUNKS[..4], 12, &|step, cancel| {
        if step == 3 {
            cancel[0].cancel();
        }
    });
    assert!(matches!(together[0], Err(NnError::Stopped)));
    for (chunk, samples) in CHUNKS.iter().zip(&together).take(4).skip(1) {
        assert!(*samples.as_ref().unwrap() == alone(*chunk), "{chunk:?}");
    }
}

#[test]
fn what_goes_together_takes_no_more_than_the_longest_chunk_alone() {
    let most: usize = FRAMES.iter().sum();
    assert!(flow_together(1, most) && !flow_together(1, most + 1) && !flow_together(2, most));
    // The first windows of chunks with a voice of ten seconds.
    assert!(flow_together(16, FRAMES[1] + 50) && !flow_together(100, FRAMES[1] + 50));
    assert!(!flow_together(usize::MAX, usize::MAX));
}
