//! The settings file with all settings, their explanations and their defaults.

use clap::Arg;

use super::source::{flags, name};

/// The maximum number of characters of a line.
const MAX_WIDTH: usize = 100;

const HEAD: &str = "Every setting with its default, as `prichal config` prints it. A file of this form named \
    prichal.toml in the working directory, or given by --config, needs only the lines that differ. An environment \
    variable (PRICHAL_LISTEN) goes before the file, a flag (--listen) before both.\n\n\
    Durations are a whole number and ms, s, m or h; sizes are bytes, or a whole number and KiB, MiB or GiB.";

/// The annotated settings file.
pub fn annotated() -> String {
    let mut file = commented(HEAD);
    for setting in flags().get_arguments() {
        file.push('\n');
        file.push_str(&entry(setting));
    }
    file
}

fn entry(setting: &Arg) -> String {
    let help = setting.get_long_help().or(setting.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    // The first paragraph is a heading in the help of a flag, but a sentence among others here.
    let reason = match help.split_once("\n\n") {
        Some((first, rest)) => format!("{first}. {rest}"),
        None => format!("{help}."),
    };
    let mut entry = commented(&reason);
    let name = name(setting);
    let default = setting.get_default_values().first();
    let example = setting.get_value_names().and_then(|names| names.first());
    // A setting without a default is a comment with the form of its value.
    let line = match (default, example) {
        (Some(value), _) => format!("{name} = {}\n", literal(&value.to_string_lossy())),
        (None, Some(example)) => format!("# {name} = {}\n", literal(example)),
        (None, None) => format!("# {name} = \"\"\n"),
    };
    entry.push_str(&line);
    entry
}

/// The TOML form of a value.
fn literal(value: &str) -> String {
    let is_bare = matches!(value, "true" | "false") || value.parse::<i64>().is_ok();
    if is_bare {
        value.to_owned()
    } else {
        // A JSON string is a valid TOML string.
        serde_json::Value::from(value).to_string()
    }
}

/// A text as wrapped comments.
fn commented(text: &str) -> String {
    let mut out = String::new();
    for paragraph in text.split('\n') {
        let mut line = "#".to_owned();
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > MAX_WIDTH {
                out.push_str(&line);
                out.push('\n');
                line.truncate(1);
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}
