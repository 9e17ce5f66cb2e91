//! Memory of the host as this process may use it: the kernel's figures, narrowed by the limits of its control groups.

use std::{
    fs,
    path::{Path, PathBuf},
};
use stentor_supervisor::MemoryReading;

/// Where the kernel shows its figures; elsewhere in tests.
pub(crate) struct HostMemory {
    proc: PathBuf,
    /// Root of the control groups (version 2).
    groups: PathBuf,
}

impl Default for HostMemory {
    fn default() -> Self {
        Self { proc: "/proc".into(), groups: "/sys/fs/cgroup".into() }
    }
}

impl HostMemory {
    /// In bytes; what the kernel can take back from its caches counts as free.
    pub(crate) fn read(&self) -> Result<MemoryReading, String> {
        let path = self.proc.join("meminfo");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let kib = |name| field(&text, name).ok_or_else(|| format!("{} tells no {name}", path.display()));
        let mut reading =
            MemoryReading { total: kib("MemTotal:")? * 1024, free: kib("MemAvailable:")? * 1024 };
        for group in self.own_groups() {
            if let Some(limit) = Group(&group).reading() {
                reading.total = reading.total.min(limit.total);
                reading.free = reading.free.min(limit.free);
            }
        }
        Ok(reading)
    }

    /// The group of this process and those above it: each may have a limit.
    fn own_groups(&self) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.proc.join("self/cgroup")).unwrap_or_default();
        let own = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
        let own = self.groups.join(own.trim_start_matches('/'));
        own.ancestors().take_while(|path| path.starts_with(&self.groups)).map(Path::to_path_buf).collect()
    }
}

struct Group<'a>(&'a Path);

impl Group<'_> {
    /// `None` when there is no limit.
    fn reading(&self) -> Option<MemoryReading> {
        let total = self.number("memory.max")?;
        let used = self.number("memory.current")?;
        let stat = fs::read_to_string(self.0.join("memory.stat")).unwrap_or_default();
        let cached = field(&stat, "inactive_file").unwrap_or(0);
        Some(MemoryReading { total, free: total.saturating_sub(used.saturating_sub(cached)) })
    }

    /// `None` also for the word `max`.
    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.0.join(file)).ok()?.trim().parse().ok()
    }
}

/// The number behind a name that starts a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_whitespace);
    lines.find_map(|mut words| {
        words.next().filter(|word| *word == name).and_then(|_| words.next()?.parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:   12000 kB\n";

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, HostMemory) {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let memory = HostMemory { proc: dir.path().join("proc"), groups: dir.path().join("groups") };
        (dir, memory)
    }

    #[test]
    fn without_limits_the_kernels_figures_hold() {
        let (_dir, memory) = machine(&[("proc/meminfo", MEMINFO), ("groups/memory.max", "max\n")]);
        assert_eq!(memory.read(), Ok(MemoryReading { total: 16_000 << 10, free: 12_000 << 10 }));
    }

    #[test]
    fn the_narrowest_limit_holds_and_caches_count_as_free() {
        let (_dir, memory) = machine(&[
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "1:name=systemd:/x\n0::/a/b\n"),
            ("groups/a/memory.max", "5000000"),
            ("groups/a/memory.current", "4000000"),
            ("groups/a/memory.stat", "anon 7\ninactive_file 1000000\n"),
            ("groups/a/b/memory.max", "8000000"),
            ("groups/a/b/memory.current", "100"),
        ]);
        assert_eq!(memory.read(), Ok(MemoryReading { total: 5_000_000, free: 2_000_000 }));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_zero() {
        let (_dir, memory) = machine(&[("proc/meminfo", "MemTotal: 16 kB\n")]);
        assert!(memory.read().unwrap_err().contains("MemAvailable"));
        let (_dir, memory) = machine(&[]);
        assert!(memory.read().unwrap_err().contains("meminfo"));
    }

    #[test]
    fn this_machine_has_memory() {
        let MemoryReading { total, free } = HostMemory::default().read().expect("a reading");
        assert!(free > 0 && free <= total, "{free} of {total}");
    }
}
