//! The addresses of host names. The system's resolver blocks a thread for each name that nobody answers
//! for, and names are chosen by tenants; so names are resolved without threads, and each workspace has
//! its share of what is asked at a time.
//!
//! `/etc/hosts` and `/etc/resolv.conf` hold as they do for the system's resolver, changes of them within
//! seconds. A name in `/etc/hosts` is asked of nobody.

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

/// How many names are asked for at a time by all workspaces together, and by one.
const TOGETHER: usize = 256;
const EACH: usize = 32;
/// How long an answer is kept, whatever it says itself. One that there is no such name is doubted sooner.
const KEPT: Duration = Duration::from_mins(1);
const DOUBTED: Duration = Duration::from_secs(5);
/// How many answers are kept.
const MOST: u64 = 256;
/// How long one server is waited for, and how often it is asked, whatever the system's settings say.
const PATIENCE: Duration = Duration::from_secs(5);
const ATTEMPTS: usize = 2;
/// How often the system's settings are looked at.
const LOOK: Duration = Duration::from_secs(5);

const SETTINGS: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Whom names are resolved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// A workspace, with its own share.
    Workspace(WorkspaceId),
    /// The server, which waits for no workspace.
    Server,
}

/// What all calls of a process resolve names with.
pub(super) struct Names {
    system: Mutex<Option<Current>>,
    shares: FairShare,
}

/// The system's settings as they were read last.
struct Current {
    system: Arc<System>,
    changed: [Option<SystemTime>; 2],
    looked: Instant,
}

struct System {
    resolver: TokioResolver,
    hosts: Hosts,
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            system: Mutex::default(),
            shares: FairShare::new(TOGETHER, EACH),
        }
    }

    /// All addresses of a host: none is left out, so that none escapes whoever checks them.
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
            let _place = match requester {
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
            if current.looked.elapsed() < LOOK {
                return Ok(current.system.clone());
            }
            current.looked = Instant::now();
            if current.changed == changed() {
                return Ok(current.system.clone());
            }
        }
        let changed = changed();
        let system = Arc::new(System::read()?);
        *current = Some(Current {
            system: system.clone(),
            changed,
            looked: Instant::now(),
        });
        Ok(system)
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}

/// When the settings were changed last.
fn changed() -> [Option<SystemTime>; 2] {
    SETTINGS.map(|path| Path::new(path).metadata().ok()?.modified().ok())
}

impl System {
    fn read() -> Result<Self, NetError> {
        // A system that names no server has one itself, as the system's resolver sees it.
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

    /// What `/etc/hosts` says.
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

fn bounded(system: ResolverOpts) -> ResolverOpts {
    let mut options = system;
    options.timeout = options.timeout.min(PATIENCE);
    options.attempts = options.attempts.min(ATTEMPTS);
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Never;
    options.cache_size = MOST;
    options.positive_max_ttl = Some(KEPT);
    options.negative_max_ttl = Some(DOUBTED);
    options
}

/// The order in which addresses are tried: a family without a route comes last.
fn in_order(addresses: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    let first = addresses.iter().find(|address| address.is_ipv6());
    let reached = first.is_some_and(|first| has_route(SocketAddr::new(*first, port)));
    let mut addresses: Vec<_> = addresses
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect();
    addresses.sort_by_key(|address| address.is_ipv6() != reached);
    addresses
}

/// Whether the system knows a way to an address of IPv6. Sends nothing.
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
        let reached = has_route("[2001:db8::1]:80".parse().expect("an address"));
        assert_eq!(ordered[0].is_ipv6(), reached);
        assert_eq!(in_order(Vec::new(), 80), []);
    }

    #[tokio::test]
    async fn a_name_in_the_hosts_file_is_asked_of_nobody() {
        let names = Names::new();
        let found = names.resolve(Requester::Server, "localhost", 80).await;
        let found = found.expect("every system knows itself");
        assert!(!found.is_empty());
        assert!(found.iter().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn names_without_an_answer_hold_up_nobody_else() {
        let names = Names::new();
        let [slow, other] = [1, 2].map(|number| WorkspaceId(Uuid::from_u128(number)));
        let mut busy = Vec::new();
        for _ in 0..EACH {
            busy.push(names.shares.take(slow, 1).await);
        }
        // Reserved by RFC 6761: nobody is asked for it.
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
    async fn what_is_no_name_has_no_address() {
        let names = Names::new();
        let long = format!("{}.example", "a".repeat(64));
        for name in [long.as_str(), "a..b"] {
            let found = names.resolve(Requester::Server, name, 80).await;
            assert_eq!(found, Err(CallError::Dns), "{name}");
        }
    }
}
