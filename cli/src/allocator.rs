//! The allocator of the process.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_decommits` of mimalloc 3; the crate has no name for it.
const PURGE_DECOMMITS: libmimalloc_sys::mi_option_t = 5;

/// Freed memory goes back to the system when that wants it (`MADV_FREE`), not at once: batches are allocated and freed all the
/// time, and each new page costs a fault. Halves the time that queries spend in the system. Call it first, while there
/// is one thread. `MIMALLOC_PURGE_DECOMMITS=1` undoes it.
pub fn configure() {
    #[allow(unsafe_code, reason = "sets a number in the allocator, before there is another thread")]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DECOMMITS, 0);
    }
}
