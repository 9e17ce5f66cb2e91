//! Static libraries that stand in for the driver and NVIDIA's shared libraries at link time.
//!
//! Candle's bindings want to be linked with `-lcuda`, `-lcublas` and so on, and a program linked with those does not start where
//! they are missing. The stand-in for a library has each of its functions as a jump through a table. The first call of any of them
//! looks for the real library and fills the table; where there is none, functions return an error of the library's own kind.

use super::{Folders, call};
use anyhow::{Context as _, Result, ensure};
use cargo_metadata::Metadata;
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// One library that the bindings are linked with.
struct Library {
    /// As in `-lname`.
    name: &'static str,
    /// The module of the bindings that declares its functions.
    module: &'static str,
    /// The shared library that it is on the machine where the program runs.
    file: &'static str,
    /// What functions return where the library is missing.
    absent: u32,
    /// What a function returns that the library lacks.
    unknown: u32,
}

const LIBRARIES: [Library; 5] = [
    // CUDA_ERROR_STUB_LIBRARY, CUDA_ERROR_NOT_FOUND
    Library { name: "cuda", module: "driver", file: "libcuda.so.1", absent: 34, unknown: 500 },
    // CUBLAS_STATUS_NOT_INITIALIZED, CUBLAS_STATUS_NOT_SUPPORTED
    Library { name: "cublas", module: "cublas", file: "libcublas.so.13", absent: 1, unknown: 15 },
    Library { name: "cublasLt", module: "cublaslt", file: "libcublasLt.so.13", absent: 1, unknown: 15 },
    // CURAND_STATUS_INITIALIZATION_FAILED, CURAND_STATUS_INTERNAL_ERROR
    Library { name: "curand", module: "curand", file: "libcurand.so.10", absent: 203, unknown: 999 },
    // NVRTC_ERROR_INTERNAL_ERROR
    Library { name: "nvrtc", module: "nvrtc", file: "libnvrtc.so.13", absent: 11, unknown: 11 },
];

/// A function of a library.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    /// It returns a string or another pointer, not a status.
    gives_pointer: bool,
}

/// Writes one archive for each library.
pub(super) fn make(metadata: &Metadata, folders: &Folders) -> Result<()> {
    ensure!(
        cfg!(all(target_arch = "x86_64", target_os = "linux")),
        "the CUDA build works on x86_64 Linux only: its stand-ins for NVIDIA's libraries are x86_64 assembly"
    );
    let bindings = bindings(metadata)?;
    fs::create_dir_all(&folders.shim)?;
    for library in &LIBRARIES {
        let source = bindings.join(library.module).join("sys/mod.rs");
        let text = fs::read_to_string(&source).with_context(|| source.display().to_string())?;
        let functions = functions(&text);
        ensure!(!functions.is_empty(), "{} declares no function", source.display());
        archive(library, &functions, folders)?;
    }
    Ok(())
}

/// The source of the bindings' crate.
fn bindings(metadata: &Metadata) -> Result<PathBuf> {
    let package = metadata.packages.iter().find(|package| package.name.as_str() == "cudarc");
    let manifest = &package.context("cudarc is not among the dependencies")?.manifest_path;
    Ok(manifest.parent().context("a manifest stands in a folder")?.join("src").into_std_path_buf())
}

/// The foreign functions that a module of the bindings declares, each once.
fn functions(source: &str) -> Vec<Function> {
    let declared = source.lines().filter_map(|line| {
        // A declaration ends where a function of the bindings themselves would begin its body.
        let (name, rest) = line.trim().strip_prefix("fn ")?.strip_suffix(';')?.split_once('(')?;
        let gives_pointer = rest.rsplit_once("-> ").is_some_and(|(_, given)| given.starts_with('*'));
        Some(Function { name: name.to_owned(), gives_pointer })
    });
    let mut functions: Vec<Function> = declared.collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    functions.dedup_by(|a, b| a.name == b.name);
    functions
}

fn archive(library: &Library, functions: &[Function], folders: &Folders) -> Result<()> {
    let place = |extension: &str| folders.shim.join(format!("{}.{extension}", library.name));
    let archive = folders.libraries().join(format!("lib{}.a", library.name));
    let sources = [(place("c"), search(library, functions)), (place("s"), jumps(library, functions))];
    let same = |(path, text): &(PathBuf, String)| fs::read_to_string(path).is_ok_and(|found| found == *text);
    if archive.is_file() && sources.iter().all(same) {
        return Ok(());
    }
    let mut objects = Vec::new();
    for (path, text) in &sources {
        fs::write(path, text)?;
        let object = path.with_extension(format!("{}.o", path.extension().unwrap_or_default().display()));
        compile(path, &object)?;
        objects.push(object);
    }
    // An archive keeps members that it had before.
    let _ = fs::remove_file(&archive);
    call("ar", [PathBuf::from("rcs"), archive].into_iter().chain(objects))
}

fn compile(source: &Path, object: &Path) -> Result<()> {
    let options = ["-O2", "-fPIC", "-Wall", "-Werror", "-c"].map(PathBuf::from);
    call("cc", options.into_iter().chain([source.to_owned(), PathBuf::from("-o"), object.to_owned()]))
}

/// The half in C: finds the library and fills the table.
fn search(library: &Library, functions: &[Function]) -> String {
    let Library { name, file, absent, unknown, .. } = library;
    let mut entries = String::new();
    for function in functions {
        // Writing to a string does not fail.
        let _ = writeln!(entries, "    {{\"{}\", {}}},", function.name, u8::from(function.gives_pointer));
    }
    format!(
        r#"#include <dlfcn.h>
#include <stddef.h>

static const struct {{ const char *name; int gives_pointer; }} functions[] = {{
{entries}}};

extern void *stand_in_{name}_table[] __attribute__((visibility("hidden")));

static long absent(void) {{ return {absent}; }}
static long unknown(void) {{ return {unknown}; }}
static const char *silent(void) {{ return "{file} is missing"; }}

__attribute__((visibility("hidden"))) void stand_in_{name}_fill(void) {{
    void *library = dlopen("{file}", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {{
        void *target = library ? dlsym(library, functions[i].name) : NULL;
        if (!target)
            target = functions[i].gives_pointer ? (void *)silent : library ? (void *)unknown : (void *)absent;
        /* Threads that come here at the same time write the same. */
        __atomic_store_n(&stand_in_{name}_table[i], target, __ATOMIC_RELEASE);
    }}
}}
"#
    )
}

/// The half in assembly: the functions themselves and the table, which at first leads back here to have itself filled.
fn jumps(library: &Library, functions: &[Function]) -> String {
    let name = library.name;
    let (mut code, mut table) = (String::new(), String::new());
    for (index, Function { name: function, .. }) in functions.iter().enumerate() {
        let offset = 8 * index;
        // Writing to a string does not fail.
        let _ = write!(
            code,
            "    .globl {function}\n    .type {function}, @function\n{function}:\n    \
             jmp *stand_in_{name}_table+{offset}(%rip)\n.Lfirst_{index}:\n    mov ${index}, %r11d\n    \
             jmp .Lfill\n"
        );
        let _ = writeln!(table, "    .quad .Lfirst_{index}");
    }
    // On the way to the C half, whatever may hold an argument is kept. The stack is as at the start of any function: eight off a
    // multiple of sixteen, which seven pushes make up for.
    let floats = |instruction: &str, to_stack: bool| -> String {
        let line = |index: usize| {
            let (register, place) = (format!("%xmm{index}"), format!("{}(%rsp)", 16 * index));
            let (from, to) = if to_stack { (register, place) } else { (place, register) };
            format!("    {instruction} {from}, {to}\n")
        };
        (0..8).map(line).collect()
    };
    let (save, restore) = (floats("movups", true), floats("movups", false));
    let pushes = format!("    push %{}\n", REGISTERS.join("\n    push %"));
    let backwards: Vec<&str> = REGISTERS.into_iter().rev().collect();
    let pops = format!("    pop %{}\n", backwards.join("\n    pop %"));
    format!(
        "    .text\n{code}.Lfill:\n{pushes}    sub $128, %rsp\n{save}    call stand_in_{name}_fill\n{restore}    \
         add $128, %rsp\n{pops}    lea stand_in_{name}_table(%rip), %rax\n    jmp *(%rax,%r11,8)\n\n    .data\n    \
         .balign 8\n    .globl stand_in_{name}_table\n    .hidden stand_in_{name}_table\nstand_in_{name}_table:\n{table}\n    \
         .section .note.GNU-stack, \"\", @progbits\n"
    )
}

/// Arguments, and the number of the function that was called.
const REGISTERS: [&str; 7] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9", "r11"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn functions_are_read_from_the_bindings() {
        let source = "pub unsafe fn cuInit(Flags: c_uint) -> CUresult {\n            fn cuInit(Flags: c_uint) -> CUresult;\n\
                      pub unsafe fn culib() -> &'static Library {\n    fn load(name: &str) -> F {\n\
                      \x20   fn nvName(status: S) -> *const c_char;\n    #[cfg(x)]\n    fn cuInit(a: b) -> C;\n";
        let expected = [("cuInit", false), ("nvName", true)]
            .map(|(name, gives_pointer)| Function { name: name.to_owned(), gives_pointer });
        assert_eq!(functions(source), expected);
    }

    /// Compiles `source` with `arguments`, in `folder`.
    fn cc(folder: &Path, source: &str, arguments: &[&str]) {
        fs::write(folder.join("source.c"), source).unwrap();
        let status = Command::new("cc").arg("source.c").args(arguments).current_dir(folder).status();
        assert!(status.unwrap().success());
    }

    #[test]
    fn a_stand_in_calls_the_real_library_or_returns_its_errors() {
        let folder = std::env::temp_dir().join(format!("stentor-shim-{}", std::process::id()));
        let libraries = folder.join("lib64");
        fs::create_dir_all(&libraries).unwrap();
        let folders = Folders {
            python: folder.clone(),
            toolkit: folder.clone(),
            shim: folder.clone(),
            emulator: folder.clone(),
            target: folder.clone(),
        };
        let library =
            Library { name: "real", module: "", file: "libstentor-real.so", absent: 34, unknown: 500 };
        let function = |name: &str, gives_pointer| Function { name: name.to_owned(), gives_pointer };
        let functions = [function("sum", false), function("text", true), function("young", false)];
        archive(&library, &functions, &folders).unwrap();
        // Arguments in every kind of place: registers for integers and for floats, and the stack.
        let declared = "int sum(int a, int b, int c, int d, int e, int f, int g, double x, double y);\n\
                        const char *text(void); int young(void);\n#include <stdio.h>\n";
        let main = "int main(void) { int s = sum(1, 2, 3, 4, 5, 6, 7, 0.5, 1.5); int t = sum(1, 2, 3, 4, 5, 6, 7, 0.5, 1.5);\n\
                    printf(\"%d %d %s %d\", s, t, text(), young()); return 0; }\n";
        cc(&folder, &format!("{declared}{main}"), &["-o", "main", "-Llib64", "-lreal"]);
        let run = || {
            let mut main = Command::new(folder.join("main"));
            let output = main.env("LD_LIBRARY_PATH", &folder).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run(), "34 34 libstentor-real.so is missing 34");
        let real = "int sum(int a, int b, int c, int d, int e, int f, int g, double x, double y)\n\
                    { return a + 10 * b + c + d + e + 100 * f + 1000 * g + (int)(10000 * x * y); }\n\
                    const char *text(void) { return \"it is there\"; }\n";
        cc(&folder, real, &["-shared", "-fPIC", "-o", "libstentor-real.so"]);
        assert_eq!(run(), "15133 15133 it is there 500");
        fs::remove_dir_all(&folder).unwrap();
    }
}
