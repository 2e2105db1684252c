//! `scripts/images` packs what it is given: here one small static program under the five names.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "all of it is a test; what fails is shown with its place"
)]

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

const PROCESSES: [&str; 5] = ["gateway", "orders", "inventory", "payments", "fulfillment"];

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/images"))
}

/// Runs it to its end; the second is what it said on either stream.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

/// A program under the names of all processes.
fn programs(flags: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("program.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    let program = folder.path().join("program");
    let mut cc = Command::new("cc");
    cc.args(flags).arg(&source).arg("-o").arg(&program);
    assert_eq!(run(&mut cc), (Some(0), String::new()));
    for process in PROCESSES {
        fs::copy(&program, folder.path().join(process)).unwrap();
    }
    folder
}

/// The names of what was in it.
fn unpack(archive: &Path, into: &Path) -> Vec<String> {
    fs::create_dir_all(into).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-xvf").arg(archive).arg("-C").arg(into);
    let (code, said) = run(&mut tar);
    assert_eq!(code, Some(0), "{said}");
    said.lines().map(str::to_owned).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn sha256(path: &Path) -> String {
    let (code, said) = run(Command::new("sha256sum").arg(path));
    assert_eq!(code, Some(0), "{said}");
    said.split(' ').next().unwrap().to_owned()
}

/// What a descriptor points at: it is there, as long as it says, and is what its digest says.
fn blob(image: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap();
    let digest = digest.strip_prefix("sha256:").unwrap();
    let path = image.join("blobs/sha256").join(digest);
    assert_eq!(sha256(&path), digest);
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        descriptor["size"].as_u64().unwrap()
    );
    path
}

#[test]
fn an_image_is_one_static_program_for_a_user_who_is_not_root() {
    let (programs, out) = (programs(&["-static"]), TempDir::new().unwrap());
    for folder in ["once", "twice"] {
        let mut images = script();
        images.arg("--from").arg(programs.path());
        images.arg("--out").arg(out.path().join(folder));
        let (code, said) = run(images.args(["--tag", "7.8.9"]));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(said.matches(" MB, image ").count(), 5, "{said}");
    }
    for process in PROCESSES {
        let archive = |folder: &str| out.path().join(folder).join(format!("{process}.tar"));
        assert_eq!(sha256(&archive("once")), sha256(&archive("twice")));
        let image = out.path().join(process);
        unpack(&archive("once"), &image);

        let name = format!("mesh/{process}:7.8.9");
        let entry = &json(&image.join("index.json"))["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            format!("docker.io/{name}")
        );
        let manifest = json(&blob(&image, entry));
        let config = &json(&blob(&image, &manifest["config"]))["config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(
            config["Entrypoint"],
            Value::from(vec![format!("/{process}")])
        );
        let layer = blob(&image, &manifest["layers"][0]);
        assert_eq!(unpack(&layer, &image.join("root")), [process]);
        let (code, said) = run(&mut Command::new(image.join("root").join(process)));
        assert_eq!(code, Some(0), "{said}");

        let docker = &json(&image.join("manifest.json"))[0];
        assert_eq!(docker["RepoTags"], Value::from(vec![name]));
        for file in [&docker["Config"], &docker["Layers"][0]] {
            assert!(image.join(file.as_str().unwrap()).exists(), "{file}");
        }
    }
}

#[test]
fn a_program_that_needs_a_loader_is_refused() {
    let (programs, out) = (programs(&[]), TempDir::new().unwrap());
    let mut images = script();
    images.arg("--from").arg(programs.path());
    let (code, said) = run(images.arg("--out").arg(out.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("gateway is not static"), "{said}");
    assert!(!out.path().join("gateway.tar").exists());
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    // Enough for a script to run at all.
    let tools = TempDir::new().unwrap();
    for tool in ["bash", "dirname", "grep", "realpath", "sed", "tar", "uname"] {
        let (_, found) = run(Command::new("which").arg(tool));
        symlink(found.trim(), tools.path().join(tool)).unwrap();
    }
    for (arguments, missing) in [
        (
            ["--load", "docker"],
            "sha256sum, gzip, readelf, strip, cargo, cc, docker",
        ),
        (["--from", "."], "sha256sum, gzip, readelf, strip"),
    ] {
        let (code, said) = run(script().env("PATH", tools.path()).args(arguments));
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said.trim(), format!("images: missing: {missing}"));
    }
}

#[test]
fn it_explains_itself() {
    let (code, help) = run(script().arg("--help"));
    assert_eq!(code, Some(0), "{help}");
    assert!(help.starts_with("Usage: scripts/images"), "{help}");
    for bad in [&["--lout"][..], &["--out"], &["--load", "crane"]] {
        let (code, usage) = run(script().args(bad));
        assert_eq!((code, usage), (Some(64), help.clone()), "{bad:?}");
    }
}
