//! `prichal verify`: its exit status, text and JSON.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use prichal_sign::{
    Material,
    testing::{Authority, Cms, Key, NOW, Signer},
};
use serde_json::Value;

const DOCUMENT: &[u8] = b"the contract";

struct SignedFolder(tempfile::TempDir);

impl SignedFolder {
    /// A folder with a detached and an attached Kazakh signature, the document, and the trusted certificates.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        let authority = Authority::new(Key::kz);
        let signer = Signer::new(&authority.signer, DOCUMENT, NOW);
        let with_issuer = |mut cms: Cms| {
            cms.certificates.push(authority.issuer.der.clone());
            cms.encode()
        };
        folder.put("detached.cms", &with_issuer(Cms::detached(&[&signer])));
        folder.put(
            "attached.cms",
            &with_issuer(Cms::attached(DOCUMENT, &[&signer])),
        );
        folder.put("document", DOCUMENT);
        folder.put("altered", b"the contrast");
        folder.trust("trust", &authority.material());
        folder.trust("no-lists", &authority.without_lists());
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).expect("written");
    }

    fn trust(&self, folder: &str, material: &Material) {
        fs::create_dir(self.path().join(folder)).expect("made");
        for (n, anchor) in material.anchors.iter().enumerate() {
            self.put(&format!("{folder}/{n}.cer"), anchor.raw());
        }
        for (n, crl) in material.crls.iter().enumerate() {
            self.put(&format!("{folder}/{n}.crl"), crl.raw());
        }
        self.put(&format!("{folder}/README.txt"), b"not looked at");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prichal"));
        command
            .current_dir(self.path())
            .env_clear()
            .arg("verify")
            .args(arguments);
        command
    }

    fn verify(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        output.expect("the program runs")
    }
}

fn standard_output(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn the_exit_status_is_that_of_the_verdict() {
    let folder = SignedFolder::new();
    let now = NOW.to_string();
    let detached = [
        "detached.cms",
        "--content",
        "document",
        "--at",
        now.as_str(),
    ];
    for (arguments, trust, code, headline) in [
        (&detached[..], Some("trust"), 0, "VALID: detached.cms"),
        (
            &["attached.cms", "--at", now.as_str()][..],
            Some("trust"),
            0,
            "VALID: attached.cms",
        ),
        (
            &["detached.cms", "--content", "altered", "--at", now.as_str()][..],
            Some("trust"),
            1,
            "NOT VALID",
        ),
        (
            &["detached.cms", "--at", now.as_str()][..],
            Some("trust"),
            2,
            "NOT PROVEN",
        ),
        (&detached[..], Some("no-lists"), 2, "NOT PROVEN"),
        (&detached[..], None, 2, "NOT PROVEN"),
        (&["document"][..], None, 3, "NOT A READABLE SIGNATURE"),
        (&["nothing"][..], None, 3, ""),
        (&["detached.cms", "--content", "nothing"][..], None, 64, ""),
        (&detached[..], Some("nothing"), 64, ""),
        (&["detached.cms", "--policy", "moon"][..], None, 64, ""),
        (&["detached.cms", "--at", "noon"][..], None, 64, ""),
        (&["detached.cms", "--colour"][..], None, 64, ""),
        (&[][..], None, 64, ""),
        (&["--help"][..], None, 0, "Check a CMS signature"),
    ] {
        let mut all = arguments.to_vec();
        if let Some(trust) = trust {
            all.extend(["--trust", trust]);
        }
        let output = folder.verify(&all);
        let told = standard_output(&output);
        assert_eq!(output.status.code(), Some(code), "{all:?}: {told}");
        assert!(told.starts_with(headline), "{all:?}: {told}");
        assert_eq!(told.is_empty(), !output.stderr.is_empty(), "{all:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_report_that_cannot_be_written_is_no_verdict() {
    let folder = SignedFolder::new();
    let now = NOW.to_string();
    let valid = ["attached.cms", "--trust", "trust", "--at", now.as_str()];
    for format in [&[][..], &["--json"]] {
        let full = fs::File::create("/dev/full").expect("a full device");
        let mut command = folder.command(&[&valid[..], format].concat());
        let output = command.stdout(full).output().expect("the program runs");
        assert_eq!(output.status.code(), Some(3));
        let told = String::from_utf8(output.stderr).expect("text");
        assert!(
            told.starts_with("prichal: cannot write the report: "),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1);
    }
}

#[test]
fn the_report_can_be_followed() {
    let folder = SignedFolder::new();
    let now = NOW.to_string();
    let told = standard_output(&folder.verify(&[
        "detached.cms",
        "--content",
        "altered",
        "--trust",
        "trust",
        "--at",
        &now,
    ]));
    for words in [
        "TOTAL_FAILED / HASH_FAILURE",
        "The document is not the one that was signed.",
        "Judged by the policy kz at",
        "Signer 1:",
        "FAIL  7. message digest:",
        "ok 14. certificate path:",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
    let told = standard_output(&folder.verify(&[
        "detached.cms",
        "--content",
        "document",
        "--trust",
        "no-lists",
        "--at",
        &now,
    ]));
    for words in [
        "INDETERMINATE / TRY_LATER",
        "Whether the certificate was revoked is not known yet.",
        "What is missing, and would decide more:",
    ] {
        assert!(told.contains(words), "{words}\n{told}");
    }
}

#[test]
fn the_json_has_its_members() {
    let folder = SignedFolder::new();
    let now = NOW.to_string();
    let output = folder.verify(&[
        "detached.cms",
        "--content",
        "document",
        "--trust",
        "trust",
        "--at",
        &now,
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"], "TOTAL_PASSED");
    assert_eq!(
        (&report["policy"], &report["at"]),
        (&"kz".into(), &now.as_str().into())
    );
    let names = |value: &Value| {
        let members = value.as_object().expect("an object").keys().cloned();
        members.collect::<Vec<String>>()
    };
    assert_eq!(
        names(&report),
        [
            "verdict",
            "subIndication",
            "policy",
            "at",
            "signers",
            "needs"
        ]
    );
    let signer = &report["signers"][0];
    assert_eq!(
        names(&signer["certificate"]),
        [
            "subject",
            "issuer",
            "serial",
            "name",
            "iin",
            "bin",
            "inn",
            "roles",
            "keyAlgorithm",
            "notBefore",
            "notAfter"
        ]
    );
    let steps = signer["steps"].as_array().expect("steps");
    assert_eq!(steps.len(), 21);
    for (n, step) in steps.iter().enumerate() {
        assert_eq!(names(step), ["step", "name", "status", "reason"]);
        assert_eq!(step["step"], n + 1);
        let status = step["status"].as_str().expect("a status");
        assert!(
            ["passed", "failed", "warned", "skipped"].contains(&status),
            "{step}"
        );
    }
    let unread = folder.verify(&["document", "--json"]);
    let report: Value = serde_json::from_slice(&unread.stdout).expect("JSON");
    assert_eq!(
        (unread.status.code(), &report["subIndication"]),
        (Some(3), &"FORMAT_FAILURE".into())
    );
}

#[test]
fn names_do_not_write_on_the_terminal() {
    let folder = SignedFolder::new();
    let evil = "a\u{1b}[31m\u{202e}.cms";
    fs::copy(folder.path().join("detached.cms"), folder.path().join(evil)).expect("copied");
    let output = folder.verify(&[evil, "--trust", "trust"]);
    let all = [
        output.stdout,
        output.stderr,
        folder.verify(&["no\u{1b}[31mpe"]).stderr,
    ]
    .concat();
    let all = String::from_utf8(all).expect("text");
    assert!(
        !all.contains('\u{1b}') && !all.contains('\u{202e}'),
        "{all}"
    );
}

#[test]
fn a_signer_in_the_folder_of_trust_is_known_and_not_trusted() {
    let folder = SignedFolder(tempfile::tempdir().expect("a temporary folder"));
    let authority = Authority::new(Key::kz);
    let signer = Signer::new(&authority.signer, DOCUMENT, NOW);
    folder.put(
        "attached.cms",
        &Cms::attached(DOCUMENT, &[&signer]).encode(),
    );
    fs::create_dir(folder.path().join("trust")).expect("made");
    folder.put("trust/signer.cer", &authority.signer.der);
    let output = folder.verify(&["attached.cms", "--trust", "trust", "--at", &NOW.to_string()]);
    assert_eq!(
        output.status.code(),
        Some(2),
        "{}",
        standard_output(&output)
    );
}
