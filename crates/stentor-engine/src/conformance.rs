//! Checks that every engine must pass. Call [`check_all`] (or the [`conformance!`](crate::conformance!) macro)
//! from the engine's tests.
