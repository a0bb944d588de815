package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-project/weir/schemas"
)

// panicFile stands in the data directory while nothing is to be enforced.
const panicFile = "panic"

type panicCommand struct {
	Off panicOffCommand `cmd:"" help:"Lift every measure on this machine's nginx, at once, until weir panic on."`
	On  panicOnCommand  `cmd:"" help:"Enforce again what is in force."`
}

type panicOffCommand struct{ dataFlag }

// Run asks weir run. Where that is not running, it will enforce nothing when it starts,
// and nginx lets go when the lease ends.
func (c *panicOffCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	_, err = newControlClient(data).do(ctx, http.MethodPost, "/api/panic/off", nil)
	if errors.Is(err, errNotRunning) {
		if err := setPanic(data, true); err != nil {
			return err
		}
		fmt.Fprintln(s.out, "weir run is not running: it will enforce nothing when it starts. nginx lets go when its lease ends (nginx.lease).")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "Off: nothing is enforced on this machine. weir goes on watching and deciding; weir panic on enforces again.")
	return nil
}

type panicOnCommand struct{ dataFlag }

// Run is the way back.
func (c *panicOnCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	_, err = newControlClient(data).do(ctx, http.MethodPost, "/api/panic/on", nil)
	if errors.Is(err, errNotRunning) {
		err = setPanic(data, false)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "On: decisions in force are enforced.")
	return nil
}

func setPanic(data string, off bool) error {
	path := filepath.Join(data, panicFile)
	var err error
	if off {
		err = os.WriteFile(path, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o600)
	} else if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("panic: %w", err)
	}
	return nil
}

// panicked reports whether nothing is to be enforced.
func panicked(data string) bool {
	_, err := os.Stat(filepath.Join(data, panicFile))
	return err == nil
}

// on reports whether anything is enforced on this machine.
func (r *enforcing) on() bool {
	if !r.holds() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.off
}

// panic lifts everything, or enforces again what the board has in force.
func (r *enforcing) panic(off bool, inForce func(time.Time) []schemas.Event) error {
	if r == nil {
		return errors.New("weir enforces nothing on this machine")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := setPanic(r.config.Data, off); err != nil {
		return err
	}
	r.off = off
	if off {
		r.replace(nil)
		r.log.Warn("panic off: nothing is enforced until weir panic on")
		return nil
	}
	if inForce != nil {
		r.replace(r.enforced(inForce(time.Now())))
	} else if r.reread != nil {
		r.reread() // from the snapshot on
	}
	r.log.Warn("panic on: decisions in force are enforced again")
	return nil
}
