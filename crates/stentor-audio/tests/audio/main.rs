//! The crate as its callers see it, in one test binary.

mod clips;
mod formats;
mod join;
mod signals;
