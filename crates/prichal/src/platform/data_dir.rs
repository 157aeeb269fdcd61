//! The data directory. One server owns it and locks it while it runs.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use uuid::Uuid;

use crate::{
    config::{Config, MasterKey, TOKEN_FORM, is_token},
    platform::{
        security::{self, Event},
        vault::{fill_random, random_token},
    },
};

/// The file of the previous master key.
const PREVIOUS_KEY_FILE: &str = "previous-master-key";
/// The file of the node's id.
const NODE_ID_FILE: &str = "node-id";

pub struct DataDir {
    path: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

impl DataDir {
    /// Opens the directory, creates it if it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        is_directory(path)?;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.with_context(|| format!("cannot create the data directory `{shown}`"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"));
        let lock = lock.with_context(|| format!("cannot write in the data directory `{shown}`"))?;
        match lock.try_lock() {
            Ok(()) => {
                restrict_rights(path);
                Ok(Self {
                    path: path.to_owned(),
                    _lock: lock,
                })
            }
            Err(TryLockError::WouldBlock) => {
                bail!("the data directory `{shown}` is in use by another prichal")
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock the data directory `{shown}`"))
            }
        }
    }

    /// Fails if a server could not start on the directory. Creates and locks nothing, since a server may be running
    /// on it.
    pub fn check(config: &Config) -> Result<()> {
        let path = &config.data_dir;
        if !is_directory(path)? {
            return check_creatable(path)
                .with_context(|| format!("cannot create the data directory `{}`", path.display()));
        }
        let probe = path.join(format!("check-{}", Uuid::new_v4()));
        let written = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
        written
            .with_context(|| format!("cannot write in the data directory `{}`", path.display()))?;
        let (token, key) = (path.join("admin-token"), path.join("master-key"));
        if config.admin_token.is_none()
            && let Some(text) = find(&token)?
        {
            check_token(&text, &token)?;
        }
        if config.master_key.is_none()
            && let Some(text) = find(&key)?
        {
            read_key(&text, &key)?;
        }
        let previous = path.join(PREVIOUS_KEY_FILE);
        if config.previous_master_key.is_none()
            && let Some(text) = find(&previous)?
        {
            read_key(&text, &previous)?;
        }
        let node = path.join(NODE_ID_FILE);
        if let Some(text) = find(&node)? {
            read_node(&text, &node)?;
        }
        Ok(())
    }

    /// The configured token, or the token of the data directory and its file. The file is created on the first start.
    pub fn admin_token(&self, config: &Config) -> Result<(SecretString, Option<PathBuf>)> {
        if let Some(token) = &config.admin_token {
            return Ok((token.clone(), None));
        }
        let (text, path) = self.read_or_create("admin-token", random_token)?;
        check_token(&text, &path)?;
        tracing::info!(file = %path.display(), "administrator's token is in a file");
        Ok((text.into(), Some(path)))
    }

    /// The previous master key, if it is configured or in the data directory.
    pub fn previous_master_key(&self, config: &Config) -> Result<Option<MasterKey>> {
        if let Some(key) = &config.previous_master_key {
            return Ok(Some(key.clone()));
        }
        let path = self.path.join(PREVIOUS_KEY_FILE);
        let text = find(&path)?;
        text.map(|text| read_key(&text, &path)).transpose()
    }

    /// The configured key, or the key of the data directory, which is created on the first start.
    pub fn master_key(&self, config: &Config) -> Result<MasterKey> {
        if let Some(key) = &config.master_key {
            return Ok(key.clone());
        }
        let fresh = || {
            let mut bytes = [0; 32];
            fill_random(&mut bytes);
            STANDARD.encode(bytes)
        };
        let (text, path) = self.read_or_create("master-key", fresh)?;
        read_key(&text, &path)
    }

    /// The id of this node among those that share a store.
    pub fn node_id(&self) -> Result<Uuid> {
        let (text, path) = self.read_or_create(NODE_ID_FILE, || Uuid::new_v4().to_string())?;
        read_node(&text, &path)
    }

    /// True before the first start on the directory.
    pub fn is_fresh(&self) -> bool {
        !self.path.join(NODE_ID_FILE).exists()
    }

    /// The path of the journal of work in progress.
    pub fn journal(&self) -> PathBuf {
        self.path.join("under-way")
    }

    /// The text and the path of a file of the directory. A missing file is created with the text of `fresh`.
    fn read_or_create(
        &self,
        name: &str,
        fresh: impl FnOnce() -> String,
    ) -> Result<(String, PathBuf)> {
        let path = self.path.join(name);
        if let Some(text) = find(&path)? {
            return Ok((text, path));
        }
        let text = fresh();
        write_whole(&path, &text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok((text, path))
    }
}

/// Removes the rights of other users on the data directory and its direct entries. Failures are logged.
fn restrict_rights(path: &Path) {
    let mut changed_files = 0;
    let inside = fs::read_dir(path).into_iter().flatten().flatten();
    for path in inside.map(|entry| entry.path()).chain([path.to_owned()]) {
        match restrict_to_owner(&path) {
            Ok(changed) => changed_files += usize::from(changed),
            Err(error) => {
                tracing::warn!(file = %path.display(), error = &error as &dyn std::error::Error, "cannot remove the rights of other users on a file");
            }
        }
    }
    if changed_files > 0 {
        let object = format!("{changed_files} in {}", path.display());
        security::record(Event::FilesTightened, None, &object);
    }
}

/// Removes the rights of everybody but the owner. Returns true if there were any.
fn restrict_to_owner(path: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    let mode = found.permissions().mode() & 0o777;
    let owners = mode & 0o700;
    if found.is_symlink() || mode == owners {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(owners))?;
    Ok(true)
}

/// True if the directory exists. An error if its path, or a part of it, is not a directory.
fn is_directory(path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(true),
        Ok(_) => bail!("the data directory `{}` is not a directory", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error)
            .with_context(|| format!("cannot reach the data directory `{}`", path.display())),
    }
}

/// The text of a file; `None` if it does not exist.
fn find(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

fn check_token(text: &str, path: &Path) -> Result<()> {
    if !is_token(text) {
        bail!(
            "`{}` holds no valid token, which is {TOKEN_FORM}",
            path.display()
        );
    }
    Ok(())
}

fn read_key(text: &str, path: &Path) -> Result<MasterKey> {
    MasterKey::parse(text).with_context(|| {
        format!(
            "`{}` holds no valid master key, which is 32 bytes in base64",
            path.display()
        )
    })
}

fn read_node(text: &str, path: &Path) -> Result<Uuid> {
    Uuid::try_parse(text).with_context(|| {
        format!(
            "`{}` holds no valid node id, which is a UUID",
            path.display()
        )
    })
}

/// Fails if a missing file or folder could not be created. The nearest existing folder on its path must be writable
/// by this process. Creates nothing.
pub(crate) fn check_creatable(path: &Path) -> io::Result<()> {
    let whole = std::path::absolute(path)?;
    let nearest = whole.ancestors().skip(1).find(|folder| folder.exists());
    let nearest = nearest.unwrap_or(Path::new("/"));
    if !nearest.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(rustix::fs::access(
        nearest,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )?)
}

/// Writes a file atomically, readable by its owner only.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_first_start_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/data");
        let config = Config::for_data_dir(path.clone());
        let read = || {
            let dir = DataDir::open(&path).expect("opens");
            dir.admin_token(&config).expect("a token");
            (
                fs::read_to_string(path.join("admin-token")).expect("kept"),
                *dir.master_key(&config).expect("a key").bytes(),
                dir.node_id().expect("an id"),
            )
        };
        let first = read();
        assert_eq!(read(), first);
        for name in ["admin-token", "master-key"] {
            let mode = fs::metadata(path.join(name))
                .expect("a file")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(
            fs::metadata(&path).expect("a folder").permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn a_directory_serves_one_server_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let _first = DataDir::open(folder.path()).expect("opens");
        let error = DataDir::open(folder.path())
            .err()
            .expect("refused")
            .to_string();
        assert!(
            error.contains("in use by another prichal")
                && error.contains(&folder.path().display().to_string()),
            "{error}"
        );
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::for_data_dir(folder.path().to_owned());
        let dir = DataDir::open(folder.path()).expect("opens");
        for name in ["admin-token", "master-key", "node-id"] {
            fs::write(folder.path().join(name), "x").expect("written");
        }
        let errors = [
            dir.admin_token(&config)
                .err()
                .map(|error| error.to_string()),
            dir.master_key(&config).err().map(|error| error.to_string()),
            dir.node_id().err().map(|error| error.to_string()),
        ];
        for (error, name) in errors
            .into_iter()
            .zip(["admin-token", "master-key", "node-id"])
        {
            assert!(
                error.as_deref().is_some_and(|text| text.contains(name)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "x").expect("written");
        let error = DataDir::open(&path).err().expect("refused");
        let text = error.to_string();
        assert!(
            text.contains("is not a directory") && text.contains(&path.display().to_string()),
            "{text}"
        );
        assert_eq!(
            check_creatable(&path.join("deep")).map_err(|error| error.kind()),
            Err(io::ErrorKind::NotADirectory)
        );
        let error = DataDir::open(&path.join("deep")).err().expect("refused");
        assert!(error.to_string().contains("file/deep"), "{error:#}");
    }

    #[test]
    fn rights_of_other_users_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        let inside = ["prichal.sqlite", "prichal.sqlite-wal", "master-key"];
        fs::create_dir_all(path.join("blobs")).expect("made");
        for name in inside {
            fs::write(path.join(name), "x").expect("written");
            let open = fs::Permissions::from_mode(0o644);
            fs::set_permissions(path.join(name), open).expect("opened");
        }
        drop(DataDir::open(&path).expect("opens"));
        let mode = |path: &Path| {
            let found = fs::metadata(path).expect("it is there");
            found.permissions().mode() & 0o777
        };
        for name in inside {
            assert_eq!(mode(&path.join(name)), 0o600, "{name}");
        }
        assert_eq!(mode(&path.join("blobs")), 0o700);
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn checking_creates_nothing_and_finds_damaged_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        let config = Config::for_data_dir(path.clone());
        let check = || DataDir::check(&config).map_err(|error| error.to_string());
        assert_eq!(check(), Ok(()));
        assert!(!path.exists());
        let dir = DataDir::open(&path).expect("opens");
        dir.master_key(&config).expect("a key");
        assert_eq!(check(), Ok(()), "a running server is no obstacle");
        assert_eq!(fs::read_dir(&path).expect("a folder").count(), 2);
        fs::write(path.join("node-id"), "x").expect("written");
        assert!(check().is_err_and(|text| text.contains("node-id")));
        fs::remove_file(path.join("node-id")).expect("removed");
        fs::write(path.join("master-key"), "x").expect("written");
        assert!(check().is_err_and(|text| text.contains("master-key")));
        let given = Config {
            master_key: Some(MasterKey::new([1; 32])),
            ..config.clone()
        };
        assert!(DataDir::check(&given).is_ok(), "it is not needed");
    }
}
