//! The scheduler, on networks that cost nothing.

mod fake;

use super::*;
use crate::model::SAMPLES_PER_TOKEN;
use fake::{Fake, PACE};
use std::collections::BTreeMap;
use stentor_engine::{CancelFlag, ChunkStats, StepCounter};
use stentor_types::{Language, ParamValue, Params, Speed, SpokenText, WordTiming};

mod english {
    stentor_engine::conformance!(|| Box::new(super::Fake::new(super::Family::English).engine()));
}

mod turbo {
    stentor_engine::conformance!(|| Box::new(super::Fake::new(super::Family::Turbo).engine()));
}

const SENTENCE: &str = "A sentence of many words that goes on for quite a while.";

/// What an engine told, and in which step.
#[derive(Default)]
struct Heard {
    step: usize,
    pieces: Vec<(u64, usize, Vec<f32>)>,
    words: BTreeMap<u64, Vec<WordTiming>>,
    ends: BTreeMap<u64, Result<ChunkStats, EngineError>>,
}

impl StepSink for Heard {
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        self.pieces.push((chunk.0, self.step, samples.to_vec()));
    }
    fn timing(&mut self, chunk: ChunkId, words: &[WordTiming]) {
        self.words.entry(chunk.0).or_default().extend_from_slice(words);
    }
    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        assert!(self.ends.insert(chunk.0, result).is_none());
    }
}

impl Heard {
    fn samples(&self, chunk: u64) -> Vec<f32> {
        let own = self.pieces.iter().filter(|(id, ..)| *id == chunk);
        own.flat_map(|(_, _, samples)| samples.clone()).collect()
    }
    /// Steps in which a chunk was heard.
    fn steps(&self, chunk: u64) -> Vec<usize> {
        self.pieces.iter().filter(|(id, ..)| *id == chunk).map(|(_, step, _)| *step).collect()
    }
}

struct Stage {
    fake: Arc<Fake>,
    engine: ChatterboxEngine<Fake>,
    voice: VoiceSlot,
    heard: Heard,
}

impl Stage {
    fn new(fake: Arc<Fake>) -> Self {
        let mut engine = fake.engine();
        let voice = engine.load_voice(&preset("one"), &Waiter::default()).unwrap();
        Self { fake, engine, voice, heard: Heard::default() }
    }

    fn of(family: Family) -> Self {
        Self::new(Fake::new(family))
    }

    fn try_admit(
        &mut self,
        id: u64,
        text: &str,
        params: &[(&str, ParamValue)],
    ) -> Result<CancelFlag, EngineError> {
        let cancel = CancelFlag::default();
        let request = ChunkRequest {
            id: ChunkId(id),
            text: SpokenText { text: text.to_owned(), spans: Vec::new() },
            language: Language::en_us(),
            voice: self.voice,
            speed: Speed::NORMAL,
            seed: 1,
            params: params
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect::<Params>(),
            cancel: cancel.clone(),
            progress: StepCounter::default(),
        };
        self.engine.admit(request).map(|()| cancel)
    }

    fn admit(&mut self, id: u64, text: &str, params: &[(&str, ParamValue)]) -> CancelFlag {
        self.try_admit(id, text, params).unwrap()
    }

    fn step(&mut self) -> Result<(), DeviceLost> {
        self.heard.step += 1;
        self.engine.step(&mut self.heard)
    }

    /// Steps until `chunks` have ended.
    fn run(&mut self, chunks: &[u64]) {
        while !chunks.iter().all(|id| self.heard.ends.contains_key(id)) {
            assert!(self.heard.step < 10_000, "chunks {chunks:?} do not end");
            self.step().unwrap();
        }
    }

    fn tokens(&self, chunk: u64) -> u64 {
        self.heard.ends[&chunk].as_ref().unwrap().units
    }
}

fn preset(name: &str) -> VoiceSource {
    VoiceSource::Preset { name: name.to_owned() }
}

const WHOLE: (&str, ParamValue) = ("stream_tokens", ParamValue::Integer(0));

#[test]
fn sound_comes_after_a_second_of_tokens_and_then_in_ever_larger_pieces() {
    let mut stage = Stage::of(Family::English);
    stage.admit(1, SENTENCE, &[]);
    stage.run(&[1]);
    let tokens = SENTENCE.len() * PACE;
    assert_eq!(stage.tokens(1), tokens as u64);
    let lengths: Vec<usize> =
        stage.heard.pieces.iter().map(|(_, _, samples)| samples.len() / SAMPLES_PER_TOKEN).collect();
    assert_eq!(lengths, [24, 50, 100, tokens - 174]);
    // The first step begins and draws twice; a piece needs its tokens and three more to look ahead at.
    assert_eq!(stage.heard.steps(1)[..2], [27, 77]);
    assert_eq!(stage.fake.log().pieces[..2], [(28, false), (78, false)]);
}

#[test]
fn pieces_and_a_whole_chunk_are_equally_long() {
    for family in [Family::English, Family::Multilingual, Family::Turbo] {
        let mut stage = Stage::of(family);
        stage.admit(1, SENTENCE, &[]);
        stage.admit(2, SENTENCE, &[WHOLE]);
        stage.run(&[1, 2]);
        assert_eq!(stage.heard.samples(1), stage.heard.samples(2), "{family:?}");
        assert_eq!(stage.heard.steps(2).len(), 1);
        let spoken = SENTENCE.len() * PACE;
        let expected = match family {
            Family::English => spoken,
            Family::Multilingual => spoken - 1,
            Family::Turbo => spoken + 3,
        };
        assert_eq!(stage.heard.samples(1).len(), expected * SAMPLES_PER_TOKEN, "{family:?}");
    }
}

#[test]
fn chunks_share_passes_and_each_is_as_if_alone() {
    let texts = [SENTENCE, "Another one, and shorter.", SENTENCE, "Hi."];
    let alone: Vec<Vec<f32>> = texts
        .iter()
        .map(|text| {
            let mut stage = Stage::of(Family::English);
            stage.admit(1, text, &[]);
            stage.run(&[1]);
            stage.heard.samples(1)
        })
        .collect();
    let mut stage = Stage::of(Family::English);
    for (id, text) in (1..).zip(texts) {
        stage.admit(id, text, &[]);
    }
    stage.run(&[1, 2, 3, 4]);
    for (id, alone) in (1..).zip(alone) {
        assert_eq!(stage.heard.samples(id), alone, "chunk {id}");
    }
    let log = stage.fake.log();
    assert_eq!(log.passes.iter().max(), Some(&4));
    assert!(log.passes.len() < SENTENCE.len() * PACE + 10, "{} passes", log.passes.len());
    assert_eq!(log.prefixes, 1, "the voice is the same");
}

#[test]
fn a_late_short_chunk_is_heard_before_a_long_one_ends() {
    let mut stage = Stage::of(Family::Turbo);
    stage.admit(1, SENTENCE, &[]);
    for _ in 0..40 {
        stage.step().unwrap();
    }
    stage.admit(2, "Hello there.", &[]);
    stage.run(&[1, 2]);
    assert!(stage.heard.steps(2)[0] <= 40 + 30, "{:?}", stage.heard.steps(2));
    assert!(stage.heard.steps(1).iter().any(|step| *step > stage.heard.steps(2)[0]));
}

#[test]
fn without_guidance_there_is_one_row() {
    let weight = |weight| [("cfg_weight", ParamValue::Number(weight))];
    let mut stage = Stage::of(Family::English);
    stage.admit(1, "Hi.", &weight(0.0));
    stage.admit(2, "Hi.", &weight(0.3));
    stage.run(&[1, 2]);
    assert_eq!(stage.fake.log().guided, [false, true]);
    let mut stage = Stage::of(Family::Turbo);
    stage.admit(1, "Hi.", &weight(0.3));
    stage.run(&[1]);
    assert_eq!(stage.fake.log().guided, [false]);
}

#[test]
fn a_voices_beginning_is_computed_once_for_each_emotion_and_goes_with_the_voice() {
    let emotion = |emotion| [("exaggeration", ParamValue::Number(emotion))];
    let mut stage = Stage::of(Family::English);
    for (id, value) in [(1, 0.5), (2, 1.0), (3, 0.5), (4, 1.0)] {
        stage.admit(id, "Hi.", &emotion(value));
        stage.run(&[id]);
    }
    assert_eq!(stage.fake.log().prefixes, 2);
    assert_ne!(stage.heard.samples(1), stage.heard.samples(2), "the emotion is heard");
    stage.engine.drop_voice(stage.voice);
    stage.voice = stage.engine.load_voice(&preset("one"), &Waiter::default()).unwrap();
    stage.admit(5, "Hi.", &[]);
    stage.run(&[5]);
    assert_eq!(stage.fake.log().prefixes, 3);
}

#[test]
fn a_loop_is_spoken_anew_with_another_seed_while_nothing_was_heard() {
    let mut stage = Stage::of(Family::English);
    stage.admit(1, "stuck in its first attempt", &[WHOLE]);
    stage.run(&[1]);
    let log = stage.fake.log();
    assert_eq!(log.starts.values().copied().collect::<Vec<_>>(), [2]);
    assert_eq!(stage.tokens(1), ("stuck in its first attempt".len() * PACE) as u64);
    // Not again and again: what is good of the second attempt is kept.
    stage.admit(2, "hopeless in every attempt", &[WHOLE]);
    stage.run(&[2]);
    assert_eq!(stage.fake.log().starts.values().copied().collect::<Vec<_>>(), [2, 2]);
    assert!((1..50).contains(&stage.tokens(2)), "{}", stage.tokens(2));
}

#[test]
fn what_was_promised_is_neither_spoken_anew_nor_cut() {
    let mut stage = Stage::of(Family::English);
    stage.admit(1, "stuck in its first attempt", &[]);
    stage.run(&[1]);
    assert_eq!(stage.fake.log().starts.values().copied().collect::<Vec<_>>(), [1]);
    assert!(stage.tokens(1) >= 25);
    assert_eq!(stage.heard.samples(1).len() as u64, stage.tokens(1) * SAMPLES_PER_TOKEN as u64);
}

#[test]
fn a_chunk_that_never_stops_is_stopped() {
    for family in [Family::English, Family::Turbo] {
        let mut stage = Stage::of(family);
        stage.admit(1, "endless", &[]);
        stage.run(&[1]);
        assert!((10..200).contains(&stage.tokens(1)), "{family:?}: {}", stage.tokens(1));
    }
}

#[test]
fn a_failure_is_its_own_chunks_and_the_others_speak_on() {
    let mut stage = Stage::of(Family::English);
    stage.admit(1, "nan in the logits", &[]);
    stage.admit(2, SENTENCE, &[]);
    stage.run(&[1, 2]);
    assert!(matches!(&stage.heard.ends[&1], Err(EngineError::Failed(why)) if why.contains("finite")));
    assert_eq!(stage.tokens(2), (SENTENCE.len() * PACE) as u64);
}

#[test]
fn a_pass_that_breaks_fails_its_chunks_on_the_cpu_and_loses_a_card() {
    let mut stage = Stage::of(Family::English);
    stage.admit(1, "broken", &[]);
    stage.admit(2, SENTENCE, &[]);
    stage.run(&[1, 2]);
    assert!(matches!(&stage.heard.ends[&1], Err(EngineError::Failed(_))));
    stage.admit(3, "Hi.", &[]);
    stage.run(&[3]);
    assert!(stage.heard.ends[&3].is_ok());

    let mut stage = Stage::new(Fake::on_a_card(Family::English));
    stage.admit(1, "broken", &[]);
    let end = (0..20).find_map(|_| stage.step().err());
    assert!(end.is_some_and(|DeviceLost(why)| why.contains("broke")));
}

#[test]
fn a_cancelled_chunk_leaves_within_a_step_and_the_others_stay() {
    let mut stage = Stage::of(Family::English);
    let flag = stage.admit(1, SENTENCE, &[]);
    stage.admit(2, SENTENCE, &[]);
    for _ in 0..10 {
        stage.step().unwrap();
    }
    flag.cancel();
    stage.step().unwrap();
    for id in 3..6 {
        stage.admit(id, "Hi.", &[]);
    }
    assert!(stage.try_admit(6, "Hi.", &[]).is_err(), "one slot was freed, not two");
    stage.run(&[2, 3, 4, 5]);
    assert!(!stage.heard.ends.contains_key(&1) && stage.heard.samples(1).is_empty());
}

/// Chunks with these voices on a card, and their own voices with it.
fn on_a_card(chunks: &[(u64, &str, &str)]) -> (Stage, Vec<CancelFlag>) {
    let mut stage = Stage::new(Fake::on_a_card(Family::English));
    let admit = |&(id, voice, text): &(u64, &str, &str)| {
        stage.voice = stage.engine.load_voice(&preset(voice), &Waiter::default()).unwrap();
        stage.admit(id, text, &[])
    };
    let flags = chunks.iter().map(admit).collect();
    (stage, flags)
}

#[test]
fn pieces_go_together_on_a_card_and_in_turn_on_the_cpu() {
    let chunks = [(1, "one", SENTENCE), (2, "two", "Another one."), (3, "one", "Hi."), (4, "two", SENTENCE)];
    let alone = chunks.map(|(_, voice, text)| {
        let (mut stage, _) = on_a_card(&[(9, voice, text)]);
        stage.run(&[9]);
        stage.heard.samples(9)
    });
    let (mut stage, _) = on_a_card(&chunks);
    stage.run(&[1, 2, 3, 4]);
    for ((id, ..), alone) in chunks.iter().zip(alone) {
        assert_eq!(stage.heard.samples(*id), alone, "chunk {id}");
    }
    // They begin a step apart; the first pieces of the two long ones and of another are spoken together, and all later ones.
    let log = stage.fake.log();
    assert_eq!(log.renderings.iter().max(), Some(&3), "{:?}", log.renderings);
    assert!(log.renderings.len() * 3 < log.pieces.len() * 2, "{:?}", log.renderings);
    let mut stage = Stage::of(Family::English);
    stage.admit(1, SENTENCE, &[]);
    stage.admit(2, SENTENCE, &[]);
    stage.run(&[1, 2]);
    assert_eq!(stage.fake.log().renderings.iter().max(), Some(&1));
}

#[test]
fn a_piece_waits_for_those_that_soon_share_its_pass_and_no_longer() {
    let first = |chunks: &[(u64, &str, &str)], apart: usize| {
        let (mut stage, _) = on_a_card(&chunks[..1]);
        for _ in 0..apart {
            stage.step().unwrap();
        }
        for (id, _, text) in &chunks[1..] {
            stage.admit(*id, text, &[]);
        }
        stage.run(&chunks.iter().map(|chunk| chunk.0).collect::<Vec<_>>());
        chunks.iter().map(|chunk| stage.heard.steps(chunk.0)[0]).collect::<Vec<_>>()
    };
    let [one, two] = [(1, "one", SENTENCE), (2, "one", SENTENCE)];
    assert_eq!(first(&[one], 0), [27]);
    assert_eq!(first(&[one, two], 3), [30, 30]);
    assert_eq!(first(&[one, two], 8), [35, 35]);
    assert_eq!(first(&[one, two], 9), [27, 36]);
    // Not for whoever comes next, and then the one after.
    let many: Vec<_> = (1..=4).map(|id| (id, "one", SENTENCE)).collect();
    assert_eq!(first(&many, 7), [35, 35, 35, 36]);
}

#[test]
fn pieces_of_other_steps_or_without_room_wait_for_the_next_pass() {
    let steps = |steps| ("cfm_steps", ParamValue::Integer(steps));
    let mut stage = Stage::new(Fake::on_a_card(Family::English));
    stage.admit(1, "Hi.", &[WHOLE]);
    stage.admit(2, "Hi.", &[WHOLE, steps(3)]);
    stage.run(&[1, 2]);
    assert_eq!(stage.fake.log().renderings, [1, 1]);
    let slot = |stage: &Stage| stage.engine.slots.len();
    assert_eq!(slot(&stage), 0);
    // Two as long as this would take more room than the longest chunk alone.
    let long = "a".repeat(250);
    stage.admit(3, &long, &[WHOLE]);
    stage.step().unwrap();
    stage.admit(4, &long, &[WHOLE]);
    stage.run(&[3, 4]);
    assert_eq!(stage.fake.log().renderings, [1, 1, 1, 1]);
}

#[test]
fn a_rendering_that_fails_or_is_cancelled_leaves_those_beside_it_as_they_are() {
    let (mut stage, _) = on_a_card(&[(2, "one", SENTENCE)]);
    stage.run(&[2]);
    let alone = stage.heard.samples(2);
    let chunks = [(1, "hoarse", SENTENCE), (2, "one", SENTENCE), (3, "two", SENTENCE)];
    let (mut stage, flags) = on_a_card(&chunks);
    while !stage.heard.ends.contains_key(&1) {
        stage.step().unwrap();
    }
    assert!(matches!(&stage.heard.ends[&1], Err(EngineError::Failed(why)) if why.contains("a voice")));
    flags[2].cancel();
    stage.run(&[2]);
    assert_eq!(stage.heard.samples(2), alone);
    assert!(!stage.heard.ends.contains_key(&3));
}

#[test]
fn a_pass_that_breaks_fails_its_piece_on_the_cpu_and_loses_a_card() {
    let (mut stage, _) = on_a_card(&[(1, "deadly", SENTENCE), (2, "one", SENTENCE)]);
    let end = (0..100).find_map(|_| stage.step().err());
    assert!(end.is_some_and(|DeviceLost(why)| why.contains("a rendering")));
    let mut stage = Stage::of(Family::English);
    stage.admit(1, SENTENCE, &[]);
    stage.voice = stage.engine.load_voice(&preset("deadly"), &Waiter::default()).unwrap();
    stage.admit(2, SENTENCE, &[]);
    stage.run(&[1, 2]);
    assert!(stage.heard.ends[&1].is_ok());
    assert!(matches!(&stage.heard.ends[&2], Err(EngineError::Failed(why)) if why.contains("a rendering")));
}

#[test]
fn words_are_timed_in_order_within_the_chunk() {
    for family in [Family::English, Family::Multilingual, Family::Turbo] {
        let mut stage = Stage::of(family);
        stage.admit(1, SENTENCE, &[]);
        stage.run(&[1]);
        let words = &stage.heard.words[&1];
        assert_eq!(words.len(), SENTENCE.split(' ').count());
        assert!(words.windows(2).all(|two| two[0].samples.end <= two[1].samples.start), "{words:?}");
        assert!(words.last().unwrap().samples.end <= stage.heard.samples(1).len() as u64);
    }
}

#[test]
fn what_cannot_be_spoken_is_refused_at_once() {
    let mut stage = Stage::of(Family::English);
    let long = stage.try_admit(1, &"word ".repeat(200), &[]);
    assert!(matches!(long, Err(EngineError::ChunkTooLong { limit }) if limit < 1000), "{long:?}");
    let wild = stage.try_admit(2, "Hi.", &[("temperature", ParamValue::Number(99.0))]);
    assert!(matches!(&wild, Err(EngineError::Rejected(why)) if why.contains("temperature")), "{wild:?}");
    // A text without a token that can be spoken is silence, not a fault.
    stage.admit(3, "", &[]);
    stage.run(&[3]);
    assert_eq!(stage.heard.ends[&3], Ok(ChunkStats::default()));
}
