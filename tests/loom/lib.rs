//! Empty: the models are in `models.rs`, compiled with `--cfg forebay_loom`.
