//! The sandbox of a worker process, set up before the first script is read. A script that broke out of the engine
//! would find a process that can only read and write two pipes.
//!
//! A restriction that the kernel or the container does not support is reported. The system call filter is the most
//! important one; the other restrictions are a second line of defence.

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

use crate::{Limits, NoHost, Presets, compile, run};

/// The address space, in bytes, that the process may take beyond its size at the start: for the values of a script,
/// compiled programs, and frames in transit. It is far more than a run may use, and ends the process even if the
/// engine and this crate count wrongly.
const MAX_ADDED_ADDRESS_SPACE: u64 = 256 << 20;

type Step = fn() -> io::Result<()>;

/// Sets up the sandbox. Returns a message for each restriction that could not be applied.
pub(crate) fn enter() -> Vec<String> {
    close_descriptors();
    preload_time_zone();
    let steps: [(&str, Step); 6] = [
        ("resource limits", limit_resources),
        ("namespaces without network and files", enter_namespaces),
        ("no capabilities", drop_capabilities),
        ("protection from inspection", forbid_inspection),
        ("no new privileges", || Ok(set_no_new_privs(true)?)),
        ("system call filter", filter_system_calls),
    ];
    let tried = steps.into_iter().map(|(what, step)| (what, step()));
    let refused = tried.filter_map(|(what, done)| Some((what, done.err()?)));
    refused
        .map(|(what, error)| format!("{what} ({error})"))
        .collect()
}

/// Closes all file descriptors except the two pipes and standard error.
fn close_descriptors() {
    let known = std::fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    });
    let open: Vec<i32> = known.unwrap_or_else(|_| (3..1024).collect());
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The descriptor through which the list was read is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}

/// Makes the C library read the time zone while it can. It reads it once.
fn preload_time_zone() {
    if let Ok(program) = compile("new Date().getTimezoneOffset()") {
        let presets = Presets::default();
        run(
            &program,
            &presets,
            Limits::default(),
            || false,
            NoHost::default(),
        );
    }
}

/// Enters namespaces with an unconnected network and a private empty file system. Users without privileges need a
/// user namespace for that.
fn enter_namespaces() -> io::Result<()> {
    let own = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    nix::sched::unshare(own | CloneFlags::CLONE_NEWUSER).or_else(|_| nix::sched::unshare(own))?;
    // From here on, changes to the mounts are not visible to other processes.
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // The empty file system is mounted over a directory that exists on every system. Other processes still see the
    // original.
    let place = Path::new("/proc");
    mount("none", place, "tmpfs", flags, c"size=4k,mode=0555")?;
    mount_remount(place, flags | MountFlags::RDONLY, c"")?;
    chdir(place)?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

fn limit_resources() -> io::Result<()> {
    let room = address_space().map(|taken| taken + MAX_ADDED_ADDRESS_SPACE);
    for (resource, max) in [
        (Resource::Core, Some(0)),
        (Resource::Fsize, Some(0)),
        (Resource::Nproc, Some(0)),
        (Resource::Memlock, Some(0)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Nofile, Some(3)),
        (Resource::As, Some(room?)),
    ] {
        let limit = Rlimit {
            current: max,
            maximum: max,
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

/// Forbids inspection by other processes of the same user, and makes the process end with the server even if it does
/// not read.
fn forbid_inspection() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // The kernel resets this setting when privileges change, so it is made last.
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Allows the system calls for reading, writing, waiting, memory, time and exit. Every other call fails with EPERM.
fn filter_system_calls() -> io::Result<()> {
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
    // Executable memory is forbidden, and signals may go only to the process itself, as `abort` sends them.
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

/// The protection bit of executable mappings.
const EXECUTABLE: u64 = 4;

/// A rule that allows a call if its argument at this index satisfies the comparison.
fn only(index: u8, comparison: SeccompCmpOp, value: u64) -> io::Result<Vec<SeccompRule>> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, comparison, value);
    let rule = condition.and_then(|condition| SeccompRule::new(vec![condition]));
    Ok(vec![rule.map_err(io::Error::other)?])
}

/// The size of this process's address space in bytes.
fn address_space() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages = text
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Tries acts that the sandbox must forbid, and returns for each whether it worked. For tests of a confined process;
/// every act must fail.
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
