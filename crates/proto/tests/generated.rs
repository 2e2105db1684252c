//! The committed code is what the protos say. `scripts/generate` runs this test with `UPDATE_GENERATED=1`.

use std::{collections::BTreeMap, env, fs, path::Path};

use prost::Message as _;

const SERVICES: [&str; 4] = ["money", "inventory", "payments", "orders"];

fn generate(into: &Path) {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let sources = SERVICES.map(|s| protos.join(format!("shop/{s}/v1/{s}.proto")));
    let mut compiler = protox::Compiler::new([&protos]).expect("the proto folder is there");
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&sources).expect("the protos compile");
    let descriptors = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .out_dir(into)
        .compile_fds(descriptors.clone())
        .expect("the code generates");
    let mut small = descriptors;
    for file in &mut small.file {
        file.source_code_info = None;
    }
    fs::write(into.join("descriptors.bin"), small.encode_to_vec()).expect("the folder is writable");
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .expect("the folder is readable")
        .map(|entry| {
            let path = entry.expect("the entry is readable").path();
            let name = path
                .file_name()
                .expect("it has a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(&path).expect("the file is readable"))
        })
        .collect()
}

#[test]
fn committed_code_is_what_the_protos_say() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    let fresh = tempfile::tempdir().expect("a folder for what is generated");
    generate(fresh.path());
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of this test alone, not a setting"
    )]
    if env::var("UPDATE_GENERATED").is_ok() {
        for (name, content) in files(fresh.path()) {
            fs::write(committed.join(name), content).expect("the folder is writable");
        }
        return;
    }
    let (fresh, committed) = (files(fresh.path()), files(&committed));
    for (name, content) in &fresh {
        assert!(
            committed.get(name) == Some(content),
            "{name} differs from what its proto gives: run scripts/generate and commit the result"
        );
    }
    assert_eq!(
        fresh.len(),
        committed.len(),
        "a file in src/generated belongs to no proto: delete it"
    );
}
