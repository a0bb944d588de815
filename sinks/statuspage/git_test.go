package statuspage

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is a bare one, as a host keeps it.
type repository struct {
	t    *testing.T
	path string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	need(t, "git")
	r := &repository{t, filepath.Join(t.TempDir(), "status.git")}
	r.run("init", "--bare", "--quiet", r.path)
	return r
}

func (r *repository) run(args ...string) string {
	r.t.Helper()
	command := exec.Command("git", args...)
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a")
	out, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repository) show(what string) string { return r.run("--git-dir", r.path, "show", what) }

func (r *repository) count() string {
	return r.run("--git-dir", r.path, "rev-list", "--count", "weir-status")
}

// TestGit pushes to a real repository: words make history, figures do not.
func TestGit(t *testing.T) {
	r := newRepository(t)
	place := &Git{URL: "file://" + r.path, Branch: "weir-status"}
	put := func(text string, news bool) {
		t.Helper()
		if err := place.Put(t.Context(), page(text), news); err != nil {
			t.Fatal(err)
		}
		if got := r.show("weir-status:index.html"); got != text {
			t.Errorf("the branch has %q, want %q", got, text)
		}
	}
	put("<p>one", false)
	if n := r.count(); n != "1" {
		t.Errorf("%s commits, want 1", n)
	}
	put("<p>two", true)
	put("<p>three", false)
	put("<p>four", false)
	if n := r.count(); n != "2" {
		t.Errorf("%s commits after one piece of news, want 2", n)
	}
	put("<p>five", true)
	if n := r.count(); n != "3" {
		t.Errorf("%s commits after two, want 3", n)
	}
	if got := r.show("weir-status:api/v2/status.json"); got != `{"status":{}}` {
		t.Errorf("the branch has %q", got)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "weir-status-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A branch that holds something else is not written over.
func TestGitLeavesOtherBranchesAlone(t *testing.T) {
	r := newRepository(t)
	work := t.TempDir()
	r.run("clone", "--quiet", r.path, work)
	if err := os.WriteFile(filepath.Join(work, "thesis.txt"), []byte("years"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run("-C", work, "checkout", "--quiet", "-b", "weir-status")
	r.run("-C", work, "add", ".")
	r.run("-C", work, "commit", "--quiet", "-m", "years of work")
	r.run("-C", work, "push", "--quiet", "origin", "weir-status")
	err := (&Git{URL: "file://" + r.path, Branch: "weir-status"}).Put(t.Context(), page("x"), true)
	if err == nil || !contains(err.Error(), "holds something else") {
		t.Errorf("%v", err)
	}
	if got := r.show("weir-status:thesis.txt"); got != "years" {
		t.Errorf("the branch has %q", got)
	}
}

func TestGitErrorsHoldNoSecret(t *testing.T) {
	need(t, "git")
	err := (&Git{URL: "file:///nowhere/at/all.git", Branch: "b", Token: "hunter2"}).Put(t.Context(), page("x"), true)
	if err == nil || contains(err.Error(), "hunter2") || !contains(err.Error(), "git: ls-remote") {
		t.Errorf("%v", err)
	}
	for _, branch := range []string{"", "--upload-pack=x", "a b", "a..b", "x.lock", "/x"} {
		if CheckBranch(branch) == nil {
			t.Errorf("a branch may be called %q", branch)
		}
	}
}
