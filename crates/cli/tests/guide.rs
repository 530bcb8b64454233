//! What people are told to type cannot rot: every command of the guide for operators, of the pages of error codes and of both READMEs
//! is one that the command line understands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use cli::Arguments;
use std::path::Path;

/// A command and where it stands.
struct Typed {
    place: String,
    text: String,
    /// Whether it is the start of a command, or has names in the place of values.
    is_part: bool,
}

/// Folders whose pages tell people what to type, and single pages, from the top of the repository.
const FOLDERS: [&str; 2] = ["docs/operate", "docs/errors"];
const SINGLE: [&str; 2] = ["README.md", "helm/wardline/README.md"];

/// Path and text of every page.
fn pages() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let in_folder = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(top.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")).collect()
    };
    let mut paths: Vec<String> = FOLDERS.into_iter().flat_map(in_folder).chain(SINGLE.map(str::to_owned)).collect();
    paths.sort();
    let read = |path: String| {
        let text = std::fs::read_to_string(top.join(&path)).unwrap();
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

/// Commands that stand in blocks, each on a line of its own or on several that end with a backslash.
fn in_blocks(page: &str, text: &str) -> Vec<Typed> {
    let (mut found, mut is_block) = (Vec::new(), false);
    let mut lines = text.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            continue;
        }
        let line = line.trim().trim_start_matches("$ ");
        if !is_block || !(line == "wardline" || line.starts_with("wardline ")) {
            continue;
        }
        let mut command = line.to_owned();
        while let Some(rest) = command.strip_suffix('\\') {
            let more = lines.next().map_or("", |(line, _)| line.trim());
            command = format!("{} {more}", rest.trim_end());
        }
        let place = format!("{page}:{number}");
        // What stands behind a gap explains the commands before it.
        let gap = command.split_once("  ").filter(|(_, rest)| !rest.trim_start().starts_with('#'));
        let is_list = words(&command).iter().any(|word| word.ends_with(','));
        match gap.map(|(named, _)| named).or(is_list.then_some(command.as_str())) {
            Some(named) => {
                let each = alternatives(named).into_iter();
                found.extend(each.map(|text| Typed { place: place.clone(), text, is_part: true }));
            }
            None => found.push(Typed { place, text: command, is_part: false }),
        }
    }
    found
}

/// `wardline status, exceptions ls|show` are three commands.
fn alternatives(named: &str) -> Vec<String> {
    let mut found = Vec::new();
    for one in named.split(", ") {
        let command = if one.starts_with("wardline ") { one.to_owned() } else { format!("wardline {one}") };
        match command.split(' ').find(|word| word.contains('|')) {
            Some(choice) => found.extend(choice.split('|').map(|word| command.replace(choice, word))),
            None => found.push(command),
        }
    }
    found
}

/// Commands that are named in a sentence. They may be the start of one: what is to be named is left out.
fn in_sentences(page: &str, text: &str) -> Vec<Typed> {
    let mut found = Vec::new();
    let mut is_block = false;
    for paragraph in text.split("\n\n") {
        let fences = paragraph.lines().filter(|line| line.trim_start().starts_with("```")).count();
        if fences == 0 && !is_block {
            let spans = paragraph.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
            let commands =
                spans.filter(|span| span.starts_with("wardline ") && !span.contains(['|', '[', '.', '<', '*']));
            found.extend(commands.map(|text| Typed { place: page.to_owned(), text, is_part: true }));
        }
        is_block ^= fences % 2 == 1;
    }
    found
}

/// Words as a shell makes them; what is behind ` #` is a comment.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut is_word) = (Vec::new(), String::new(), None, false);
    for one in text.chars() {
        match (one, quote) {
            (one, Some(open)) if one == open => quote = None,
            ('"' | '\'', None) => (quote, is_word) = (Some(one), true),
            ('#', None) if !is_word => break,
            (one, None) if one.is_whitespace() => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            (one, _) => {
                word.push(one);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

fn understood(text: &str) -> Result<(), clap::Error> {
    Arguments::try_parse_from(words(text)).map(drop)
}

/// Why nobody can type this; nothing when they can.
fn wrong(typed: &Typed) -> Option<String> {
    let said = understood(&typed.text).err()?;
    let unknown = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand, ErrorKind::ArgumentConflict];
    // `wardline bench WHAT` names what is to be chosen.
    let is_choice = matches!(said.get(ContextKind::InvalidSubcommand), Some(ContextValue::String(word))
        if word.chars().all(|letter| letter.is_ascii_uppercase()));
    if typed.is_part && (!unknown.contains(&said.kind()) || is_choice) {
        return None;
    }
    let said = said.to_string();
    Some(format!("{}: {}\n    {}", typed.place, typed.text, said.lines().next().unwrap_or_default()))
}

#[test]
fn every_command_that_people_are_told_is_understood() {
    let (mut all, mut count) = (Vec::new(), 0);
    for (page, text) in pages() {
        let typed: Vec<Typed> = in_blocks(&page, &text).into_iter().chain(in_sentences(&page, &text)).collect();
        count += typed.len();
        all.extend(typed.iter().filter_map(wrong));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    assert!(count > 200, "only {count} commands were found");
}

#[test]
fn a_command_that_is_none_is_found() {
    assert_eq!(words("wardline a 'b c' \"d|e\"  # said"), ["wardline", "a", "b c", "d|e"]);
    let page = "```text\nwardline replay aply ID\n    wardline reconcile --last 4h \\\n  --raise   # and more\n```\n";
    let found = in_blocks("docs/x.md", page);
    assert_eq!(found.iter().map(|typed| understood(&typed.text).is_ok()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(found[0].place, "docs/x.md:2");
    let named = in_sentences("x.md", "Type `wardline replay approve` or\n`wardline replay ls --al`.");
    let kinds: Vec<_> = named.iter().map(|typed| understood(&typed.text).unwrap_err().kind()).collect();
    assert_eq!(kinds[1], ErrorKind::UnknownArgument);
    let parts = in_blocks("x.md", "```text\nwardline status, parked ls|show, bench WHAT   what there is\n```\n");
    assert_eq!(parts.iter().map(|part| wrong(part).is_none()).collect::<Vec<_>>(), [true, false, false, true]);
    assert_ne!(kinds[0], ErrorKind::UnknownArgument);
}
