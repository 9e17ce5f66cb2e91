//! Frames, handshake and both ends of the conversation between server and worker.
