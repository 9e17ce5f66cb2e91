//! One model on one device: registry of engines, load, serve the protocol, die loudly.
