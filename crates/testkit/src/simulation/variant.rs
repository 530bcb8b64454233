//! Broken variants: what a faulty runtime would do, done to an honest one at its ports.

use processor::laws::Law;

/// Who runs in the world: the honest runtime, or one that breaks a law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Variant {
    /// The runtime as it is.
    #[default]
    Honest,
    /// Positions are committed before what was made of the records.
    OffsetsFirst,
    /// After a transaction was aborted reading goes on where it was, not at the first record of the batch.
    SkipOnRewind,
    /// What is left out by a rule leaves no trace.
    SilentDrop,
    /// Parked events come back from their topic in another order.
    UnparkOutOfOrder,
    /// Nobody wakes what is parked when what it waits for has come.
    NeverUnpark,
    /// A failing key holds up its whole partition.
    ParkPartition,
    /// Records of transactions that were aborted are read.
    DirtyRead,
    /// Positions are committed without proof of membership.
    NoProof,
    /// Effect records are not written.
    ForgetEffectRecord,
    /// A call in doubt is repeated without asking what became of it.
    NoLookUp,
    /// A look-up that finds nothing is believed while the call may still arrive.
    HastyLookUp,
    /// A look-up makes what is missing while the call that may make it can still arrive.
    EarlyMaking,
    /// Effect records are not written when they are ahead of their turn.
    ForgetAhead,
    /// Effect records are not read back after a start.
    ForgetOnLoad,
    /// What lies before the first record of a partition is not looked at.
    ForgetCopies,
    /// Dead letters are written twice.
    DoubleLetter,
    /// Exceptions are raised twice.
    DoubleException,
    /// Dead letters are without the bytes of the record.
    BareDeadLetter,
    /// A person's name is in a header.
    NameInHeader,
    /// A person's name is the key.
    NameInKey,
    /// A person's name is in the log.
    NameInLog,
    /// Fetching goes on however much is in memory.
    UnboundedQueue,
}

impl Variant {
    /// All that are broken.
    pub const BROKEN: [Self; 22] = [
        Self::OffsetsFirst,
        Self::SkipOnRewind,
        Self::SilentDrop,
        Self::UnparkOutOfOrder,
        Self::NeverUnpark,
        Self::ParkPartition,
        Self::DirtyRead,
        Self::NoProof,
        Self::ForgetEffectRecord,
        Self::NoLookUp,
        Self::HastyLookUp,
        Self::EarlyMaking,
        Self::ForgetAhead,
        Self::ForgetOnLoad,
        Self::ForgetCopies,
        Self::DoubleLetter,
        Self::DoubleException,
        Self::BareDeadLetter,
        Self::NameInHeader,
        Self::NameInKey,
        Self::NameInLog,
        Self::UnboundedQueue,
    ];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::OffsetsFirst => "offsets-first",
            Self::SkipOnRewind => "skip-on-rewind",
            Self::SilentDrop => "silent-drop",
            Self::UnparkOutOfOrder => "unpark-out-of-order",
            Self::NeverUnpark => "never-unpark",
            Self::ParkPartition => "park-partition",
            Self::DirtyRead => "dirty-read",
            Self::NoProof => "no-proof",
            Self::ForgetEffectRecord => "forget-effect-record",
            Self::NoLookUp => "no-look-up",
            Self::HastyLookUp => "hasty-look-up",
            Self::EarlyMaking => "early-making",
            Self::ForgetAhead => "forget-ahead",
            Self::ForgetOnLoad => "forget-on-load",
            Self::ForgetCopies => "forget-copies",
            Self::DoubleLetter => "double-letter",
            Self::DoubleException => "double-exception",
            Self::BareDeadLetter => "bare-dead-letter",
            Self::NameInHeader => "name-in-header",
            Self::NameInKey => "name-in-key",
            Self::NameInLog => "name-in-log",
            Self::UnboundedQueue => "unbounded-queue",
        }
    }

    /// Finds a variant by its name.
    pub fn find(name: &str) -> Option<Self> {
        std::iter::once(Self::Honest).chain(Self::BROKEN).find(|variant| variant.name() == name)
    }

    /// The law that it breaks first of all.
    pub fn breaks(self) -> Option<Law> {
        Some(match self {
            Self::Honest => return None,
            Self::OffsetsFirst | Self::SkipOnRewind | Self::SilentDrop | Self::NeverUnpark => Law::Loss1,
            Self::UnparkOutOfOrder => Law::Ord1,
            Self::ParkPartition => Law::Key1,
            Self::NoProof | Self::ForgetCopies | Self::DoubleLetter | Self::DoubleException => Law::Eos1,
            Self::ForgetEffectRecord | Self::NoLookUp | Self::HastyLookUp | Self::EarlyMaking | Self::ForgetAhead => {
                Law::Fx1
            }
            Self::ForgetOnLoad => Law::Rpl1,
            Self::BareDeadLetter | Self::DirtyRead => Law::Raw1,
            Self::NameInHeader | Self::NameInKey | Self::NameInLog => Law::Phi1,
            Self::UnboundedQueue => Law::Bnd1,
        })
    }

    /// What the violation speaks of, where something else could break the same law; nothing where the law is enough.
    pub fn speaks_of(self) -> &'static str {
        match self {
            Self::EarlyMaking => "the cost of document",
            Self::DoubleLetter => "the dead letter of",
            Self::DoubleException => "output exception",
            _ => "",
        }
    }
}
