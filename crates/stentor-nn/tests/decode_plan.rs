//! A whole step as a card is told it: the launches, the places of their operands and the kernels, run on the host against our layers one
//! after the other. Of what a card does in a step only the driver's part is not here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../src/card/step/layout.rs"]
mod layout;
#[path = "../src/card/step/params.rs"]
mod params;
#[path = "../src/card/step/plan.rs"]
mod plan;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "kernels/runner.rs"]
mod runner;

use candle_core::{DType, Device, Tensor};
use layout::{ANSWER, CacheAt, MOST_ROWS, Upload, Work};
use params::{Launch, Operands, Place};
use plan::{BlockAt, DRAW, KERNELS, LinearAt, ModelAt, NormAt};
use runner::Input;
use std::{collections::HashMap, ops::Range};
use stentor_nn::{
    Activation, Draw, Drawn, HEAD, KvCache, KvShape, LayerNorm, Linear, Look, RmsNorm, Rope, RopeScaling,
    Unwatched, Weights, activate, append, attend, gated_silu,
};

const HEADS: usize = 2;
const WIDTH: usize = HEADS * HEAD;
const INNER: usize = 200;
/// Ids, of which not all can be drawn.
const IDS: usize = 102;
const SAYABLE: (u32, u32) = (90, 92);
const EPS: f32 = 1e-5;
const POSITIONS: usize = 40;
const STEPS: usize = 5;
/// Heads that are looked at, by layer.
const WATCHED: [&[usize]; 2] = [&[1], &[1, 0]];

/// Which of the families, and how weights, keys and values are stored.
#[derive(Debug, Clone, Copy)]
struct Kind {
    is_llama: bool,
    half: bool,
}

/// The card's memory; places are offsets into it, and none is zero.
struct Memory(Vec<u8>);

impl Memory {
    fn room(&mut self, bytes: usize) -> Place {
        let start = self.0.len().next_multiple_of(64).max(64);
        self.0.resize(start + bytes, 0);
        start as Place
    }

    fn put(&mut self, bytes: &[u8]) -> Place {
        let place = self.room(bytes.len());
        self.0[place as usize..].copy_from_slice(bytes);
        place
    }

    fn floats(&mut self, values: &[f32]) -> Place {
        self.put(&values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }

    fn words(&self, place: Place, count: usize) -> Vec<u32> {
        let bytes = &self.0[place as usize..][..count * 4];
        bytes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
    }
}

fn random(dims: &[usize], scale: f64) -> Tensor {
    (Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap() * scale).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn loaded(tensors: &[(&str, &Tensor)]) -> Weights {
    let file = tempfile::NamedTempFile::new().unwrap();
    let tensors: HashMap<_, _> = tensors.iter().map(|(name, x)| ((*name).to_owned(), (*x).clone())).collect();
    candle_core::safetensors::save(&tensors, file.path()).unwrap();
    Weights::open(file.path(), &Device::Cpu).unwrap()
}

enum Norm {
    Rms(RmsNorm),
    Layer(LayerNorm),
}

impl Norm {
    fn new(kind: Kind, memory: &mut Memory) -> (Self, NormAt) {
        let (gain, shift) = ((random(&[WIDTH], 0.2) + 1.0).unwrap(), random(&[WIDTH], 0.2));
        let weights = loaded(&[("weight", &gain), ("bias", &shift)]);
        let (gain, shift) = (memory.floats(&values(&gain)), memory.floats(&values(&shift)));
        if kind.is_llama {
            let norm = RmsNorm::load(&weights.root(), WIDTH, EPS).unwrap();
            return (Self::Rms(norm), NormAt::Rms { gain, eps: EPS });
        }
        let norm = LayerNorm::load(&weights.root(), ["weight", "bias"], WIDTH, EPS).unwrap();
        (Self::Layer(norm), NormAt::Layer { gain, shift, eps: EPS })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        match self {
            Self::Rms(norm) => norm.forward(x, &Unwatched).unwrap(),
            Self::Layer(norm) => norm.forward(x, &Unwatched).unwrap(),
        }
    }
}

fn linear(half: bool, (depth, outs): (usize, usize), memory: &mut Memory) -> (Linear, LinearAt) {
    let (weight, bias) = (random(&[outs, depth], 0.1), random(&[outs], 0.1));
    let stored = weight.to_dtype(if half { DType::F16 } else { DType::F32 }).unwrap();
    let at = if half {
        let halves: Vec<half::f16> = stored.flatten_all().unwrap().to_vec1().unwrap();
        memory.put(&halves.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    } else {
        memory.floats(&values(&weight))
    };
    let at = LinearAt { weight: at, bias: memory.floats(&values(&bias)), depth, outs, half };
    (Linear::new(&stored.to_dtype(DType::F32).unwrap(), bias).unwrap(), at)
}

struct Block {
    norms: [Norm; 2],
    qkv: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
}

/// A transformer on the CPU.
struct Model {
    kind: Kind,
    blocks: Vec<Block>,
    last: Norm,
    head: Linear,
    rope: Option<Rope>,
}

/// Builds one, and the same in `memory`.
fn model(kind: Kind, memory: &mut Memory) -> (Model, ModelAt) {
    let up = if kind.is_llama { 2 * INNER } else { INNER };
    let (mut blocks, mut at, mut slots) = (Vec::new(), Vec::new(), 0);
    for heads in WATCHED {
        let ((before, before_at), (after, after_at)) = (Norm::new(kind, memory), Norm::new(kind, memory));
        let [qkv, out, up, down] = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, up), (INNER, WIDTH)]
            .map(|dims| linear(kind.half, dims, memory));
        let list: Vec<u8> = heads.iter().flat_map(|head| (*head as u32).to_le_bytes()).collect();
        at.push(BlockAt {
            before_attention: before_at,
            qkv: qkv.1,
            out: out.1,
            before_mlp: after_at,
            up: up.1,
            down: down.1,
            watched: (memory.put(&list), heads.len(), slots),
        });
        blocks.push(Block { norms: [before, after], qkv: qkv.0, out: out.0, up: up.0, down: down.0 });
        slots += heads.len();
    }
    let (last, last_at) = Norm::new(kind, memory);
    let (head, head_at) = linear(false, (WIDTH, IDS), memory);
    let (rope, cos, sin) = if kind.is_llama { rope(memory) } else { (None, 0, 0) };
    let at = ModelAt {
        blocks: at,
        last: last_at,
        head: head_at,
        cos,
        sin,
        heads: HEADS,
        width: WIDTH,
        gated: kind.is_llama,
        half: kind.half,
        sayable: SAYABLE,
        slots,
    };
    (Model { kind, blocks, last, head, rope }, at)
}

fn rope(memory: &mut Memory) -> (Option<Rope>, Place, Place) {
    let scaling = RopeScaling { factor: 1.0, low_frequency: 1.0, high_frequency: 4.0, original: 64.0 };
    let angle = |index: usize| {
        let pair = (index % (HEAD / 2)) as f64 / (HEAD / 2) as f64;
        f64::from((index / (HEAD / 2)) as f32 * 10_000f64.powf(-pair) as f32)
    };
    let table = |function: fn(f64) -> f64| -> Vec<f32> {
        (0..POSITIONS * HEAD / 2).map(|index| function(angle(index)) as f32).collect()
    };
    let [cos, sin] = [table(f64::cos), table(f64::sin)].map(|table| memory.floats(&table));
    (Some(Rope::new(10_000.0, scaling, POSITIONS)), cos, sin)
}

impl Model {
    /// Logits and looks of one position more, layer by layer.
    fn step(
        &self,
        x: Tensor,
        caches: &mut [&mut KvCache],
        texts: &[Range<usize>],
    ) -> (Tensor, Vec<Vec<f32>>) {
        let (mut x, mut looks) = (x, texts.iter().map(|text| vec![0.0; text.len()]).collect::<Vec<_>>());
        let slots: usize = WATCHED.iter().map(|heads| heads.len()).sum();
        for (layer, block) in self.blocks.iter().enumerate() {
            let qkv = block.qkv.forward(&block.norms[0].forward(&x), &Unwatched).unwrap();
            let queries = append(caches, layer, &qkv, self.rope.as_ref(), &Unwatched).unwrap();
            let held: Vec<&KvCache> = caches.iter().map(|cache| &**cache).collect();
            let mut row = 0;
            for ((cache, text), sum) in held.iter().zip(texts).zip(&mut looks) {
                let look = Look { layer, heads: WATCHED[layer], positions: text.clone(), new: 1 };
                let seen = cache.look(&queries.narrow(0, row, 1).unwrap(), &look).unwrap();
                sum.iter_mut().zip(values(&seen)).for_each(|(sum, seen)| *sum += seen / slots as f32);
                row += cache.rows();
            }
            let seen = attend(&held, layer, &queries, &Unwatched).unwrap();
            x = (x + block.out.forward(&seen, &Unwatched).unwrap()).unwrap();
            let inner = block.up.forward(&block.norms[1].forward(&x), &Unwatched).unwrap();
            let inner = if self.kind.is_llama {
                gated_silu(&inner, &Unwatched).unwrap()
            } else {
                activate(&inner, Activation::GeluTanh, &Unwatched).unwrap()
            };
            x = (x + block.down.forward(&inner, &Unwatched).unwrap()).unwrap();
        }
        (self.head.forward(&self.last.forward(&x), &Unwatched).unwrap(), looks)
    }
}

/// A launch as the host's program reads it: places, then words, in the order in which the kernels declare them.
fn told(launch: &Launch) -> Vec<u32> {
    let (places, words) = match launch.operands {
        Operands::Products(p) => (
            vec![p.weight, p.x, p.gain, p.bias, p.out],
            vec![p.rows, p.depth, p.outs, p.split, p.then as u32, p.eps.to_bits()],
        ),
        Operands::Norm(n) => (vec![n.x, n.gain, n.shift, n.out], vec![n.width, n.eps.to_bits()]),
        Operands::Attention(a) => (
            vec![a.qkv, a.rows, a.cos, a.sin, a.partials, a.arrived, a.out, a.totals],
            vec![a.heads, a.layer],
        ),
        Operands::Looks(l) => (
            vec![l.qkv, l.rows, l.cos, l.sin, l.watched, l.list, l.totals, l.seen],
            vec![l.heads, l.layer, l.first_slot, l.stride],
        ),
        Operands::Mean(m) => (vec![m.watched, m.seen, m.out], vec![m.slots, m.stride]),
        Operands::Drawing(d) => (vec![d.logits, d.draws, d.tokens], vec![d.sounds, d.end, d.pitch]),
    };
    let kernel = KERNELS.iter().chain([&DRAW]).position(|name| *name == launch.kernel).unwrap();
    let (x, y, z) = launch.grid;
    let head = [kernel as u32, x, y, z, launch.threads, places.len() as u32, words.len() as u32];
    let places = places.into_iter().map(|place| u32::try_from(place).unwrap());
    head.into_iter().chain(places).chain(words).collect()
}

/// One utterance: its cache on the CPU, and where its keys and values are in the memory.
struct Spoken {
    cache: KvCache,
    slab: Place,
    capacity: usize,
}

#[track_caller]
fn assert_close(card: &[f32], ours: &[f32], tolerance: f32, what: &str) {
    assert_eq!(card.len(), ours.len(), "{what}");
    for (card, ours) in card.iter().zip(ours) {
        assert!((card - ours).abs() < tolerance, "{what}: {card}, not {ours}");
    }
}

/// The largest of what can be drawn.
fn greedy(logits: &[f32]) -> u32 {
    let sayable = (0..=SAYABLE.1).filter(|id| *id < SAYABLE.0 || *id == SAYABLE.1);
    sayable.max_by(|a, b| logits[*a as usize].total_cmp(&logits[*b as usize])).unwrap()
}

fn check(kind: Kind, tolerance: f32) {
    let mut memory = Memory(Vec::new());
    let (cpu, at) = model(kind, &mut memory);
    let places =
        [Upload::new(&at, MOST_ROWS).end, Work::new(&at).end * 4, ANSWER * 4].map(|size| memory.room(size));
    let shape = KvShape { layers: WATCHED.len(), heads: HEADS, dtype: DType::F32 };
    let mut all: Vec<Spoken> = [(2, 9), (1, 7), (2, STEPS)]
        .map(|(rows, capacity)| {
            let cache = KvCache::new(shape, rows, capacity, &Device::Cpu).unwrap();
            let numbers = WATCHED.len() * 2 * rows * WIDTH * capacity;
            Spoken { cache, slab: memory.room(numbers * if kind.half { 2 } else { 4 }), capacity }
        })
        .into();
    for step in 0..STEPS {
        // Utterances join one after the other, so that they have different lengths and steps different numbers of rows.
        let speaking = &mut all[..(step + 1).min(3)];
        let rows: usize = speaking.iter().map(|spoken| spoken.cache.rows()).sum();
        let texts: Vec<Range<usize>> = speaking.iter().map(|spoken| 0..spoken.cache.len() / 2 + 1).collect();
        let draw = Draw { greedy: true, ..Draw::default() };
        let input = random(&[rows, WIDTH], 1.0);
        let caches: Vec<CacheAt<'_>> = speaking
            .iter()
            .zip(&texts)
            .enumerate()
            .map(|(index, (spoken, text))| CacheAt {
                slab: spoken.slab,
                rows: spoken.cache.rows(),
                capacity: spoken.capacity,
                len: spoken.cache.len(),
                text: text.clone(),
                draw: (index != 1).then_some(&draw),
            })
            .collect();
        let bucket = layout::bucket(rows);
        let bytes = Upload::new(&at, bucket).bytes(&at, &values(&input), &caches);
        memory.0[places[0] as usize..][..bytes.len()].copy_from_slice(&bytes);
        let room = layout::room(&at, bucket, places);
        let launches: Vec<u32> = plan::launches(&at, &room, bucket).iter().flat_map(told).collect();
        let size = memory.0.len().next_multiple_of(4);
        memory.0.resize(size, 0);
        let after = Input::default()
            .integers(&memory.words(0, size / 4))
            .integers(&[room.rows as u32, bucket as u32])
            .integers(&launches)
            .run("decode.cpp", &["plan", "f32"]);
        memory.0 = after.iter().flat_map(|value| value.to_le_bytes()).collect();

        let mut held: Vec<&mut KvCache> = speaking.iter_mut().map(|spoken| &mut spoken.cache).collect();
        let (logits, looks) = cpu.step(input, &mut held, &texts);
        let ours = values(&logits);
        let numbers = |place: Place, count| -> Vec<f32> {
            memory.words(place, count).into_iter().map(f32::from_bits).collect()
        };
        let what = format!("{kind:?}, step {step}");
        let own = Work::new(&at).logits(&at, rows);
        let card = numbers(places[1], own.end)[own].to_vec();
        assert_close(&card, &ours, tolerance, &what);
        assert_close(&numbers(room.mean, looks.concat().len()), &looks.concat(), tolerance, &what);
        let mut row = 0;
        for (index, spoken) in speaking.iter_mut().enumerate() {
            let drawn = Draw::outcome(memory.words(room.tokens, 3)[index].cast_signed());
            let expected = (index != 1).then(|| Drawn::Token(greedy(&card[row * IDS..][..IDS])));
            assert_eq!(drawn, expected, "{what}, utterance {index}");
            row += spoken.cache.rows();
            spoken.cache.advance(1);
        }
    }
}

#[test]
fn a_llamas_step_is_what_its_layers_compute_one_after_the_other() {
    check(Kind { is_llama: true, half: false }, 5e-5);
}

#[test]
fn a_gpts_step_is_what_its_layers_compute_one_after_the_other() {
    check(Kind { is_llama: false, half: false }, 5e-5);
}

#[test]
fn halves_change_the_last_digits_only() {
    for is_llama in [true, false] {
        check(Kind { is_llama, half: true }, 1e-2);
    }
}
