//! Faults asked for in the text itself: `{abort at=3}`, `{fail mark=/tmp/x times=1}`.
//!
//! `at` is the step at which the fault strikes (0 by default). With `mark` it strikes only `times` times (1 by
//! default), counted by files that outlive the process.

use std::{fs::OpenOptions, path::PathBuf, time::Duration};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Abort,
    Panic,
    /// The process ends with status 7.
    Exit,
    /// The step never returns and looks at no flag.
    Hang,
    /// Bytes that are no frame on the worker's socket.
    Garbage,
    Nan,
    DeviceLost,
    TooLong,
    Fail,
    Reject,
    /// The chunk never ends.
    Endless,
    /// Each step takes `n` milliseconds longer.
    Slow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) at: u64,
    /// The limit of `toolong`, the milliseconds of `slow`.
    pub(crate) n: u64,
    mark: Option<PathBuf>,
    times: u64,
}

impl Fault {
    /// The fault named in `text`, if there is one.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once('{')?;
        let (spell, _) = rest.split_once('}')?;
        let mut words = spell.split_whitespace();
        let kind = kind(words.next()?)?;
        let mut fault = Self { kind, at: 0, n: 10, mark: None, times: 1 };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "at" => fault.at = value.parse().ok()?,
                "n" => fault.n = value.parse().ok()?,
                "times" => fault.times = value.parse().ok()?,
                "mark" => fault.mark = Some(PathBuf::from(value)),
                _ => return None,
            }
        }
        Some(fault)
    }

    /// The text without its fault: what is spoken.
    pub(crate) fn strip(text: &str) -> String {
        match text.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?.1))) {
            Some((head, tail)) => format!("{head}{tail}"),
            None => text.to_owned(),
        }
    }

    /// Whether the fault strikes at this step; leaves a mark if so.
    pub(crate) fn strikes(&self, step: u64) -> bool {
        if self.kind != Kind::Slow && step != self.at {
            return false;
        }
        let Some(mark) = &self.mark else { return true };
        (0..self.times).any(|count| {
            let path = mark.with_extension(count.to_string());
            OpenOptions::new().write(true).create_new(true).open(path).is_ok()
        })
    }

    pub(crate) fn pause(&self) -> Duration {
        Duration::from_millis(self.n)
    }
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "abort" => Kind::Abort,
        "panic" => Kind::Panic,
        "exit" => Kind::Exit,
        "hang" => Kind::Hang,
        "garbage" => Kind::Garbage,
        "nan" => Kind::Nan,
        "lost" => Kind::DeviceLost,
        "toolong" => Kind::TooLong,
        "fail" => Kind::Fail,
        "reject" => Kind::Reject,
        "endless" => Kind::Endless,
        "slow" => Kind::Slow,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_from_the_text_and_not_spoken() {
        let text = "Hello {abort at=3} there";
        let fault = Fault::find(text).unwrap();
        assert_eq!((fault.kind, fault.at), (Kind::Abort, 3));
        assert!(fault.strikes(3) && !fault.strikes(2));
        assert_eq!(Fault::strip(text), "Hello  there");
        assert_eq!(Fault::find("no fault {here}"), None);
        assert_eq!(Fault::strip("a {b"), "a {b");
    }
}
