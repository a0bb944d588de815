package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

type simulateCommand struct {
	Log       string        `arg:"" name:"log" help:"Where to write the log; - is standard output."`
	Truth     string        `placeholder:"FILE" help:"Where to write the truth; by default LOG.truth.tsv beside the log."`
	Seed      uint64        `default:"1" help:"The same seed and flags give the same bytes."`
	Hours     float64       `default:"6" help:"Ordinary hours before the attack."`
	Tail      time.Duration `default:"10m" help:"Ordinary time after the attack."`
	Start     string        `placeholder:"TIME" help:"When the log begins, RFC 3339; by default so that the attack comes on a Saturday at 05:08 UTC."`
	Scale     float64       `default:"1" help:"Multiplies every site's traffic."`
	Site      string        `placeholder:"NAME" help:"Write the log of this site only; a combined log needs it."`
	Format    string        `default:"json" enum:"json,combined" help:"json (weir's own, all traits) or combined (few)."`
	Plain     bool          `help:"No TLS, all HTTP/1.1, as on loopback."`
	Requests  int           `default:"10000" help:"The attack's requests; 0 for no attack."`
	Addresses int           `default:"3500" help:"The addresses that they come from."`
	Duration  time.Duration `default:"10m" help:"How long the attack lasts."`
	Target    string        `placeholder:"NAME" help:"The attacked site; by default the first of the estate."`
	Scenario  string        `placeholder:"NAME" help:"Play one of the library instead of the story: ${scenarios}."`
	Estate    string        `default:"tuning" enum:"tuning,scorecard,heldout" help:"Whose sites a scenario happens to."`
	Strength  float64       `default:"1" help:"Multiplies what happens in a scenario."`
	Hour      int           `default:"14" help:"UTC hour in which a scenario begins."`
	Span      time.Duration `default:"0s" help:"How long a quiet time lasts; 24h where it is 0."`
	Output    string        `default:"text" enum:"text,json" help:"text or json."`
}

// Run writes a log and, beside it, what is true of each of its lines.
func (c *simulateCommand) Run(ctx context.Context, s screen) error {
	if err := c.check(); err != nil {
		return err
	}
	config, err := c.config()
	if err != nil {
		return err
	}
	format, err := simulate.ParseFormat(c.Format)
	if err != nil {
		return usageError{err}
	}
	if c.Truth == "" {
		c.Truth = c.Log + ".truth.tsv"
	}
	var summary simulate.Summary
	write := func(log io.Writer) error {
		failed := error(nil) // the log's, so that the message names the file which could not be written
		err := writeFile(c.Truth, func(truth io.Writer) error {
			summary, failed = simulate.Write(config, simulate.Output{
				Format: format, Site: c.Site, Log: stopping{ctx, log}, Truth: truth,
			})
			return failed
		})
		if err != nil && failed == nil {
			return fmt.Errorf("the truth, %s: %w", c.Truth, err)
		}
		return err
	}
	if c.Log == "-" {
		return write(s.out)
	}
	if err := writeFile(c.Log, write); err != nil {
		return fmt.Errorf("write %s: %w", c.Log, err)
	}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(summary)
	}
	c.print(s.out, summary)
	return nil
}

// scenario is the configuration of one of the library.
func (c *simulateCommand) scenario() (simulate.Config, error) {
	s, err := simulate.FindScenario(c.Scenario)
	if err != nil {
		return simulate.Config{}, usageError{err}
	}
	config, err := s.Config(simulate.Params{
		Seed: c.Seed, Estate: c.Estate, Base: time.Duration(c.Hours * float64(time.Hour)), Size: c.Scale,
		Strength: c.Strength, Hour: c.Hour, Span: c.Span,
	})
	if err != nil {
		return config, usageError{err}
	}
	if err := c.knownSite("--site", c.Site, config.Sites); err != nil {
		return config, err
	}
	if c.Format == "combined" && c.Site == "" {
		if len(config.Sites) > 1 {
			return config, usagef("--format combined does not name the site of a request: say which one to write, --site %s", config.Sites[0].Name)
		}
		c.Site = config.Sites[0].Name
	}
	return config, nil
}

func (c *simulateCommand) config() (simulate.Config, error) {
	if c.Scenario != "" {
		return c.scenario()
	}
	config := simulate.Default()
	attack := config.Start.Add(config.Ordinary)
	config.Seed, config.Scale, config.Plain, config.Tail = c.Seed, c.Scale, c.Plain, c.Tail
	config.Ordinary = time.Duration(c.Hours * float64(time.Hour))
	config.Start = attack.Add(-config.Ordinary)
	if c.Start != "" {
		start, err := time.Parse(time.RFC3339, c.Start)
		if err != nil {
			return config, usagef("--start %q: give a time such as 2026-11-20T23:08:00Z", c.Start)
		}
		config.Start = start.UTC()
	}
	config.Attack.Requests, config.Attack.Addresses = c.Requests, min(c.Addresses, max(c.Requests, 1))
	config.Attack.Duration, config.Attack.Site = c.Duration, c.Target
	if err := c.knownSite("--site", c.Site, config.Sites); err != nil {
		return config, err
	}
	if err := c.knownSite("--target", c.Target, config.Sites); err != nil {
		return config, err
	}
	if c.Site != "" && c.Target == "" {
		config.Attack.Site = c.Site
	}
	if err := config.Validate(); err != nil {
		return config, usageError{err}
	}
	if c.Format == "combined" && c.Site == "" {
		return config, usagef("--format combined does not name the site of a request: say which one to write, --site www.example.org")
	}
	return config, nil
}

// knownSite refuses a name that no site has.
func (c *simulateCommand) knownSite(flag, name string, sites []simulate.SiteConfig) error {
	var names []string
	for i := range sites {
		names = append(names, sites[i].Name)
	}
	if name == "" || slices.Contains(names, name) {
		return nil
	}
	return usagef("%s %s: there is no such site; give one of %s", flag, printable(name, 60), strings.Join(names, ", "))
}

func (c *simulateCommand) print(w io.Writer, summary simulate.Summary) {
	size := "?"
	if info, err := os.Stat(c.Log); err == nil {
		size = fmt.Sprintf("%.1f MB", float64(info.Size())/1e6)
	}
	fmt.Fprintf(w, "%s: %s lines, %s, %s to %s UTC\n", c.Log, count(summary.Lines), size,
		summary.First.UTC().Format(time.DateTime), summary.Last.UTC().Format(time.DateTime))
	for _, kind := range slices.Sorted(maps.Keys(summary.Kinds)) {
		fmt.Fprintf(w, "  %-10s %12s\n", kind, count(summary.Kinds[kind]))
	}
	if summary.AttackSite != "" {
		fmt.Fprintf(w, "The attack: %s, %s to %s UTC\n", summary.AttackSite,
			summary.AttackFirst.UTC().Format(time.DateTime), summary.AttackLast.UTC().Format(time.TimeOnly))
	}
	fmt.Fprintf(w, "The truth: %s\n", c.Truth)
}

// stopping fails to write once ctx ends, so that a long run can be interrupted.
type stopping struct {
	ctx context.Context
	w   io.Writer
}

func (s stopping) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

// scenarioNames are those of the library, as the help shows them.
func scenarioNames() string {
	var names []string
	for _, s := range simulate.Scenarios() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}
