"""A detector's strain and its witness channels: files, segments, checks, spectra, filters. No Trainer."""
