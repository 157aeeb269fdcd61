//! Lists the targets, and writes their seeds for libFuzzer:
//!
//! ```text
//! prichal-fuzz list
//! prichal-fuzz seeds FOLDER
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program for the shell")]

use std::{env, fs, path::Path};

use anyhow::{Context as _, bail};
use prichal_fuzz::{TARGETS, seeds};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["list"] => TARGETS
            .iter()
            .for_each(|target| println!("{}", target.name)),
        ["seeds", folder] => write(Path::new(folder))?,
        _ => bail!("usage: prichal-fuzz list | prichal-fuzz seeds FOLDER"),
    }
    Ok(())
}

fn write(folder: &Path) -> anyhow::Result<()> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        let seeds = seeds(target).with_context(|| format!("the seeds of {}", target.name))?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
