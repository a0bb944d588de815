package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/lapi"
)

// keysFile holds the bouncers' keys, within the data directory.
func keysFile(data string) string { return filepath.Join(data, "bouncers.json") }

type bouncersCommand struct {
	List listBouncersCommand  `cmd:"" default:"withargs" help:"Those that have a key, and how they are."`
	Add  addBouncerCommand    `cmd:"" help:"Make a key, and print it: it is not shown again."`
	Rm   removeBouncerCommand `cmd:"" help:"Take a key away: it is refused from now on."`
}

type listBouncersCommand struct {
	dataFlag
	Output string `default:"text" enum:"text,json" help:"text or json."`
}

// Run asks weir; where that is not running, what is known is who has a key.
func (c *listBouncersCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	var list []lapi.Bouncer
	body, err := newControlClient(data).do(ctx, http.MethodGet, "/api/bouncers", nil)
	switch {
	case errors.Is(err, errNotRunning):
		keys, err := lapi.OpenKeys(keysFile(data)).All()
		if err != nil {
			return err
		}
		for _, key := range keys {
			list = append(list, lapi.Bouncer{Key: key})
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(body, &list); err != nil {
			return err
		}
	}
	for i := range list {
		list[i].Hash = "" // nobody's business
	}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(s.out, "No bouncer has a key; weir bouncers add NAME makes one.")
		return nil
	}
	fmt.Fprintf(s.out, "%-20s %-20s %12s %10s %10s  %s\n", "bouncer", "sites", "last pull", "holds", "stopped", "calls itself")
	for _, b := range list {
		pull, holds, stopped := "never", "-", "-"
		if !b.LastPull.IsZero() {
			pull = short(time.Since(b.LastPull)) + " ago"
		}
		if !b.Reported.IsZero() {
			holds, stopped = fmt.Sprint(b.Active), fmt.Sprint(b.Dropped)
		}
		fmt.Fprintf(s.out, "%-20s %-20s %12s %10s %10s  %s\n", b.Name, sitesText(b.Sites, 20), pull, holds, stopped, printable(b.Agent, 60))
		if b.NotCarried > 0 {
			fmt.Fprintf(s.out, "%20s %s that it cannot hold: networks, and it takes single addresses\n", "", plural(b.NotCarried, "decision"))
		}
	}
	return nil
}

type addBouncerCommand struct {
	dataFlag
	Name string   `arg:"" help:"What you call it: letters, digits, '.', '_', '-'."`
	Site []string `placeholder:"NAME" help:"A site that it guards; may be repeated. It is told of decisions on one of them or on all. Default: every site."`
	Can  []string `placeholder:"ACTION" enum:"block,challenge,throttle" default:"block,challenge" help:"All that it can do, of block (ban), challenge (captcha) and throttle: ${default} unless said. What it cannot do it is not told."`
}

func (c *addBouncerCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("data directory %s: %w; give another with --data", data, unwrapPath(err))
	}
	var types []schemas.Action
	for _, action := range c.Can {
		types = append(types, schemas.Action(action))
	}
	var sites []string
	for _, site := range c.Site {
		sites = append(sites, strings.ToLower(site))
	}
	key, err := lapi.OpenKeys(keysFile(data)).Add(c.Name, sites, types, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "%s: its API key, not shown again; its API URL is that of http.listen, such as http://127.0.0.1:8480/. It is told of %s alone.\n", c.Name, strings.Join(c.Can, " and "))
	fmt.Fprintln(s.out, key)
	return nil
}

type removeBouncerCommand struct {
	dataFlag
	Name string `arg:"" help:"Its name, as weir bouncers list shows it."`
}

func (c *removeBouncerCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	if err := lapi.OpenKeys(keysFile(data)).Remove(c.Name); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s removed. It keeps what it has until that expires.\n", c.Name)
	return nil
}
