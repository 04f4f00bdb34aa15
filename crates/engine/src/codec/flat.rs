//! Plans of any depth as a flat table of nodes.
