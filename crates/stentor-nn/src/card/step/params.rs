//! What the kernels of a step are given, as `decode.cu` and `draw.cu` declare it. Places are addresses in the card's memory.

/// An address in the card's memory, or zero for none.
pub(super) type Place = u64;

/// What a product is added to or put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Then {
    Store,
    Add,
    Gelu,
    Gate,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Products {
    pub(super) weight: Place,
    pub(super) x: Place,
    pub(super) gain: Place,
    pub(super) bias: Place,
    pub(super) out: Place,
    pub(super) rows: u32,
    pub(super) depth: u32,
    pub(super) outs: u32,
    pub(super) split: u32,
    pub(super) then: Then,
    pub(super) eps: f32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Attention {
    pub(super) qkv: Place,
    pub(super) rows: Place,
    pub(super) cos: Place,
    pub(super) sin: Place,
    pub(super) partials: Place,
    pub(super) arrived: Place,
    pub(super) out: Place,
    pub(super) totals: Place,
    pub(super) heads: u32,
    pub(super) layer: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Looks {
    pub(super) qkv: Place,
    pub(super) rows: Place,
    pub(super) cos: Place,
    pub(super) sin: Place,
    pub(super) watched: Place,
    pub(super) list: Place,
    pub(super) totals: Place,
    pub(super) seen: Place,
    pub(super) heads: u32,
    pub(super) layer: u32,
    pub(super) first_slot: u32,
    pub(super) stride: u32,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Drawing {
    pub(super) logits: Place,
    pub(super) draws: Place,
    pub(super) tokens: Place,
    pub(super) sounds: u32,
    pub(super) end: u32,
    pub(super) pitch: u32,
}

/// Operands of `row_norm`: x, gain, shift, out, width and epsilon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm {
    pub(super) x: Place,
    pub(super) gain: Place,
    pub(super) shift: Place,
    pub(super) out: Place,
    pub(super) width: u32,
    pub(super) eps: f32,
}

/// Operands of `mean_of_looks`: watched, seen, out, slots and stride.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean {
    pub(super) watched: Place,
    pub(super) seen: Place,
    pub(super) out: Place,
    pub(super) slots: u32,
    pub(super) stride: u32,
}

/// A kernel's operands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operands {
    Products(Products),
    Norm(Norm),
    Attention(Attention),
    Looks(Looks),
    Mean(Mean),
    Drawing(Drawing),
}

/// A kernel, its grid, its threads and its operands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Launch {
    pub(super) kernel: &'static str,
    pub(super) grid: (u32, u32, u32),
    pub(super) threads: u32,
    pub(super) operands: Operands,
}
