//! Text that comes in bits: whole sentences are handed out as soon as it is certain that they are whole.

use crate::{ApiError, ErrorCode};

pub(super) struct Flow {
    pending: String,
    /// Bytes that may still come.
    room: usize,
    /// Looking for ends of sentences again makes sense from this length on; so it costs linear time.
    next_look: usize,
    /// All of it is one document.
    whole: bool,
    ended: bool,
}

impl Flow {
    /// `most` bytes in all. With `whole` nothing is handed out before the end.
    pub(super) fn new(most: usize, whole: bool) -> Self {
        Self { pending: String::new(), room: most, next_look: 0, whole, ended: false }
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), ApiError> {
        let Some(room) = self.room.checked_sub(text.len()) else {
            let message = "the text has more bytes than a request may hold";
            return Err(ApiError::field(ErrorCode::InputTooLarge, "text", message));
        };
        self.room = room;
        self.pending.push_str(text);
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What can be spoken now; never blank.
    pub(super) fn take(&mut self) -> Option<String> {
        let ready = if self.ended { self.pending.len() } else { self.complete() };
        let rest = self.pending.split_off(ready);
        let part = std::mem::replace(&mut self.pending, rest);
        if ready > 0 {
            self.next_look = 0;
        }
        Some(part).filter(|part| !part.trim().is_empty())
    }

    fn complete(&mut self) -> usize {
        let length = self.pending.len();
        let is_ssml = || self.pending.trim_start().starts_with("<speak");
        if self.whole || length < self.next_look || is_ssml() {
            return 0;
        }
        self.next_look = length + length / 32;
        stentor_text::complete(&self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_come_out_once_the_next_one_has_begun() {
        let mut flow = Flow::new(1000, false);
        let mut parts = Vec::new();
        for bit in ["Hel", "lo there", ". ", "How are", " you? I", " am Dr.", " Who. ", "\n\nBye"] {
            flow.push(bit).expect("room");
            parts.extend(flow.take());
        }
        assert_eq!(parts, ["Hello there. ", "How are you? ", "I am Dr. Who. \n\n"]);
        flow.end();
        assert_eq!((flow.take().as_deref(), flow.take()), (Some("Bye"), None));
    }

    #[test]
    fn a_document_is_not_cut_and_a_text_has_its_limit() {
        for (text, whole) in [("<speak>One. Two. ", false), ("One. Two. ", true)] {
            let mut flow = Flow::new(20, whole);
            flow.push(text).expect("room");
            assert_eq!(flow.take(), None);
            assert_eq!(flow.push("Three. Four.").expect_err("full").code, ErrorCode::InputTooLarge);
            flow.end();
            assert_eq!(flow.take().as_deref(), Some(text));
        }
    }
}
