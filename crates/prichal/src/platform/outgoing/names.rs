//! Resolution of host names. The system's resolver blocks a thread for each name without an answer, and tenants choose
//! the names. So names are resolved without threads, and each workspace has a share of the concurrent queries.
//!
//! `/etc/hosts` and `/etc/resolv.conf` apply as they do for the system's resolver, their changes within seconds. A
//! name in `/etc/hosts` is never queried.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use prichal_core::id::WorkspaceId;

use super::CallError;
use crate::platform::share::FairShare;

/// The maximum number of concurrent queries of all workspaces, and of one workspace.
const MAX_CONCURRENT_QUERIES: usize = 256;
const MAX_CONCURRENT_PER_WORKSPACE: usize = 32;
/// The maximum cache time of an answer, regardless of its TTL. A negative answer is cached for a shorter time.
const CACHE_TTL: Duration = Duration::from_mins(1);
const NEGATIVE_CACHE_TTL: Duration = Duration::from_secs(5);
/// The maximum number of cached answers.
const MAX_CACHED: u64 = 256;
/// The timeout of one server, and the number of attempts, regardless of the system's settings.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ATTEMPTS: usize = 2;
/// The interval of checks for changes of the system's settings.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

const SETTINGS_FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// The requester of a resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// A workspace. Its queries count against its share.
    Workspace(WorkspaceId),
    /// The server itself. Its queries count against no share.
    Server,
}

/// The resolver of all calls of a process.
pub(super) struct Names {
    system: Mutex<Option<Current>>,
    shares: FairShare,
}

/// The system's settings as they were last read.
struct Current {
    system: Arc<System>,
    modified: [Option<SystemTime>; 2],
    checked_at: Instant,
}

struct System {
    resolver: TokioResolver,
    hosts: Hosts,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            system: Mutex::default(),
            shares: FairShare::new(MAX_CONCURRENT_QUERIES, MAX_CONCURRENT_PER_WORKSPACE),
        }
    }

    /// Returns all addresses of a host, so that the guard checks each of them.
    pub(super) async fn resolve(
        &self,
        requester: Requester,
        name: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, CallError> {
        let system = self.system().map_err(|_| CallError::Dns)?;
        let absolute = Name::from_str_relaxed(name).map_err(|_| CallError::Dns)?;
        let mut addresses = system.listed(&absolute);
        if addresses.is_empty() {
            let _permit = match requester {
                Requester::Workspace(workspace) => Some(self.shares.take(workspace, 1).await),
                Requester::Server => None,
            };
            let found = system.resolver.lookup_ip(absolute).await;
            addresses = found.map_err(|_| CallError::Dns)?.iter().collect();
        }
        Ok(in_order(addresses, port))
    }

    fn system(&self) -> Result<Arc<System>, NetError> {
        let mut current = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_mut() {
            if current.checked_at.elapsed() < RELOAD_INTERVAL {
                return Ok(current.system.clone());
            }
            current.checked_at = Instant::now();
            if current.modified == modified() {
                return Ok(current.system.clone());
            }
        }
        let modified = modified();
        let system = Arc::new(System::read()?);
        *current = Some(Current {
            system: system.clone(),
            modified,
            checked_at: Instant::now(),
        });
        Ok(system)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// The modification times of the settings files.
fn modified() -> [Option<SystemTime>; 2] {
    SETTINGS_FILES.map(|path| Path::new(path).metadata().ok()?.modified().ok())
}

impl System {
    fn read() -> Result<Self, NetError> {
        // Without configured servers, the server on this machine is asked, as the system's resolver does.
        let (config, options) = read_system_conf().unwrap_or_else(|_| {
            let here = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![here]);
            (config, ResolverOpts::default())
        });
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = bounded(options);
        Ok(Self {
            resolver: builder.build()?,
            hosts: Hosts::from_system().unwrap_or_default(),
        })
    }

    /// The addresses of a name in `/etc/hosts`.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let kinds = [RecordType::AAAA, RecordType::A];
        let found = kinds.map(|kind| {
            let query = Query::query(name.clone(), kind);
            self.hosts.lookup_static_host(&query)
        });
        let answers = found.iter().flatten().flat_map(Lookup::answers);
        answers.filter_map(|record| record.data.ip_addr()).collect()
    }
}

/// The system's options, with our bounds of time and memory.
fn bounded(system: ResolverOpts) -> ResolverOpts {
    let mut options = system;
    options.timeout = options.timeout.min(QUERY_TIMEOUT);
    options.attempts = options.attempts.min(MAX_ATTEMPTS);
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = MAX_CACHED;
    options.positive_max_ttl = Some(CACHE_TTL);
    options.negative_max_ttl = Some(NEGATIVE_CACHE_TTL);
    options
}

/// The order in which addresses are tried: a family without a route comes last.
fn in_order(addresses: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let first = addresses.iter().find(|address| address.is_ipv6());
    let has_ipv6_route = first.is_some_and(|first| has_route(SocketAddr::new(*first, port)));
    let mut addresses: Vec<_> = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect();
    addresses.sort_by_key(|address| address.is_ipv6() != has_ipv6_route);
    addresses
}

/// True if the system has a route to an address. Sends nothing.
fn has_route(address: SocketAddr) -> bool {
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    socket.and_then(|socket| socket.connect(address)).is_ok()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_family_without_a_route_comes_last() {
        let texts = ["2001:db8::1", "93.184.216.34", "127.0.0.1"];
        let addresses: Vec<IpAddr> = texts.map(|text| text.parse().expect("an address")).to_vec();
        let ordered = in_order(addresses.clone(), 80);
        assert_eq!(ordered.len(), addresses.len(), "none is lost");
        let has_ipv6_route = has_route("[2001:db8::1]:80".parse().expect("an address"));
        assert_eq!(ordered[0].is_ipv6(), has_ipv6_route);
        assert_eq!(in_order(Vec::new(), 80), []);
    }

    #[tokio::test]
    async fn a_name_in_the_hosts_file_is_not_queried() {
        let names = Names::new();
        let found = names.resolve(Requester::Server, "localhost", 80).await;
        let found = found.expect("every system knows itself");
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn names_without_an_answer_do_not_delay_others() {
        let names = Names::new();
        let [slow, other] = [1, 2].map(|number| WorkspaceId(Uuid::from_u128(number)));
        let mut busy = Vec::new();
        for _ in 0..MAX_CONCURRENT_PER_WORKSPACE {
            busy.push(names.shares.take(slow, 1).await);
        }
        // Reserved by RFC 6761, so no server is queried.
        let ask = |requester| names.resolve(requester, "nowhere.invalid", 80);
        let mut waiting = Box::pin(ask(Requester::Workspace(slow)));
        assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
        for requester in [Requester::Workspace(other), Requester::Server] {
            assert_eq!(ask(requester).await, Err(CallError::Dns));
        }
        drop(busy);
        assert_eq!(waiting.await, Err(CallError::Dns), "its turn comes");
    }

    #[tokio::test]
    async fn an_invalid_name_has_no_address() {
        let names = Names::new();
        let long = format!("{}.example", "a".repeat(64));
        for name in [long.as_str(), "a..b"] {
            let found = names.resolve(Requester::Server, name, 80).await;
            assert_eq!(found, Err(CallError::Dns), "{name}");
        }
    }
}
