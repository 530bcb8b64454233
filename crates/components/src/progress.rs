//! What a person sees while something takes long. Everything goes to stderr.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// Where steps are shown: spinners on a terminal, plain lines elsewhere, or nowhere.
#[derive(Clone)]
pub struct Progress {
    shown: Shown,
}

#[derive(Clone)]
enum Shown {
    Spinners(MultiProgress),
    Lines,
    Nowhere,
}

impl Progress {
    /// Shows steps on stderr, moving when that is a terminal.
    pub fn stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { shown: if terminal { Shown::Spinners(MultiProgress::new()) } else { Shown::Lines } }
    }

    /// Shows nothing.
    pub fn silent() -> Self {
        Self { shown: Shown::Nowhere }
    }

    /// Shows that something has begun. It counts as failed when the value is dropped without [`Step::done`].
    pub fn step(&self, text: impl Into<String>) -> Step {
        let text = text.into();
        let bar = match &self.shown {
            Shown::Spinners(all) => {
                let bar = all.add(ProgressBar::new_spinner().with_style(style("{spinner} {msg} {elapsed}")));
                bar.set_message(text.clone());
                bar.enable_steady_tick(Duration::from_millis(120));
                Some(bar)
            }
            Shown::Lines => {
                line(&format!("{text} ..."));
                None
            }
            Shown::Nowhere => None,
        };
        Step { progress: self.clone(), bar, text, finished: false }
    }
}

/// One thing that takes a while.
pub struct Step {
    progress: Progress,
    bar: Option<ProgressBar>,
    text: String,
    finished: bool,
}

impl Step {
    /// Changes what is said about it.
    pub fn says(&self, text: &str) {
        match (&self.bar, &self.progress.shown) {
            (Some(bar), _) => bar.set_message(format!("{}: {text}", self.text)),
            (None, Shown::Lines) => line(&format!("{}: {text} ...", self.text)),
            (None, _) => {}
        }
    }

    /// It ended well; `outcome` says how.
    pub fn done(mut self, outcome: &str) {
        self.finished = true;
        self.end("done", outcome);
    }

    fn end(&self, word: &str, outcome: &str) {
        let text =
            if outcome.is_empty() { format!("{}: {word}", self.text) } else { format!("{}: {outcome}", self.text) };
        match (&self.bar, &self.progress.shown) {
            (Some(bar), _) => {
                bar.set_style(style("{prefix} {msg} {elapsed}"));
                bar.set_prefix(if self.finished { "ok" } else { "!!" });
                bar.finish_with_message(text);
            }
            (None, Shown::Lines) => line(&text),
            (None, _) => {}
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.end("failed", "");
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn line(text: &str) {
    // A closed stderr is no reason to stop working.
    let _ = writeln!(std::io::stderr(), "{text}");
}
