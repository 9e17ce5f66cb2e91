//! `stentor healthcheck`: for containers that have no curl.

use crate::config::Config;
use anyhow::{Context as _, Result};
use std::{
    net::{IpAddr, Ipv6Addr},
    process::ExitCode,
    time::Duration,
};

pub(super) async fn run(config: &Config) -> Result<ExitCode> {
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            IpAddr::from([127, 0, 0, 1])
        } else {
            Ipv6Addr::LOCALHOST.into()
        });
    }
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
    let url = format!("http://{address}/readyz");
    let response = client.get(&url).send().await.with_context(|| format!("asking {url}"))?;
    let ready = response.status().is_success();
    super::print(&format!("{}\n", response.text().await?))?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
