package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/haproxy"
	"github.com/weir-project/weir/sinks/nftables"
	"github.com/weir-project/weir/sinks/nginx"
)

// panicFile, in the data directory, says whether anything is to be enforced on this machine.
const panicFile = "panic"

const (
	panicPatience = 10 * time.Second // of the command, with a weir that may be stuck
	panicTelling  = 4 * time.Second  // of a weir, with a NATS that may be away
	panicLifting  = 4 * time.Second  // of a weir, with its own edges, or with reading again what they are to hold
)

// panicState is what the file holds: what was last said, and up to which message of
// everybody's panic that goes, so that an old one does not undo, when weir starts, what was
// said here since.
type panicState struct {
	Off      bool      `json:"off"`
	Time     time.Time `json:"time"`
	Sequence uint64    `json:"sequence,omitempty"` // 0: not known
}

// newer reports whether a message was sent after what the state says.
func (s *panicState) newer(sequence uint64, sent time.Time) bool {
	if s.Sequence > 0 && sequence == s.Sequence {
		return false
	}
	return s.Sequence > 0 && sequence > s.Sequence || sent.After(s.Time) // the stream may be another
}

type panicCommand struct {
	Off panicOffCommand `cmd:"" help:"Lift every measure on every edge, at once, until weir panic on."`
	On  panicOnCommand  `cmd:"" help:"Enforce again what is in force."`
}

type panicFlags struct {
	dataFlag
	Here bool `help:"On this machine alone; other edges go on."`
}

type panicOffCommand struct{ panicFlags }

// Run asks the weir of this machine, which tells the others. Where none is running, or the one
// that does is stuck, it lifts everything here itself: that needs neither weir nor NATS.
func (c *panicOffCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if c.Data != "" {
		configuration.Data = c.Data
	}
	err = c.ask(ctx, configuration.Data, "off")
	if hungUp(err) { // it ended while it was asked: mostly it is gone now, or another has begun
		err = c.ask(ctx, configuration.Data, "off")
	}
	stuck := (errors.Is(err, context.DeadlineExceeded) || hungUp(err)) && ctx.Err() == nil
	switch {
	case err == nil:
		return c.sayOff(s)
	case !stuck && !errors.Is(err, errNotRunning):
		return err
	case !stuck && !c.enforces(configuration):
		return fmt.Errorf("%w, and the configuration names no nginx, nftables or HAProxy of this machine: nothing was lifted; name those of the weir that runs by --data and --config", err)
	}
	// What can be lifted is, whatever else fails.
	lifting := liftHere(ctx, configuration)
	marking := setPanic(configuration.Data, panicState{Off: true, Time: time.Now()})
	if !stuck && c.ask(ctx, configuration.Data, "off") == nil { // it has begun to run meanwhile
		return c.sayOff(s)
	}
	switch {
	case lifting != nil:
		return fmt.Errorf("leases end by themselves within minutes, but now: %w", errors.Join(lifting, marking))
	case stuck:
		fmt.Fprintln(s.out, "Off: nothing is enforced on this machine. weir runs and does not answer: stop it (systemctl kill -s KILL weir), or it may enforce again. Edges elsewhere were not told.")
	default:
		fmt.Fprintln(s.out, "Off: nothing is enforced on this machine, and weir, which is not running here, will enforce nothing when it starts. Edges elsewhere were not told.")
	}
	if marking != nil {
		return fmt.Errorf("everything is lifted now, but weir will enforce again when it starts: %w", marking)
	}
	return nil
}

// hungUp reports whether a weir ended the conversation without an answer, as one that is killed does.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		err != nil && strings.Contains(err.Error(), "server closed idle connection") // net/http's own, without a name
}

func (c *panicOffCommand) sayOff(s screen) error {
	fmt.Fprintf(s.out, "Off: nothing is enforced %s. weir goes on watching and deciding; weir panic on enforces again.\n", c.where())
	return nil
}

// enforces reports whether there is anything that the command could lift by itself.
func (c *panicOffCommand) enforces(configuration config.Config) bool {
	return configuration.Nginx.Directory != "" || len(configuration.Nftables.Ports) > 0 || configuration.HAProxy.Socket != ""
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
	client := newControlClient(data)
	client.http.Timeout = panicPatience
	_, err := client.do(ctx, http.MethodPost, path, nil)
	return err
}

// liftHere takes every measure off this machine's edges, without a weir that runs.
func liftHere(ctx context.Context, c config.Config) error {
	var failed error
	log := slog.New(slog.DiscardHandler)
	if c.Nginx.Directory != "" {
		o := nginxOptions(c, log, nil)
		o.Workers = nginx.Workers // or nginx may still run what it was to let go of
		e, err := nginx.New(o)
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
		if err := setPanic(data, panicState{Time: time.Now()}); err != nil {
			return err
		}
		fmt.Fprintln(s.out, "On: weir is not running here, and enforces again when it starts. Edges elsewhere were not told.")
		return nil
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

// lifted waits until none of this machine's edges holds anything any more, and says which do when
// ctx ends before: an nginx whose configuration is broken cannot be told.
func (r *enforcing) lifted(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var holding error
		for _, part := range r.now().Parts {
			if part.Loaded > 0 {
				why := cmp.Or(part.Error, "it has not answered yet")
				holding = errors.Join(holding, fmt.Errorf("weir has let go, but %s still holds %s, until its lease ends: %s", part.Name, plural(part.Loaded, "decision"), why))
			}
		}
		if holding == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return holding
		case <-tick.C:
		}
	}
}

// returned waits until what panic on brings back has been read, and says where ctx ends before.
func (r *enforcing) returned(ctx context.Context) error {
	r.mu.Lock()
	back, off := r.back, r.off
	r.mu.Unlock()
	if back == nil || off {
		return nil
	}
	select {
	case <-back:
		return nil
	case <-ctx.Done():
		return errors.New("on, but nothing is enforced on this machine yet: the decisions in force come back as soon as NATS, which has them, is reachable")
	}
}

func setPanic(data string, state panicState) error {
	state.Time = state.Time.UTC()
	text, err := json.Marshal(state)
	if err == nil {
		err = os.WriteFile(filepath.Join(data, panicFile), append(text, '\n'), 0o600)
	}
	if !state.Off && errors.Is(err, os.ErrNotExist) { // no folder: nothing says off
		err = nil
	}
	if err != nil {
		return fmt.Errorf("panic: %w", err)
	}
	return nil
}

// panicked reports whether nothing is to be enforced, and when and how that was said. A file
// that says nothing that is understood says off: an older weir's, or one cut short by a full
// disk.
func panicked(data string) panicState {
	var state panicState
	text, err := os.ReadFile(filepath.Join(data, panicFile))
	if errors.Is(err, os.ErrNotExist) {
		return state
	}
	if err != nil || json.Unmarshal(text, &state) != nil {
		state = panicState{Off: true}
	}
	return state
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
	r.off = off
	switch {
	case off:
		r.replace(nil)
		r.log.Warn("panic off: nothing is enforced until weir panic on")
	case inForce != nil:
		events := r.enforced(inForce(time.Now()))
		byThisClock(events, r.behind)
		r.replace(events)
	default:
		if r.back == nil {
			r.back = make(chan struct{})
		}
		if r.reread != nil {
			r.reread() // from the snapshot on
		}
	}
	if !off {
		r.log.Warn("panic on: decisions in force are enforced again")
	}
	r.panicked.Off, r.panicked.Time = off, time.Now().Add(r.behind)
	if err := setPanic(r.config.Data, r.panicked); err != nil {
		return fmt.Errorf("done, until weir starts again: %w", err)
	}
	return nil
}

// panicSaid does what a message says, and notes that it was heard.
func (r *enforcing) panicSaid(off, same bool) error {
	var err error
	if same {
		r.mu.Lock()
		r.panicked.Time = time.Now().Add(r.behind)
		err = setPanic(r.config.Data, r.panicked)
		r.mu.Unlock()
	} else {
		err = r.panic(off, nil)
	}
	if err != nil { // it is done, and not noted: nothing to end the reading for
		r.log.Error("panic was heard and is not noted", "off", off, "error", err)
	}
	return nil
}
