//! Faults asked for in the text itself: `{abort at=3}`, `{fail mark=/tmp/x times=1}`.
//!
//! `at` is the step at which the fault strikes (0 by default). With `mark` it strikes only `times` times (1 by
//! default), counted by files that outlive the process. The same words without braces, in a file, ask for a fault
//! while a model loads; see [`LoadFault`](crate::LoadFault).

use std::{fs::OpenOptions, ops::Range, path::PathBuf, time::Duration};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Abort,
    /// A real SIGSEGV.
    Segfault,
    Panic,
    /// The process ends with status 7.
    Exit,
    /// The step never returns and looks at no flag.
    Hang,
    /// Memory that can't be had, so the process aborts.
    OutOfMemory,
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

/// The words that ask for a fault.
const KINDS: [(&str, Kind); 14] = [
    ("abort", Kind::Abort),
    ("segfault", Kind::Segfault),
    ("panic", Kind::Panic),
    ("exit", Kind::Exit),
    ("hang", Kind::Hang),
    ("oom", Kind::OutOfMemory),
    ("garbage", Kind::Garbage),
    ("nan", Kind::Nan),
    ("lost", Kind::DeviceLost),
    ("toolong", Kind::TooLong),
    ("fail", Kind::Fail),
    ("reject", Kind::Reject),
    ("endless", Kind::Endless),
    ("slow", Kind::Slow),
];

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
        Self::parse(text.get(Self::span(text)?)?.trim_matches(['{', '}']))
    }

    /// A fault from its words, without braces.
    pub(crate) fn parse(spell: &str) -> Option<Self> {
        let mut words = spell.split_whitespace();
        let name = words.next()?;
        let (_, kind) = *KINDS.iter().find(|(word, _)| *word == name)?;
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

    /// Where the first words in braces stand, braces included.
    pub(crate) fn span(text: &str) -> Option<Range<usize>> {
        let start = text.find('{')?;
        let end = text.get(start..)?.find('}')? + start + 1;
        Some(start..end)
    }

    /// The text without its fault: what is spoken.
    pub(crate) fn strip(text: &str) -> String {
        match Self::span(text) {
            Some(span) => format!("{}{}", &text[..span.start], &text[span.end..]),
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

    pub(crate) fn why(&self) -> String {
        format!("the engine was asked to {:?}", self.kind)
    }
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
        assert_eq!(Fault::strip("a } b {c} d"), "a } b  d");
        assert_eq!(Fault::parse("slow n=3000").unwrap().pause(), Duration::from_secs(3));
    }
}
