[package]
name = "wardline-@room@"
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
@dependencies@

[dev-dependencies]
@dev_dependencies@
