//! Nothing here: the targets of this package are named in its manifest.
