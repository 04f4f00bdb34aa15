# Read by the scripts in tools/: where things that are not part of the checkout go, and programs on PATH.

FIRESTEEL_CACHE=${FIRESTEEL_CACHE:-$HOME/.cache/firesteel}
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$FIRESTEEL_CACHE/target-build}
CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
PATH=$HOME/.cargo/bin:$PATH:/usr/local/go/bin
export FIRESTEEL_CACHE CARGO_TARGET_DIR CARGO_TERM_COLOR PATH
# A build that CI cuts short must not leave half-written incremental results to the next one.
[ -z "${CI:-}" ] || export CARGO_INCREMENTAL=0
