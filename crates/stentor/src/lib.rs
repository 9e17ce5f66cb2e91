//! The composition root: configuration and commands.
