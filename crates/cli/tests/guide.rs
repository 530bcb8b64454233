//! The guide for operators cannot rot: every command in it is one that the command line understands.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use clap::Parser as _;
use clap::error::ErrorKind;
use cli::Arguments;
use std::path::{Path, PathBuf};

/// A command and where it stands.
struct Typed {
    place: String,
    text: String,
}

fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operate");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "md"));
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
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
        found.push(Typed { place: format!("docs/operate/{page}:{number}"), text: command });
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
            found.extend(commands.map(|text| Typed { place: format!("docs/operate/{page}"), text }));
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

#[test]
fn every_command_of_the_guide_is_understood() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (page, text) in pages() {
        for typed in in_blocks(&page, &text) {
            count += 1;
            if let Err(said) = understood(&typed.text) {
                let said = said.to_string();
                wrong.push(format!("{}: {}\n    {}", typed.place, typed.text, said.lines().next().unwrap_or_default()));
            }
        }
        for typed in in_sentences(&page, &text) {
            count += 1;
            let said = understood(&typed.text).err();
            let unknown = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand, ErrorKind::ArgumentConflict];
            if let Some(said) = said.filter(|said| unknown.contains(&said.kind())) {
                let said = said.to_string();
                wrong.push(format!("{}: {}\n    {}", typed.place, typed.text, said.lines().next().unwrap_or_default()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 60, "only {count} commands were found");
}

#[test]
fn a_command_that_is_none_is_found() {
    assert_eq!(words("wardline a 'b c' \"d|e\"  # said"), ["wardline", "a", "b c", "d|e"]);
    let page = "```text\nwardline replay aply ID\n    wardline reconcile --last 4h \\\n  --raise   # and more\n```\n";
    let found = in_blocks("x.md", page);
    assert_eq!(found.iter().map(|typed| understood(&typed.text).is_ok()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(found[0].place, "docs/operate/x.md:2");
    let named = in_sentences("x.md", "Type `wardline replay approve` or\n`wardline replay ls --al`.");
    let kinds: Vec<_> = named.iter().map(|typed| understood(&typed.text).unwrap_err().kind()).collect();
    assert_eq!(kinds[1], ErrorKind::UnknownArgument);
    assert_ne!(kinds[0], ErrorKind::UnknownArgument);
}
