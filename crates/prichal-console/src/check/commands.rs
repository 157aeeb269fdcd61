//! Commands that check the signatures of an archive without a server. They work as they are printed, in the folder of an
//! unpacked archive.

use std::fmt::Write as _;

use super::{Document, Signature};

/// The maximum number of signatures with commands.
const MAX_SIGNATURES: usize = 16;

/// The lines of both kinds.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// Those that need nothing but the archive: they check that its content was signed by the certificate in the
    /// signature, and show that certificate.
    pub(super) alone: String,
    /// Those that also check who vouches for the certificate. They need the authority's root in `root.pem`.
    pub(super) with_root: String,
}

impl Commands {
    /// The commands for the archive of a document.
    pub(super) fn of(document: &Document) -> Self {
        let mut commands = Self::default();
        let signatures = (1..).zip(&document.signatures).take(MAX_SIGNATURES);
        for (n, signature) in signatures {
            commands.add(n, signature);
        }
        if commands.alone.is_empty() {
            return commands;
        }
        let _ = write!(
            commands.alone,
            "unzip -q -o signed-1.zip -d signed && diff -r original signed && echo same"
        );
        commands
    }

    fn add(&mut self, n: usize, signature: &Signature) {
        // The number of a person is not public, so the shell finds the name.
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let bin = Some(&*signature.bin).filter(|bin| !bin.is_empty() && is_number(bin));
        let name = format!("signatures/{n}-{}.cms", bin.unwrap_or("*"));
        let policy = Some(&*signature.policy).filter(|policy| is_word(policy));
        let [mut detached, mut content] = [String::new(), String::new()];
        if !signature.is_attached {
            let file = format!("evidence/signed-content-{n}.zip");
            detached = format!(" -content {file}");
            content = format!(" --content {file}");
        }
        let _ = write!(
            self.alone,
            "openssl cms -verify -noverify -binary -inform DER -in {name}{detached} -signer signer-{n}.pem -out signed-{n}.zip
openssl x509 -in signer-{n}.pem -noout -subject -issuer -dates
"
        );
        let _ = write!(
            self.with_root,
            "openssl cms -verify -binary -inform DER -in {name}{detached} -CAfile root.pem -purpose any -out signed-{n}.zip
prichal verify {name}{content} --trust trusted --policy {}
",
            policy.unwrap_or("kz")
        );
    }

    /// The commands for any archive.
    pub(super) fn of_any() -> Self {
        let with = |command: &str| {
            format!(
                "for s in signatures/*.cms; do
  n=${{s#*/}}; n=${{n%%-*}}; c=evidence/signed-content-$n.zip
{command}
done
"
            )
        };
        Self {
            alone: with(
                "  openssl cms -verify -noverify -binary -inform DER -in $s $([ -f $c ] && echo -content $c) -signer signer-$n.pem -out signed-$n.zip
  openssl x509 -in signer-$n.pem -noout -subject -issuer -dates",
            ),
            with_root: with(
                "  openssl cms -verify -binary -inform DER -in $s $([ -f $c ] && echo -content $c) -CAfile root.pem -purpose any -out signed-$n.zip
  prichal verify $s $([ -f $c ] && echo --content $c) --trust trusted",
            ),
        }
    }
}

/// True for a name that a shell takes as it is.
fn is_word(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_plain)
}
