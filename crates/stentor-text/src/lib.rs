//! Pure text work: normalise, segment sentences, pack chunks, map words back to the original text.
