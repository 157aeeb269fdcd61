//! Prints how fast signatures are verified on one core, beside OpenSSL where it is installed:
//!
//! ```text
//! cargo run --release -p prichal-sign --features testing --example bench
//! ```

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use prichal_sign::testing::{Authority, Cms, Draft, Key, NOW, Signer, TimeStamp, Verifier};
use prichal_sign::{EcCurve, GostStandard, Hash, Policy, Request, Verdict, validate};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const MEASURE_TIME: Duration = Duration::from_secs(2);

/// Calls per second.
fn rate(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < MEASURE_TIME {
        run();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn main() {
    println!("signature values, verifications a second");
    let russian = |oid| Key::gost(GostStandard::Russia2012, oid, "bench");
    let keys = [
        ("GOST 512 A (KZ)", Key::kz("bench")),
        ("GOST 512 B (RU)", russian("1.2.643.7.1.2.1.2.2")),
        ("GOST 512 C (RU)", russian("1.2.643.7.1.2.1.2.3")),
        ("GOST 256 A (KZ)", Key::kz_256("bench")),
        ("GOST 256 CryptoPro-A (RU)", Key::ru("bench")),
        ("RSA 2048", Key::rsa(true)),
        ("ECDSA P-256", Key::p256("bench")),
        ("ECDSA P-384", Key::ec(EcCurve::P384, "bench")),
        ("ECDSA P-521", Key::ec(EcCurve::P521, "bench")),
        ("Ed25519", Key::ed25519("bench")),
    ];
    for (name, key) in &keys {
        let message = b"a message";
        let signature = key.sign(key.hash(), message);
        let verifier = Verifier::of(key);
        let ours = rate(|| assert!(verifier.verifies(message, &signature)));
        match openssl(key) {
            Some(theirs) => println!("{name:26} {ours:9.0}   openssl {theirs:9.0}"),
            None => println!("{name:26} {ours:9.0}"),
        }
    }

    println!("whole validations a second (T level: a time-stamp, two paths, two lists)");
    for (name, make) in [
        ("GOST 512 (KZ)", Key::kz as fn(&str) -> Key),
        ("RSA 2048", |word| Key::rsa(word == "issuer")),
        ("ECDSA P-256", Key::p256),
    ] {
        let authority = Authority::new(make);
        let mut signer = Signer::new(&authority.signer, b"content", NOW);
        let stamp = TimeStamp::new(&authority.time_stamper, &signer.signature(), NOW);
        signer.unsigned.push(stamp.attribute());
        let signature = Cms::attached(b"content", &[&signer]).encode();
        let (material, policy) = (authority.material(), Policy::kz());
        let request = Request::new(&signature, &policy, NOW);
        let ours = rate(|| {
            assert_eq!(validate(&request, &material).verdict, Verdict::TotalPassed);
        });
        println!("{name:26} {ours:9.0}");
    }

    println!("hashes, MB a second");
    let block = vec![0x5a; 1 << 20];
    for hash in [
        Hash::Streebog512,
        Hash::Streebog256,
        Hash::Gost94Test,
        Hash::Sha256,
        Hash::Sha1,
    ] {
        println!(
            "{:26} {:9.0}",
            hash.name(),
            rate(|| drop(hash.digest(&block))) * 1.048_576
        );
    }
}

/// Certificates that OpenSSL verifies per second: the time of many minus the time of one.
fn openssl(key: &Key) -> Option<f64> {
    let folder = std::env::temp_dir().join(format!("prichal-sign-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).ok()?;
    let found = verify_many(key, &folder);
    std::fs::remove_dir_all(&folder).ok()?;
    found
}

fn verify_many(key: &Key, folder: &Path) -> Option<f64> {
    let config = "openssl_conf = a\n[a]\nengines = b\n[b]\ngost = c\n[c]\nengine_id = gost\n\
                  default_algorithms = ALL\n";
    std::fs::write(folder.join("openssl.cnf"), config).ok()?;
    let root = Draft::authority("Root", key.clone()).self_signed();
    let leaf = Draft::signer("Leaf", Key::p256("leaf")).issued_by(&root);
    std::fs::write(folder.join("root.der"), &root.der).ok()?;
    std::fs::write(folder.join("leaf.der"), &leaf.der).ok()?;
    let run = |words: &[&str]| -> Option<Duration> {
        let start = Instant::now();
        let status = Command::new("openssl")
            .args(words)
            .current_dir(folder)
            .env("OPENSSL_CONF", folder.join("openssl.cnf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()?;
        status.success().then(|| start.elapsed())
    };
    run(&["x509", "-in", "root.der", "-out", "root.pem"])?;
    run(&["x509", "-in", "leaf.der", "-out", "leaf.pem"])?;
    let at = NOW.unix().to_string();
    let verify = |count: usize| {
        let mut words = vec!["verify", "-CAfile", "root.pem", "-attime", &at];
        words.extend(std::iter::repeat_n("leaf.pem", count));
        run(&words)
    };
    let (one, many) = (verify(1)?, verify(1001)?);
    Some(1000.0 / many.saturating_sub(one).as_secs_f64())
}
