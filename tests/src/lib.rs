//! A real server process for each test, what tests ask of it, and the drills that try to take it down.

pub mod app;
pub mod clients;
pub mod drill;
pub mod events;
pub mod figures;
pub mod load;
pub mod measure;
pub mod probe;
pub mod process;
pub mod random;
pub mod watch;

pub use app::TestApp;
