//! The way of connections out of this machine: their source address, and the proxy, if there is one.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context as _, bail, ensure};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::{TcpSocket, TcpStream};

use super::proxy::Proxy;
use super::target::Host;
use crate::config::{Config, proxy_address};

#[derive(Default)]
pub(super) struct Route {
    /// At most one address of each family. If there are any, a family without one is not called.
    pub(super) sources: Vec<IpAddr>,
    pub(super) proxy: Option<Proxy>,
}

impl Route {
    /// The way that the settings describe. Reads files. The error names the setting.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        for source in &config.egress_source_address {
            UdpSocket::bind((*source, 0))
                .with_context(|| format!("{source} is no address of this machine"))
                .context("`egress-source-address`")?;
        }
        Ok(Self {
            sources: config.egress_source_address.clone(),
            proxy: proxy(config)?,
        })
    }

    /// Connects to the first address that accepts, one after the other.
    pub(super) async fn connect(&self, addresses: &[SocketAddr]) -> io::Result<TcpStream> {
        let mut failure = io::Error::new(ErrorKind::AddrNotAvailable, "no address");
        for address in addresses {
            let connected = self.connect_to(*address).await;
            match connected.and_then(|tcp| tcp.set_nodelay(true).map(|()| tcp)) {
                Ok(tcp) => return Ok(tcp),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        if self.sources.is_empty() {
            return TcpStream::connect(address).await;
        }
        let is_v4 = address.is_ipv4();
        let mut sources = self.sources.iter();
        let source = sources
            .find(|source| source.is_ipv4() == is_v4)
            .ok_or(ErrorKind::AddrNotAvailable)?;
        let socket = if is_v4 {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.bind(SocketAddr::new(*source, 0))?;
        socket.connect(address).await
    }
}

fn proxy(config: &Config) -> anyhow::Result<Option<Proxy>> {
    let Some(url) = &config.egress_proxy else {
        let alone = [
            (
                "egress-proxy-credentials-file",
                config.egress_proxy_credentials_file.is_some(),
            ),
            (
                "egress-proxy-bypass",
                !config.egress_proxy_bypass.is_empty(),
            ),
            (
                "egress-proxy-resolves",
                !config.egress_proxy_resolves.is_empty(),
            ),
        ];
        if let Some((setting, _)) = alone.iter().find(|(_, is_set)| *is_set) {
            bail!("`{setting}` is set, but `egress-proxy` is not");
        }
        return Ok(None);
    };
    let (host, port) = proxy_address(url.expose_secret()).context("`egress-proxy`")?;
    let credentials = config.egress_proxy_credentials_file.as_ref();
    let credentials = credentials.map(|file| {
        let read = fs::read_to_string(file);
        let text = read.with_context(|| format!("cannot read `{}`", file.display()))?;
        let text = text.trim_end_matches(['\r', '\n']);
        ensure!(
            text.contains(':') && !text.contains(char::is_control),
            "`{}` is not one line with a name, a colon and a password",
            file.display()
        );
        Ok(SecretString::from(text))
    });
    let credentials = credentials
        .transpose()
        .context("`egress-proxy-credentials-file`")?;
    Ok(Some(Proxy::new(
        (Host::from(host), port),
        credentials.as_ref(),
        config.egress_proxy_bypass.clone(),
        config.egress_proxy_resolves.clone(),
    )))
}
