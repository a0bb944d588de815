package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/haproxy"
	"github.com/weir-project/weir/sinks/nftables"
	"github.com/weir-project/weir/sinks/nginx"
)

// panicFile stands in the data directory while nothing is to be enforced.
const panicFile = "panic"

type panicCommand struct {
	Off panicOffCommand `cmd:"" help:"Lift every measure on every edge, at once, until weir panic on."`
	On  panicOnCommand  `cmd:"" help:"Enforce again what is in force."`
}

type panicFlags struct {
	dataFlag
	Here bool `help:"On this machine alone; other edges go on."`
}

type panicOffCommand struct{ panicFlags }

// Run asks the weir of this machine, which tells the others. Where none is running, it
// lifts everything here itself: that needs neither weir nor NATS.
func (c *panicOffCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if c.Data != "" {
		configuration.Data = c.Data
	}
	err = c.ask(ctx, configuration.Data, "off")
	if errors.Is(err, errNotRunning) {
		if err := setPanic(configuration.Data, true); err != nil {
			return err
		}
		if err := liftHere(ctx, configuration); err != nil {
			return fmt.Errorf("weir will enforce nothing when it starts, and leases end by themselves, but now: %w", err)
		}
		fmt.Fprintln(s.out, "Off: nothing is enforced on this machine, and weir, which is not running here, will enforce nothing when it starts. Edges elsewhere were not told.")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "Off: nothing is enforced %s. weir goes on watching and deciding; weir panic on enforces again.\n", c.where())
	return nil
}

func (c *panicFlags) where() string {
	if c.Here {
		return "on this machine"
	}
	return "on any edge"
}

// ask has the weir of this machine do it.
func (c *panicFlags) ask(ctx context.Context, data, state string) error {
	path := "/api/panic/" + state
	if !c.Here {
		path += "?everywhere=true"
	}
	_, err := newControlClient(data).do(ctx, http.MethodPost, path, nil)
	return err
}

// liftHere takes every measure off this machine's edges, without a weir that runs.
func liftHere(ctx context.Context, c config.Config) error {
	var failed error
	log := slog.New(slog.DiscardHandler)
	if c.Nginx.Directory != "" {
		e, err := nginx.New(nginxOptions(c, log, nil))
		if err == nil {
			e.Replace()
			err = e.Sync(ctx)
		}
		failed = errors.Join(failed, err)
	}
	if len(c.Nftables.Ports) > 0 {
		failed = errors.Join(failed, nftables.Lift(0))
	}
	if c.HAProxy.Socket != "" {
		failed = errors.Join(failed, haproxy.Lift(ctx, haproxyOptions(c, log, nil)))
	}
	return failed
}

type panicOnCommand struct{ panicFlags }

// Run is the way back.
func (c *panicOnCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	err = c.ask(ctx, data, "on")
	if errors.Is(err, errNotRunning) {
		err = setPanic(data, false)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "On: decisions in force are enforced %s.\n", strings.Replace(c.where(), "any", "every", 1))
	return nil
}

// panicEverywhere tells every edge, this one included.
func (r *enforcing) panicEverywhere(ctx context.Context, off bool, by string) error {
	message, err := json.Marshal(schemas.Panic{Off: off, Time: time.Now().UTC(), By: by})
	if err != nil {
		return err
	}
	return r.bus.Publish(ctx, schemas.SubjectPanic, "", message)
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
