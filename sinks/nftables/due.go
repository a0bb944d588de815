package nftables

import (
	"context"
	"net/netip"
	"time"
)

// again marks what was not loaded as changed.
func (f *Firewall) again(updates []update) {
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	for _, u := range updates {
		f.book.changed[u.value] = true
	}
}

// due is what the kernel is to be told at now: of clients, with the ends that their
// elements then have, and all prefixes, nil where they are as they should be. scan says to
// look at all of them, not just at what has changed.
func (f *Firewall) due(now time.Time, scan bool) (updates []update, ends []time.Time, prefixes map[netip.Prefix]time.Duration) {
	b := f.book
	b.mu.Lock()
	defer b.mu.Unlock()
	lease, half := now.Add(f.options.Lease), now.Add(f.options.Lease/2)
	moved := f.renewed.IsZero() || now.Sub(f.renewed) >= f.options.Lease/2 && len(f.prefixes) > 0
	updates, ends = make([]update, 0, len(b.changed)), make([]time.Time, 0, len(b.changed))
	tell := func(value netip.Prefix, end time.Time, fresh bool) {
		if end.After(lease) {
			end = lease
		}
		updates, ends = append(updates, update{value, end.Sub(now), fresh}), append(ends, end)
	}
	for value := range b.changed {
		if !single(value) {
			moved = true
			continue
		}
		has, there := f.loaded[value]
		there = there && has.After(now)
		until := b.until(value, now)
		if delete(b.passing, value); until.IsZero() && len(b.values[value]) > 0 && b.regulars.Touches(value) {
			b.passing[value] = true
		}
		switch {
		case until.IsZero() && there:
			updates, ends = append(updates, update{value: value}), append(ends, time.Time{})
		case until.IsZero():
			delete(f.loaded, value)
		case !there || until.Before(has) || has.Before(half) && has.Before(until):
			tell(value, until, !there)
		}
	}
	for value, has := range f.loaded {
		if !scan {
			break
		}
		if has.Before(half) && !b.changed[value] {
			if until := b.until(value, now); until.After(has) {
				tell(value, until, false)
			} else if !has.After(now) {
				delete(f.loaded, value)
			}
		}
	}
	b.changed = map[netip.Prefix]bool{} // a map that was large is slow to clear
	if !moved {
		return updates, ends, nil
	}
	prefixes = map[netip.Prefix]time.Duration{}
	over := 0
	f.pieces = map[netip.Prefix]time.Duration{}
	for value := range b.values {
		until := b.until(value, now)
		if single(value) || until.IsZero() {
			continue
		}
		pieces := b.pieces(value, now, f.options.Lease, f.options.MaxPrefixes-len(f.pieces))
		if pieces == nil {
			over++
			continue
		}
		for piece, last := range pieces {
			f.pieces[piece] = max(f.pieces[piece], last)
		}
		prefixes[value] = min(until.Sub(now), f.options.Lease)
	}
	if over > 0 {
		f.metrics.overflow.Add(float64(over))
		f.log.Warn("there is no room for some prefixes; the firewall does not hold them", "prefixes", over, "most", f.options.MaxPrefixes)
	}
	return updates, ends, prefixes
}

// look reads what was dropped, and hands it on.
func (f *Firewall) look(ctx context.Context) error {
	if f.kernel == nil {
		return nil
	}
	seen, packets, bytes, err := f.kernel.counted()
	if err != nil {
		return err
	}
	f.metrics.packets.Add(float64(packets))
	f.metrics.bytes.Add(float64(bytes))
	f.mu.Lock()
	f.status.Dropped += packets
	f.mu.Unlock()
	if f.options.Seen == nil || len(seen) == 0 {
		return nil
	}
	all := make([]Dropped, 0, len(seen))
	for client, n := range seen {
		d := Dropped{Client: client, Packets: n * uint64(f.options.Sample)}
		if h, ok := f.book.holding(client); ok {
			d.Decision, d.Sites = h.id, h.sites
		}
		all = append(all, d)
	}
	f.options.Seen(ctx, all)
	return nil
}
