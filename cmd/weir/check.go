package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/realip"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

type checkCommand struct {
	Files  []string `arg:"" optional:"" name:"file" help:"Logs to read as weir would."`
	Format string   `default:"auto" help:"Log format: ${formats}; or an nginx log_format or Apache LogFormat as it stands in the configuration."`
	Trust  []string `placeholder:"PROXY" help:"Proxies whose X-Forwarded-For is believed, besides those of the configuration: addresses, prefixes, or ${proxies}."`
	Nginx  bool     `help:"Read the configuration that nginx runs (nginx -T), and say what weir misses in it."`
	Output string   `default:"text" enum:"text,json" help:"text or json."`
}

// shownRequests is how many requests of a log are shown field by field.
const shownRequests = 3

// Run checks the configuration, what it connects to, and the logs given.
func (c *checkCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	name := p.Config
	if name == "" {
		name = "the defaults (no --config)"
	}
	text := c.Output == "text"
	if text {
		fmt.Fprintf(s.out, "configuration  %s: well formed\n", name)
	}
	told, err := checkNotify(configuration)
	if err != nil {
		return err
	}
	for _, line := range told {
		if text {
			fmt.Fprintf(s.out, "notify         %s\n", printable(line, 300))
		}
	}
	page, err := checkStatuspage(configuration)
	if err != nil {
		return err
	}
	if text && page != "" {
		fmt.Fprintf(s.out, "status page    %s\n", printable(page, 300))
	}
	if err := checkSources(configuration, p.Config); err != nil {
		return err
	}
	if text && enforcesNowhere(configuration) {
		fmt.Fprintln(s.out, "edges          none here: mode enforce changes nothing on this machine without nginx.directory, nftables.ports\n"+
			"               or haproxy.socket; a bouncer, or weir enforce on another machine, holds decisions elsewhere")
	}
	if configuration.NATS.URL != "" {
		if err := checkBus(ctx, configuration); err != nil {
			return err
		}
		if text {
			fmt.Fprintf(s.out, "nats           %s: reached\n", configuration.NATS.URL)
		}
	}
	if configuration.Nginx.Directory != "" {
		if err := checkNginx(ctx, s.out, configuration.Nginx, text); err != nil {
			return err
		}
	}
	if c.Nginx {
		if err := examineNginx(ctx, s.out, configuration.Nginx, len(configuration.Edge.TrustedProxies) > 0, text); err != nil {
			return err
		}
	}
	logs := logFlags{Files: c.Files, Format: c.Format, Trust: c.Trust}
	inputs, err := logs.inputs()
	if err != nil {
		return err
	}
	for _, input := range inputs {
		clients, err := logs.resolver(configuration)
		if err != nil {
			return err
		}
		if err := checkLog(ctx, s, input, clients, configuration, text); err != nil {
			return err
		}
	}
	return nil
}

// enforcesNowhere reports whether decisions are to be enforced, and no edge on this machine holds any.
func enforcesNowhere(c config.Config) bool {
	if c.Nginx.Directory != "" || len(c.Nftables.Ports) > 0 || c.HAProxy.Socket != "" {
		return false
	}
	return c.Mode == config.Enforce || slices.ContainsFunc(slices.Collect(maps.Values(c.Sites)), func(s config.Site) bool { return s.Mode == config.Enforce })
}

// checkNginx has nginx check its whole configuration, and says which lines weir
// needs in it.
func checkNginx(ctx context.Context, w io.Writer, c config.Nginx, text bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, c.Test[0], c.Test[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("nginx: %s: %s", strings.Join(c.Test, " "), complaint(out, err))
	}
	if text {
		forHTTP, forServer := nginx.IncludeLines(c.Directory)
		fmt.Fprintf(w, "nginx          %s: accepted\n", strings.Join(c.Test, " "))
		fmt.Fprintf(w, "               once in http { }:        %s\n               first in each server { }: %s\n", forHTTP, forServer)
	}
	return nil
}

// usualDirectory is where weir's files are looked for where the configuration does not say.
const usualDirectory = "/etc/nginx/weir"

// examineNginx has nginx print the configuration that it runs, and says what weir misses
// in it. The error says that something is open because of that.
func examineNginx(ctx context.Context, w io.Writer, c config.Nginx, proxied, text bool) error {
	if !slices.Contains(c.Test, "-t") {
		return usagef("nginx.test %q has no -t: there is no telling how to make nginx print its configuration (-T)", c.Test)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	directory := cmp.Or(c.Directory, usualDirectory)
	dump, err := nginx.Dump(ctx, c.Test, directory)
	if err != nil {
		return err
	}
	found, err := nginx.Examine(dump, nginx.Examined{Dir: directory, Proxied: proxied, Version: nginx.Version(ctx, c.Test)})
	if err != nil {
		return fmt.Errorf("nginx: %w", err)
	}
	open := 0
	for _, f := range found {
		if f.Open {
			open++
		}
		if text {
			fmt.Fprintf(w, "nginx          %s: %s\n", printable(f.Where, 200), printable(f.What, 300))
			if f.Mend != "" {
				fmt.Fprintf(w, "               %s\n", f.Mend)
			}
		}
	}
	switch {
	case !text:
		if err := json.NewEncoder(w).Encode(map[string]any{"nginx": found}); err != nil {
			return err
		}
	case len(found) == 0:
		fmt.Fprintln(w, "nginx          nothing is missing in the configuration that it runs")
	}
	if open > 0 {
		return fmt.Errorf("nginx: %s without which weir does not protect what it should", plural(open, "thing"))
	}
	return nil
}

// complaint is the line of nginx's output that says what is wrong.
func complaint(output []byte, err error) string {
	for line := range strings.Lines(string(output)) {
		if strings.Contains(line, "[emerg]") {
			return printable(strings.TrimSpace(line), 500)
		}
	}
	return lastLine(output, err)
}

// checkSources tries what sources name: formats, tokens, certificates, groups. The errors
// say where in the configuration file each stands.
func checkSources(c config.Config, file string) error {
	var failed []error
	wrong := func(i int, key string, err error) {
		failed = append(failed, fmt.Errorf("%s: %w", config.Where(file, fmt.Sprintf("sources[%d].%s", i, key)), err))
	}
	for i := range c.Sources {
		s := &c.Sources[i]
		if _, err := accesslog.ByName(s.Format); err != nil {
			wrong(i, "format", err)
		}
		if s.TLS.Cert != "" {
			if key, err := checkTLS(s.TLS); err != nil {
				wrong(i, "tls."+key, err)
			}
		}
		if _, err := readToken(s); err != nil {
			key := "token_file"
			if s.TokenEnv != "" {
				key = "token_env"
			}
			wrong(i, key, err)
		}
		if s.Group != "" {
			if _, err := user.LookupGroup(s.Group); err != nil {
				wrong(i, "group", fmt.Errorf("unknown group %s", s.Group))
			}
		}
	}
	if err := errors.Join(failed...); err != nil {
		return usageError{err}
	}
	return nil
}

// checkTLS is serverTLS that says which of the keys is wrong.
func checkTLS(files config.TLS) (key string, err error) {
	for _, one := range []struct{ key, file string }{{"cert", files.Cert}, {"key", files.Key}, {"ca", files.CA}} {
		if one.file == "" {
			continue
		}
		if _, err := os.ReadFile(one.file); err != nil {
			return one.key, err
		}
	}
	if _, err := tls.LoadX509KeyPair(files.Cert, files.Key); err != nil {
		return "key", fmt.Errorf("%s is not the key of %s: %w", files.Key, files.Cert, err)
	}
	_, err = serverTLS(files)
	return "ca", err
}

func checkBus(ctx context.Context, c config.Config) error {
	b, err := bus.Open(ctx, busOptions(c))
	if err != nil {
		return err
	}
	return b.Close()
}

// behindProxies is a site whose clients cannot be told.
type behindProxies struct {
	Site     string `json:"site"`
	Proxies  string `json:"proxies"`
	Requests uint64 `json:"requests"`
	Edges    uint64 `json:"of_proxies"`
	Mend     string `json:"mend"`
}

// logCheck is what check found of one log.
type logCheck struct {
	File     string              `json:"file"`
	Format   string              `json:"format"`
	Others   uint64              `json:"in_other_formats,omitempty"` // requests
	Lines    uint64              `json:"lines"`
	Parsed   uint64              `json:"parsed"`
	Refused  map[string]uint64   `json:"refused,omitempty"`
	Requests []map[string]string `json:"requests,omitempty"`
	Behind   []behindProxies     `json:"behind_proxies,omitempty"`
	Looks    []recognised        `json:"applications,omitempty"`
}

func checkLog(ctx context.Context, s screen, input tail.Input, clients *realip.Resolver, c config.Config, text bool) error {
	apps, targets, header := newApplications(c), newTargets(), proxyHeader(c)
	found := logCheck{File: input.Path, Refused: map[string]uint64{}}
	var rows schemas.Rows
	stats, err := tail.Read(ctx, []tail.Input{input}, tail.Options{Stdin: s.in, Resolve: clients.Resolve}, func(chunk *tail.Chunk) error {
		rows.Reset(chunk.Batch)
		var r schemas.Request
		for rows.Next(&r) {
			if len(found.Requests) < shownRequests {
				found.Requests = append(found.Requests, fieldsOf(&r))
			}
			apps.add(&r)
			targets.add(&r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := emptyLogs(s, stats); err != nil {
		return err
	}
	found.Lines, found.Parsed = stats.Lines(), stats.Parsed()
	found.Format, found.Others = stats.Files[0].Format.String(), stats.Files[0].Others
	for reason, n := range stats.Refused() {
		if n > 0 {
			found.Refused[accesslog.Reason(reason).String()] = n
		}
	}
	behind := clients.Findings()
	slices.SortFunc(behind, func(a, b realip.Finding) int {
		return cmp.Or(-cmp.Compare(a.Edges, b.Edges), cmp.Compare(a.Site, b.Site))
	})
	for _, f := range behind {
		found.Behind = append(found.Behind, behindProxies{f.Site, networkOf(f), f.Requests, f.Edges, mendProxies(f, header)})
	}
	found.Looks = apps.all(targets)
	if !text {
		return json.NewEncoder(s.out).Encode(found)
	}
	if err := printCheck(s.out, &found, stats); err != nil {
		return err
	}
	printEdges(s.out, behind, header)
	printApplications(s.out, found.Looks)
	return nil
}

func printCheck(out io.Writer, c *logCheck, stats tail.Stats) error {
	w := bufio.NewWriter(out)
	share := 0.0
	if c.Lines > 0 {
		share = 100 * float64(c.Parsed) / float64(c.Lines)
	}
	fmt.Fprintf(w, "log            %s: format %s, %s of %s lines parsed (%.1f %%)\n",
		printable(c.File, 200), c.Format, count(c.Parsed), count(c.Lines), share)
	if c.Others > 0 {
		fmt.Fprintf(w, "               %s of them in another format: servers that log differently share it, or it was changed\n", count(c.Others))
	}
	printRefused(w, stats)
	for i, r := range c.Requests {
		fmt.Fprintf(w, "  request %d\n", i+1)
		for _, name := range fieldOrder {
			value, ok := r[name]
			if !ok {
				continue
			}
			for pair := range strings.SplitSeq(value, "\t") { // only extra has several
				fmt.Fprintf(w, "    %-18s %s\n", name, printable(pair, 120))
				name = ""
			}
		}
	}
	return w.Flush()
}

// fieldOrder is how the fields of a request are shown.
var fieldOrder = []string{
	"time", "site", "client", "method", "path", "query", "status", "bytes", "duration", "upstream_duration",
	"protocol", "referer", "user_agent", "accept_language", "accept_encoding", "tls", "cookie", "action", "decision",
	"request_id", "cache_status", "extra", "path_shape", "query_keys",
}

// fieldsOf names the values of a request; what its format does not carry is left out.
func fieldsOf(r *schemas.Request) map[string]string {
	m := map[string]string{
		"time": time.UnixMilli(r.Time).UTC().Format("2006-01-02T15:04:05.000Z"), "client": r.Client.String(),
		"site": string(r.Site), "method": string(r.Method), "path": string(r.Path), "query": string(r.Query),
		"status": strconv.Itoa(int(r.Status)), "bytes": strconv.FormatInt(r.Bytes, 10), "protocol": string(r.Protocol),
		"path_shape": string(schemas.PathShape(nil, r.Path)), "query_keys": string(schemas.QueryKeys(nil, r.Query)),
	}
	optional := func(field schemas.Fields, name, value string) {
		if r.Fields.Has(field) {
			m[name] = value
		}
	}
	optional(schemas.FieldReferer, "referer", string(r.Referer))
	optional(schemas.FieldUserAgent, "user_agent", string(r.UserAgent))
	optional(schemas.FieldAcceptLanguage, "accept_language", string(r.AcceptLanguage))
	optional(schemas.FieldAcceptEncoding, "accept_encoding", string(r.AcceptEncoding))
	optional(schemas.FieldTLS, "tls", string(r.TLS))
	optional(schemas.FieldDuration, "duration", time.Duration(r.Duration*1000).String())
	optional(schemas.FieldUpstreamDuration, "upstream_duration", time.Duration(r.UpstreamDuration*1000).String())
	optional(schemas.FieldAction, "action", string(r.Action))
	optional(schemas.FieldAction, "decision", string(r.Decision))
	optional(schemas.FieldRequestID, "request_id", string(r.RequestID))
	optional(schemas.FieldCacheStatus, "cache_status", string(r.CacheStatus))
	optional(schemas.FieldExtra, "extra", string(r.Extra))
	if r.Cookie != schemas.CookieUnknown {
		m["cookie"] = map[schemas.Cookie]string{schemas.CookieNone: "none", schemas.CookieSome: "some"}[r.Cookie]
	}
	return m
}
