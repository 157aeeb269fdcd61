//! The data directory.

use std::path::{Path, PathBuf};

use secrecy::{SecretBox, SecretString};

use crate::config::Config;

pub struct DataDir(PathBuf);

impl DataDir {
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }
    pub fn admin_token(&self, config: &Config) -> anyhow::Result<SecretString> {
        let _ = &self.0;
        Ok(config.admin_token.clone().unwrap_or_else(|| "admin".into()))
    }
    pub fn master_key(&self, _: &Config) -> anyhow::Result<SecretBox<[u8; 32]>> {
        Ok(SecretBox::new(Box::new([7; 32])))
    }
    pub fn node_id(&self) -> anyhow::Result<uuid::Uuid> {
        Ok(uuid::Uuid::from_u128(1))
    }
}
