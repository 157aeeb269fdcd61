//! The journal's file: a head that names the process, then a slot for each item under way.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use prichal_core::id::WorkspaceId;
use prichal_store::quarantine::{Item, Kind};
use uuid::Uuid;

const MAGIC: &[u8; 8] = b"prichal1";
/// How many bytes head and slots have.
const SIZE: usize = 64;
/// How many slots are read of a file: far more than can be under way at once.
const MOST: usize = 1 << 20;

/// The slots of this process, and what the one before has left.
pub struct Slots {
    path: PathBuf,
    left: (Uuid, Vec<Item>),
    /// Nothing until what was left is counted, and after the end.
    file: Option<File>,
    free: Vec<usize>,
    used: usize,
    /// The slots of items that ended by a panic. They stay, and are the items' own when those begin again.
    doubtful: HashMap<Item, usize>,
}

impl Slots {
    /// Reads what the process before has left in the file at `path`.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let left = match fs::read(&path) {
            Ok(bytes) => read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Uuid::nil(), Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path,
            left,
            file: None,
            free: Vec::new(),
            used: 0,
            doubtful: HashMap::new(),
        })
    }

    /// The process before, and what was under way when it died.
    pub fn left(&self) -> (Uuid, Vec<Item>) {
        self.left.clone()
    }

    /// Begins a file of this process in the place of the one before.
    pub fn begin(&mut self) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        let file = create(&draft)?;
        let mut head = [0; SIZE];
        head[..8].copy_from_slice(MAGIC);
        head[8..24].copy_from_slice(Uuid::new_v4().as_bytes());
        file.write_all_at(&head, 0)?;
        fs::rename(&draft, &self.path)?;
        self.file = Some(file);
        self.left = (Uuid::nil(), Vec::new());
        Ok(())
    }

    /// Notes an item. Nothing when the file cannot be written: its work goes on all the same.
    pub fn note(&mut self, item: &Item) -> Option<usize> {
        let file = self.file.as_ref()?;
        if let Some(slot) = self.doubtful.remove(item) {
            return Some(slot);
        }
        let slot = self.free.last().copied().unwrap_or(self.used);
        if let Err(error) = file.write_all_at(&write(item), place(slot)) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot note what is under way"
            );
            return None;
        }
        if self.free.pop().is_none() {
            self.used += 1;
        }
        Some(slot)
    }

    /// The item of a slot has ended by a panic: should that end the process, it was under way.
    pub fn leave(&mut self, slot: usize, item: Item) {
        self.doubtful.insert(item, slot);
    }

    /// The item of a slot has come to its end.
    pub fn clear(&mut self, slot: usize) {
        if let Some(file) = &self.file
            && let Err(error) = file.write_all_at(&[0], place(slot))
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot note that something has ended"
            );
        }
        self.free.push(slot);
    }

    /// Removes the file: nothing is left for the next process.
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
    ((slot + 1) * SIZE) as u64
}

fn number(kind: Kind) -> u8 {
    let place = Kind::ALL.iter().position(|known| *known == kind);
    u8::try_from(place.unwrap_or(0) + 1).unwrap_or(u8::MAX)
}

fn write(item: &Item) -> [u8; SIZE] {
    let mut slot = [0; SIZE];
    slot[0] = number(item.kind);
    slot[1..17].copy_from_slice(item.workspace.0.as_bytes());
    slot[17..33].copy_from_slice(item.parent.as_bytes());
    slot[33..49].copy_from_slice(item.id.as_bytes());
    slot[49..57].copy_from_slice(&item.seq.to_le_bytes());
    slot
}

/// The process and the items of a file. Slots that say nothing sensible are passed over.
fn read(bytes: &[u8]) -> (Uuid, Vec<Item>) {
    if !bytes.starts_with(MAGIC) || bytes.len() < SIZE {
        return (Uuid::nil(), Vec::new());
    }
    let slots = bytes[SIZE..].chunks_exact(SIZE).take(MOST);
    let mut items: Vec<Item> = slots.filter_map(read_slot).collect();
    items.sort_unstable();
    items.dedup();
    (uuid(&bytes[8..24]), items)
}

fn read_slot(slot: &[u8]) -> Option<Item> {
    let kind = usize::from(slot[0]).checked_sub(1)?;
    Some(Item {
        kind: *Kind::ALL.get(kind)?,
        workspace: WorkspaceId(uuid(&slot[1..17])),
        parent: uuid(&slot[17..33]),
        id: uuid(&slot[33..49]),
        seq: i64::from_le_bytes(slot[49..57].try_into().ok()?),
    })
}

fn uuid(bytes: &[u8]) -> Uuid {
    Uuid::from_slice(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: u128) -> Item {
        Item {
            kind: Kind::ALL[usize::try_from(n % 7).expect("a number")],
            workspace: WorkspaceId(Uuid::from_u128(n)),
            parent: Uuid::from_u128(n + 1),
            id: Uuid::from_u128(n + 2),
            seq: i64::try_from(n).expect("a number") - 3,
        }
    }

    #[test]
    fn the_next_process_finds_what_was_under_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut first = Slots::open(path.clone()).expect("opens");
        first.begin().expect("begun");
        let slots: Vec<usize> = (0..7)
            .map(|n| first.note(&item(n)).expect("noted"))
            .collect();
        first.clear(slots[2]);
        first.clear(slots[4]);
        assert_eq!(first.note(&item(8)), Some(slots[4]), "a slot is used again");
        first.leave(slots[6], item(6));
        assert_eq!(first.note(&item(6)), Some(slots[6]));
        drop(first);
        for _ in 0..2 {
            // As long as it does not say that it has counted them.
            let (process, mut left) = Slots::open(path.clone()).expect("opens").left();
            assert!(!process.is_nil());
            left.sort_by_key(|item| item.seq);
            assert_eq!(left, [0, 1, 3, 5, 6, 8].map(item));
        }
        let mut second = Slots::open(path.clone()).expect("opens");
        second.begin().expect("begun");
        second.note(&item(1)).expect("noted");
        second.close();
        assert_eq!(second.note(&item(1)), None);
        assert!(Slots::open(path).expect("opens").left().1.is_empty());
    }

    #[test]
    fn a_damaged_file_is_no_obstacle() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("under-way");
        let mut good = Slots::open(path.clone()).expect("opens");
        good.begin().expect("begun");
        good.note(&item(1)).expect("noted");
        let whole = fs::read(&path).expect("a file");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            assert!(
                Slots::open(path.clone())
                    .expect("opens")
                    .left()
                    .1
                    .is_empty()
            );
        }
        let mut strange = whole;
        strange[SIZE] = 200;
        fs::write(&path, &strange).expect("written");
        assert!(Slots::open(path).expect("opens").left().1.is_empty());
    }
}
