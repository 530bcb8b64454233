//! The allocator of every program that links the loops. Records are allocated on the thread that decides about them and freed on
//! the threads of librdkafka, some twenty pieces each, which is what the allocator of the C library is slowest at.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
