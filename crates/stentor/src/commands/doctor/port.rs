//! Whether the configured ports can be had, and if not, who has them.

use super::report::Check;
use std::{
    io::{self, ErrorKind},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::net::TcpSocket;

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The port of HTTP; with `keys` nobody speaks without one.
pub(super) async fn http(listen: SocketAddr, keys: bool) -> Check {
    match bind(listen) {
        Ok(()) if !keys && !listen.ip().is_loopback() => {
            Check::warn("port", format!("{listen} is free; who reaches it speaks without a key"))
                .remedy("make a key with `stentor key` and give its file as --api-keys-file, or let only those reach it who may")
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let detail = format!("{listen} is in use: {}", who(listen).await);
            Check::fail("port", detail)
                .remedy("stop what listens there, or choose another port with --listen")
        }
        result => had("port", "--listen", listen, result),
    }
}

/// The port of the Wyoming protocol; `keys` are asked for over HTTP.
pub(super) fn wyoming(listen: SocketAddr, keys: bool) -> Check {
    const NAME: &str = "wyoming port";
    match bind(listen) {
        Ok(()) if keys && !listen.ip().is_loopback() => {
            Check::warn(NAME, format!("{listen} is free; who reaches it speaks without a key"))
                .remedy("let only Home Assistant reach it, e.g. with a firewall")
        }
        result => had(NAME, "--wyoming", listen, result),
    }
}

fn had(name: &'static str, option: &str, listen: SocketAddr, result: io::Result<()>) -> Check {
    let Err(error) = result else { return Check::ok(name, format!("{listen} is free")) };
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => "stop what listens there, or choose another port",
        ErrorKind::PermissionDenied => "choose a port above 1023",
        _ => "choose an address of this machine",
    };
    Check::fail(name, format!("{listen} can't be had: {error}")).remedy(format!("{remedy} with {option}"))
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
