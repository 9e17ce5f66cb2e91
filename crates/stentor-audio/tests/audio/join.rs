//! Joins as a listener hears them: no click, exact pauses, nothing lost, nothing too loud.

use crate::signals::{correlation, magnitude_at, sampled, speech_like};
use std::f64::consts::TAU;
use stentor_audio::{JoinOptions, Joiner, Placement};
use stentor_types::SampleRate;

const RATE: SampleRate = SampleRate::HZ_24000;

fn joiner() -> Joiner {
    Joiner::new(RATE, JoinOptions::default())
}

/// Joins chunks, each with its pause in ms, cut into pieces.
fn join(chunks: &[(&[f32], u32)], piece: usize) -> (Vec<f32>, Vec<Placement>) {
    let mut joiner = joiner();
    let mut out = Vec::new();
    let place = |&(chunk, pause): &(&[f32], u32)| {
        joiner.begin();
        chunk.chunks(piece).for_each(|piece| joiner.push(piece, &mut out));
        joiner.end(pause, &mut out)
    };
    let placements = chunks.iter().map(place).collect();
    (out, placements)
}

fn join_one(chunk: &[f32], pause_ms: u32) -> (Vec<f32>, Placement) {
    let (out, placements) = join(&[(chunk, pause_ms)], usize::MAX);
    (out, placements[0].clone())
}

fn sine(hz: f64, amplitude: f64, samples: usize) -> Vec<f32> {
    sampled(|t| amplitude * (TAU * hz * t).cos(), RATE.0, samples)
}

fn silence(samples: usize) -> Vec<f32> {
    vec![0.0; samples]
}

fn largest_step(samples: &[f32]) -> f32 {
    samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max)
}

/// Energy above 6 kHz in the 512 samples around `centre`, under a Hann window.
fn treble(samples: &[f32], centre: usize) -> f64 {
    let window = |i: usize, x: f32| x * (0.5 - 0.5 * (TAU * i as f64 / 512.0).cos()) as f32;
    let part: Vec<f32> =
        samples[centre - 256..centre + 256].iter().enumerate().map(|(i, &x)| window(i, x)).collect();
    (128..256).map(|bin| magnitude_at(&part, RATE.0, f64::from(bin) * 24_000.0 / 512.0).powi(2)).sum()
}

#[test]
fn two_sines_join_without_a_click() {
    // Cut at full swing on both sides: glued as they are, the step would be more than one.
    let (first, second) = (sine(300.0, 0.6, 12_020), sine(410.0, 0.6, 12_000));
    let steepest = 0.6 * (TAU * 410.0 / 24_000.0) as f32;
    for pause_ms in [0, 3, 200] {
        let (out, placements) = join(&[(&first, pause_ms), (&second, pause_ms)], usize::MAX);
        let at = placements[1].start as usize;
        // A fade of 120 samples adds at most 0.6·π/240 to the slope of the wave itself.
        assert!(largest_step(&out) < steepest + 0.01, "{pause_ms} ms: a step of {}", largest_step(&out));
        let glued: Vec<f32> = first.iter().chain(&second).copied().collect();
        let click = treble(&glued, first.len());
        let join = treble(&out, at);
        assert!(join < click / 1e4, "{pause_ms} ms: treble {join} against {click} of a click");
    }
}

#[test]
fn pauses_are_exact_whatever_silence_the_engine_left() {
    // It stops as it crosses zero, where a filter that only removes an offset rings on longest.
    let tone = sine(300.0, 0.5, 9_980);
    for pause_ms in [0, 1, 40, 100, 101, 250, 1000] {
        for left in [0, 10, 1000, 2400, 5000, 60_000] {
            let chunk = [&tone[..], &silence(left)].concat();
            let (out, placements) = join(&[(&chunk, pause_ms), (&tone, 0)], usize::MAX);
            let pause = 24 * pause_ms as usize;
            assert_eq!((placements[0].start, placements[0].trimmed), (0, 0));
            assert_eq!(placements[1].start as usize, tone.len() + pause, "{pause_ms} ms, {left} left");
            assert!(out[tone.len()..tone.len() + pause].iter().all(|&x| x == 0.0));
            assert_eq!(out.len(), 2 * tone.len() + pause);
        }
    }
}

#[test]
fn a_soft_tail_is_kept_within_the_pause_and_fades_out() {
    let hiss = |n| sampled(|t| 0.003 * (TAU * 5000.0 * t).sin(), RATE.0, n);
    let chunk = [&hiss(6000)[..], &sine(300.0, 0.5, 10_000), &hiss(24_000)].concat();
    let (out, placement) = join_one(&chunk, 400);
    assert_eq!(
        placement,
        Placement { start: 0, trimmed: 6000 - 1200, ..Placement::default() },
        "50 ms of head stay"
    );
    assert_eq!(out.len(), 1200 + 10_000 + 9600, "400 ms after the last sound");
    let tail = &out[11_200..];
    assert!(tail[..2280].iter().any(|&x| x.abs() > 0.0029), "100 ms of it are the engine's own");
    assert!(tail[2390..2400].iter().all(|&x| x.abs() < 1e-4), "faded");
    assert!(tail[2400..].iter().all(|&x| x == 0.0), "then exact silence");
}

#[test]
fn placements_map_chunk_samples_to_output_samples() {
    let speech = sampled(speech_like, RATE.0, 24_000);
    let chunk = [&silence(7000)[..], &speech, &silence(3000)].concat();
    let (out, placements) = join(&[(&chunk, 300), (&chunk, 300)], 1000);
    for placement in placements {
        let (start, trimmed) = (placement.start as usize, placement.trimmed as usize);
        let length = 20_000;
        let alike = correlation(&chunk[trimmed..trimmed + length], &out[start..start + length]);
        assert!(alike > 0.9999, "correlation {alike}");
    }
}

#[test]
fn silent_and_empty_chunks_leave_only_their_pause() {
    let mut joiner = joiner();
    let mut out = Vec::new();
    joiner.begin();
    joiner.push(&silence(30_000), &mut out);
    assert_eq!(joiner.end(100, &mut out), Placement { start: 0, trimmed: 30_000, ..Placement::default() });
    joiner.begin();
    assert_eq!(joiner.end(50, &mut out), Placement { start: 2400, trimmed: 0, ..Placement::default() });
    joiner.begin();
    joiner.push(&[0.5, -0.5], &mut out);
    assert_eq!(joiner.end(0, &mut out), Placement { start: 3600, trimmed: 0, ..Placement::default() });
    assert_eq!(out.len(), 3602);
    assert!(out.iter().all(|x| x.abs() < 0.01), "a chunk shorter than its fades is all but silent");
}

#[test]
fn the_size_of_pushes_changes_no_bit() {
    let speech = sampled(speech_like, RATE.0, 60_000);
    let chunk = [&silence(2000)[..], &speech, &silence(70_000), &speech, &silence(5000)].concat();
    let chunks: [(&[f32], u32); 3] = [(&chunk, 300), (&speech, 0), (&chunk[..50_000], 70)];
    let whole = join(&chunks, usize::MAX);
    for piece in [1, 7, 7777] {
        assert!(join(&chunks, piece) == whole, "pieces of {piece}");
    }
}

#[test]
fn nothing_leaves_beyond_full_scale_and_speech_levels_pass_unchanged() {
    let mut wild = sine(200.0, 3.0, 10_000);
    wild[5000] = f32::NAN;
    wild[5001] = f32::INFINITY;
    wild[5002] = f32::NEG_INFINITY;
    wild[5003] = f32::MAX;
    wild[5004] = f32::MIN;
    let (out, _) = join_one(&wild, 0);
    assert!(out.iter().all(|x| x.abs() <= 1.0));
    assert_eq!(out[5000..5003], [0.0; 3]);
    assert!(out[5003] > 0.99 && out[5004] < -0.99);

    let speech = sine(200.0, 0.9, 10_000);
    let (out, _) = join_one(&speech, 0);
    assert_eq!(out[120..9880], speech[120..9880], "between the fades, bit for bit");

    // The bend is monotonic, so a louder input is never quieter in the output.
    let ramp: Vec<f32> = (0..20_000).map(|i| i as f32 / 10_000.0).collect();
    let (out, _) = join_one(&ramp, 0);
    assert!(out[..out.len() - 120].is_sorted(), "a ramp stays a ramp");
    assert!(out[10_000] < 0.98, "what would be full scale is bent already: {}", out[10_000]);
}

#[test]
fn a_constant_offset_neither_hides_silence_nor_clicks() {
    let offset = |samples: Vec<f32>| samples.into_iter().map(|x| x + 0.02).collect::<Vec<_>>();
    let chunk = offset([silence(12_000), sine(300.0, 0.5, 12_000), silence(24_000)].concat());
    let (out, placement) = join_one(&chunk, 200);
    assert!((placement.trimmed as i64 - (12_000 - 1200)).abs() < 24, "trimmed {}", placement.trimmed);
    let expected = 1200 + 12_000 + 4800;
    // The filter that ignores the offset needs a moment to see that the sound has ended.
    assert!((expected..expected + 24 * 25).contains(&out.len()), "{} samples", out.len());
    assert!(out[0].abs() < 1e-3 && out[out.len() - 1] == 0.0);
    let steepest = 0.5 * (TAU * 300.0 / 24_000.0) as f32;
    assert!(largest_step(&out[..1000]) < 1e-3 && largest_step(&out[14_500..]) < steepest);
}

#[test]
fn a_silence_inside_a_chunk_stays_up_to_two_seconds() {
    let tone = sine(300.0, 0.5, 5000);
    for (gap, kept) in [(24_000, 24_000), (48_000, 48_000), (200_000, 48_000)] {
        let chunk = [&tone[..], &silence(gap), &tone].concat();
        let (out, _) = join_one(&chunk, 0);
        assert_eq!(out.len(), 5000 + kept + 5000, "a gap of {gap}");
    }
}

/// Words after a silence that was shortened are told to be heard where they are heard.
#[test]
fn what_follows_a_shortened_silence_is_still_found() {
    let word = sampled(speech_like, RATE.0, 12_000);
    let chunk = [
        &silence(5000)[..],
        &word,
        &silence(100_000),
        &word,
        &silence(30_000),
        &word,
        &silence(60_000),
        &word,
    ]
    .concat();
    let (out, placement) = join_one(&chunk, 100);
    for start in [5000, 117_000, 159_000, 231_000_u64] {
        let at = placement.sounds_at(start) as usize;
        let alike = correlation(&word[200..11_800], &out[at + 200..at + 11_800]);
        assert!(alike > 0.999, "sample {start} is not heard at {at}: correlation {alike}");
    }
    assert_eq!(placement.sounds_at(0), 0, "what was cut away at the start");
    let at: Vec<u64> =
        (0..chunk.len() as u64).step_by(500).map(|sample| placement.sounds_at(sample)).collect();
    assert!(at.is_sorted(), "time runs backwards");
    assert_eq!(placement.shortened.len(), 2);
}

/// Every sample pushed is either in the output already or among the few held back.
#[test]
fn an_hour_of_pushes_holds_nothing_back_but_the_last_sounds() {
    let mut joiner = joiner();
    let second = sampled(speech_like, RATE.0, 24_000);
    let (mut out, mut written) = (Vec::new(), 0);
    let push = |joiner: &mut Joiner, samples: &[f32], out: &mut Vec<f32>| {
        out.clear();
        joiner.push(samples, out);
        out.len()
    };
    joiner.begin();
    for pushed in (1..=3600).map(|seconds| seconds * second.len()) {
        written += push(&mut joiner, &second, &mut out);
        assert!(pushed - written < 24_000 / 2, "{} samples held", pushed - written);
    }
    // Silence without end is dropped, not stored: what comes out at the next sound is bounded.
    let quiet = silence(24_000);
    assert!((0..1200).map(|_| push(&mut joiner, &quiet, &mut out)).sum::<usize>() == 0);
    assert!(push(&mut joiner, &second, &mut out) < 3 * 24_000 + 24_000 / 2);
    let held = format!("{joiner:?}").len();
    assert!(held < 1_000_000, "the joiner's whole state prints as {held} characters");
}
