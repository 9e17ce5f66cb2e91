//! Shared candle layers, ops and weight loading.
