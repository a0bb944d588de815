package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// weir runs a role of weir as its own process, as anybody would; prefix enters a namespace.
func (d *demonstration) weir(ctx context.Context, file string, prefix []string, args ...string) error {
	log, err := os.Create(d.path(file))
	if err != nil {
		return err
	}
	defer log.Close()
	words := append(append(slices.Clone(prefix), d.self), args...)
	run := exec.CommandContext(ctx, words[0], words[1:]...)
	run.Stdout, run.Stderr = log, log
	// It must not outlive the demo, however that ends. The signal comes when the thread
	// that started it ends (prctl(2), PR_SET_PDEATHSIG): this one stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	run.WaitDelay = 20 * time.Second
	if err := run.Run(); err != nil {
		text, _ := os.ReadFile(d.path(file)) // the error without its text is better than none
		return errors.New(lastLine(text, err))
	}
	return errors.New("it ended")
}

// waitReady waits until weir says that everything is there.
func (d *demonstration) waitReady(ctx context.Context) error {
	d.say("Starting nginx, an application with little capacity, and weir run")
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("demo: weir run was not ready within a minute; see weir.log"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := d.control.do(ctx, http.MethodGet, "/readyz", nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// watch notes when weir notices the attack and when it first decides.
func (d *demonstration) watch(ctx context.Context) error {
	every(ctx, 200*time.Millisecond, func(ctx context.Context) {
		events, err := d.control.events(ctx, "/api/events")
		if err != nil {
			return // it is asked again
		}
		for _, e := range events {
			if e.Decision != nil && e.ID != "" {
				d.board.Decided(time.Now())
			} else if e.Kind.Attack() {
				d.board.Noticed(time.Now())
			}
		}
	})
	return nil
}

// extra is what weir says at this moment, for the live view.
func (d *demonstration) extra(ctx context.Context) func() string {
	return func() string {
		events, err := d.control.events(ctx, "/api/events")
		if err != nil {
			return ""
		}
		decisions, text := 0, "weir: no incident"
		for _, e := range events {
			if e.Decision != nil && e.ID != "" {
				decisions++
			}
		}
		for _, e := range events {
			if e.Decision == nil && e.Kind.Attack() {
				text = fmt.Sprintf("weir: %s on %s (%s), %s", e.Kind, strings.Join(e.Sites, ", "),
					strings.TrimPrefix(string(e.Type), "incident."), plural(decisions, "decision"))
				break
			}
		}
		return text
	}
}

func mustGetwd() string {
	dir, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return dir
}

// firstLine is the first line of a program's output, or else its error.
func firstLine(output []byte, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	if line == "" {
		return err.Error()
	}
	return printable(line, 500)
}

func lastLine(output []byte, err error) string {
	text := strings.TrimSpace(string(output))
	if text == "" {
		return err.Error()
	}
	return printable(text[strings.LastIndexByte(text, '\n')+1:], 500)
}
