//! Whether the configured port can be had, and if not, who has it.

use super::report::Check;
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpSocket;

const NAME: &str = "port";
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn check(listen: SocketAddr) -> Check {
    match bind(listen) {
        Ok(()) => Check::ok(NAME, format!("{listen} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let detail = format!("{listen} is in use: {}", who(listen).await);
            Check::fail(NAME, detail).remedy("stop what listens there, or choose another port with --listen")
        }
        Err(error) => {
            let remedy = match error.kind() {
                ErrorKind::PermissionDenied => "choose a port above 1023 with --listen",
                _ => "choose an address of this machine with --listen",
            };
            Check::fail(NAME, format!("{listen} can't be had: {error}")).remedy(remedy)
        }
    }
}

/// As the server does it; nothing listens meanwhile.
fn bind(listen: SocketAddr) -> io::Result<()> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)
}

/// What answers there.
async fn who(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let v6 = address.is_ipv6();
        address.set_ip(if v6 { Ipv6Addr::LOCALHOST.into() } else { IpAddr::from([127, 0, 0, 1]) });
    }
    let url = format!("http://{address}/readyz");
    let answer = async {
        let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build().ok()?;
        client.get(&url).send().await.ok()?.json::<serde_json::Value>().await.ok()
    };
    let answer = answer.await.unwrap_or_default();
    match (answer["status"].as_str(), answer["model"].as_str()) {
        (Some(status), Some(model)) => format!("a stentor answers there ({status}, model {model})"),
        _ => "another program has it (its /readyz is not stentor's)".to_owned(),
    }
}
