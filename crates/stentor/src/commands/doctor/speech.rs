//! Whether it speaks: the program for further languages, and the default model in a worker of its own.

use super::{patient::Patient, report::Check};
use std::{process::Stdio, time::Duration};
use tokio::{
    process::Command,
    time::{Instant, timeout},
};

const ESPEAK_WITHIN: Duration = Duration::from_secs(3);
/// Loading gigabytes from a slow disk takes a while.
const SPEAK_WITHIN: Duration = Duration::from_secs(180);

pub(super) async fn espeak() -> Check {
    let mut command = Command::new("espeak-ng");
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match timeout(ESPEAK_WITHIN, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Check::ok("espeak-ng", text.lines().next().unwrap_or_default().trim())
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Check::ok(
            "espeak-ng",
            "not found; needed only for languages beside English (for example `apt install espeak-ng`)",
        ),
        _ => Check::warn("espeak-ng", "does not answer `espeak-ng --version`, so only English is spoken")
            .remedy("install it again"),
    }
}

pub(super) async fn worker(patient: &Patient<'_>) -> Check {
    let start = Instant::now();
    match timeout(SPEAK_WITHIN, patient.speak()).await {
        Ok(Ok(())) => {
            let seconds = start.elapsed().as_secs_f64();
            Check::ok("speech", format!("a worker loaded the default model and spoke after {seconds:.1} s"))
        }
        Ok(Err(error)) => Check::fail("speech", format!("{error:#}"))
            .remedy("see the checks above; `stentor say -o out.wav Hello --log debug` tells more"),
        Err(_) => Check::fail("speech", format!("the default model did not speak within {SPEAK_WITHIN:?}"))
            .remedy("see whether the machine is busy or its disk slow"),
    }
}
