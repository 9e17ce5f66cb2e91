//! `stentor doctor`: looks at everything that speaking needs and says of each thing whether it is well, and if not,
//! what to do.

mod devices;
mod models;
mod patient;
mod places;
mod port;
mod report;
mod speech;
mod voices;

use crate::{
    cli::Doctor,
    config::{Config, Mistakes},
};
use anyhow::Result;
use patient::Patient;
use report::{Check, Report};
use std::process::ExitCode;

/// Exit status 0 when nothing failed; warnings don't fail.
pub(super) async fn run(config: &Config, options: &Doctor) -> Result<ExitCode> {
    let patient = Patient::new(config);
    let mut report = Report::default();
    report.add(Check::ok("configuration", patient.settings()));
    report.extend(places::checks(&config.catalog.data_dir));
    report.extend(devices::checks(&patient));
    let keys = !config.settings.access.keys.is_empty();
    report.add(port::http(config.listen, keys).await);
    if let Some(listen) = config.wyoming {
        report.add(port::wyoming(listen, keys));
    }
    report.add(speech::espeak().await);
    report.extend(models::embedded());
    match patient.catalog() {
        Ok(catalog) => {
            report.extend(models::checks(&patient, &catalog, !options.quick));
            report.extend(voices::checks(&catalog));
            if !options.no_speak {
                report.add(speech::worker(&patient).await);
            }
        }
        Err(error) => report.add(
            Check::fail("catalog", format!("{error:#}"))
                .remedy("correct the file or the name; models and voices were not looked at"),
        ),
    }
    report.print(options.json)
}

/// The report when there is no configuration to go by.
pub(crate) fn misconfigured(options: &Doctor, mistakes: &Mistakes) -> Result<ExitCode> {
    let mut report = Report::default();
    report.add(
        Check::fail("configuration", mistakes.to_string())
            .remedy("correct these; nothing else was looked at"),
    );
    report.print(options.json)
}
