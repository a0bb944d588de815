package statuspage

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// gitMarker is the file by which weir knows a branch as its own.
const gitMarker = ".weir-statuspage"

// Git is a branch of a repository whose host publishes it. The branch is weir's alone:
// its history is that of the words; a push that brings only newer figures takes the
// place of the one before.
type Git struct {
	URL    string // https://, ssh://, user@host:path or file://
	Branch string
	// KeyFile is an SSH private key; HostKey the server's public key, "ssh-ed25519
	// AAAA...": another is refused. Both are for ssh alone.
	KeyFile string
	HostKey string
	// Token is for https: a token that may push.
	Token string
}

// Name is the branch's.
func (g *Git) Name() string { return "git:" + g.Branch }

// branchForm keeps what git would take for an option or a pattern out.
var branchForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,200}$`)

// CheckBranch says what is wrong with a branch's name.
func CheckBranch(name string) error {
	if !branchForm.MatchString(name) || strings.Contains(name, "..") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".lock") {
		return fmt.Errorf("%q is no branch's name: want letters, digits, '.', '_', '-' and '/'", name)
	}
	return nil
}

// Check says what could not work, before anything is pushed.
func (g *Git) Check() error {
	if g.HostKey != "" {
		if _, err := ParseHostKey(g.HostKey); err != nil {
			return fmt.Errorf("host key: %w", err)
		}
	}
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("there is no git command on this machine: apt-get install git")
	}
	return CheckBranch(g.Branch)
}

// Put commits the files and pushes the branch. It works in a repository of its own that
// it removes: what is pushed needs only the branch's tip.
func (g *Git) Put(ctx context.Context, files []File, news bool) error {
	if err := CheckBranch(g.Branch); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "weir-status-")
	if err != nil {
		return fmt.Errorf("git: %w", err)
	}
	defer os.RemoveAll(dir)
	run := &gitRun{Git: g, ctx: ctx, dir: dir}
	if err := run.put(files, news); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("git: %w", err)
	}
	return nil
}

// gitRun is one Put.
type gitRun struct {
	*Git
	ctx context.Context
	dir string
}

func (r *gitRun) put(files []File, news bool) error {
	if err := r.prepare(); err != nil {
		return err
	}
	tip, parents, err := r.tip()
	if err != nil {
		return err
	}
	tree, err := r.tree(files)
	if err != nil {
		return err
	}
	message := "Newer figures"
	if news || tip == "" {
		message = "Something new to read"
		parents = nil
		if tip != "" {
			parents = []string{tip}
		}
	}
	args := []string{"commit-tree", tree, "-m", message}
	for _, parent := range parents {
		args = append(args, "-p", parent)
	}
	commit, err := r.git(nil, args...)
	if err != nil {
		return err
	}
	ref := "refs/heads/" + r.Branch
	_, err = r.git(nil, "push", "--quiet", "--force-with-lease="+ref+":"+tip, "--", r.URL, commit+":"+ref)
	return err
}

func (r *gitRun) prepare() error {
	if _, err := r.git(nil, "init", "--bare", "--quiet", filepath.Join(r.dir, "repo")); err != nil {
		return err
	}
	if r.HostKey == "" {
		return nil
	}
	if _, err := ParseHostKey(r.HostKey); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, "known_hosts"), []byte("* "+strings.TrimSpace(r.HostKey)+"\n"), 0o600)
}

// tip is the commit that the branch stands at, "" where there is none yet, and its
// parents. A branch that is not weir's is refused.
func (r *gitRun) tip() (tip string, parents []string, err error) {
	ref := "refs/heads/" + r.Branch
	listed, err := r.git(nil, "ls-remote", "--", r.URL, ref)
	if err != nil || listed == "" {
		return "", nil, err
	}
	tip, _, _ = strings.Cut(listed, "\t")
	if _, err := r.git(nil, "fetch", "--quiet", "--no-tags", "--depth=2", "--", r.URL, ref); err != nil {
		return "", nil, err
	}
	if _, err := r.git(nil, "cat-file", "-e", tip+":"+gitMarker); err != nil {
		return "", nil, fmt.Errorf("the branch %s holds something else than a status page of weir's: name a branch that does not exist yet", r.Branch)
	}
	line, err := r.git(nil, "rev-list", "--parents", "--max-count=1", tip)
	if err != nil {
		return "", nil, err
	}
	return tip, strings.Fields(line)[1:], nil
}

// tree writes the files and returns their tree.
func (r *gitRun) tree(files []File) (string, error) {
	files = append([]File{{Name: gitMarker, Body: []byte("The status page of weir. This branch is written by weir alone.\n")},
		{Name: ".nojekyll"}}, files...) // or some hosts would take it for something to build
	var index bytes.Buffer
	for _, f := range files {
		blob, err := r.git(f.Body, "hash-object", "-w", "--stdin")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&index, "100644 %s\t%s\n", blob, f.Name)
	}
	if _, err := r.git(index.Bytes(), "update-index", "--add", "--index-info"); err != nil {
		return "", err
	}
	return r.git(nil, "write-tree")
}

// git runs one command. The configuration of the machine's users plays no part in it.
func (r *gitRun) git(in []byte, args ...string) (string, error) {
	command := exec.CommandContext(r.ctx, "git", args...)
	command.Env = append(os.Environ(),
		"GIT_DIR="+filepath.Join(r.dir, "repo"), "GIT_INDEX_FILE="+filepath.Join(r.dir, "index"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "LC_ALL=C",
		"GIT_AUTHOR_NAME=weir", "GIT_AUTHOR_EMAIL=weir@localhost", "GIT_COMMITTER_NAME=weir", "GIT_COMMITTER_EMAIL=weir@localhost",
		"GIT_SSH_COMMAND="+r.ssh())
	if r.Token != "" { // not on the command line, which everybody can read
		header := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+r.Token))
		command.Env = append(command.Env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0="+header)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	command.Stdin = bytes.NewReader(in)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return "", errors.New(args[0] + ": " + r.plain(errs.String(), err))
	}
	return strings.TrimSpace(out.String()), nil
}

func (r *gitRun) ssh() string {
	words := []string{"ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"}
	if r.HostKey != "" {
		words = append(words, "-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o", "UserKnownHostsFile="+shellQuote(filepath.Join(r.dir, "known_hosts")))
	}
	if r.KeyFile != "" {
		words = append(words, "-o", "IdentitiesOnly=yes", "-i", shellQuote(r.KeyFile))
	}
	return strings.Join(words, " ")
}

func shellQuote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// plain is the last line that git said, without the token.
func (r *gitRun) plain(said string, err error) string {
	said = strings.TrimSpace(said)
	if said == "" {
		return err.Error()
	}
	for _, line := range strings.Split(said, "\n") { // the first that says what is wrong
		if strings.HasPrefix(line, "fatal:") || strings.HasPrefix(line, "error:") || strings.Contains(line, "rejected") || strings.Contains(line, "Host key verification failed") {
			said = line
			break
		}
	}
	if r.Token != "" {
		said = strings.ReplaceAll(said, r.Token, "***")
	}
	return said[:min(len(said), 500)]
}
