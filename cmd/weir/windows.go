package main

import (
	"net/netip"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas/profile"
)

// windowBoard reads the windows of a site for people. Reading those of a site in a flood
// takes the detector up to some ten milliseconds, so that the last site's are kept for a
// second. Safe for concurrent use.
type windowBoard struct {
	processing *processing
	apps       *applications

	mu   sync.Mutex
	at   time.Time
	last top.Windows
}

const windowsKept = time.Second

// of are the windows of a site; without any where this process does not detect, or the site
// is none.
func (b *windowBoard) of(site string, now time.Time) top.Windows {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last.Site != site || now.Sub(b.at) >= windowsKept {
		b.last, b.at = top.Windows{Site: site, Windows: []top.Window{}}, now
		if d := b.processing.current.Load(); d != nil {
			d.mu.Lock()
			b.last = windowsOf(d.detector, site, b.apps.of(site))
			d.mu.Unlock()
		}
	}
	return b.last
}

// windowLengths are what a person calls them.
var windowLengths = []struct {
	name   string
	length window.Length
	span   time.Duration
}{
	{"10s", window.TenSeconds, 10 * time.Second},
	{"1m", window.OneMinute, time.Minute},
	{"10m", window.TenMinutes, 10 * time.Minute},
}

// windowKeys are what the keys of a window are called.
var windowKeys = [window.NumKeys]string{
	window.ByClient: "client", window.ByPrefix: "prefix", window.ByPath: "path", window.ByAgent: "agent", window.ByReferer: "referer",
}

func windowsOf(d *processor.Detector, site string, app *profile.Profile) top.Windows {
	all := top.Windows{Site: site, End: time.Unix(d.Closed()+1, 0).UTC(), Windows: []top.Window{}}
	var detail window.Detail
	for _, l := range windowLengths {
		if !d.Detail(site, l.length, &detail) {
			break
		}
		requests := float64(detail.Counts[window.Requests])
		w := top.Window{
			Length: l.name, Covered: detail.Seconds, Rate: requests / l.span.Seconds(), Clients: detail.Clients, Paths: detail.Paths,
			Entropies: make(map[string]float64), Top: make(map[string][]top.Heavy),
			Latency: spreadOf(&detail.Duration, 1e6), Size: spreadOf(&detail.Size, 1),
		}
		for k, name := range windowKeys {
			w.Entropies[name] = detail.Entropies[k]
			heavy := []top.Heavy{}
			for _, h := range detail.Top[k] {
				name, kind := keyName(window.Key(k), h.Name), ""
				if window.Key(k) == window.ByPath {
					kind = kindOf(app, name)
				}
				heavy = append(heavy, top.Heavy{Name: name, Kind: kind, Least: h.Least, Most: h.Most, Share: float64(h.Least) / max(requests, 1)})
			}
			w.Top[name] = heavy
		}
		all.Windows = append(all.Windows, w)
	}
	return all
}

// spreadOf is in a unit of so many of the sketch's; nil where nothing is known.
func spreadOf(s *window.Spread, unit float64) *top.Spread {
	if !s.Known() {
		return nil
	}
	return &top.Spread{P50: s.P50 / unit, P95: s.P95 / unit, P99: s.P99 / unit}
}

// keyName writes a key for people: addresses and prefixes as they are written.
func keyName(k window.Key, name []byte) string {
	switch {
	case k == window.ByClient && len(name) == 16:
		return netip.AddrFrom16([16]byte(name)).Unmap().String()
	case k == window.ByPrefix && len(name) == 17:
		addr, bits := netip.AddrFrom16([16]byte(name)), int(name[16])
		if addr.Is4In6() && bits >= 96 {
			bits -= 96
		}
		return netip.PrefixFrom(addr.Unmap(), bits).String()
	}
	return string(name)
}
