package nginx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weir-project/weir/schemas"
)

// bring makes nginx enforce what is intended at now, or says why it does not.
func (e *Enforcer) bring(ctx context.Context, now time.Time) error {
	set, last, released := e.pending(now)
	lease := Lease{From: now.Add(-e.options.Lease), Until: now.Add(e.options.Lease)}
	if last.Before(lease.Until) {
		lease.Until = later(last, now)
	}
	files, err := Render(set, e.options.Dir, lease, now)
	if err != nil {
		return err
	}
	e.report(files)
	if files.Version == e.loaded.version && !e.renewal(now, lease) {
		e.loaded.released = released
		return nil
	}
	started := time.Now()
	dropped := error(nil)
	if err := e.change(ctx, files); err != nil {
		var refused *refusedError
		var ran *commandError
		switch known := errors.As(err, &refused); {
		case !known && errors.As(err, &ran), known && refused.before:
			return err // nginx would not read anything else either
		case !known:
			return e.holdOn(ctx, now, released, err)
		}
		if files, dropped, err = e.withoutSignatures(ctx, set, lease, now, err); err != nil {
			return e.holdOn(ctx, now, released, err)
		}
		if files.Version == e.loaded.version && !e.renewal(now, lease) {
			e.loaded.released = released
			return dropped
		}
	}
	if err := e.reload(ctx); err != nil {
		return err
	}
	e.enforced(files, lease, started)
	e.loaded.released = released
	return dropped
}

// holdOn renews the lease of what nginx holds, where what is intended cannot take its place, and
// returns why it cannot. Only while all that nginx holds is still meant, and no longer than
// until the first of what is intended ends: nobody is locked out by a decision that is over.
func (e *Enforcer) holdOn(ctx context.Context, now time.Time, released uint64, why error) error {
	until := now.Add(e.options.Lease)
	if e.nextExpiry.Before(until) { // pending has set it where anything is intended
		until = e.nextExpiry
	}
	lease := Lease{From: now.Add(-e.options.Lease), Until: until}
	if e.loaded.main == "" || e.loaded.released != released || !until.After(now) || !e.renewal(now, lease) || ctx.Err() != nil {
		return why
	}
	span, err := lease.pattern()
	if err == nil {
		err = e.test(ctx, current(e.options.Dir, e.loaded.main, e.loaded.version, lease, span))
	}
	if err == nil {
		err = e.reload(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w; and the lease of what is in force was not renewed: %w", why, err)
	}
	e.loaded.lease = lease
	e.lastReload = time.Now()
	e.metrics.reloads.Inc()
	e.metrics.leaseUntil.Set(float64(lease.Until.Unix()))
	e.mutex.Lock()
	e.status.LeaseUntil = lease.Until
	e.mutex.Unlock()
	e.log.Warn("what nginx holds goes on, without what has been decided since", "version", e.loaded.version, "lease_until", lease.Until, "error", why)
	return why
}

// pending copies what is to be in force, forgets what has expired, and says when
// the last of it expires. released is how often something had to be let go of until now.
func (e *Enforcer) pending(now time.Time) (set Set, last time.Time, released uint64) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.dirty = false
	e.nextExpiry = time.Time{}
	set = Set{Limit: e.options.Limit, Allow: e.allow, AllowPaths: e.options.AllowPaths, Regulars: e.regularList(), Machines: e.machines, Measures: make([]Measure, 0, len(e.intended))}
	for id, m := range e.intended {
		if !m.Expires.After(now) {
			delete(e.intended, id)
			e.released++
			continue
		}
		set.Measures = append(set.Measures, m)
		last = later(last, m.Expires)
		if e.nextExpiry.IsZero() || m.Expires.Before(e.nextExpiry) {
			e.nextExpiry = m.Expires
		}
	}
	set.Lists = e.wanted(set.Measures)
	e.status.Intended = len(e.intended)
	e.metrics.intended.Set(float64(len(e.intended)))
	return set, last, e.released
}

// renewal reports whether the loaded lease does not count now, or would end too early:
// before half of it has passed, or before the last decision does where that comes first.
func (e *Enforcer) renewal(now time.Time, next Lease) bool {
	if e.loaded.version == noVersion {
		return false
	}
	until := e.loaded.lease.Until
	return e.outside(now) || until.Before(next.Until) && until.Before(now.Add(e.options.Lease/2+time.Second))
}

// withoutSignatures is the second attempt after nginx refused the files: what
// free text an attacker chose stands in signatures alone, and they must not keep
// the addresses from being stopped. dropped says that they are not in force.
func (e *Enforcer) withoutSignatures(ctx context.Context, set Set, lease Lease, now time.Time, why error) (files Files, dropped, err error) {
	rest := Set{Limit: set.Limit, Allow: set.Allow, AllowPaths: set.AllowPaths, Regulars: set.Regulars, Machines: set.Machines}
	for _, m := range set.Measures {
		if m.Scope != schemas.ScopeSignature && m.Scope != schemas.ScopeScore {
			rest.Measures = append(rest.Measures, m)
		}
	}
	if len(rest.Measures) == len(set.Measures) {
		return files, nil, why
	}
	if files, err = Render(rest, e.options.Dir, lease, now); err != nil {
		return files, nil, err
	}
	if err := e.change(ctx, files); err != nil {
		return files, nil, why
	}
	return files, fmt.Errorf("signatures are left out: %w", why), nil
}

// refusedError is nginx's no to a configuration.
type refusedError struct {
	reason error
	before bool // it says no without weir's change as well
}

func (r *refusedError) Error() string {
	if r.before {
		return "nginx refuses its configuration, and did before weir's change: mend it first: " + r.reason.Error()
	}
	return "nginx refuses weir's change, which was taken back: " + r.reason.Error()
}

func (r *refusedError) Unwrap() error { return r.reason }

// change puts files in place and has nginx test them. Where anything fails, what
// was in place before is again.
func (e *Enforcer) change(ctx context.Context, files Files) error {
	before := e.dir.inUse()
	defer func() {
		// nginx may still be reading what was current before, or what is loaded.
		if err := e.dir.sweep(before, e.dir.inUse(), e.loaded.lists); err != nil {
			e.log.Warn("old versions stay", "error", err)
		}
	}()
	for _, file := range files.Lists {
		if err := e.dir.add(file); err != nil {
			return err
		}
	}
	return e.test(ctx, files.Current)
}

// test makes current.conf what is given where nginx takes that, and leaves it as it was where not.
func (e *Enforcer) test(ctx context.Context, current []byte) error {
	if err := e.dir.switchTo(current); err != nil {
		return err
	}
	err := e.command(ctx, "test", e.options.Test)
	if err == nil {
		return e.dir.settle()
	}
	if back := e.dir.rollback(); back != nil {
		return fmt.Errorf("%w; and taking it back failed: %w", err, back)
	}
	var ran *commandError
	if !errors.As(err, &ran) || ran.missing || ctx.Err() != nil {
		return err
	}
	return &refusedError{reason: err, before: e.command(ctx, "test", e.options.Test) != nil}
}

// report makes a rendering's refusals known, once each time that they change.
func (e *Enforcer) report(files Files) {
	e.mutex.Lock()
	changed := len(files.Refused) != len(e.status.Refused)
	for i := 0; !changed && i < len(files.Refused); i++ {
		changed = files.Refused[i] != e.status.Refused[i]
	}
	e.status.Refused = files.Refused
	e.mutex.Unlock()
	e.metrics.refused.Set(float64(len(files.Refused)))
	if changed && len(files.Refused) > 0 {
		first := files.Refused[0]
		e.log.Warn("nginx cannot carry some decisions; they are not enforced",
			"decisions", len(files.Refused), "first", first.ID, "reason", first.Reason)
	}
}

// enforced notes that nginx was told to read files.
func (e *Enforcer) enforced(files Files, lease Lease, started time.Time) {
	if files.Version == noVersion {
		lease = Lease{}
	}
	e.loaded = loaded{version: files.Version, lease: lease, main: files.Main}
	for _, file := range files.Lists {
		e.loaded.lists = append(e.loaded.lists, File{Name: file.Name})
	}
	e.lastReload = time.Now()
	e.tidyAt = e.lastReload.Add(tidyAfter)
	e.metrics.reloads.Inc()
	e.metrics.loaded.Set(float64(files.Total()))
	e.metrics.seconds.Observe(time.Since(started).Seconds())
	e.metrics.leaseUntil.Set(float64(max(lease.Until.Unix(), 0)))
	e.mutex.Lock()
	e.status.Loads++
	e.status.LoadedAt, e.status.LoadSeconds = e.lastReload, e.lastReload.Sub(started).Seconds()
	e.status.Loaded, e.status.Version, e.status.LeaseUntil = files.Total(), files.Version, lease.Until
	e.mutex.Unlock()
	e.log.Info("decisions loaded", "decisions", files.Total(), "version", files.Version, "lease_until", lease.Until)
}
