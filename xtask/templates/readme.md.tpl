# @room@

@summary@

| input | what becomes of it |
| --- | --- |
| @input_row@ | @output_row@ |

The block `rooms.@room@` of the configuration is documented in `src/config.rs`, with units and defaults.

Try it: `cargo test -p wardline-@room@` needs no broker; `wardline run @room@` runs it alone.
