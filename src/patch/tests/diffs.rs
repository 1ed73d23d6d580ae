//! What a diff shows, and what it does not.

use crate::patch::Patch;

fn patch(before: &str, after: &str) -> Patch {
    Patch { before: before.into(), after: after.to_owned(), diagnostics: Vec::new() }
}

const FILE: &str = "\
version: 1
profiles:
  p:
    tier: primary
    base_url: https://a.example
    api_key: canary-0123456789
    auth: bearer
    weight: 5
    priority: 1
";

#[test]
fn a_key_in_the_context_ends_the_context() {
    let patch = patch(FILE, &FILE.replace("weight: 5", "weight: 6"));
    insta::assert_snapshot!(patch.diff("conf/qcc.yaml", false), @r"
    --- a/conf/qcc.yaml
    +++ b/conf/qcc.yaml
    @@ -7,3 +7,3 @@
         auth: bearer
    -    weight: 5
    +    weight: 6
         priority: 1
    ");
    assert!(!patch.withholds());
    assert!(patch.diff("conf/qcc.yaml", true).contains("canary"));
}

#[test]
fn a_key_between_two_changes_parts_them() {
    let after = FILE.replace("weight: 5", "weight: 6").replace("primary", "secondary");
    let patch = patch(FILE, &after);
    insta::assert_snapshot!(patch.diff("qcc.yaml", false), @r"
    --- a/qcc.yaml
    +++ b/qcc.yaml
    @@ -1,5 +1,5 @@
     version: 1
     profiles:
       p:
    -    tier: primary
    +    tier: secondary
         base_url: https://a.example
    @@ -7,3 +7,3 @@
         auth: bearer
    -    weight: 5
    +    weight: 6
         priority: 1
    ");
    assert!(!patch.withholds());
}

#[test]
fn a_key_that_is_changed_is_blanked_and_said_to_be_withheld() {
    let patch = patch(FILE, &FILE.replace("canary-0123456789", "{ env: KEY }"));
    insta::assert_snapshot!(patch.diff("qcc.yaml", false), @r"
    --- a/qcc.yaml
    +++ b/qcc.yaml
    @@ -3,7 +3,7 @@
       p:
         tier: primary
         base_url: https://a.example
    -    api_key: *****************
    +    api_key: { env: KEY }
         auth: bearer
         weight: 5
         priority: 1
    ");
    assert!(patch.withholds());
}

#[test]
fn a_change_right_above_a_key_cannot_be_applied_without_it() {
    let patch = patch(FILE, &FILE.replace("a.example", "b.example"));
    assert!(patch.withholds() && !patch.diff("qcc.yaml", false).contains("canary"));
}

#[test]
fn carriage_returns_marks_and_missing_line_ends_are_part_of_the_lines() {
    let patch = patch("\u{FEFF}a: 1\r\nb: 2", "\u{FEFF}a: 1\r\nb: 3\r\n");
    assert_eq!(
        patch.diff("qcc.yaml", false),
        "--- a/qcc.yaml\n+++ b/qcc.yaml\n@@ -1,2 +1,2 @@\n \u{FEFF}a: 1\r\n-b: 2\n\\ No newline at end of file\n+b: 3\r\n"
    );
}

#[test]
fn odd_names_are_written_as_git_writes_them() {
    let head = |name: &str| patch("a", "b").diff(name, false).lines().take(2).collect::<Vec<_>>().join("|");
    assert_eq!(head("中文/qcc.yaml"), "--- a/中文/qcc.yaml|+++ b/中文/qcc.yaml");
    assert_eq!(head("a b.yaml"), "--- a/a b.yaml\t|+++ b/a b.yaml\t");
    assert_eq!(head("a\"b.yaml"), r#"--- "a/a\"b.yaml"|+++ "b/a\"b.yaml""#);
}
