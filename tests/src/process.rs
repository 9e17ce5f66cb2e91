//! What the kernel knows of a process: children, threads, files, memory.

use std::fs;

/// What a process holds. A leak is a number that does not come back to what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    pub threads: usize,
    /// Open file descriptors.
    pub files: usize,
    pub rss_kib: u64,
    /// Direct children that live.
    pub children: usize,
    /// Direct children that are dead and were not waited for.
    pub zombies: usize,
}

impl Holdings {
    pub fn of(id: u32) -> Self {
        let entries = |what: &str| fs::read_dir(format!("/proc/{id}/{what}")).map_or(0, Iterator::count);
        let states: Vec<char> = states_of_children(id).into_iter().map(|(_, state)| state).collect();
        let zombies = states.iter().filter(|state| **state == 'Z').count();
        Self {
            threads: entries("task"),
            files: entries("fd"),
            rss_kib: rss_kib(id),
            children: states.len() - zombies,
            zombies,
        }
    }

    /// Nothing but memory is more than in `before`, except for the threads of the pool for blocking work: one for each
    /// request that once was encoded beside others, and they live on as long as each gets something to do now and then.
    pub fn is_back_to(&self, before: &Self) -> bool {
        const POOL: usize = 24;
        self.threads <= before.threads + POOL
            && self.files <= before.files
            && self.children == before.children
            && self.zombies == 0
    }
}

/// Ids of the direct children of `parent` that are not zombies.
pub fn children(parent: u32) -> Vec<u32> {
    let children = states_of_children(parent).into_iter();
    children.filter(|(_, state)| *state != 'Z').map(|(id, _)| id).collect()
}

fn states_of_children(parent: u32) -> Vec<(u32, char)> {
    let ids = fs::read_dir("/proc")
        .expect("a /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    ids.filter_map(|id| {
        stat(id).filter(|(_, its_parent)| *its_parent == parent).map(|(state, _)| (id, state))
    })
    .collect()
}

pub fn is_alive(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != 'Z')
}

/// State letter and parent of a process; the name in between may hold anything.
fn stat(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Highest resident memory so far, in KiB.
pub fn peak_rss_kib(id: u32) -> u64 {
    field_kib(id, "VmHWM:").expect("a live process")
}

/// Processor time that a process and all of its threads have used, in seconds to two places; 0 of one that is gone.
pub fn cpu_seconds(id: u32) -> f64 {
    /// What Linux counts it in for programs, whatever it counts in itself.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    // User and system time.
    let ticks = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS
}

/// Resident memory now, in KiB; 0 of a process that is gone.
pub fn rss_kib(id: u32) -> u64 {
    field_kib(id, "VmRSS:").unwrap_or(0)
}

fn field_kib(id: u32, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal by number to a process that this test started.
pub fn kill(id: u32, signal: &str) {
    assert!(try_kill(id, signal), "kill {signal} {id}");
}

/// As [`kill`], for a process that may be gone already; false if it was.
pub fn try_kill(id: u32, signal: &str) -> bool {
    let mut kill = std::process::Command::new("kill");
    kill.args([signal, &id.to_string()]).stderr(std::process::Stdio::null()).status().expect("kill").success()
}
