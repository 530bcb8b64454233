//! The web console and its API: what operators see of a running installation and do about it, in a browser.
