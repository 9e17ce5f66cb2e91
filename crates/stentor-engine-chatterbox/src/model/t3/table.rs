//! Embedding tables in host memory, on every device: a step needs one row of each, and looking it up here makes an index
//! that is out of range an error instead of a fault of the device.

use stentor_nn::{NnError, Result, Scope};

/// Rows of numbers.
pub(super) struct Table {
    name: &'static str,
    values: Vec<f32>,
    width: usize,
}

/// What was asked for can't be had; `message` says why.
pub(super) fn refuse(message: String) -> NnError {
    candle_core::Error::Msg(message).into()
}

/// The dimensions of a matrix, or 0 where there is none: reading it then fails and names it.
pub(super) fn dims(scope: &Scope<'_>, name: &str) -> [usize; 2] {
    match scope.shape(name).as_deref() {
        Some(&[rows, cols]) => [rows, cols],
        _ => [0, 0],
    }
}

impl Table {
    /// Reads `name`, whose rows are `width` long.
    pub(super) fn load(scope: &Scope<'_>, name: &'static str, width: usize) -> Result<Self> {
        let [rows, _] = dims(scope, name);
        Ok(Self { name, values: scope.values(name, &[rows, width])?, width })
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.values.len() * size_of::<f32>()) as u64
    }

    /// Adds row `index` to `out`.
    pub(super) fn add(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let row = self.values.chunks_exact(self.width).nth(index);
        let row =
            row.ok_or_else(|| refuse(format!("{} has {} rows, none is {index}", self.name, self.rows())))?;
        out.iter_mut().zip(row).for_each(|(out, value)| *out += value);
        Ok(())
    }
}
