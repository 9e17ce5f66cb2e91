//! A card's work, recorded as a CUDA graph.

use candle_core::cuda_backend::cudarc::driver::{
    CudaGraph, CudaStream, DriverError,
    sys::{CUgraphInstantiate_flags, CUstreamCaptureMode},
};
use std::{fmt, sync::Arc};

/// What was recorded, to be launched as a whole any number of times.
pub(super) struct Recording(CudaGraph);

#[expect(unsafe_code, reason = "the driver's graphs are pointers")]
// SAFETY: a graph belongs to no thread; the driver only wants that no two use it at once, and nothing here is given a shared one:
// it cannot be `Sync`. What its kernels read must outlive it wherever it goes, which those who record see to: a device's one thread
// has candle's uploads, and lives as long as the model.
unsafe impl Send for Recording {}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recording")
    }
}

impl Recording {
    /// Records what `work` launches, which does not run. Whatever it allocates it must free again; nothing may go between host and
    /// card, nor any kernel be loaded. An error says why there is no recording; the stream is as before.
    pub(super) fn of(
        stream: &Arc<CudaStream>,
        work: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, String> {
        let text = |error: DriverError| error.to_string();
        // Other threads may do with the driver what they want.
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).map_err(text)?;
        let done = work();
        // What could not be freed while recording is kept as an error for the next call, which must not be the one that ends it.
        let freed = stream.context().check_err();
        // Whatever happened, the stream must be one again that runs what it is given.
        let graph = stream.end_capture(CUgraphInstantiate_flags(0));
        done?;
        let graph = graph.map_err(text)?.ok_or_else(|| "nothing was recorded".to_owned())?;
        freed.map_err(text)?;
        graph.upload().map_err(text)?;
        Ok(Self(graph))
    }

    pub(super) fn launch(&self) -> Result<(), DriverError> {
        self.0.launch()
    }
}
