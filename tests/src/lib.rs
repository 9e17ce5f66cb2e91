//! A real server process for each test, and what tests ask of it.

pub mod app;
pub mod measure;
pub mod process;

pub use app::TestApp;
