//! `prichal verify`: the verdict on a signature, with reasons. It needs no server and fetches nothing.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use prichal_core::hidden::is_hidden;
use prichal_sign::{
    Certificate, Crl, Material, Need, NeedKind, Policy, Report, Request, SignerReport, Status,
    SubIndication, Time, Unchecked, Verdict, validate,
};

use crate::platform::clock::Clock;

/// The exit status for a wrong command line.
pub(super) const USAGE: u8 = 64;
const UNREADABLE: u8 = 3;
/// The exit status for a report that could not be written, which is no verdict.
const UNWRITTEN: u8 = 3;
/// The maximum size of a file in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The maximum number of files in a folder of trust.
const MAX_FILES: usize = 10_000;
const POLICIES: [&str; 4] = ["kz", "ru", "eu-baseline", "test"];

pub(super) fn command() -> Command {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .help(help)
            .value_parser(value_parser!(PathBuf))
    };
    Command::new("verify")
        .about("Check a CMS signature, with reasons")
        .after_help(
            "Exit status: 0 TOTAL_PASSED, 1 TOTAL_FAILED, 2 INDETERMINATE, 3 not one readable signature or no report could be written, 64 wrong usage",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .help("The signature: DER, BER, PEM or base64")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(path("content", "FILE", "The signed content, if the signature does not contain it"))
        .arg(path(
            "trust",
            "DIR",
            "A folder of trusted certificates (*.pem *.crt *.cer *.der) and revocation lists (*.crl)",
        ))
        .arg(
            Arg::new("policy")
                .long("policy")
                .value_name("NAME")
                .default_value("kz")
                .help("The policy to apply")
                .value_parser(POLICIES),
        )
        .arg(
            Arg::new("at")
                .long("at")
                .value_name("TIME")
                .help("The time to check at, in RFC 3339 or Unix seconds; default: now")
                .value_parser(|text: &str| Time::parse(text).ok_or("not RFC 3339 and no Unix seconds")),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the report as JSON"),
        )
}

pub(super) fn run(matches: &ArgMatches) -> ExitCode {
    let file = matches.get_one::<PathBuf>("file");
    let (code, error) = match file.map(|file| (file, read(file))) {
        None => (USAGE, anyhow::anyhow!("there is no file")),
        Some((_, Err(error))) => (UNREADABLE, error),
        Some((file, Ok(signature))) => match verify(matches, file, &signature) {
            Ok((code, report)) => match write_out(&report) {
                Ok(()) => return ExitCode::from(code),
                Err(error) => (UNWRITTEN, error),
            },
            Err(error) => (USAGE, error),
        },
    };
    super::complain(&error);
    ExitCode::from(code)
}

/// Writes the report in one piece, so that a reader of only the first line breaks no pipe.
fn write_out(report: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(format!("{report}\n").as_bytes());
    let written = written.and_then(|()| out.flush());
    written.context("cannot write the report")
}

/// The exit status and the report.
fn verify(matches: &ArgMatches, file: &Path, signature: &[u8]) -> Result<(u8, String)> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let content = path("content").map(read).transpose()?;
    let material = match path("trust") {
        Some(folder) => trusted(folder)?,
        None => Material::default(),
    };
    let policy = matches.get_one::<String>("policy");
    let policy = policy
        .and_then(|name| Policy::preset(name))
        .context("there is no such policy")?;
    let at = matches.get_one::<Time>("at").copied();
    let at = at.unwrap_or_else(|| Time::from_unix(Clock::System.now().secs()));
    let mut request = Request::new(signature, &policy, at);
    request.content = content.as_deref();
    let report = validate(&request, &material);
    let text = if matches.get_flag("json") {
        serde_json::to_string_pretty(&report)?
    } else {
        tell(&report, file).trim_end().to_owned()
    };
    let code = match report.verdict {
        _ if report.unreadable.is_some() => UNREADABLE,
        Verdict::TotalPassed => 0,
        Verdict::TotalFailed => 1,
        Verdict::Indeterminate => 2,
    };
    Ok((code, text))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let about = fs::metadata(path).with_context(|| format!("cannot open {name}"))?;
    ensure!(about.is_file(), "{name} is no file");
    ensure!(about.len() <= MAX_FILE_BYTES, "{name} is larger than 1 GiB");
    let file = fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.with_context(|| format!("cannot read {name}"))?;
    ensure!(
        bytes.len() as u64 <= MAX_FILE_BYTES,
        "{name} is larger than 1 GiB"
    );
    Ok(bytes)
}

/// The trust anchors and revocation lists of a folder.
fn trusted(folder: &Path) -> Result<Material> {
    let name = folder.display();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {name}"))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(
            entry
                .with_context(|| format!("cannot read the folder {name}"))?
                .path(),
        );
        ensure!(
            paths.len() <= MAX_FILES,
            "{name} has more than {MAX_FILES} files"
        );
    }
    // Sorted, so that the same folder gives the same report.
    paths.sort();
    let mut material = Material::default();
    for path in paths {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let extension = extension.map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("pem" | "crt" | "cer" | "der") => {
                let read = Certificate::read_all(&read(&path)?);
                let found =
                    read.with_context(|| format!("{} holds no certificate", path.display()))?;
                for certificate in found {
                    // A signer's certificate is known by this, not trusted: its revocation is still checked.
                    if certificate.is_ca() || certificate.self_issued() {
                        material.anchors.push(certificate);
                    } else {
                        material.certificates.push(certificate);
                    }
                }
            }
            Some("crl") => {
                let read = Crl::read(&read(&path)?);
                let found =
                    read.with_context(|| format!("{} is no revocation list", path.display()))?;
                material.crls.push(found);
            }
            _ => {}
        }
    }
    if material.anchors.is_empty() && material.certificates.is_empty() && material.crls.is_empty() {
        bail!("{name} holds neither certificates nor revocation lists");
    }
    Ok(material)
}

/// The report in plain words.
fn tell(report: &Report, file: &Path) -> String {
    let mut out = String::new();
    let headline = match report.verdict {
        _ if report.unreadable.is_some() => "NOT A READABLE SIGNATURE",
        Verdict::TotalPassed => "VALID",
        Verdict::TotalFailed => "NOT VALID",
        Verdict::Indeterminate => "NOT PROVEN",
    };
    line(&mut out, format_args!("{headline}: {}", file.display()));
    let verdict = verdict(report.verdict, report.sub_indication);
    line(&mut out, format_args!("  {verdict}"));
    if let Some(why) = meaning(report.sub_indication) {
        line(&mut out, format_args!("  {why}"));
    }
    if let Some(reason) = &report.reason {
        line(&mut out, format_args!("  {reason}"));
    }
    line(
        &mut out,
        format_args!("  Judged by the policy {} at {}.", report.policy, report.at),
    );
    for (number, signer) in (1..).zip(&report.signers) {
        out.push('\n');
        tell_signer(&mut out, number, signer, report.at);
    }
    if !report.needs.is_empty() {
        out.push('\n');
        line(
            &mut out,
            format_args!("What is missing, and would decide more:"),
        );
        for need in &report.needs {
            line(&mut out, format_args!("  {}", wanted(need)));
        }
    }
    out
}

fn tell_signer(out: &mut String, number: usize, signer: &SignerReport, at: Time) {
    let Some(facts) = &signer.certificate else {
        line(
            out,
            format_args!("Signer {number}: unknown, since the certificate is not there"),
        );
        return tell_steps(out, signer);
    };
    let mut who = facts.name.clone().unwrap_or_else(|| facts.subject.clone());
    for (title, value) in [
        ("IIN", facts.iin.as_ref().map(prichal_sign::Iin::as_str)),
        ("BIN", facts.bin.as_ref().map(prichal_sign::Bin::as_str)),
        ("INN", facts.inn.as_ref().map(prichal_sign::Inn::as_str)),
    ] {
        if let Some(value) = value {
            let _ = write!(who, ", {title} {value}");
        }
    }
    line(out, format_args!("Signer {number}: {who}"));
    let verdict = verdict(signer.verdict, signer.sub_indication);
    line(out, format_args!("  {verdict}"));
    line(
        out,
        format_args!("  Certificate {} of {}", facts.serial, facts.subject),
    );
    line(out, format_args!("  issued by {}", facts.issuer));
    line(
        out,
        format_args!(
            "  good from {} to {}, key {}",
            facts.not_before, facts.not_after, facts.key_algorithm
        ),
    );
    if let Some(algorithm) = &signer.algorithm {
        line(out, format_args!("  Signed with {algorithm}"));
    }
    if let Some(time) = signer.signing_time {
        line(out, format_args!("  The signer says it was at {time}."));
    }
    match signer.time_stamped_at {
        Some(proven) => line(
            out,
            format_args!("  A time-stamp proves that it existed at {proven}."),
        ),
        None => line(
            out,
            format_args!("  Nothing proves when it was made: it is judged at {at}."),
        ),
    }
    if !signer.path.is_empty() {
        let path = signer
            .steps
            .iter()
            .find(|step| step.name == "certificate-path");
        let is_trusted = path.is_some_and(|step| step.status != Status::Failed);
        let word = if is_trusted {
            "Trusted through"
        } else {
            "Would lead to an anchor through"
        };
        line(out, format_args!("  {word}: {}", signer.path.join(" <- ")));
    }
    if signer.unchecked.contains(&Unchecked::Revocation) && signer.verdict == Verdict::TotalPassed {
        line(
            out,
            format_args!("  Not checked: whether a certificate was revoked."),
        );
    }
    for evidence in &signer.evidence {
        line(out, format_args!("  Rests on {evidence}"));
    }
    tell_steps(out, signer);
    for counter in &signer.counter_signatures {
        let who = counter
            .certificate
            .as_ref()
            .map_or("somebody unknown", |facts| {
                facts.name.as_deref().unwrap_or(facts.subject.as_str())
            });
        line(
            out,
            format_args!("  Countersigned by {who}: {}", counter.reason),
        );
    }
}

fn tell_steps(out: &mut String, signer: &SignerReport) {
    for step in &signer.steps {
        let word = match step.status {
            Status::Passed => "ok",
            Status::Warned => "WARN",
            Status::Failed => "FAIL",
            Status::Skipped => "-",
        };
        let name = step.name.replace('-', " ");
        line(
            out,
            format_args!("  {word:>4} {:>2}. {name}: {}", step.step, step.reason),
        );
    }
}

fn verdict(verdict: Verdict, sub: Option<SubIndication>) -> String {
    let word = |value: serde_json::Result<serde_json::Value>| {
        let value = value.unwrap_or_default();
        value.as_str().unwrap_or_default().to_owned()
    };
    let verdict = word(serde_json::to_value(verdict));
    match sub {
        None => verdict,
        Some(sub) => format!("{verdict} / {}", word(serde_json::to_value(sub))),
    }
}

/// The meaning of a sub-indication, for people.
fn meaning(sub: Option<SubIndication>) -> Option<&'static str> {
    use SubIndication as Sub;
    Some(match sub? {
        Sub::FormatFailure => "The file is not a valid CMS signature.",
        Sub::HashFailure => "The document is not the one that was signed.",
        Sub::SigCryptoFailure => "The signature was not made with this certificate's key.",
        Sub::Revoked => {
            "The certificate was revoked before the signature can be shown to have existed."
        }
        Sub::Expired => "The certificate had expired.",
        Sub::NotYetValid => "The certificate was not valid yet.",
        Sub::SigConstraintsFailure => "The signature does not satisfy the policy.",
        Sub::ChainConstraintsFailure | Sub::CertificateChainGeneralFailure => {
            "The certificate's path does not satisfy the rules."
        }
        Sub::CryptoConstraintsFailure | Sub::CryptoConstraintsFailureNoPoe => {
            "An algorithm or a key is too weak, or not known, for the time that is proven."
        }
        Sub::PolicyProcessingError => "The policy could not be applied.",
        Sub::TimestampOrderFailure => "The time-stamps contradict each other.",
        Sub::NoSigningCertificateFound => "The signer's certificate is not there.",
        Sub::NoCertificateChainFound => "The certificate does not chain to a trusted root.",
        Sub::RevokedCaNoPoe => "An authority's certificate was revoked.",
        Sub::OutOfBoundsNoPoe => {
            "The certificate is not valid now, and nothing proves that the signature is older."
        }
        Sub::TryLater => "Whether the certificate was revoked is not known yet.",
        Sub::SignedDataNotFound => {
            "The document that was signed is not there: name it with --content."
        }
    })
}

fn wanted(need: &Need) -> String {
    let what = match need.kind {
        NeedKind::Crl => "the revocation list for",
        NeedKind::Ocsp => "an OCSP answer about",
        NeedKind::Issuer => "the certificate of the issuer",
        NeedKind::Certificate => "the certificate of the signer",
    };
    let place = match (&need.url, need.allowed) {
        (None, _) => String::new(),
        (Some(url), true) => format!(", from {url}"),
        (Some(url), false) => {
            format!(", from {url}, which the policy does not allow to be fetched")
        }
    };
    format!("{what} {}{place}", need.subject)
}

/// Adds a line. Names come from certificates that anybody can make. Characters that move the cursor, begin a line or are
/// hidden are replaced by a visible sign.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.extend(text.to_string().chars().map(harmless));
    out.push('\n');
}

pub(super) fn harmless(c: char) -> char {
    if c.is_control() || is_hidden(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}
