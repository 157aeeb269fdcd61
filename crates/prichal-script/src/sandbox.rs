//! The rights that a process gives up before it reads the first script: a script that got the better of the
//! engine would find a process that can read and write two pipes, and nothing else.
//!
//! A right that cannot be given up, because a kernel or a container does not offer that, is told. The filter of
//! system calls counts most; the rest would hold without it.

use std::{collections::BTreeMap, io, path::Path};

use nix::sched::CloneFlags;
use rustix::{
    fs::CWD,
    mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount},
    process::{
        DumpableBehavior, Resource, Rlimit, Signal, chdir, chroot, getpid, set_dumpable_behavior,
        set_parent_process_death_signal, setrlimit,
    },
    thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use crate::{Alone, Limits, Presets, compile, run};

/// The address space that a process may take beyond what it has when it starts: for a script's values, what
/// is compiled, and frames on their way. Far more than a run is allowed, this ends the process whatever
/// the engine and this crate have miscounted.
const ROOM: u64 = 256 << 20;

type Step = fn() -> io::Result<()>;

/// Gives up what a process that runs scripts does not need, and says what could not be given up.
pub(crate) fn confine() -> Vec<String> {
    close_descriptors();
    read_time_zone();
    let steps: [(&str, Step); 6] = [
        ("limits of resources", limit_resources),
        ("namespaces without network and files", leave_world),
        ("no capabilities", drop_capabilities),
        ("protection from other processes", hide),
        ("no new privileges", || Ok(set_no_new_privs(true)?)),
        ("a filter of system calls", filter_calls),
    ];
    let tried = steps.into_iter().map(|(what, step)| (what, step()));
    let refused = tried.filter_map(|(what, done)| Some((what, done.err()?)));
    refused
        .map(|(what, error)| format!("{what} ({error})"))
        .collect()
}

/// Closes all but the two pipes and the standard error output.
fn close_descriptors() {
    let known = std::fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    });
    let open: Vec<i32> = known.unwrap_or_else(|_| (3..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one that the list was read through is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Lets the C library read the time zone while it can: it does so once.
fn read_time_zone() {
    if let Ok(program) = compile("new Date().getTimezoneOffset()") {
        let presets = Presets::default();
        run(
            &program,
            &presets,
            Limits::default(),
            || false,
            Alone::default(),
        );
    }
}

/// A network without an interface, and an empty file system that others do not see. Users that are no
/// administrators need a namespace of users for that.
fn leave_world() -> io::Result<()> {
    let own = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    nix::sched::unshare(own | CloneFlags::CLONE_NEWUSER).or_else(|_| nix::sched::unshare(own))?;
    // From here on the mounts are its own: what is done to them is seen by nobody else.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // It is put where something is mounted on every system; what was there stays for everybody else.
    let place = Path::new("/proc");
    mount("none", place, "tmpfs", flags, c"size=4k,mode=0555")?;
    mount_remount(place, flags | MountFlags::RDONLY, c"")?;
    chdir(place)?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

fn limit_resources() -> io::Result<()> {
    let room = address_space().map(|taken| taken + ROOM);
    for (resource, most) in [
        (Resource::Core, Some(0)),
        (Resource::Fsize, Some(0)),
        (Resource::Nproc, Some(0)),
        (Resource::Memlock, Some(0)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Nofile, Some(3)),
        (Resource::As, Some(room?)),
    ] {
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, none)?)
}

/// Others of the same user cannot look into it. It ends with the server also when it does not read.
fn hide() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Forgotten by the kernel when rights change, so this comes after that.
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Allows what reading, writing, waiting, memory, time and the end of a process take. All else fails as
/// something that is not permitted.
fn filter_calls() -> io::Result<()> {
    let anything = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_ppoll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_gettimeofday,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_sigaltstack,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    rules.extend(anything.map(|call| (call, Vec::new())));
    // No memory that could be executed, and signals for itself alone, as `abort` sends them.
    let no_code = || only(2, SeccompCmpOp::MaskedEq(EXECUTABLE), 0);
    rules.insert(libc::SYS_mmap, no_code()?);
    rules.insert(libc::SYS_mprotect, no_code()?);
    let own = u64::from(getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, own)?);
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, arch);
    let program: BpfProgram = filter
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// The bit of a mapping whose contents may be executed.
const EXECUTABLE: u64 = 4;

/// A call whose argument at this place is such.
fn only(place: u8, how: SeccompCmpOp, value: u64) -> io::Result<Vec<SeccompRule>> {
    let condition = SeccompCondition::new(place, SeccompCmpArgLen::Dword, how, value);
    let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
    Ok(vec![rule.map_err(io::Error::other)?])
}

/// The address space that this process has taken, in bytes.
fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Tries what a script must not be able to do, and tells how each ended. For tests of a process that has
/// been confined: everything here is to fail.
pub(crate) fn probe(file: &str) -> Vec<(&'static str, bool)> {
    let opened = std::fs::File::open(file).is_ok();
    let opened_at = rustix::fs::openat(
        CWD,
        "/",
        rustix::fs::OFlags::RDONLY,
        rustix::fs::Mode::empty(),
    );
    vec![
        ("open", opened),
        ("open the root", opened_at.is_ok()),
        ("list", std::fs::read_dir("/proc").is_ok()),
        ("socket", std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        (
            "connect",
            std::net::TcpStream::connect("127.0.0.1:1")
                .err()
                .is_none_or(|error| error.kind() == io::ErrorKind::ConnectionRefused),
        ),
        (
            "local socket",
            std::os::unix::net::UnixStream::pair().is_ok(),
        ),
        (
            "execute",
            std::process::Command::new("/bin/true").spawn().is_ok(),
        ),
        ("thread", std::thread::Builder::new().spawn(|| ()).is_ok()),
        (
            "memory",
            Vec::<u8>::new().try_reserve_exact(2 << 30).is_ok(),
        ),
        ("trace", nix::sys::ptrace::traceme().is_ok()),
        (
            "signal",
            rustix::process::test_kill_process(getpid()).is_ok(),
        ),
        (
            "raise a limit",
            setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: Some(3),
                    maximum: Some(3),
                },
            )
            .is_ok(),
        ),
        (
            "namespaces",
            nix::sched::unshare(CloneFlags::CLONE_NEWUSER).is_ok(),
        ),
    ]
}
