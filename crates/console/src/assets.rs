//! Style, script and icon: built in, so that nothing is fetched from elsewhere.

use crate::people::sha256_hex;
use std::sync::LazyLock;

/// A file that is built in.
pub struct Asset {
    /// Name.
    pub name: &'static str,
    /// Media type.
    pub content_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// All of them.
pub const ALL: [Asset; 3] = [
    Asset { name: "console.css", content_type: "text/css; charset=utf-8", text: include_str!("assets/console.css") },
    Asset {
        name: "console.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("assets/console.js"),
    },
    Asset { name: "icon.svg", content_type: "image/svg+xml", text: include_str!("assets/icon.svg") },
];

/// Changes with the files, so that their addresses do.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let all: String = ALL.iter().map(|asset| asset.text).collect();
        sha256_hex(all.as_bytes()).chars().take(12).collect()
    });
    &VERSION
}
