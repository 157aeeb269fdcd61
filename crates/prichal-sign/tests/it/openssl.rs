//! OpenSSL as a second implementation, in both directions: signatures made by OpenSSL are accepted here, signatures
//! made by the builder are accepted there, and both refuse the same alterations.

mod ber;
mod forms;
mod readers;

use super::{CONTENT, Case, authority, reason, signer, status};
use prichal_sign::testing::{Authority, Cms, CrlDraft, Draft, Key, NOW, OcspDraft, TimeStamp};
use prichal_sign::{
    Certificate, Crl, GostStandard, Material, Ocsp, OcspAnswer, Policy, Report, Status,
    SubIndication as Sub, Time, Verdict,
};
use std::path::PathBuf;
use std::process::Command;

const CONFIG: &str = "
[req]
distinguished_name = dn
[dn]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[signer]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature,nonRepudiation
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[stamper]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ca]
default_ca = ours
[ours]
database = index.txt
crlnumber = number
default_md = default
default_crl_days = 1
[tsa]
default_tsa = stamp
[stamp]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
ess_cert_id_alg = sha256
";

const ENGINE: &str = "
openssl_conf = start
[start]
engines = engines
[engines]
gost = gost_engine
[gost_engine]
engine_id = gost
default_algorithms = ALL
";

/// The folder of one test, and the `openssl` command in it.
struct Tool {
    folder: PathBuf,
}

impl Tool {
    fn new(name: &str, gost: bool) -> Self {
        let folder =
            std::env::temp_dir().join(format!("prichal-sign-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tool = Self { folder };
        let start = if gost { ENGINE } else { "" };
        tool.write("openssl.cnf", format!("{start}{CONFIG}").as_bytes());
        tool.write("content", CONTENT);
        tool.write("index.txt", b"");
        tool.write("number", b"01\n");
        tool.write("serial", b"01\n");
        tool
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }

    /// Runs the command and returns its error. Words are split at spaces.
    fn tries(&self, words: &str) -> Result<(), String> {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .env("OPENSSL_CONF", self.folder.join("openssl.cnf"))
            .current_dir(&self.folder)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            Ok(())
        } else {
            Err(format!("openssl {words}: {text}"))
        }
    }

    #[track_caller]
    fn runs(&self, words: &str) {
        if let Err(error) = self.tries(words) {
            panic!("{error}");
        }
    }

    /// Creates a root `ca.crt` and a certificate `signer.crt` with keys of this kind.
    fn makes_authority(&self, key: &str) {
        for (name, section) in [
            ("ca", "authority"),
            ("signer", "signer"),
            ("stamper", "stamper"),
        ] {
            let new = format!("req -config openssl.cnf -newkey {key} -nodes -keyout {name}.key");
            if name == "ca" {
                self.runs(&format!(
                    "{new} -x509 -days 30 -subj /CN=Root -extensions authority -out ca.crt"
                ));
            } else {
                self.runs(&format!("{new} -subj /CN={name} -out {name}.csr"));
                self.runs(&format!(
                    "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 20 \
                     -extfile openssl.cnf -extensions {section} -out {name}.crt"
                ));
            }
        }
    }

    /// The report on a file, now, with the certificates of this authority.
    fn report(&self, name: &str, content: Option<&[u8]>, policy: Policy) -> Report {
        let root = Certificate::read(&self.read("ca.crt")).unwrap();
        let at = root.not_before.plus(120);
        let case = Case {
            signature: self.read(name),
            content: content.map(<[u8]>::to_vec),
            policy,
            material: Material {
                anchors: vec![root],
                ..Material::default()
            },
            at,
            existed_at: None,
            expected: prichal_sign::Expected::default(),
        };
        case.report()
    }

    #[track_caller]
    fn accepted(&self, name: &str, content: Option<&[u8]>) -> Report {
        let report = self.report(name, content, Policy::test());
        assert_eq!(
            report.verdict,
            Verdict::TotalPassed,
            "{}",
            super::show(&report)
        );
        report
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // The folder is temporary, so a failed removal is harmless.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Signs in every form that the command supports.
fn sign_in_every_form(tool: &Tool, hash: &str) {
    let sign = format!(
        "cms -sign -binary -cades -md {hash} -in content -signer signer.crt -inkey signer.key"
    );
    tool.runs(&format!("{sign} -outform DER -out detached.cms"));
    tool.accepted("detached.cms", Some(CONTENT));
    let altered = tool.report("detached.cms", Some(b"else"), Policy::test());
    assert_eq!(altered.sub_indication, Some(Sub::HashFailure));
    assert_eq!(status(&altered, 7), Status::Failed);
    tool.runs(&format!("{sign} -nodetach -outform DER -out attached.cms"));
    tool.accepted("attached.cms", None);
    tool.runs(&format!(
        "{sign} -nodetach -stream -outform DER -out ber.cms"
    ));
    assert_eq!(tool.read("ber.cms")[1], 0x80);
    tool.accepted("ber.cms", None);
    tool.runs(&format!("{sign} -nodetach -outform PEM -out pem.cms"));
    tool.accepted("pem.cms", None);
    tool.runs(&format!("{sign} -keyid -outform DER -out keyid.cms"));
    tool.accepted("keyid.cms", Some(CONTENT));
    tool.runs(&format!("{sign} -nocerts -outform DER -out bare.cms"));
    let report = tool.report("bare.cms", Some(CONTENT), Policy::test());
    assert_eq!(report.sub_indication, Some(Sub::NoSigningCertificateFound));
    let plain = sign.replace("-cades ", "");
    tool.runs(&format!("{plain} -noattr -outform DER -out noattr.cms"));
    tool.accepted("noattr.cms", Some(CONTENT));
    let report = tool.report("noattr.cms", Some(CONTENT), Policy::eu_baseline());
    assert_eq!(report.verdict, Verdict::TotalFailed);
}

#[test]
#[ignore = "needs openssl"]
fn signatures_of_openssl_are_accepted() {
    for (name, key, hash) in [
        ("rsa", "rsa:2048", "sha256"),
        ("p256", "ec -pkeyopt ec_paramgen_curve:P-256", "sha256"),
        ("p384", "ec -pkeyopt ec_paramgen_curve:P-384", "sha384"),
        ("p521", "ec -pkeyopt ec_paramgen_curve:P-521", "sha512"),
    ] {
        let tool = Tool::new(name, false);
        tool.makes_authority(key);
        sign_in_every_form(&tool, hash);
    }
    let tool = Tool::new("pss", false);
    tool.makes_authority("rsa:2048");
    tool.runs(
        "cms -sign -binary -cades -md sha384 -in content -signer signer.crt -inkey signer.key \
         -keyopt rsa_padding_mode:pss -outform DER -out pss.cms",
    );
    let report = tool.accepted("pss.cms", Some(CONTENT));
    assert_eq!(
        report.signers[0].algorithm.as_deref(),
        Some("RSA-PSS with SHA-384")
    );
}

#[test]
#[ignore = "needs openssl with the GOST engine"]
fn signatures_of_the_gost_engine_are_accepted() {
    for (name, key, hash) in [
        ("g256a", "gost2012_256 -pkeyopt paramset:A", "md_gost12_256"),
        (
            "g256tca",
            "gost2012_256 -pkeyopt paramset:TCA",
            "md_gost12_256",
        ),
        (
            "g256tcd",
            "gost2012_256 -pkeyopt paramset:TCD",
            "md_gost12_256",
        ),
        ("g512a", "gost2012_512 -pkeyopt paramset:A", "md_gost12_512"),
        ("g512b", "gost2012_512 -pkeyopt paramset:B", "md_gost12_512"),
        ("g512c", "gost2012_512 -pkeyopt paramset:C", "md_gost12_512"),
        ("g2001", "gost2001 -pkeyopt paramset:A", "md_gost94"),
    ] {
        let tool = Tool::new(name, true);
        tool.makes_authority(key);
        sign_in_every_form(&tool, hash);
    }
}

#[test]
#[ignore = "needs openssl"]
fn two_signers_of_openssl_are_accepted() {
    let tool = Tool::new("two", false);
    tool.makes_authority("rsa:2048");
    tool.runs(
        "cms -sign -binary -nodetach -in content -signer signer.crt -inkey signer.key -outform DER -out one.cms",
    );
    tool.runs(
        "cms -resign -binary -nodetach -inform DER -in one.cms -signer ca.crt -inkey ca.key -outform DER -out two.cms",
    );
    let report = tool.report("two.cms", None, Policy::test());
    assert_eq!(report.signers.len(), 2);
    assert!(
        report
            .signers
            .iter()
            .all(|s| s.steps[7].status == Status::Passed)
    );
    // The second signer is the authority itself, which may not sign documents.
    let verdicts: Vec<Verdict> = report.signers.iter().map(|s| s.verdict).collect();
    assert!(verdicts.contains(&Verdict::TotalPassed) && verdicts.contains(&Verdict::Indeterminate));
}

#[test]
#[ignore = "needs openssl"]
fn lists_and_responses_of_openssl_are_accepted() {
    let tool = Tool::new("status", false);
    tool.makes_authority("ec -pkeyopt ec_paramgen_curve:P-256");
    tool.runs("cms -sign -binary -cades -nodetach -in content -signer signer.crt -inkey signer.key -outform DER -out a.cms");
    let ca = "-config openssl.cnf -cert ca.crt -keyfile ca.key";
    tool.runs(&format!("ca {ca} -gencrl -out empty.crl"));
    tool.runs(&format!("ca {ca} -valid signer.crt"));
    let ask = "ocsp -issuer ca.crt -cert signer.crt -no_nonce -reqout request.der";
    tool.runs(ask);
    let answer =
        "ocsp -index index.txt -CA ca.crt -rsigner ca.crt -rkey ca.key -reqin request.der -ndays 1";
    tool.runs(&format!("{answer} -respout good.der"));
    // OpenSSL understands the request that the crate makes.
    let signer = Certificate::read(&tool.read("signer.crt")).unwrap();
    let root = Certificate::read(&tool.read("ca.crt")).unwrap();
    tool.write(
        "ours.der",
        &prichal_sign::ocsp_request(&signer, &root, Some(&[1, 2, 3, 4])),
    );
    tool.runs(&format!(
        "{} -respout nonce.der",
        answer.replace("request.der", "ours.der")
    ));
    tool.runs(&format!(
        "ca {ca} -revoke signer.crt -crl_reason keyCompromise"
    ));
    tool.runs(&format!("ca {ca} -gencrl -out full.crl"));
    tool.runs(&format!("{answer} -respout revoked.der"));

    let check = |crl: Option<&str>, ocsp: Option<(&str, Option<&[u8]>)>| {
        let mut material = Material {
            anchors: vec![root.clone()],
            ..Material::default()
        };
        material
            .crls
            .extend(crl.map(|name| Crl::read(&tool.read(name)).unwrap()));
        material.ocsp.extend(ocsp.map(|(name, nonce)| OcspAnswer {
            response: Ocsp::read(&tool.read(name)).unwrap(),
            nonce: nonce.map(<[u8]>::to_vec),
        }));
        let made = material.crls.first().map(|c| c.this_update);
        let made = made.or_else(|| material.ocsp.first().map(|o| o.response.produced_at));
        let case = Case {
            signature: tool.read("a.cms"),
            content: None,
            policy: Policy::eu_baseline(),
            material,
            at: made.unwrap().plus(5),
            existed_at: None,
            expected: prichal_sign::Expected::default(),
        };
        super::verdict(&case.report())
    };
    let passed = (Verdict::TotalPassed, None);
    let revoked = (Verdict::TotalFailed, Some(Sub::Revoked));
    let unknown = (Verdict::Indeterminate, Some(Sub::TryLater));
    assert_eq!(check(Some("empty.crl"), None), passed);
    assert_eq!(check(Some("full.crl"), None), revoked);
    assert_eq!(check(None, Some(("good.der", None))), passed);
    assert_eq!(check(None, Some(("revoked.der", None))), revoked);
    assert_eq!(
        check(None, Some(("nonce.der", Some(&[1, 2, 3, 4])))),
        passed
    );
    assert_eq!(
        check(None, Some(("nonce.der", Some(&[4, 3, 2, 1])))),
        unknown
    );
}

#[test]
#[ignore = "needs openssl"]
fn time_stamps_of_openssl_are_accepted() {
    let tool = Tool::new("stamp", false);
    tool.makes_authority("rsa:2048");
    let root = Certificate::read(&tool.read("ca.crt")).unwrap();
    let authority = authority();
    let mut signer = signer(&authority);
    let digest: [u8; 32] = prichal_sign::Hash::Sha256
        .digest(&signer.signature())
        .try_into()
        .unwrap();
    tool.write(
        "query.tsq",
        &prichal_sign::time_stamp_request(&digest, Some(&[7, 7])),
    );
    tool.runs(
        "ts -reply -config openssl.cnf -section stamp -queryfile query.tsq -signer stamper.crt \
         -inkey stamper.key -chain ca.crt -token_out -out token.der",
    );
    let token = tool.read("token.der");
    let attribute = prichal_sign::testing::attribute("1.2.840.113549.1.9.16.2.14", &token);
    signer.unsigned.push(attribute);
    let mut case = Case::new(&authority, super::attached(&signer));
    case.policy = Policy::test();
    case.at = root.not_before.plus(300);
    case.material.anchors.push(root);
    let report = case.passes();
    assert!(report.signers[0].best_time < case.at);
    assert!(reason(&report, 12).contains("time-stamp"));
}

#[test]
#[ignore = "needs openssl"]
fn openssl_accepts_signatures_of_the_builder() {
    let tool = Tool::new("builder", false);
    let mixed = |word: &str| {
        if word == "signer" {
            Key::rsa(true)
        } else {
            Key::p256(word)
        }
    };
    for authority in [authority(), Authority::new(mixed)] {
        let mut signer = signer(&authority);
        tool.write("root.der", &authority.root.der);
        tool.write("issuer.der", &authority.issuer.der);
        tool.write("signer.der", &authority.signer.der);
        tool.runs("x509 -in root.der -out root.pem");
        tool.runs("x509 -in issuer.der -out issuer.pem");
        tool.runs("x509 -in signer.der -out signer.pem");
        let both = [tool.read("root.pem"), tool.read("issuer.pem")].concat();
        tool.write("both.pem", &both);
        let verify = format!(
            "cms -verify -binary -cades -purpose any -inform DER -in ours.cms -content content \
             -CAfile both.pem -attime {} -out /dev/null",
            NOW.unix()
        );
        tool.write("ours.cms", &Cms::detached(&[&signer]).encode());
        tool.runs(&verify);
        let mut value = signer.signature();
        let end = value.len() - 1;
        value[end] ^= 1;
        signer.value = Some(value);
        tool.write("ours.cms", &Cms::detached(&[&signer]).encode());
        assert!(tool.tries(&verify).is_err());

        let list = CrlDraft::new(NOW.plus(-60)).signed_by(&authority.issuer);
        tool.write("ours.crl", &list);
        tool.runs("crl -inform DER -in ours.crl -CAfile issuer.pem -noout");
        let good = OcspDraft::good(&authority.signer, Time::from_unix(now()));
        let response = good.signed_by(&authority.responder, &authority.issuer);
        tool.write("ours.ocsp", &response);
        tool.runs(&format!(
            "ocsp -respin ours.ocsp -issuer issuer.pem -cert signer.pem -CAfile root.pem \
             -verify_other issuer.pem -no_nonce -attime {}",
            NOW.unix()
        ));
        let stamp = TimeStamp::new(&authority.time_stamper, CONTENT, NOW);
        tool.write("ours.tst", &stamp.encode());
        tool.runs(&format!(
            "ts -verify -data content -in ours.tst -token_in -CAfile root.pem -untrusted issuer.pem -attime {}",
            NOW.unix()
        ));
    }
}

/// The command reads the system clock when it checks responses.
fn now() -> i64 {
    let output = Command::new("date").arg("+%s").output().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap()
}

#[test]
#[ignore = "needs openssl with the GOST engine"]
fn the_gost_engine_accepts_signatures_of_the_builder_on_every_curve() {
    let tool = Tool::new("curves", true);
    for oid in [
        "1.2.643.7.1.2.1.1.1",
        "1.2.643.7.1.2.1.1.2",
        "1.2.643.7.1.2.1.1.3",
        "1.2.643.7.1.2.1.1.4",
        "1.2.643.2.2.35.1",
        "1.2.643.2.2.35.2",
        "1.2.643.2.2.35.3",
        "1.2.643.2.2.36.0",
        "1.2.643.2.2.36.1",
        "1.2.643.7.1.2.1.2.1",
        "1.2.643.7.1.2.1.2.2",
        "1.2.643.7.1.2.1.2.3",
    ] {
        let root = Draft::authority("Root", Key::gost(GostStandard::Russia2012, oid, "root"))
            .self_signed();
        tool.write("root.der", &root.der);
        tool.runs("x509 -in root.der -out root.pem");
        let verify = format!(
            "verify -check_ss_sig -CAfile root.pem -attime {} root.pem",
            NOW.unix()
        );
        tool.runs(&verify);
        let mut altered = root.der.clone();
        let last = altered.len() - 1;
        altered[last] ^= 1;
        tool.write("root.der", &altered);
        tool.runs("x509 -in root.der -out root.pem");
        assert!(tool.tries(&verify).is_err(), "{oid}");
    }
}
