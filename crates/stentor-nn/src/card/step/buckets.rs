//! Steps by their number of rows: launched kernel by kernel at first, then recorded, then replayed in one launch.
//!
//! The first step of a bucket is never recorded: the driver loads a kernel when it is first launched, which it can't while it
//! records.

use super::{
    super::{kernel, recording::Recording},
    params::{Attention, Drawing, Launch, Looks, Operands, Products},
    plan::{DRAW, KERNELS},
};
use crate::Result;
use candle_core::{
    CudaDevice,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaFunction, CudaStream, DeviceRepr, DriverError, LaunchConfig, PushKernelArg},
    },
};
use std::{collections::HashMap, fmt, sync::Arc};

#[expect(unsafe_code, reason = "the driver copies these as they lie in memory")]
mod representations {
    use super::{Attention, DeviceRepr, Drawing, Looks, Products};

    // SAFETY: plain numbers in C's order, as the kernels declare them.
    unsafe impl DeviceRepr for Products {}
    // SAFETY: as above.
    unsafe impl DeviceRepr for Attention {}
    // SAFETY: as above.
    unsafe impl DeviceRepr for Looks {}
    // SAFETY: as above.
    unsafe impl DeviceRepr for Drawing {}
}

/// What is known of a bucket.
struct Bucket {
    launches: Vec<Launch>,
    graph: Option<Recording>,
}

/// All buckets, of which there are few.
pub(super) struct Buckets {
    stream: Arc<CudaStream>,
    functions: HashMap<&'static str, CudaFunction>,
    known: HashMap<usize, Bucket>,
    /// Why nothing is recorded, if nothing is.
    refused: Option<String>,
    remarked: bool,
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buckets").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Buckets {
    pub(super) fn new(card: &CudaDevice) -> Result<Self> {
        Ok(Self {
            stream: card.cuda_stream(),
            functions: KERNELS
                .into_iter()
                .chain([DRAW])
                .map(|name| Ok((name, kernel(card, name)?)))
                .collect::<candle_core::Result<_>>()?,
            known: HashMap::new(),
            refused: None,
            remarked: false,
        })
    }

    pub(super) fn take_remark(&mut self) -> Option<String> {
        if std::mem::replace(&mut self.remarked, self.refused.is_some()) {
            None
        } else {
            self.refused.clone()
        }
    }

    /// Runs a step of as many rows; `plan` gives its launches, which are the same each time.
    pub(super) fn run(
        &mut self,
        rows: usize,
        record: bool,
        plan: impl FnOnce() -> Vec<Launch>,
    ) -> Result<()> {
        let Some(mut bucket) = self.known.remove(&rows) else {
            let launches = plan();
            self.launch_all(&launches).w()?;
            self.known.insert(rows, Bucket { launches, graph: None });
            return Ok(());
        };
        if record && bucket.graph.is_none() && self.refused.is_none() {
            match self.record(&bucket.launches) {
                Ok(graph) => bucket.graph = Some(graph),
                Err(why) => {
                    self.refused = Some(format!(
                        "steps are launched kernel by kernel, as the driver does not record them: {why}"
                    ));
                }
            }
        }
        let done = match &bucket.graph {
            Some(graph) if record => graph.launch(),
            _ => self.launch_all(&bucket.launches),
        };
        self.known.insert(rows, bucket);
        Ok(done.w()?)
    }

    fn record(&self, launches: &[Launch]) -> std::result::Result<Recording, String> {
        Recording::of(&self.stream, || self.launch_all(launches).map_err(|error| error.to_string()))
    }

    fn launch_all(&self, launches: &[Launch]) -> std::result::Result<(), DriverError> {
        launches.iter().try_for_each(|launch| self.launch(launch))
    }

    fn launch(&self, launch: &Launch) -> std::result::Result<(), DriverError> {
        let function = &self.functions[launch.kernel];
        let config =
            LaunchConfig { grid_dim: launch.grid, block_dim: (launch.threads, 1, 1), shared_mem_bytes: 0 };
        let mut builder = self.stream.launch_builder(function);
        match &launch.operands {
            Operands::Products(operands) => builder.arg(operands),
            Operands::Attention(operands) => builder.arg(operands),
            Operands::Looks(operands) => builder.arg(operands),
            Operands::Drawing(operands) => builder.arg(operands),
            Operands::Norm(n) => {
                builder.arg(&n.x).arg(&n.gain).arg(&n.shift).arg(&n.out).arg(&n.width).arg(&n.eps)
            }
            Operands::Mean(m) => {
                builder.arg(&m.watched).arg(&m.seen).arg(&m.out).arg(&m.slots).arg(&m.stride)
            }
        };
        #[expect(unsafe_code, reason = "a kernel is launched")]
        // SAFETY: the operands are those that the kernel declares; their places are in memory that the decoder holds and that is as
        // large as the sizes beside them say, or in caches that are borrowed until the step has been waited for.
        unsafe {
            builder.launch(config).map(drop)
        }
    }
}
