//! The journal's file: a header with an id of the process, then a slot for each item in progress.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use prichal_core::id::WorkspaceId;
use prichal_store::quarantine::{Interrupted, Item, Kind};
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"prichal1";
/// The size of the header and of each slot, in bytes.
const SLOT_BYTES: usize = 64;
/// The offset of the byte in a slot that marks the item as alone.
const ALONE_OFFSET: usize = 57;
/// The maximum number of slots that are read from a file. It is far above the possible number of items in progress.
const MAX_SLOTS: usize = 1 << 20;

/// The journal of the previous process, with the items that were in progress when it died.
pub struct PreviousJournal {
    path: PathBuf,
    pub process: Uuid,
    pub interrupted: Vec<Interrupted>,
}

impl PreviousJournal {
    /// Reads the file at `path`, which is missing after a clean stop.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let (process, interrupted) = match fs::read(&path) {
            Ok(bytes) => decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Uuid::nil(), Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            process,
            interrupted,
        })
    }

    /// Replaces the file by a new one for this process.
    pub fn replace(&self) -> io::Result<Slots> {
        let draft = self.path.with_extension("new");
        let file = create(&draft)?;
        let mut header = [0; SLOT_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..24].copy_from_slice(Uuid::new_v4().as_bytes());
        file.write_all_at(&header, 0)?;
        fs::rename(&draft, &self.path)?;
        Ok(Slots {
            path: self.path.clone(),
            file: Some(file),
            free: BTreeSet::new(),
            count: 0,
            panicked: HashMap::new(),
        })
    }
}

impl Slots {
    /// Slots without a file: work goes on, and its deaths are not counted.
    pub fn none() -> Self {
        Self {
            path: PathBuf::new(),
            file: None,
            free: BTreeSet::new(),
            count: 0,
            panicked: HashMap::new(),
        }
    }
}

/// The slots of this process.
pub struct Slots {
    path: PathBuf,
    /// `None` without a journal, and once it is closed.
    file: Option<File>,
    /// The free slots among the first [`Self::count`]. The lowest is used next, so that items that begin together have
    /// slots side by side.
    free: BTreeSet<usize>,
    /// The number of slots in the file.
    count: usize,
    /// The slots of items that have panicked. Each stays reserved until its item is tried again.
    panicked: HashMap<Item, usize>,
}

impl Slots {
    /// Writes an item into a slot and returns the slot. `None` if the file cannot be written; the work goes on all the
    /// same. `entry` is what the next process reads if this one dies.
    pub fn note(&mut self, entry: &Interrupted) -> Option<usize> {
        let slots = self.note_all(std::slice::from_ref(entry));
        slots.first().copied().flatten()
    }

    /// Writes items that begin together, each into a slot of its own: with one write, if the slots are side by side.
    pub fn note_all(&mut self, entries: &[Interrupted]) -> Vec<Option<usize>> {
        if self.file.is_none() {
            return vec![None; entries.len()];
        }
        let slots: Vec<usize> = entries.iter().map(|entry| self.take(&entry.item)).collect();
        let (mut written, mut begin) = (Vec::with_capacity(slots.len()), 0);
        while begin < slots.len() {
            let end = end_of_run(&slots, begin);
            let is_written = self.write(&entries[begin..end], slots[begin]);
            for slot in &slots[begin..end] {
                if !is_written {
                    self.free.insert(*slot);
                }
                written.push(is_written.then_some(*slot));
            }
            begin = end;
        }
        written
    }

    /// Takes the slot that is kept for an item, or the lowest free one.
    fn take(&mut self, item: &Item) -> usize {
        let kept = self.panicked.remove(item);
        kept.or_else(|| self.free.pop_first()).unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }

    /// Writes entries into slots side by side, from the slot `first`. False if the file cannot be written.
    fn write(&self, entries: &[Interrupted], first: usize) -> bool {
        let bytes: Vec<u8> = entries.iter().flat_map(encode).collect();
        let Some(Err(error)) = self
            .file
            .as_ref()
            .map(|file| file.write_all_at(&bytes, offset(first)))
        else {
            return true;
        };
        for Interrupted { item, .. } in entries {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                workspace = %item.workspace,
                item.id = %item.id,
                "cannot write {} {} into the journal",
                item.kind.name(),
                item.id
            );
        }
        false
    }

    /// Marks the item of a slot as no longer alone.
    pub fn clear_alone(&mut self, slot: usize) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&[0], offset(slot) + ALONE_OFFSET as u64)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                slot,
                "cannot mark the item in slot {slot} of the journal as no longer alone"
            );
        }
    }

    /// Keeps the slot of an item that has panicked. If the panic ends the process, the item counts as in progress.
    pub fn keep_after_panic(&mut self, slot: usize, item: Item) {
        self.panicked.insert(item, slot);
    }

    /// True if the slot is kept for this item because it has panicked.
    pub fn has_panicked(&self, item: &Item, slot: usize) -> bool {
        self.panicked.get(item) == Some(&slot)
    }

    /// Clears the slots of items that have ended together: with one write for those side by side.
    pub fn clear(&mut self, mut slots: Vec<usize>) {
        slots.sort_unstable();
        let mut begin = 0;
        while begin < slots.len() {
            let (slot, end) = (slots[begin], end_of_run(&slots, begin));
            let empty = vec![0; (end - begin) * SLOT_BYTES];
            if let Some(file) = &self.file
                && let Err(error) = file.write_all_at(&empty, offset(slot))
            {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    slot,
                    "cannot clear the journal from slot {slot}"
                );
            }
            begin = end;
        }
        self.free.extend(slots);
    }

    /// Removes the file, so that the next process finds no items.
    pub fn close(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove the journal"
            );
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    options.open(path)
}

/// The index behind the last of the slots that lie side by side from the one at `begin` on.
fn end_of_run(slots: &[usize], begin: usize) -> usize {
    let mut end = begin + 1;
    while end < slots.len() && slots[end] == slots[end - 1] + 1 {
        end += 1;
    }
    end
}

/// The offset of a slot in the file.
fn offset(slot: usize) -> u64 {
    ((slot + 1) * SLOT_BYTES) as u64
}

/// The number of a kind in a slot. Zero marks a free slot.
fn number(kind: Kind) -> u8 {
    let position = Kind::ALL.iter().position(|known| *known == kind);
    u8::try_from(position.unwrap_or(0) + 1).unwrap_or(u8::MAX)
}

fn encode(entry: &Interrupted) -> [u8; SLOT_BYTES] {
    let (mut slot, item) = ([0; SLOT_BYTES], &entry.item);
    slot[0] = number(item.kind);
    slot[1..17].copy_from_slice(item.workspace.0.as_bytes());
    slot[17..33].copy_from_slice(item.parent.as_bytes());
    slot[33..49].copy_from_slice(item.id.as_bytes());
    slot[49..57].copy_from_slice(&item.seq.to_le_bytes());
    slot[ALONE_OFFSET] = entry.was_alone.into();
    slot
}

/// Reads the id of the process and the items from a file. Damaged slots are skipped.
fn decode(bytes: &[u8]) -> (Uuid, Vec<Interrupted>) {
    if !bytes.starts_with(MAGIC) || bytes.len() < SLOT_BYTES {
        return (Uuid::nil(), Vec::new());
    }
    let slots = bytes[SLOT_BYTES..].chunks_exact(SLOT_BYTES).take(MAX_SLOTS);
    let mut items: Vec<Interrupted> = slots.filter_map(decode_slot).collect();
    // If an item has two slots, the one without the mark sorts first and counts.
    items.sort_unstable();
    items.dedup_by_key(|one| one.item);
    (uuid(&bytes[8..24]), items)
}

fn decode_slot(slot: &[u8]) -> Option<Interrupted> {
    let kind = usize::from(slot[0]).checked_sub(1)?;
    let item = Item {
        kind: *Kind::ALL.get(kind)?,
        workspace: WorkspaceId(uuid(&slot[1..17])),
        parent: uuid(&slot[17..33]),
        id: uuid(&slot[33..49]),
        seq: i64::from_le_bytes(slot[49..57].try_into().ok()?),
    };
    Some(Interrupted {
        item,
        was_alone: slot[ALONE_OFFSET] == 1,
    })
}

fn uuid(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u128) -> Interrupted {
        let item = Item {
            kind: Kind::ALL[usize::try_from(n % 7).expect("a number")],
            workspace: WorkspaceId(Uuid::from_u128(n)),
            parent: Uuid::from_u128(n + 1),
            id: Uuid::from_u128(n + 2),
            seq: i64::try_from(n).expect("a number") - 3,
        };
        Interrupted {
            item,
            was_alone: n % 2 == 1,
        }
    }

    fn begin(path: &Path) -> Slots {
        let previous = PreviousJournal::open(path.to_owned()).expect("opens");
        previous.replace().expect("begun")
    }

    #[test]
    fn the_next_process_finds_the_items_in_progress() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut first = begin(&path);
        let slots: Vec<usize> = (0..8)
            .map(|n| first.note(&entry(n)).expect("noted"))
            .collect();
        first.clear(vec![slots[4], slots[2]]);
        assert_eq!(
            first.note(&entry(8)),
            Some(slots[2]),
            "the lowest free slot is used again"
        );
        first.keep_after_panic(slots[6], entry(6).item);
        assert_eq!(first.note(&entry(6)), Some(slots[6]));
        first.clear_alone(slots[7]);
        drop(first);
        let not_alone = Interrupted {
            was_alone: false,
            ..entry(7)
        };
        let mut expected: Vec<Interrupted> = [0, 1, 3, 5, 6, 8].map(entry).into();
        expected.insert(5, not_alone);
        for _ in 0..2 {
            // The items stay in the file until they are counted.
            let mut previous = PreviousJournal::open(path.clone()).expect("opens");
            assert!(!previous.process.is_nil());
            previous.interrupted.sort_by_key(|one| one.item.seq);
            assert_eq!(previous.interrupted, expected);
        }
        let mut second = begin(&path);
        second.note(&entry(1)).expect("noted");
        second.close();
        assert_eq!(second.note(&entry(1)), None);
        assert!(
            PreviousJournal::open(path)
                .expect("opens")
                .interrupted
                .is_empty()
        );
    }

    #[test]
    fn items_that_begin_or_end_together_have_slots_of_their_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut slots = begin(&path);
        let first = slots.note_all(&[0, 1, 2, 3].map(entry));
        assert_eq!(first, [0, 1, 2, 3].map(Some));
        slots.clear(vec![3, 1]);
        slots.keep_after_panic(2, entry(2).item);
        // Slots 1 and 3 are free, slot 2 is kept for its item, and slot 4 is new.
        let second = slots.note_all(&[5, 2, 6, 7].map(entry));
        assert_eq!(second, [1, 2, 3, 4].map(Some));
        slots.clear(vec![0, 3]);
        let mut previous = PreviousJournal::open(path).expect("opens");
        previous.interrupted.sort_by_key(|one| one.item.seq);
        assert_eq!(previous.interrupted, [2, 5, 7].map(entry));
        slots.close();
        assert_eq!(slots.note_all(&[1, 2].map(entry)), [None, None]);
    }

    #[test]
    fn an_item_with_two_slots_was_not_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut slots = begin(&path);
        let first = slots.note(&entry(1)).expect("noted");
        slots.note(&entry(1)).expect("noted");
        slots.clear_alone(first);
        let previous = PreviousJournal::open(path).expect("opens");
        assert_eq!(previous.interrupted.len(), 1);
        assert!(!previous.interrupted[0].was_alone);
    }

    #[test]
    fn damaged_slots_are_skipped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        begin(&path).note(&entry(1)).expect("noted");
        let whole = fs::read(&path).expect("a file");
        let none_left = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            PreviousJournal::open(path.clone())
                .expect("opens")
                .interrupted
                .is_empty()
        };
        for length in 0..whole.len() {
            assert!(none_left(&whole[..length]), "{length}");
        }
        let mut strange = whole;
        strange[SLOT_BYTES] = 200;
        assert!(none_left(&strange));
    }
}
