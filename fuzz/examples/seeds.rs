//! Writes the seeds of every target into folders of their names: `cargo run --no-default-features --example seeds FOLDER`.

use std::{env, fs, path::PathBuf};

fn main() {
    let folder = env::args_os().nth(1).map(PathBuf::from).expect("the folder to write to");
    for (target, seeds) in tej_fuzz::TARGETS {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for (index, bytes) in seeds().iter().enumerate() {
            let path = folder.join(format!("seed-{index:02}"));
            fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
