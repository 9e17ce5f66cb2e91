//! The launches of a step for some number of rows: the same places and the same operands in every step, so that they can be
//! recorded.

use super::params::{Attention, Drawing, Launch, Looks, Mean, Norm, Operands, Place, Products, Then};

/// Kernels that a step may launch, those of `decode.cu` first.
pub(super) const KERNELS: [&str; 14] = [
    "products_f32_1",
    "products_f32_2",
    "products_f32_4",
    "products_f32_8",
    "products_f16_1",
    "products_f16_2",
    "products_f16_4",
    "products_f16_8",
    "row_norm",
    "attend_f32",
    "attend_f16",
    "look_f32",
    "look_f16",
    "mean_of_looks",
];
/// The kernel of `draw.cu`.
pub(super) const DRAW: &str = "draw_tokens";
/// Blocks that share a row's positions; the kernel's `SPLITS`.
pub(super) const SPLITS: usize = 8;
const ATTENTION_THREADS: u32 = 128;
const ROW_THREADS: u32 = 256;
const DRAW_THREADS: u32 = 512;
/// Warps of a block that multiplies, and outputs of each.
const WARPS: usize = 8;
const OUTS: usize = 4;
/// Numbers of an output that a warp reads at once.
const STRETCH: usize = 256;
/// Warps that keep a large card busy.
const WARPS_WANTED: usize = 4096;

/// A norm's place in the card's memory.
#[derive(Debug, Clone, Copy)]
pub(super) enum NormAt {
    Rms { gain: Place, eps: f32 },
    Layer { gain: Place, shift: Place, eps: f32 },
}

/// A linear layer's.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearAt {
    pub(super) weight: Place,
    pub(super) bias: Place,
    pub(super) depth: usize,
    pub(super) outs: usize,
    pub(super) half: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct BlockAt {
    pub(super) before_attention: NormAt,
    pub(super) qkv: LinearAt,
    pub(super) out: LinearAt,
    pub(super) before_mlp: NormAt,
    pub(super) up: LinearAt,
    pub(super) down: LinearAt,
    /// The heads that are looked at, as a list of `watched.1` integers, and how many are in layers before.
    pub(super) watched: (Place, usize, usize),
}

/// The whole transformer.
#[derive(Debug, Clone)]
pub(super) struct ModelAt {
    pub(super) blocks: Vec<BlockAt>,
    pub(super) last: NormAt,
    pub(super) head: LinearAt,
    pub(super) cos: Place,
    pub(super) sin: Place,
    pub(super) heads: usize,
    pub(super) width: usize,
    pub(super) gated: bool,
    /// Of keys and values.
    pub(super) half: bool,
    pub(super) sayable: (u32, u32),
    /// Heads that are looked at in all.
    pub(super) slots: usize,
}

/// Where a step's numbers are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) x: Place,
    pub(super) rows: Place,
    pub(super) watched: Place,
    pub(super) draws: Place,
    pub(super) normed: Place,
    pub(super) qkv: Place,
    pub(super) seen: Place,
    pub(super) inner: Place,
    pub(super) logits: Place,
    pub(super) partials: Place,
    pub(super) arrived: Place,
    pub(super) totals: Place,
    pub(super) looks: Place,
    pub(super) tokens: Place,
    pub(super) mean: Place,
    /// Numbers between the looks of two heads.
    pub(super) stride: usize,
}

/// What is multiplied, what the result becomes, and where.
struct Product<'a> {
    layer: &'a LinearAt,
    x: Place,
    /// A norm that the product does by itself.
    gain: (Place, f32),
    then: Then,
    out: Place,
}

struct Plan<'a> {
    model: &'a ModelAt,
    room: &'a Room,
    rows: usize,
    launches: Vec<Launch>,
}

/// All launches of a step of `rows` rows.
pub(super) fn launches(model: &ModelAt, room: &Room, rows: usize) -> Vec<Launch> {
    let mut plan = Plan { model, room, rows, launches: Vec::new() };
    for (layer, block) in model.blocks.iter().enumerate() {
        plan.block(layer as u32, block);
    }
    plan.normed_product(&model.last, &model.head, Then::Store, room.logits);
    plan.end();
    plan.launches
}

/// Rows that a block multiplies by the same weights.
fn tile(rows: usize) -> usize {
    rows.next_power_of_two().min(8)
}

/// Warps that share the depth of an output: enough of them for a large card, each with something to do. It must not depend on the
/// rows, for the order of sums does on it.
fn split(layer: &LinearAt) -> usize {
    let groups = layer.outs.div_ceil(OUTS);
    let wanted = (WARPS_WANTED / groups).max(1).next_power_of_two();
    let most = (layer.depth / STRETCH).max(1);
    // The largest power of two that is not above it.
    wanted.min(1 << most.ilog2()).min(WARPS)
}

impl Plan<'_> {
    fn launch(
        &mut self,
        kernel: &'static str,
        grid: (usize, usize, usize),
        threads: u32,
        operands: Operands,
    ) {
        let grid = (grid.0 as u32, grid.1 as u32, grid.2 as u32);
        self.launches.push(Launch { kernel, grid, threads, operands });
    }

    fn product(&mut self, product: &Product<'_>) {
        let (layer, tile) = (product.layer, tile(self.rows));
        let split = split(layer);
        let kernel = KERNELS[tile.ilog2() as usize + if layer.half { 4 } else { 0 }];
        let blocks = layer.outs.div_ceil(OUTS * (WARPS / split));
        let (gain, eps) = product.gain;
        let operands = Operands::Products(Products {
            weight: layer.weight,
            x: product.x,
            gain,
            bias: layer.bias,
            out: product.out,
            rows: self.rows as u32,
            depth: layer.depth as u32,
            outs: layer.outs as u32,
            split: split as u32,
            then: product.then,
            eps,
        });
        self.launch(kernel, (self.rows.div_ceil(tile), blocks, 1), ROW_THREADS, operands);
    }

    /// A product of the normalised state. A norm by the root mean square is part of the product.
    fn normed_product(&mut self, norm: &NormAt, layer: &LinearAt, then: Then, out: Place) {
        let (x, gain) = match *norm {
            NormAt::Rms { gain, eps } => (self.room.x, (gain, eps)),
            NormAt::Layer { gain, shift, eps } => {
                let (x, out, width) = (self.room.x, self.room.normed, self.model.width as u32);
                let operands = Operands::Norm(Norm { x, gain, shift, out, width, eps });
                self.launch("row_norm", (self.rows, 1, 1), ROW_THREADS, operands);
                (out, (0, 0.0))
            }
        };
        self.product(&Product { layer, x, gain, then, out });
    }

    fn block(&mut self, layer: u32, block: &BlockAt) {
        let (model, room, none) = (self.model, self.room, (0, 0.0));
        let heads = model.heads as u32;
        self.normed_product(&block.before_attention, &block.qkv, Then::Store, room.qkv);
        let operands = Operands::Attention(Attention {
            qkv: room.qkv,
            rows: room.rows,
            cos: model.cos,
            sin: model.sin,
            partials: room.partials,
            arrived: room.arrived,
            out: room.seen,
            totals: room.totals,
            heads,
            layer,
        });
        let kernel = if model.half { "attend_f16" } else { "attend_f32" };
        self.launch(kernel, (SPLITS, model.heads, self.rows), ATTENTION_THREADS, operands);
        let (list, watched, before) = block.watched;
        if watched > 0 {
            let operands = Operands::Looks(Looks {
                qkv: room.qkv,
                rows: room.rows,
                cos: model.cos,
                sin: model.sin,
                watched: room.watched,
                list,
                totals: room.totals,
                seen: room.looks,
                heads,
                layer,
                first_slot: before as u32,
                stride: room.stride as u32,
            });
            let kernel = if model.half { "look_f16" } else { "look_f32" };
            self.launch(kernel, (watched, self.rows, 1), ATTENTION_THREADS, operands);
        }
        self.product(&Product { layer: &block.out, x: room.seen, gain: none, then: Then::Add, out: room.x });
        let then = if model.gated { Then::Gate } else { Then::Gelu };
        self.normed_product(&block.before_mlp, &block.up, then, room.inner);
        self.product(&Product {
            layer: &block.down,
            x: room.inner,
            gain: none,
            then: Then::Add,
            out: room.x,
        });
    }

    /// Where the rows look, and their tokens.
    fn end(&mut self) {
        let (model, room) = (self.model, self.room);
        if model.slots > 0 {
            let (slots, stride) = (model.slots as u32, room.stride as u32);
            let mean = Mean { watched: room.watched, seen: room.looks, out: room.mean, slots, stride };
            self.launch("mean_of_looks", (self.rows, 1, 1), ROW_THREADS, Operands::Mean(mean));
        }
        let drawing = Drawing {
            logits: room.logits,
            draws: room.draws,
            tokens: room.tokens,
            sounds: model.sayable.0,
            end: model.sayable.1,
            pitch: model.head.outs as u32,
        };
        self.launch(DRAW, (self.rows, 1, 1), DRAW_THREADS, Operands::Drawing(drawing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(layers: usize, rms: bool) -> ModelAt {
        let norm = if rms {
            NormAt::Rms { gain: 1, eps: 1e-5 }
        } else {
            NormAt::Layer { gain: 1, shift: 1, eps: 1e-5 }
        };
        let linear = |depth, outs| LinearAt { weight: 1, bias: 1, depth, outs, half: true };
        let block = |layer: usize| BlockAt {
            before_attention: norm,
            qkv: linear(1024, 3072),
            out: linear(1024, 1024),
            before_mlp: norm,
            up: linear(1024, if rms { 8192 } else { 4096 }),
            down: linear(4096, 1024),
            watched: (1, usize::from([9, 12, 13].contains(&layer)), 0),
        };
        ModelAt {
            blocks: (0..layers).map(block).collect(),
            last: norm,
            head: LinearAt { half: false, ..linear(1024, 8194) },
            cos: 1,
            sin: 1,
            heads: 16,
            width: 1024,
            gated: rms,
            half: true,
            sayable: (6561, 6562),
            slots: 3,
        }
    }

    const ROOM: Room = Room {
        x: 1,
        rows: 1,
        watched: 1,
        draws: 1,
        normed: 1,
        qkv: 1,
        seen: 1,
        inner: 1,
        logits: 1,
        partials: 1,
        arrived: 1,
        totals: 1,
        looks: 1,
        tokens: 1,
        mean: 1,
        stride: 100,
    };

    #[test]
    fn a_step_has_as_many_launches_for_thirty_two_rows_as_for_one() {
        for rows in [1, 2, 7, 32] {
            // Five a layer, three that look, the head, what was seen, the draw.
            assert_eq!(launches(&model(30, true), &ROOM, rows).len(), 5 * 30 + 3 + 3);
            assert_eq!(launches(&model(24, false), &ROOM, rows).len(), 7 * 24 + 3 + 4);
        }
    }

    #[test]
    fn blocks_cover_every_output_and_row_and_their_warps_have_something_to_do() {
        for rows in [1, 2, 3, 5, 8, 9, 32] {
            for launch in launches(&model(1, true), &ROOM, rows) {
                let Operands::Products(p) = launch.operands else { continue };
                let (depth, outs, split) = (p.depth as usize, p.outs as usize, p.split as usize);
                assert!(launch.grid.1 as usize * (WARPS / split) * OUTS >= outs, "{p:?}");
                assert!(launch.grid.0 as usize * tile(rows) >= rows);
                assert!(launch.kernel.ends_with(&tile(rows).to_string()), "{}", launch.kernel);
                assert!(split.is_power_of_two() && split * STRETCH <= depth, "{p:?}");
                // Each of a large card's 132 processors has about eight warps or more.
                assert!(outs / OUTS * split >= 1024, "{p:?}");
            }
        }
    }
}
