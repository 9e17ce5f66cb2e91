//! Grapheme to phoneme: dictionaries, letter-to-sound rules, and espeak-ng as a separate process.
