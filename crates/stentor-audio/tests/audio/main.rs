//! The crate as its callers see it, in one test binary.

mod formats;
mod join;
mod signals;
