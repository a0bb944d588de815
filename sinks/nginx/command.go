package nginx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"time"
)

// commandError is a command that did not do what it should.
type commandError struct {
	name    string // what it is for
	argv    []string
	missing bool // there is no such program
	reason  string
}

func (c *commandError) Error() string {
	return fmt.Sprintf("nginx %s: %q: %s", c.name, strings.Join(c.argv, " "), c.reason)
}

// maxOutput bounds what is kept of what a command says, in bytes.
const maxOutput = 64 << 10

func (e *Enforcer) command(ctx context.Context, name string, argv []string) error {
	if err := e.dir.before(name); err != nil {
		return &commandError{name: name, argv: argv, reason: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, e.options.CommandTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.WaitDelay = time.Second // a grandchild may hold the pipe
	var said tail
	command.Stdout, command.Stderr = &said, &said
	err := command.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &commandError{name, argv, true, "there is no such program: install nginx, or name the command in the configuration"}
	case ctx.Err() != nil:
		return &commandError{name, argv, false, fmt.Sprintf("no answer within %s", e.options.CommandTimeout)}
	}
	return &commandError{name, argv, false, reason(said.text, err)}
}

// reason is the one line of nginx's output that says what is wrong.
func reason(output []byte, err error) string {
	best := ""
	for line := range strings.Lines(string(output)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.Contains(line, " test failed") {
			continue
		}
		best = line
		if strings.Contains(line, "[emerg]") {
			break
		}
	}
	if best == "" {
		return err.Error()
	}
	return printable(best, 400)
}

// printable cuts a line and replaces what a terminal would act on.
func printable(line string, most int) string {
	if len(line) > most {
		line = line[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' {
			return '?'
		}
		return r
	}, line)
}

// tail keeps the last bytes written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if len(t.text) > maxOutput {
		t.text = append(t.text[:0], t.text[len(t.text)-maxOutput:]...)
	}
	return len(p), nil
}
