//! Every seed, and what was once found with them, through the target that it is for.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn seeds_are_survived() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seed");
    let mut targets = 0;
    for target in fs::read_dir(&seeds).unwrap() {
        let folder = target.unwrap().path();
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        let mut fuzz = Command::new(env!("CARGO_BIN_EXE_fuzz"));
        let output = fuzz.arg(folder.file_name().unwrap()).args(&files).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!files.is_empty() && output.status.success(), "{}: {said}", folder.display());
        targets += 1;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz")).output().unwrap();
    let names = String::from_utf8_lossy(&output.stderr).matches(", ").count();
    assert_eq!(names, targets, "a folder of seeds for each target");
}
