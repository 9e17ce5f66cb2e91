//! Names to models and voices; fetching and verifying model files.
