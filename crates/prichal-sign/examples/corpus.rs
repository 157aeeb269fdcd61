//! Writes what fuzzing begins with, a folder for each target:
//!
//! ```text
//! cargo run -p prichal-sign --features testing --example corpus FOLDER
//! ```

use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Key, NOW, OcspDraft, Signer, TimeStamp, indefinite,
};
use std::{env, fs, io, path::Path};

/// A way to make a key from a word.
type Make = fn(&str) -> Key;

fn main() -> io::Result<()> {
    let folder = env::args_os().nth(1).unwrap_or_else(|| "corpus".into());
    let makes: [(&str, Make); 5] = [
        ("p256", Key::p256),
        ("ed25519", Key::ed25519),
        ("kz", Key::kz),
        ("kz-2004", Key::kz_2004),
        ("ru", Key::ru),
    ];
    for (name, make) in makes {
        write(Path::new(&folder), name, &Authority::new(make))?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, authority: &Authority) -> io::Result<()> {
    let put = |target: &str, kind: &str, bytes: &[u8]| {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}-{kind}")), bytes)
    };
    let content = b"content";
    let mut signer = Signer::new(&authority.signer, content, NOW);
    let plain = Cms::detached(&[&signer]).encode();
    let value = signer.signature();
    let stamp = TimeStamp::new(&authority.time_stamper, &value, NOW).attribute();
    signer.unsigned.push(stamp);
    let stamped = Cms::attached(content, &[&signer]).encode();
    for target in ["signature", "validate"] {
        put(target, "plain", &plain)?;
        put(target, "stamped", &stamped)?;
        put(target, "indefinite", &indefinite(&stamped, 4))?;
    }
    for (kind, identity) in [
        ("root", &authority.root),
        ("issuer", &authority.issuer),
        ("signer", &authority.signer),
        ("responder", &authority.responder),
    ] {
        put("certificate", kind, &identity.der)?;
    }
    let list = CrlDraft {
        entries: vec![(7, NOW, Some(1)), (8, NOW, None)],
        ..CrlDraft::new(NOW)
    };
    put("crl", "list", &list.signed_by(&authority.issuer))?;
    let response = OcspDraft::good(&authority.signer, NOW);
    let response = response.signed_by(&authority.responder, &authority.issuer);
    put("ocsp", "good", &response)
}
