//! The crate as its callers see it, in one test binary.

mod decode;
mod formats;
mod join;
mod signals;
