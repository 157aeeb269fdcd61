//! The guides: the shell blocks of README.md and of the pages in `docs/` are run as they are printed, each page from
//! top to bottom in one shell that ends at the first error, in a folder of its own with a server of its own.
//!
//! * A block in `sh` is run. `<!-- not run: REASON -->` on the line before exempts it.
//! * A block in `text` is the standard output of the `sh` block before it. A `…` stands for any text of a line, and on a
//!   line of its own for any number of lines.
//! * Blocks in other languages are shown only.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::LazyLock,
    thread,
};

use regex::{Captures, Regex};

use crate::harness::{hub::eventually, server_process::PROGRAM};

/// The ports that the pages use. Each page gets free ones in their place, so that pages can run at once and beside
/// a server that has them.
static PORT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:8080|9000|9100)\b"));

/// The time in seconds after which a page is ended.
const LIMIT: &str = "120";

/// The beginning of a page's script. The first line lets the test's end, also by a signal, end the page: it closes
/// the standard input. Each block has files of its own for its output.
const PRELUDE: &str = r#"
exec 3<&0 </dev/null
{ read -r _ <&3 || kill -KILL 0; } &
disown
set -Eeuo pipefail
trap 'printf "failed: %s\n" "$BASH_COMMAND" >&2' ERR
block() {
  exec >"../$1.out" 2>"../$1.err"
  echo "$1" >../block
}
"#;

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

/// A block that is run.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// The line of the page on which the block begins.
    line: usize,
    script: String,
    /// The output that the page shows.
    output: Option<String>,
}

/// The blocks of a page that are run; or its faults, each with its line.
fn steps(page: &str) -> Result<Vec<Step>, Vec<String>> {
    let (mut steps, mut faults) = (Vec::<Step>::new(), Vec::new());
    // The last line that is not empty, and whether an output may follow.
    let (mut before, mut may_follow) = ("", false);
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        let mut fault = |what: &str| faults.push(format!("{number}: {what}"));
        let exemption = before.strip_prefix("<!-- not run:");
        if exemption.is_some() && line != "```sh" {
            fault("an exemption is not on the line before a block in `sh`");
        }
        if let Some(language) = line.strip_prefix("```") {
            let block = lines.by_ref().map(|(line, _)| line);
            let text = block
                .take_while(|line| *line != "```")
                .fold(String::new(), |text, line| text + line + "\n");
            match (language, exemption) {
                ("sh", Some(reason)) => {
                    if reason.trim_end_matches("-->").trim().is_empty() {
                        fault("an exemption has no reason");
                    }
                    may_follow = false;
                }
                ("sh", None) => {
                    let (line, script) = (number, text);
                    steps.push(Step {
                        line,
                        script,
                        output: None,
                    });
                    may_follow = true;
                }
                ("text", _) => match steps.last_mut() {
                    Some(step) if may_follow => {
                        step.output = Some(text);
                        may_follow = false;
                    }
                    _ => fault("there is no block that this is the output of"),
                },
                ("" | "bash" | "shell" | "console", _) => fault("a shell block is in `sh`"),
                _ => {}
            }
        } else if line.starts_with("    ") && !before.starts_with(['*', '-', ' ']) {
            fault("a shell block is in `sh`, not indented");
        }
        if !line.trim().is_empty() {
            before = line;
        } else if exemption.is_some() {
            before = "";
        }
    }
    if faults.is_empty() {
        Ok(steps)
    } else {
        Err(faults)
    }
}

/// Compares an output with the shown one. Its lines may end as those of HTTP do, and the last one without an end.
fn is_as_shown(shown: &str, output: &str) -> bool {
    let mut output = output.replace("\r\n", "\n");
    if !output.is_empty() && !output.ends_with('\n') {
        output.push('\n');
    }
    let mut expected = "^".to_owned();
    for line in shown.lines() {
        if line == "…" {
            expected += r"(?:.*\n)*";
        } else {
            expected += &regex::escape(line).replace('…', ".*");
            expected += r"\n";
        }
    }
    pattern(&(expected + "$")).is_match(&output)
}

/// The shell that runs a page, with all that it has started; killed when dropped.
struct Shell {
    child: Child,
    /// Its standard input. `Child::wait` would close it.
    _input: Option<ChildStdin>,
}

impl Shell {
    fn start(script: &Path, programs: &str, port: u16) -> Self {
        let inherited = |name| std::env::var(name).unwrap_or_default();
        // It makes a process group of its own, and kills it when the time is over.
        let mut command = Command::new("timeout");
        command
            .args(["--signal=KILL", LIMIT, "bash"])
            .arg(script)
            .current_dir(script.with_file_name("page"))
            .env_clear()
            .env("PATH", format!("{programs}:{}", inherited("PATH")))
            .env("HOME", inherited("HOME"))
            .env("LANG", "C.UTF-8")
            .env("PRICHAL_LISTEN", format!("127.0.0.1:{port}"))
            .env("PRICHAL_URL", format!("http://127.0.0.1:{port}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("the shell starts");
        let input = child.stdin.take();
        Self {
            child,
            _input: input,
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let group = group.expect("the id of a process");
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Runs a page and returns its faults.
fn faults(page: &str) -> Vec<String> {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let ports = listeners.map(|free| free.local_addr().expect("an address").port());
    let page = PORT.replace_all(page, |port: &Captures<'_>| {
        let known = ["8080", "9000", "9100"];
        let place = known.iter().position(|known| *known == &port[0]);
        ports[place.expect("a known port")].to_string()
    });
    let steps = match steps(&page) {
        Ok(steps) if steps.is_empty() => return Vec::new(),
        Ok(steps) => steps,
        Err(faults) => return faults,
    };

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: String| folder.path().join(name);
    let text = |name: String| fs::read_to_string(file(name)).unwrap_or_default();
    let mut script = PRELUDE.to_owned();
    for Step {
        line,
        script: block,
        ..
    } in &steps
    {
        fs::write(file(format!("{line}.sh")), block).expect("written");
        writeln!(script, "block {line}; source ../{line}.sh").expect("written");
    }
    fs::write(file("script".to_owned()), script + "block end\n").expect("written");
    for name in ["page", "programs"] {
        fs::create_dir(file(name.to_owned())).expect("a folder");
    }
    let programs = file("programs".to_owned());
    std::os::unix::fs::symlink(PROGRAM, programs.join("prichal")).expect("a link");

    let mut shell = Shell::start(
        &file("script".to_owned()),
        programs.to_str().expect("text"),
        ports[0],
    );
    let status = shell.child.wait().expect("it ends");
    drop(shell);
    let block = text("block".to_owned());
    let mut faults = Vec::new();
    for Step { line, output, .. } in &steps {
        let printed = text(format!("{line}.out"));
        if block.trim() == line.to_string() {
            break;
        }
        let shown = output.as_deref().unwrap_or("…");
        if !is_as_shown(shown, &printed) {
            faults.push(format!("{line}: shown is\n{shown}printed is\n{printed}"));
        }
    }
    if block.trim() != "end" {
        let (printed, complaints) = (
            text(format!("{}.out", block.trim())),
            text(format!("{}.err", block.trim())),
        );
        faults.push(format!("{}: {status}\n{printed}{complaints}", block.trim()));
    }
    faults
}

fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).expect("a folder");
    let docs = docs.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = docs
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    paths.push(root.join("README.md"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a page");
        let path = path.strip_prefix(&root).expect("below the root").to_owned();
        (path.display().to_string(), text)
    };
    paths.into_iter().map(read).collect()
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The faults that `find` finds in the pages, which it gets at once.
fn in_all_pages(find: impl Fn(&str) -> Vec<String> + Sync) -> Vec<String> {
    let (pages, find) = (pages(), &find);
    thread::scope(|scope| {
        let found: Vec<_> = pages
            .iter()
            .map(|(path, text)| (path, scope.spawn(move || find(text))))
            .collect();
        let found = found.into_iter().flat_map(|(path, faults)| {
            let faults = faults.join().expect("the page's thread ends");
            faults
                .into_iter()
                .map(move |fault| format!("{path}:{fault}"))
        });
        found.collect()
    })
}

#[test]
#[ignore = "needs curl, jq, openssl, python3, sqlite3, tinyproxy and unzip; ./test has them"]
fn every_block_of_the_guides_runs() {
    assert_none(&in_all_pages(faults));
}

#[test]
fn every_block_of_the_guides_is_marked() {
    let found = in_all_pages(|page| steps(page).err().unwrap_or_default());
    assert_none(&found);
    let blocks: usize = pages()
        .iter()
        .filter_map(|(_, page)| steps(page).ok())
        .map(|steps| steps.len())
        .sum();
    assert!(blocks > 40, "only {blocks} blocks are run");
}

#[test]
fn the_blocks_of_a_page() {
    let step = |line, script: &str, output: Option<&str>| Step {
        line,
        script: script.to_owned(),
        output: output.map(str::to_owned),
    };
    let page = "# A\n\n```sh\na <<END\n\nb\nEND\n```\n\nthis:\n\n```text\n1\n2\n```\n\n```json\n{}\n```\n\n\
        <!-- not run: it has no end -->\n```sh\nc\n```\n\n* one\n    two\n\n```sh\nd\n```\n";
    let expected = [
        step(3, "a <<END\n\nb\nEND\n", Some("1\n2\n")),
        step(29, "d\n", None),
    ];
    assert_eq!(steps(page).expect("no fault"), expected);

    let cases = [
        ("```\na\n```", "1: a shell block is in `sh`"),
        ("```console\n$ a\n```", "1: a shell block is in `sh`"),
        (
            "text\n\n    curl a",
            "3: a shell block is in `sh`, not indented",
        ),
        (
            "<!-- not run: -->\n```sh\na\n```",
            "2: an exemption has no reason",
        ),
        (
            "<!-- not run: a -->\n\n```sh\na\n```",
            "2: an exemption is not on the line before a block in `sh`",
        ),
        (
            "```text\na\n```",
            "1: there is no block that this is the output of",
        ),
        (
            "```sh\na\n```\n<!-- not run: a -->\n```sh\nb\n```\n```text\nc\n```",
            "8: there is no block that this is the output of",
        ),
    ];
    for (page, fault) in cases {
        assert_eq!(steps(page).expect_err(page), [fault]);
    }
}

#[test]
fn an_output_is_as_shown() {
    let cases = [
        ("a\nb\n", "a\nb\n", true),
        ("a\n", "a\nb\n", false),
        ("a\nb\n", "a\n", false),
        (
            "{\"id\":\"…\",\"n\":1}\n",
            "{\"id\":\"0198f2a4\",\"n\":1}\n",
            true,
        ),
        (
            "{\"id\":\"…\",\"n\":1}\n",
            "{\"id\":\"0198f2a4\",\"n\":2}\n",
            false,
        ),
        ("a …\n", "a b\nc\n", false),
        ("a\n…\nb\n", "a\n1\n2\nb\n", true),
        ("a\n…\nb\n", "a\nb\n", true),
        ("a\n…\n", "b\n", false),
        ("a.c\n", "abc\n", false),
        ("a\n", "a", true),
        ("a\n…\nb\n", "a\r\n\r\nb\r\n", true),
        ("…\n", "", true),
    ];
    for (shown, output, expected) in cases {
        assert_eq!(is_as_shown(shown, output), expected, "{shown} {output}");
    }
}

#[test]
fn a_page_that_is_wrong_has_faults() {
    let page = "```sh\nONE=1 PORT=8080\n```\n```sh\necho $ONE\n```\n```text\n2\n```\n```sh\necho $PORT | grep -q 8080\n```\n\
        ```sh\necho $TWO\n```\n```sh\necho 3\n```\n";
    let [shown, failed] = &faults(page)[..] else {
        panic!("{:?}", faults(page));
    };
    assert_eq!(shown, "4: shown is\n2\nprinted is\n1\n");
    assert!(
        failed.starts_with("13: exit status: 1\n") && failed.contains("TWO"),
        "{failed}"
    );
}

#[tokio::test]
async fn the_processes_of_a_page_end_with_it() {
    let found = faults("```sh\nsleep 1000 & echo $!\n```\n```text\n…?\n```\n");
    let [fault] = &found[..] else {
        panic!("{found:?}");
    };
    let id = fault.trim().rsplit('\n').next().expect("a process");
    assert!(id.parse::<u32>().is_ok(), "{fault}");
    // It is listed until its parent has looked at its end.
    eventually("the process has ended", || async {
        let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        (state.is_empty() || state.contains(") Z ")).then_some(())
    })
    .await;
}
