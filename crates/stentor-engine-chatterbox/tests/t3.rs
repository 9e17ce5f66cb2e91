//! What T3 promises beside its numbers: sequences that don't depend on each other, bounds that are errors, strict loading.
//! The models are tiny, with sizes that no published one has.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use stentor_engine_chatterbox::{
    model::t3::{Family, Prefix, Sequence, T3},
    voice::T3Prompt,
};
use stentor_nn::{Result, Unwatched, Watch, Weights};
use stentor_testkit::chatterbox::{integers, noise, tensor};
use stentor_types::Precision;

type Shapes = Vec<(String, Vec<usize>)>;

fn named(prefix: &str, shapes: &[(&str, &[usize])]) -> Shapes {
    shapes.iter().map(|(name, shape)| (format!("{prefix}{name}"), shape.to_vec())).collect()
}

/// Two blocks, 128 wide; 12 positions of text and 10 of speech.
fn llama() -> Shapes {
    let mut all = named(
        "",
        &[
            ("text_emb.weight", &[300, 128]),
            ("speech_emb.weight", &[8194, 128]),
            ("text_pos_emb.emb.weight", &[12, 128]),
            ("speech_pos_emb.emb.weight", &[10, 128]),
            ("speech_head.weight", &[8194, 128]),
            ("text_head.weight", &[300, 128]),
            ("tfmr.norm.weight", &[128]),
            ("tfmr.embed_tokens.weight", &[8, 128]),
            ("cond_enc.spkr_enc.weight", &[128, 16]),
            ("cond_enc.spkr_enc.bias", &[128]),
            ("cond_enc.emotion_adv_fc.weight", &[128, 1]),
            ("cond_enc.perceiver.pre_attention_query", &[1, 5, 128]),
        ],
    );
    for part in ["norm", "to_q", "to_k", "to_v", "proj_out"] {
        let weight: &[usize] = if part == "norm" { &[128] } else { &[128, 128] };
        all.extend(named(
            &format!("cond_enc.perceiver.attn.{part}."),
            &[("weight", weight), ("bias", &[128])],
        ));
    }
    for layer in 0..2 {
        all.extend(named(
            &format!("tfmr.layers.{layer}."),
            &[
                ("self_attn.q_proj.weight", &[128, 128]),
                ("self_attn.k_proj.weight", &[128, 128]),
                ("self_attn.v_proj.weight", &[128, 128]),
                ("self_attn.o_proj.weight", &[128, 128]),
                ("mlp.gate_proj.weight", &[200, 128]),
                ("mlp.up_proj.weight", &[200, 128]),
                ("mlp.down_proj.weight", &[128, 200]),
                ("input_layernorm.weight", &[128]),
                ("post_attention_layernorm.weight", &[128]),
            ],
        ));
    }
    all
}

/// Two blocks, 64 wide; 40 positions.
fn gpt2() -> Shapes {
    let mut all = named(
        "",
        &[
            ("text_emb.weight", &[300, 64]),
            ("speech_emb.weight", &[6563, 64]),
            ("speech_head.weight", &[6563, 64]),
            ("speech_head.bias", &[6563]),
            ("tfmr.wpe.weight", &[40, 64]),
            ("tfmr.ln_f.weight", &[64]),
            ("tfmr.ln_f.bias", &[64]),
            ("cond_enc.spkr_enc.weight", &[64, 16]),
            ("cond_enc.spkr_enc.bias", &[64]),
        ],
    );
    for layer in 0..2 {
        all.extend(named(
            &format!("tfmr.h.{layer}."),
            &[
                ("ln_1.weight", &[64]),
                ("ln_1.bias", &[64]),
                ("attn.c_attn.weight", &[64, 192]),
                ("attn.c_attn.bias", &[192]),
                ("attn.c_proj.weight", &[64, 64]),
                ("attn.c_proj.bias", &[64]),
                ("ln_2.weight", &[64]),
                ("ln_2.bias", &[64]),
                ("mlp.c_fc.weight", &[64, 100]),
                ("mlp.c_fc.bias", &[100]),
                ("mlp.c_proj.weight", &[100, 64]),
                ("mlp.c_proj.bias", &[64]),
            ],
        ));
    }
    all
}

fn load(shapes: &Shapes) -> Result<T3> {
    let values = |(name, shape): &(String, Vec<usize>)| {
        let values = Tensor::from_vec(tensor(name, shape), shape.as_slice(), &Device::Cpu);
        (name.clone(), values.expect("a tensor"))
    };
    let tensors: HashMap<String, Tensor> = shapes.iter().map(values).collect();
    let file = tempfile::NamedTempFile::with_suffix(".safetensors").expect("a file");
    candle_core::safetensors::save(&tensors, file.path()).expect("a checkpoint");
    T3::load(&Weights::open(file.path(), &Device::Cpu)?, &Device::Cpu, Precision::F32)
}

fn voice(tokens: usize) -> T3Prompt {
    T3Prompt { speaker: noise("t3.speaker", 16), tokens: integers("t3.prompt", tokens, 6561) }
}

fn prefix(t3: &T3) -> Prefix {
    t3.prefix(&voice(6), 0.5, &Unwatched).expect("a prefix")
}

/// Bits of everything that a step tells.
fn told(sequence: &Sequence) -> Vec<u32> {
    let unguided = sequence.unguided_logits().unwrap_or_default();
    let all = [sequence.logits(), unguided, sequence.attention()];
    all.iter().flat_map(|values| values.iter().map(|value| value.to_bits())).collect()
}

/// Sequences of one voice: text, whether guided, and what they say.
const SPOKEN: [(&[u32], bool, [u32; 4]); 3] = [
    (&[1, 2, 3, 4, 5, 6, 7, 8, 9], true, [5, 600, 70, 8]),
    (&[200, 100], false, [6000, 1, 1, 1]),
    (&[17], true, [0, 6560, 12, 500]),
];

fn start(t3: &T3, index: usize) -> Sequence {
    let (text, guided, _) = SPOKEN[index];
    t3.start(&prefix(t3), text, (guided, 8), &Unwatched).expect("a sequence")
}

#[test]
fn a_sequence_comes_out_the_same_alone_and_among_others_with_any_number_of_threads() {
    for t3 in [load(&llama()).expect("a model"), load(&gpt2()).expect("a model")] {
        let alone: Vec<Vec<Vec<u32>>> = (0..SPOKEN.len())
            .map(|index| {
                let mut sequence = start(&t3, index);
                let step = |token: &u32| {
                    t3.decode(&mut [(&mut sequence, *token)], &Unwatched).expect("a step");
                    told(&sequence)
                };
                SPOKEN[index].2.iter().map(step).collect()
            })
            .collect();
        assert_ne!(alone[0][0], alone[0][1]);
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let together = pool.install(|| together(&t3));
            assert!(together == alone, "{threads} threads, {:?}", t3.family());
        }
    }
}

/// All of [`SPOKEN`] in one batch, the first of them a step behind.
fn together(t3: &T3) -> Vec<Vec<Vec<u32>>> {
    let mut sequences: Vec<Sequence> = (0..SPOKEN.len()).map(|index| start(t3, index)).collect();
    let mut all = vec![Vec::new(); SPOKEN.len()];
    for step in 0..=4usize {
        let at = |index: usize| if index == 0 { step.checked_sub(1) } else { Some(step).filter(|&n| n < 4) };
        let mut rows: Vec<(&mut Sequence, u32)> = sequences
            .iter_mut()
            .enumerate()
            .filter_map(|(index, sequence)| Some((sequence, SPOKEN[index].2[at(index)?])))
            .collect();
        t3.decode(&mut rows, &Unwatched).expect("a step");
        for (index, told_all) in all.iter_mut().enumerate() {
            if at(index).is_some() {
                told_all.push(told(&sequences[index]));
            }
        }
    }
    all
}

#[test]
fn one_row_says_what_the_guided_row_says() {
    let t3 = load(&llama()).expect("a model");
    let prefix = prefix(&t3);
    let [one, two] = [false, true]
        .map(|guided| t3.start(&prefix, SPOKEN[0].0, (guided, 1), &Unwatched).expect("a sequence"));
    assert!(one.unguided_logits().is_none());
    let pairs = one.logits().iter().zip(two.logits());
    assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) < 1e-4);
    assert_ne!(two.unguided_logits().expect("a second row"), two.logits());
}

#[test]
fn exaggeration_and_prompt_matter_and_a_voice_can_be_its_speaker_alone() {
    let logits = |t3: &T3, tokens: usize, exaggeration: f32| {
        let prefix = t3.prefix(&voice(tokens), exaggeration, &Unwatched).expect("a prefix");
        t3.start(&prefix, &[1], (false, 1), &Unwatched).expect("a sequence").logits().to_vec()
    };
    let (llama, gpt2) = (load(&llama()).expect("a model"), load(&gpt2()).expect("a model"));
    assert_ne!(logits(&llama, 6, 0.5), logits(&llama, 6, 0.6));
    assert_eq!(logits(&gpt2, 6, 0.5), logits(&gpt2, 6, 0.6));
    for t3 in [&llama, &gpt2] {
        assert_ne!(logits(t3, 6, 0.5), logits(t3, 5, 0.5));
        assert!(logits(t3, 0, 0.5).iter().all(|value| value.is_finite()));
    }
}

#[track_caller]
fn refused<T>(result: Result<T>, why: &str) {
    let error = result.err().expect("an error").to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn what_the_model_has_no_place_for_is_an_error() {
    let (llama, gpt2) = (load(&llama()).expect("a model"), load(&gpt2()).expect("a model"));
    assert_eq!((llama.family(), gpt2.family()), (Family::English, Family::Turbo));
    let begin = |t3: &T3, text: usize, max_new: usize| {
        t3.start(&prefix(t3), &integers("t3.text", text, 300), (true, max_new), &Unwatched)
    };
    begin(&llama, 12, 9).expect("as much as there is place for");
    refused(begin(&llama, 13, 1), "a text of 13 tokens, where the model has 12 positions");
    refused(begin(&llama, 1, 10), "speech of 11 tokens, where the model has 10 positions");
    refused(begin(&llama, 1, usize::MAX), "positions");
    begin(&gpt2, 12, 20).expect("as much as there is place for");
    refused(begin(&gpt2, 12, 21), "of 41 tokens, where the model has 40 positions");
    refused(gpt2.prefix(&voice(40), 0.5, &Unwatched), "tfmr.wpe.weight has 40 rows, none is 40");
    refused(llama.prefix(&voice(11), 0.5, &Unwatched), "speech_pos_emb.emb.weight has 10 rows, none is 10");
    refused(llama.start(&prefix(&llama), &[300], (true, 1), &Unwatched), "text_emb.weight has 300 rows");
    let unknown = T3Prompt { tokens: vec![8194], ..voice(0) };
    refused(llama.prefix(&unknown, 0.5, &Unwatched), "speech_emb.weight has 8194 rows");
    refused(llama.prefix(&T3Prompt { speaker: vec![0.0; 15], ..voice(1) }, 0.5, &Unwatched), "16 numbers");
    refused(llama.prefix(&voice(1), f32::NAN, &Unwatched), "exaggeration");
}

#[test]
fn a_step_that_is_refused_or_stopped_leaves_the_sequence_as_it_was() {
    struct Stop;
    impl Watch for Stop {
        fn tick(&self) -> bool {
            false
        }
    }
    for t3 in [load(&llama()).expect("a model"), load(&gpt2()).expect("a model")] {
        let mut sequence = t3.start(&prefix(&t3), &[1, 2], (true, 2), &Unwatched).expect("a sequence");
        let mut undisturbed = t3.start(&prefix(&t3), &[1, 2], (true, 2), &Unwatched).expect("a sequence");
        t3.decode(&mut [(&mut undisturbed, 5)], &Unwatched).expect("a step");
        refused(t3.decode(&mut [(&mut sequence, 9000)], &Unwatched), "none is 9000");
        refused(t3.decode(&mut [(&mut sequence, 7)], &Stop), "stopped");
        t3.decode(&mut [(&mut sequence, 5)], &Unwatched).expect("a step");
        assert!(told(&sequence) == told(&undisturbed));
        t3.decode(&mut [(&mut sequence, 5)], &Unwatched).expect("a step");
        assert_eq!(sequence.room(), 0);
        refused(t3.decode(&mut [(&mut sequence, 5)], &Unwatched), "more positions after");
    }
}

#[test]
fn loading_names_what_is_missing_misshapen_or_unknown() {
    for shapes in [llama(), gpt2()] {
        let ignored = ["text_head.weight", "tfmr.embed_tokens.weight"];
        for (index, (name, shape)) in shapes.iter().enumerate() {
            let mut without = shapes.clone();
            without.remove(index);
            if !ignored.contains(&name.as_str()) {
                assert!(load(&without).is_err(), "without {name}");
            }
            let mut other = shapes.clone();
            other[index].1 = [shape.as_slice(), &[1]].concat();
            if !ignored.contains(&name.as_str()) {
                assert!(load(&other).is_err(), "{name} of another shape");
            }
        }
        let with = |name: &str| load(&[shapes.clone(), vec![(name.to_owned(), vec![3])]].concat());
        refused(with("tfmr.extra"), "tensors that no layer uses: tfmr.extra");
        with("text_head.bias").expect("a model");
    }
    let mut without = llama();
    without.retain(|(name, _)| name != "tfmr.layers.1.mlp.up_proj.weight");
    refused(load(&without), "`tfmr.layers.1.mlp.up_proj.weight` is missing");
}
