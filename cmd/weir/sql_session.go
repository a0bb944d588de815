package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	migrations "github.com/weir-project/weir/schemas/clickhouse"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// subject is what queries of the cookbook are about.
func (c *sqlCommand) subject() (clickhouse.Subject, error) {
	about := clickhouse.Subject{Incident: c.Incident, Other: c.Other}
	if c.Client != "" {
		client, err := netip.ParseAddr(c.Client)
		if err != nil {
			return about, usagef("--client %q: want an address", c.Client)
		}
		about.Client = client
	}
	return about, nil
}

// recipeName recognises a query of the cookbook: "@agents". "@" alone is the list.
func recipeName(query string) (string, bool) {
	return strings.CutPrefix(strings.TrimRight(strings.TrimSpace(query), "; "), "@")
}

func listCookbook(w io.Writer) error {
	all, err := migrations.Cookbook()
	if err != nil {
		return err
	}
	for _, r := range all {
		if _, err := fmt.Fprintf(w, "%-16s %s\n", "@"+r.Name, r.About); err != nil {
			return err
		}
	}
	return nil
}

// historyDir is where a session's lines are kept, for this user alone.
func (c *sqlCommand) historyDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "weir")
}

// history is a session's lines, the last first, in a file that other sessions have
// read: what cannot be read or written is only not remembered.
type history struct {
	path  string
	lines []string // the oldest first
}

const (
	maxHistory     = 1000
	maxHistoryFile = 1 << 20 // bytes
)

// openHistory reads the lines of earlier sessions.
func openHistory(path string) *history {
	h := &history{path: path}
	f, err := os.Open(path)
	if err != nil {
		return h
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxHistoryFile))
	if err != nil {
		return h
	}
	for line := range strings.Lines(string(text)) {
		h.lines = append(h.lines, strings.TrimSuffix(line, "\n"))
	}
	h.lines = h.lines[max(len(h.lines)-maxHistory, 0):]
	return h
}

// Add keeps a line, in the file as well.
func (h *history) Add(line string) {
	line = strings.TrimSpace(line)
	if line == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	h.lines = h.lines[max(len(h.lines)-maxHistory, 0):]
	if os.MkdirAll(filepath.Dir(h.path), 0o700) != nil {
		return
	}
	_ = writeFile(h.path, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(h.lines, "\n")+"\n")
		return err
	})
}

// Len is how many lines there are.
func (h *history) Len() int { return len(h.lines) }

// At is a line; 0 is the last.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }

// paged shows what write writes: as it comes while it fits the terminal, and else by
// $PAGER, or less. Without a pager it is written as it comes.
func paged(ctx context.Context, out io.Writer, write func(io.Writer) error) error {
	f, ok := out.(*os.File)
	command := pagerOf(os.Getenv("PAGER"))
	if !ok || command == nil {
		return write(out)
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || height < 3 {
		return write(out)
	}
	p := &pager{ctx: ctx, out: f, command: command, left: (height - 2) * max(width, 1), lines: height - 2}
	err = write(p)
	return p.end(err)
}

// pagerOf is the program that $PAGER names, with its arguments, such as "less -S"; nil where
// there is none.
func pagerOf(env string) []string {
	command := strings.Fields(env)
	if len(command) == 0 {
		command = []string{"less"}
	}
	if _, err := exec.LookPath(command[0]); err != nil || command[0] == "cat" {
		return nil
	}
	return command
}

// pager holds back a screenful and starts the pager with what is more.
type pager struct {
	ctx         context.Context
	out         *os.File
	command     []string
	held        bytes.Buffer
	left, lines int // of the screen
	running     *exec.Cmd
	in          io.WriteCloser
}

func (p *pager) Write(text []byte) (int, error) {
	if p.running != nil {
		if _, err := p.in.Write(text); err != nil {
			return 0, errPagerLeft
		}
		return len(text), nil
	}
	p.left -= len(text)
	p.lines -= bytes.Count(text, []byte("\n"))
	p.held.Write(text)
	if p.left > 0 && p.lines > 0 {
		return len(text), nil
	}
	p.running = exec.CommandContext(p.ctx, p.command[0], p.command[1:]...)
	p.running.Stdout, p.running.Stderr = p.out, os.Stderr
	p.running.Env = append(os.Environ(), "LESSSECURE=1") // what it shows, strangers wrote
	if os.Getenv("LESS") == "" {
		p.running.Env = append(p.running.Env, "LESS=FSX")
	}
	var err error
	if p.in, err = p.running.StdinPipe(); err != nil {
		return 0, err
	}
	if err := p.running.Start(); err != nil {
		p.running = nil
		return 0, fmt.Errorf("start %s: %w: set PAGER=cat to do without", p.command[0], err)
	}
	if _, err := p.in.Write(p.held.Bytes()); err != nil {
		return 0, errPagerLeft
	}
	return len(text), nil
}

// errPagerLeft is no error for the person who left the pager.
var errPagerLeft = fmt.Errorf("the pager was left")

func (p *pager) end(err error) error {
	if p.running == nil {
		if _, writeErr := p.out.Write(p.held.Bytes()); err == nil {
			err = writeErr
		}
		return err
	}
	_ = p.in.Close()
	_ = p.running.Wait() // how the pager ended says nothing about the query
	if err != nil && strings.Contains(err.Error(), errPagerLeft.Error()) {
		return nil
	}
	return err
}
