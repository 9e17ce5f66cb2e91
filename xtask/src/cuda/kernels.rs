//! Compiles every kernel of ours for every card that the program has machine code for, and refuses what a card would refuse or be
//! slow with: warnings, registers that do not fit and go to memory, more shared memory or registers than a block may have.
//!
//! No card is needed: the compiler tells all of it. The emulated card must have them too.

use super::{Folders, emulator};
use crate::say;
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

/// Where the kernels are.
const FOLDER: &str = "crates/stentor-nn/src/card";
/// Shared memory that every card gives a block without being asked.
const MOST_SHARED: u64 = 48 << 10;
/// Registers of a block, on every card; a thread gets them by eights.
const MOST_REGISTERS: u64 = 64 << 10;
const REGISTERS_AT_ONCE: u64 = 8;

/// What one kernel needs on one card.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Needs {
    registers: u64,
    /// Bytes for a block.
    shared: u64,
    /// Bytes that a thread moves to memory and back for want of registers.
    spilled: u64,
}

/// By name and capability.
type All = BTreeMap<(String, String), Needs>;

/// Compiles and judges them all.
pub(super) fn check(root: &Path, folders: &Folders) -> Result<()> {
    let capabilities = fs::read_to_string(root.join(FOLDER).join("capabilities.txt"))?;
    let mut sources: Vec<PathBuf> =
        fs::read_dir(root.join(FOLDER))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    sources.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    ensure!(!sources.is_empty(), "there are no kernels in {FOLDER}");
    let jobs =
        sources.iter().flat_map(|source| capabilities.lines().map(move |card| (source.as_path(), card)));
    let (needs, threads) = compile_all(folders, jobs.collect())?;
    let mut complaints = Vec::new();
    for (name, threads) in &threads {
        let of_kernel: Vec<_> = needs.iter().filter(|((kernel, _), _)| kernel == name).collect();
        say(&line(name, *threads, &of_kernel))?;
        let judged = of_kernel.iter().filter(|(_, needs)| needs.registers > 0).count();
        if judged != capabilities.lines().count() {
            complaints.push(format!("{name}: the compiler told of {judged} cards only"));
        }
        complaints.extend(of_kernel.iter().flat_map(|((_, card), needs)| judge(name, card, *threads, needs)));
    }
    let emulated = fs::read(emulator::make(root, folders)?.join(emulator::LIBRARIES[0]))?;
    let lacks = |name: &&String| {
        let name = [b"\0", name.as_bytes(), b"\0"].concat();
        !emulated.windows(name.len()).any(|bytes| bytes == name)
    };
    complaints.extend(threads.keys().filter(lacks).map(|name| format!("the emulated card has no {name}")));
    let unbound = needs.keys().filter(|(name, _)| !threads.contains_key(name));
    complaints.extend(unbound.map(|(name, card)| format!("{name} for {card} has no launch bounds")));
    if !complaints.is_empty() {
        bail!("{}", complaints.join("\n"));
    }
    say(&format!("{} kernels for {} cards", threads.len(), capabilities.lines().count()))
}

/// Runs the jobs on all cores: what each kernel needs, and its threads.
fn compile_all(folders: &Folders, jobs: Vec<(&Path, &str)>) -> Result<(All, BTreeMap<String, u64>)> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let (queue, done) = (Mutex::new(jobs), Mutex::new((All::new(), BTreeMap::new())));
    let work = || -> Result<()> {
        loop {
            let Some((source, card)) = queue.lock().ok().and_then(|mut queue| queue.pop()) else {
                return Ok(());
            };
            let (needs, threads) = compile(folders, source, card)?;
            let Ok(mut done) = done.lock() else { bail!("another worker broke off") };
            done.0.extend(needs);
            done.1.extend(threads);
        }
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a worker broke off")))
    })?;
    Ok(done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// One file for one card.
fn compile(folders: &Folders, source: &Path, card: &str) -> Result<(All, BTreeMap<String, u64>)> {
    let stem = source.file_stem().context("a file has a name")?.display().to_string();
    let out = folders.toolkit.join("kernels").join(format!("{stem}-{card}"));
    fs::create_dir_all(&out)?;
    let nvcc = folders.toolkit.join("bin/nvcc");
    let mut command = Command::new(nvcc);
    command
        .args(["-cubin", "-O3", "-Werror", "all-warnings", "-Xptxas", "-v", "--keep", "--keep-dir"])
        .arg(&out);
    command.arg(format!("-arch=sm_{card}")).arg("-o").arg(out.join("out.cubin")).arg(source);
    let output = command.output().context("cannot run nvcc")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} does not compile for {card}:\n{told}", source.display());
    let ptx = fs::read_to_string(out.join(format!("{stem}.ptx")))?;
    Ok((needs(&told), bounds(&ptx)))
}

/// Reads the assembler's account.
fn needs(told: &str) -> All {
    let mut all = All::new();
    let mut current = None;
    for line in told.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let mut names = rest.split('\'');
            let (name, card) = (names.next().unwrap_or_default(), names.nth(1).unwrap_or_default());
            current = Some((name.to_owned(), card.trim_start_matches("sm_").to_owned()));
        }
        let Some(key) = &current else { continue };
        // "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" and "Used 43 registers, ..., 16384 bytes smem"
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let before = |what: &[&str]| {
            let at = words.windows(what.len()).position(|window| window == what)?;
            words[..at].last()?.parse::<u64>().ok()
        };
        let needs = all.entry(key.clone()).or_default();
        let spilled = [&["bytes", "spill", "stores"], &["bytes", "spill", "loads"]].map(|what| before(what));
        needs.spilled += spilled.into_iter().flatten().sum::<u64>();
        needs.registers = before(&["registers"]).unwrap_or(needs.registers);
        needs.shared = before(&["bytes", "smem"]).unwrap_or(needs.shared);
    }
    all
}

/// Threads of a block, at most, of each kernel that says so.
fn bounds(ptx: &str) -> BTreeMap<String, u64> {
    let entries = ptx.split(".entry ").skip(1);
    let bound = |entry: &str| {
        let name = entry.split('(').next()?.trim().to_owned();
        let head = entry.split('{').next()?;
        let (_, most) = head.split_once(".maxntid ")?;
        Some((name, most.split([',', '\n', ' ']).next()?.parse().ok()?))
    };
    entries.filter_map(bound).collect()
}

/// What is wrong with a kernel on a card.
fn judge(name: &str, card: &str, threads: u64, needs: &Needs) -> Vec<String> {
    let registers = needs.registers.next_multiple_of(REGISTERS_AT_ONCE) * threads;
    let rules = [
        (needs.spilled > 0, format!("moves {} bytes of registers to memory", needs.spilled)),
        (needs.shared > MOST_SHARED, format!("wants {} bytes of shared memory", needs.shared)),
        (registers > MOST_REGISTERS, format!("wants {registers} registers for {threads} threads")),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    broken.map(|(_, what)| format!("{name} for {card} {what}")).collect()
}

fn line(name: &str, threads: u64, needs: &[(&(String, String), &Needs)]) -> String {
    let shared = needs.iter().map(|(_, needs)| needs.shared).max().unwrap_or(0);
    let mut registers: Vec<_> = needs.iter().map(|((_, card), needs)| (card, needs.registers)).collect();
    registers.sort_by_key(|(card, _)| (card.len(), *card));
    let registers: Vec<String> = registers.iter().map(|(card, count)| format!("{count} ({card})")).collect();
    format!("{name:24} {threads:5} threads {shared:6} bytes shared, registers {}", registers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "ptxas info    : 0 bytes gmem\n\
        ptxas info    : Compiling entry function 'wide' for 'sm_90'\n\
        ptxas info    : Function properties for wide\n\
        \x20   32 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n\
        ptxas info    : Used 255 registers, used 1 barriers, 49153 bytes smem, 460 bytes cmem[0]\n\
        ptxas info    : Compiling entry function 'flat' for 'sm_90'\n\
        ptxas info    : Function properties for flat\n\
        \x20   0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
        ptxas info    : Used 16 registers, used 0 barriers, 396 bytes cmem[0]\n";

    #[test]
    fn the_assemblers_account_is_read_and_judged() {
        let all = needs(TOLD);
        let of = |name: &str| &all[&(name.to_owned(), "90".to_owned())];
        assert_eq!(*of("wide"), Needs { registers: 255, shared: 49153, spilled: 12 });
        assert_eq!(*of("flat"), Needs { registers: 16, shared: 0, spilled: 0 });
        assert_eq!(judge("wide", "90", 512, of("wide")).len(), 3);
        assert_eq!(judge("flat", "90", 1024, of("flat")), Vec::<String>::new());
    }

    #[test]
    fn launch_bounds_are_those_of_the_code() {
        let ptx = ".visible .entry wide(\n\t.param .u64 a\n)\n.maxntid 256, 1, 1\n.minnctapersm 2\n{\n}\n\
                   .visible .entry loose(\n\t.param .u64 a\n)\n{\n\tret;\n}\n";
        assert_eq!(bounds(ptx), BTreeMap::from([("wide".to_owned(), 256)]));
    }
}
