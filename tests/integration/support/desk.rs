//! A place where commands are typed: the real binary, a git work tree, a home of its own.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A git work tree with a directory `deploy`, in which commands are typed.
pub(crate) struct Desk {
    root: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command said and did.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Said {
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// It ended with `code` and gave these words as a reason.
    pub(crate) fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(words), "{words:?} in {:?}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}

impl Desk {
    pub(crate) fn empty() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(root.path().join("deploy")).expect("the directory is ours");
        let desk = Self { root, environment: Vec::new() };
        assert!(desk.run("git", &["init", "-q", ".."], "").code == Some(0));
        desk
    }

    pub(crate) fn with(text: &str) -> Self {
        let desk = Self::empty();
        desk.save(text);
        desk
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.root.path().join("deploy/qcc.yaml")
    }

    pub(crate) fn save(&self, text: &str) {
        fs::write(self.file(), text).expect("the directory is ours");
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("the file is there")
    }

    /// A program in the directory, with a home and an environment of its own.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.root.path()).env("PATH", "/usr/bin:/bin");
        for (name, folder) in [("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run")] {
            fs::create_dir_all(self.root.path().join(folder)).expect("the directory is ours");
            command.env(name, self.root.path().join(folder));
        }
        let set = self.environment.iter().map(|(name, value)| (name, value));
        command.envs(set).current_dir(self.root.path().join("deploy"));
        command
    }

    /// With a variable in the environment of everything that is run.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file beside `qcc.yaml`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("deploy").join(name)
    }

    /// A file in the home.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn run(&self, program: &str, args: &[&str], input: &str) -> Said {
        let mut command = self.command(program);
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        // A program that reads nothing may be gone already.
        drop(child.stdin.take().expect("it is piped").write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("the program ends");
        let text = |bytes| String::from_utf8(bytes).expect("all speak UTF-8");
        Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Types a command line; words with spaces stand in single quotes.
    pub(crate) fn qcc(&self, line: &str) -> Said {
        let parts = line.split('\'').enumerate();
        let words: Vec<&str> = parts
            .flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
            .collect();
        self.run(env!("CARGO_BIN_EXE_qcc"), &words, "")
    }

    /// Rehearses, applies the printed patch with git and with patch, then does it: all have to come to the same bytes.
    pub(crate) fn edit(&self, line: &str) -> String {
        let before = self.text();
        let patch = self.qcc(&format!("{line} --dry-run")).done();
        assert_eq!(self.text(), before, "a rehearsal writes nothing: {line}");
        let applied = self.run("git", &["-C", "..", "apply", "-"], &patch);
        assert_eq!(applied.code, Some(0), "{line}\n{patch}{}", applied.stderr);
        let by_git = self.text();
        self.save(&before);
        let applied = self.run("patch", &["-p1", "-s", "-d", ".."], &patch);
        assert_eq!((applied.code, applied.stdout.as_str()), (Some(0), ""), "{line}\n{patch}{}", applied.stderr);
        assert_eq!(self.text(), by_git, "`patch -p1` and `git apply` agree: {line}");
        self.save(&before);
        assert_eq!(self.qcc(line).done(), patch, "what is printed does not depend on writing");
        assert_eq!(self.text(), by_git, "{line}");
        patch
    }

    /// It is done, and says that there was nothing to do.
    pub(crate) fn nothing(&self, line: &str) {
        let before = self.text();
        let said = self.qcc(line);
        assert!(said.stderr.contains("Nothing to change"), "{line}: {}", said.stderr);
        assert_eq!((said.done(), self.text()), (String::new(), before));
    }
}
