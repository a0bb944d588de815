package nginx

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Finding is something that a configuration lacks, or has and should not.
type Finding struct {
	Where string // "file:line", as nginx -T names them
	What  string
	Mend  string
	// Open says that weir enforces nothing there, or not what it should, as long as it is so.
	Open bool
}

// Examined is what Examine knows beside the configuration.
type Examined struct {
	Dir     string // weir's directory
	Proxied bool   // weir was told of proxies in front of this machine
	Version string // nginx's, "1.22.1"; empty: unknown
}

// Examine reads what nginx -T prints, the whole of the running configuration, as [Dump] has
// it, and says what weir misses in it.
func Examine(dump []byte, about Examined) ([]Finding, error) {
	all, err := parseDump(string(dump))
	if err != nil {
		return nil, err
	}
	x := examination{Examined: about, http: filepath.Join(about.Dir, HTTPName), server: filepath.Join(about.Dir, ServerName)}
	x.main(all)
	return x.found, nil
}

// examination collects findings.
type examination struct {
	Examined
	http, server string // paths of the snippets
	found        []Finding
}

func (x *examination) say(open bool, where, mend, format string, args ...any) {
	x.found = append(x.found, Finding{Where: where, What: fmt.Sprintf(format, args...), Mend: mend, Open: open})
}

func (x *examination) main(all []directive) {
	shutdown, seen := false, false
	for i := range all {
		d := &all[i]
		shutdown = shutdown || d.is("worker_shutdown_timeout")
		if d.is("http") {
			seen = true
			x.inHTTP(d)
		}
	}
	if !seen {
		x.say(true, "", "", "there is no http { }: is it the right nginx?")
	}
	if !shutdown {
		x.say(false, "main", "worker_shutdown_timeout 60s;", "worker_shutdown_timeout is not set: every reload leaves old workers until their last download or websocket ends")
	}
}

// inHTTP looks at http { }.
func (x *examination) inHTTP(d *directive) {
	included := false
	above := fromHTTP{logged: loggedTo(d.block), proxies: trusts(d.block)}
	x.kept(d)
	x.limits(d)
	for i := range d.block {
		one := &d.block[i]
		switch {
		case x.includes(one, x.http):
			included = true
		case one.is("server"):
			if !included {
				included = slices.ContainsFunc(d.block, func(o directive) bool { return x.includes(&o, x.http) })
				if included {
					x.say(true, one.where, "move it before the first server", "a server stands before include %s", x.http)
				}
			}
			x.inServer(one, above)
		default:
			x.trusted(one)
		}
	}
	x.anyName(d.block)
	if !included {
		x.say(true, d.where, "include "+x.http+";", "http { } lacks weir's snippet")
	}
}
