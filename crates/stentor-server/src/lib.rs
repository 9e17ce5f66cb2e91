//! The HTTP plane: OpenAI wire types, validation, handlers, errors, middleware.
