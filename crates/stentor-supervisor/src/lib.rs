//! Spawns, watches and restarts workers; admission, sessions, cancellation, replay.
