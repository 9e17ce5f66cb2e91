//! Stopping a pass, measured in units of work.

use candle_core::{Device, Tensor};
use std::sync::atomic::{AtomicU64, Ordering};
use stentor_nn::{Conv1d, ConvShape, NnError, Watch};

/// Stops the pass at the unit `stop`.
struct StopAt {
    stop: u64,
    units: AtomicU64,
}

impl Watch for StopAt {
    fn tick(&self) -> bool {
        self.units.fetch_add(1, Ordering::Relaxed) + 1 < self.stop
    }
}

#[test]
fn a_convolution_stops_within_one_tile_of_each_thread() {
    let x = Tensor::zeros((64, 100_000), candle_core::DType::F32, &Device::Cpu).unwrap();
    let weight = Tensor::zeros((64, 64, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
    let conv = Conv1d::new(&weight, None, ConvShape::same(64, 64, 3, 1)).unwrap();
    for threads in [1, 2, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let watch = StopAt { stop: 10, units: AtomicU64::new(0) };
        let result = pool.install(|| conv.forward(&x, &watch));
        assert!(matches!(result, Err(NnError::Stopped)), "{result:?}");
        let units = watch.units.into_inner();
        assert!(units < 10 + threads as u64, "{units} units with {threads} threads");
    }
}
