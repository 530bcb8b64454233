//! `wardline message ID`: a received message as it came, beside the event that was made of it.

use crate::args::{Globals, Message};
use crate::output::Output;
use crate::{Failure, context, unmask};
use operations::audit::Shown;
use operations::messages::{self, MessageId};
use operations::original::Source;
use runtime::codec::Codec;
use runtime::readers::Readers;
use schemas::topics;

/// Most bytes that are read to be shown; `--raw` writes all of them.
const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Executes `wardline message`.
pub fn execute(globals: &Globals, options: &Message) -> Result<(), Failure> {
    let is_whole = options.bytes.raw || options.with_phi;
    if is_whole {
        unmask::check(&options.bytes.unmask)?;
    }
    let id = MessageId::parse(&options.id).ok_or_else(|| {
        Failure::usage(
            format!("WL-7246: {} is not the id of a message", options.id),
            "give it as `wardline trace` and `wardline exceptions show` print it: DIGEST@SECONDS",
        )
    })?;
    let config = context::running(globals)?;
    context::block_on(async {
        let (readers, asked) = (Readers::new(&config.kafka), id.clone());
        let found = tokio::task::spawn_blocking(move || messages::find(&readers, &asked)).await;
        let found = found.map_err(|error| Failure::new(error, "report this as a defect"))?.map_err(Failure::kafka)?;
        let message = found.ok_or_else(|| {
            Failure::new(
                format!("WL-7246: the message {id} is not kept"),
                "it is kept for the retention of ops.source.v1, unless `keep_sources` of its connector is false",
            )
        })?;
        if is_whole {
            let (partition, offset) = message.place;
            let origin = Some((topics::OPS_SOURCE_V1.name().to_owned(), partition, offset));
            let shown = Shown { what: "the bytes of a message", origin, ..Shown::default() };
            unmask::record(&config, &options.bytes.unmask, shown).await?;
        }
        let mut output = Output::stdout();
        if options.bytes.raw {
            output.bytes(&message.bytes)?;
            return output.finish();
        }
        let codec = Codec::new(&config.registry).map_err(Failure::registry)?;
        let (bytes, content_type) = (Some(message.bytes.as_slice()), message.content_type.as_deref());
        let source = Source::read(&codec, bytes, content_type, SOURCE_BYTES_MAX).await;
        let source = if options.with_phi { source } else { source.masked() };
        if options.json {
            output.json(&source)?;
            return output.finish();
        }
        for line in source.lines(&[]) {
            output.line(line)?;
        }
        output.finish()
    })?
}
