//! Memory and processor time of processes, from `/proc` of Linux.

use std::{collections::HashMap, fs, time::Duration};

use rustix::param::clock_ticks_per_second;

use crate::stats::{float, ratio};

/// The resident memory of a process in bytes: current and peak.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    pub resident: u64,
    pub peak: u64,
}

pub fn memory(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    Memory {
        resident: line("VmRSS:"),
        peak: line("VmHWM:"),
    }
}

/// The processor time of processes and all their descendants, thread by thread.
///
/// The scheduler's figure is in nanoseconds, while the one in `/proc/PID/stat` is in ticks of 10 ms.
#[derive(Clone, Debug, Default)]
pub struct Processor(HashMap<u32, Duration>);

impl Processor {
    pub fn of(roots: &[u32]) -> Self {
        let mut threads = HashMap::new();
        for pid in descendants(roots) {
            for thread in numbers(&format!("/proc/{pid}/task")) {
                let path = format!("/proc/{pid}/task/{thread}/schedstat");
                let text = fs::read_to_string(path).unwrap_or_default();
                let nanos = text.split_whitespace().next().and_then(|n| n.parse().ok());
                threads.insert(thread, Duration::from_nanos(nanos.unwrap_or(0)));
            }
        }
        Self(threads)
    }

    /// The time used since `earlier`, without threads that have ended since.
    pub fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, now): (&u32, &Duration)| {
            let before = earlier.0.get(thread).copied().unwrap_or_default();
            now.saturating_sub(before)
        };
        self.0.iter().map(used).sum()
    }
}

/// Measures the share of other processes in the machine's work.
pub struct Meter {
    roots: Vec<u32>,
    ours: Processor,
    machine: Duration,
}

impl Meter {
    /// Counts this program and `roots` with their descendants as measured processes.
    pub fn start(roots: &[u32]) -> Self {
        let mut roots = roots.to_vec();
        roots.push(std::process::id());
        Self {
            ours: Processor::of(&roots),
            machine: machine(),
            roots,
        }
    }

    /// The share of other processes in the processor time since the start, from 0 to 1.
    pub fn others(&self) -> f64 {
        let all = machine().saturating_sub(self.machine);
        let ours = Processor::of(&self.roots).since(&self.ours);
        ratio(all.saturating_sub(ours).as_secs_f64(), all.as_secs_f64())
    }
}

/// The time of all processors except for idling and waiting for disks.
fn machine() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace();
    // The columns are user nice system idle iowait irq softirq steal. Stolen time was not used by this machine.
    let busy = |(i, _): &(usize, &str)| !matches!(i, 3 | 4 | 7);
    let ticks = fields.skip(1).take(8).enumerate().filter(busy);
    let ticks: u64 = ticks.filter_map(|(_, n)| n.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(float(ticks) / float(clock_ticks_per_second()))
}

/// Returns `roots` and all their descendants.
fn descendants(roots: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in numbers("/proc") {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found: Vec<u32> = Vec::new();
    let mut open = roots.to_vec();
    while let Some(pid) = open.pop() {
        if !found.contains(&pid) {
            found.push(pid);
            open.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain any character.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

fn numbers(folder: &str) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let me = [std::process::id()];
        let memory = memory(me[0]);
        assert!(memory.resident > 100_000 && memory.peak >= memory.resident);
        let before = Processor::of(&me);
        let mut sum = 0_u64;
        while Processor::of(&me).since(&before) < Duration::from_millis(5) {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
    }
}
