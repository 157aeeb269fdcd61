//! The journal's file: a head with the id of the process, then a slot for each item in progress.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use prichal_core::id::WorkspaceId;
use prichal_store::quarantine::{Item, Kind, Left};
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"prichal1";
/// The size of the head and of each slot, in bytes.
const SLOT_BYTES: usize = 64;
/// The offset in a slot of the byte that marks its item as alone.
const ALONE_OFFSET: usize = 57;
/// The most slots that are read from a file, far more than there can be items in progress.
const MAX_SLOTS: usize = 1 << 20;

/// The items that the previous process has left in progress.
pub struct Legacy {
    path: PathBuf,
    pub process: Uuid,
    pub left: Vec<Left>,
}

impl Legacy {
    /// Reads the file at `path`, which is missing after a clean stop.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let (process, left) = match fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Uuid::nil(), Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            process,
            left,
        })
    }

    /// Replaces the file of the previous process by one of this process.
    pub fn replace(&self) -> io::Result<Slots> {
        let draft = self.path.with_extension("new");
        let file = create(&draft)?;
        let mut head = [0; SLOT_BYTES];
        head[..8].copy_from_slice(MAGIC);
        head[8..24].copy_from_slice(Uuid::new_v4().as_bytes());
        file.write_all_at(&head, 0)?;
        fs::rename(&draft, &self.path)?;
        Ok(Slots {
            path: self.path.clone(),
            file: Some(file),
            free: Vec::new(),
            used: 0,
            doubtful: HashMap::new(),
        })
    }
}

/// The slots of this process.
pub struct Slots {
    path: PathBuf,
    /// `None` after the journal was closed.
    file: Option<File>,
    free: Vec<usize>,
    used: usize,
    /// The slots of items that ended by a panic. Each stays reserved for its item's next run.
    doubtful: HashMap<Item, usize>,
}

impl Slots {
    /// Writes an item into a slot. `None` if the file cannot be written; the work goes on all the same.
    pub fn note(&mut self, left: &Left) -> Option<usize> {
        let file = self.file.as_ref()?;
        let known = self.doubtful.get(&left.item).copied();
        let next = known.or_else(|| self.free.last().copied());
        let slot = next.unwrap_or(self.used);
        if let Err(error) = file.write_all_at(&write(left), place(slot)) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                workspace = %left.item.workspace,
                item.id = %left.item.id,
                "cannot write {} {} into the journal",
                left.item.kind.name(),
                left.item.id
            );
            return None;
        }
        if self.doubtful.remove(&left.item).is_none() && self.free.pop().is_none() {
            self.used += 1;
        }
        Some(slot)
    }

    /// Marks the item of a slot as no longer alone.
    pub fn join(&mut self, slot: usize) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&[0], place(slot) + ALONE_OFFSET as u64)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                slot,
                "cannot mark the item in slot {slot} of the journal as no longer alone"
            );
        }
    }

    /// Keeps the slot of an item that has ended by a panic. If the panic ends the process, the item counts as in
    /// progress.
    pub fn leave(&mut self, slot: usize, item: Item) {
        self.doubtful.insert(item, slot);
    }

    /// True if the slot belongs to an item that has ended by a panic.
    pub fn is_doubtful(&self, item: &Item, slot: usize) -> bool {
        self.doubtful.get(item) == Some(&slot)
    }

    /// Clears the slot of an item that has ended.
    pub fn clear(&mut self, slot: usize) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&[0], place(slot))
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                slot,
                "cannot clear slot {slot} of the journal"
            );
        }
        self.free.push(slot);
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

fn place(slot: usize) -> u64 {
    ((slot + 1) * SLOT_BYTES) as u64
}

fn number(kind: Kind) -> u8 {
    let place = Kind::ALL.iter().position(|known| *known == kind);
    u8::try_from(place.unwrap_or(0) + 1).unwrap_or(u8::MAX)
}

fn write(left: &Left) -> [u8; SLOT_BYTES] {
    let (mut slot, item) = ([0; SLOT_BYTES], &left.item);
    slot[0] = number(item.kind);
    slot[1..17].copy_from_slice(item.workspace.0.as_bytes());
    slot[17..33].copy_from_slice(item.parent.as_bytes());
    slot[33..49].copy_from_slice(item.id.as_bytes());
    slot[49..57].copy_from_slice(&item.seq.to_le_bytes());
    slot[ALONE_OFFSET] = left.was_alone.into();
    slot
}

/// The process and the items of a file. Damaged slots are skipped.
fn read(bytes: &[u8]) -> (Uuid, Vec<Left>) {
    if !bytes.starts_with(MAGIC) || bytes.len() < SLOT_BYTES {
        return (Uuid::nil(), Vec::new());
    }
    let slots = bytes[SLOT_BYTES..].chunks_exact(SLOT_BYTES).take(MAX_SLOTS);
    let mut left: Vec<Left> = slots.filter_map(read_slot).collect();
    // Of two slots of an item, the one that is not marked as alone counts.
    left.sort_unstable();
    left.dedup_by_key(|left| left.item);
    (uuid(&bytes[8..24]), left)
}

fn read_slot(slot: &[u8]) -> Option<Left> {
    let kind = usize::from(slot[0]).checked_sub(1)?;
    let item = Item {
        kind: *Kind::ALL.get(kind)?,
        workspace: WorkspaceId(uuid(&slot[1..17])),
        parent: uuid(&slot[17..33]),
        id: uuid(&slot[33..49]),
        seq: i64::from_le_bytes(slot[49..57].try_into().ok()?),
    };
    Some(Left {
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

    fn left(n: u128) -> Left {
        let item = Item {
            kind: Kind::ALL[usize::try_from(n % 7).expect("a number")],
            workspace: WorkspaceId(Uuid::from_u128(n)),
            parent: Uuid::from_u128(n + 1),
            id: Uuid::from_u128(n + 2),
            seq: i64::try_from(n).expect("a number") - 3,
        };
        Left {
            item,
            was_alone: n % 2 == 1,
        }
    }

    fn begin(path: &Path) -> Slots {
        let legacy = Legacy::open(path.to_owned()).expect("opens");
        legacy.replace().expect("begun")
    }

    #[test]
    fn the_next_process_finds_the_items_in_progress() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut first = begin(&path);
        let slots: Vec<usize> = (0..8)
            .map(|n| first.note(&left(n)).expect("noted"))
            .collect();
        first.clear(slots[2]);
        first.clear(slots[4]);
        assert_eq!(first.note(&left(8)), Some(slots[4]), "a slot is used again");
        first.leave(slots[6], left(6).item);
        assert_eq!(first.note(&left(6)), Some(slots[6]));
        first.join(slots[7]);
        drop(first);
        let with_company = Left {
            was_alone: false,
            ..left(7)
        };
        let mut expected: Vec<Left> = [0, 1, 3, 5, 6, 8].map(left).into();
        expected.insert(5, with_company);
        for _ in 0..2 {
            // The items stay in the file until they are counted.
            let mut legacy = Legacy::open(path.clone()).expect("opens");
            assert!(!legacy.process.is_nil());
            legacy.left.sort_by_key(|left| left.item.seq);
            assert_eq!(legacy.left, expected);
        }
        let mut second = begin(&path);
        second.note(&left(1)).expect("noted");
        second.close();
        assert_eq!(second.note(&left(1)), None);
        assert!(Legacy::open(path).expect("opens").left.is_empty());
    }

    #[test]
    fn an_item_with_two_slots_was_not_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut slots = begin(&path);
        let first = slots.note(&left(1)).expect("noted");
        slots.note(&left(1)).expect("noted");
        slots.join(first);
        let legacy = Legacy::open(path).expect("opens");
        assert_eq!(legacy.left.len(), 1);
        assert!(!legacy.left[0].was_alone);
    }

    #[test]
    fn damaged_slots_are_skipped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        begin(&path).note(&left(1)).expect("noted");
        let whole = fs::read(&path).expect("a file");
        let none_left = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("written");
            Legacy::open(path.clone()).expect("opens").left.is_empty()
        };
        for length in 0..whole.len() {
            assert!(none_left(&whole[..length]), "{length}");
        }
        let mut strange = whole;
        strange[SLOT_BYTES] = 200;
        assert!(none_left(&strange));
    }
}
