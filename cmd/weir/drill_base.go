package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// learn makes the processor: with what the running weir has written of what it knows, or
// with a baseline, or with nothing.
func (d *drill) learn() (err error) {
	if d.command.Baseline != "" {
		d.learned, d.report.State = true, "the baseline "+d.command.Baseline
		d.processor, _, err = fromBaseline(d.config, d.command.Baseline, secret{}, processor.Options{})
		return err
	}
	path := filepath.Join(d.config.Data, "processor.state")
	f, err := os.Open(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drill: %w", unwrapPath(err))
	}
	if err != nil {
		d.report.State = "nothing: " + path + " is not there"
		d.processor, err = newProcessor(d.config, secret{}, processor.Options{})
		return err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	was, err := readPosition(in)
	if err == nil {
		if d.processor, err = newProcessor(d.config, was.Secret, processor.Options{}); err == nil {
			err = d.processor.LoadDetector(in)
		}
	}
	if err != nil {
		return fmt.Errorf("drill: state %s: %w", path, err)
	}
	d.learned, d.report.State = true, "what is in "+path
	return nil
}

// lines are the ordinary traffic and the attack in it.
func (d *drill) lines(s screen, p *program) ([]drillLine, error) {
	name := d.command.Scenario
	if name == "armed" {
		name = "opening"
	}
	scenario, err := simulate.FindScenario(name)
	if err != nil {
		return nil, usageError{err}
	}
	if !scenario.Attack {
		return nil, usagef("--scenario %s: it is no attack", name)
	}
	d.report.Site = d.command.Site
	if d.report.Site == "" && d.learned {
		d.report.Site = busiest(d.processor.Sites())
	}
	base, err := d.own(s, p)
	if err != nil {
		return nil, err
	}
	if d.command.Scenario == "armed" && d.report.Site == "" {
		return nil, usagef("--scenario armed: no site is known (%s); weir run writes what it knows every half minute, and when it ends", d.report.State)
	}
	if d.command.Scenario == "armed" && len(d.processor.Armed(d.report.Site)) == 0 {
		return nil, usagef("--scenario armed: no signature of %s is armed, and none in force has stopped anything for long enough to be; give another scenario", printable(d.report.Site, 100))
	}
	if d.command.Scenario == "armed" && len(base) < drillLeast {
		return nil, usagef("--scenario armed: it is played in a site's own traffic, and of %s %s of the last %s without an attack are stored, less than %d",
			printable(d.report.Site, 100), plural(len(base), "request"), short(drillBase), drillLeast)
	}
	if len(base) < drillLeast {
		return d.simulated(scenario, len(base))
	}
	d.report.Base = fmt.Sprintf("its own of the last %s, %s", short(drillBase), plural(len(base), "request"))
	if d.beforeAttack {
		d.report.Base = fmt.Sprintf("its own of the %s before it was attacked, %s", short(drillBase), plural(len(base), "request"))
	}
	d.begins = base[len(base)-1].at.Add(-d.command.For)
	attack, err := d.attack(scenario)
	return append(base, attack...), err
}

// busiest is the site with most requests.
func busiest(sites []processor.SiteStatus) (name string) {
	most := uint64(0)
	for _, s := range sites {
		if s.Name != processor.Other && (name == "" || s.Requests > most) {
			name, most = s.Name, s.Requests
		}
	}
	return name
}

// own are the site's last requests that were let through, from the store, where there is
// one and weir has learned the site. Who was stopped meanwhile, and what the site's signatures match,
// is left out: an attack of just now is no ordinary traffic, and stopping it harms nobody.
func (d *drill) own(_ screen, p *program) (lines []drillLine, err error) {
	if !d.learned || d.report.Site == "" {
		return nil, nil
	}
	if _, err := os.Stat(filepath.Join(d.config.Data, "clickhouse")); err != nil && d.config.ClickHouse.DSN == "" {
		return nil, nil
	}
	site := attribute.Quote(d.report.Site)
	until, err := d.until(p, site)
	if err != nil {
		return nil, err
	}
	rows, err := d.ask(p, fmt.Sprintf(`WITH fromUnixTimestamp64Milli(%[3]d) AS until
		SELECT toUnixTimestamp64Milli(time) / 1000 AS time, site AS host, client, method,
		if(query = '', path, concat(path, '?', query)) AS uri, protocol, status, bytes, duration, upstream_duration, referer, user_agent,
		accept_language, accept_encoding, tls, if(cookie = 'some', '1', '') AS cookie, 'allow' AS action
		FROM requests_readable WHERE site = %[1]s AND action IN ('allow', '') AND client NOT IN (
			SELECT client FROM requests_readable WHERE site = %[1]s AND action NOT IN ('allow', '')
			AND time > until - INTERVAL %[2]d SECOND AND time <= until)
		AND time > until - INTERVAL %[2]d SECOND AND time <= until ORDER BY time LIMIT 500000`, site, int(drillBase.Seconds()), until))
	if err != nil {
		return nil, err
	}
	if lines, err = readOwn(rows); err != nil {
		return nil, err
	}
	return withoutAttack(lines, d.processor.Armed(d.report.Site)), nil
}

// calmBefore is how long before an incident opened what came is no ordinary traffic any more.
const calmBefore = time.Minute

// until is the end of the site's ordinary traffic, in unix milliseconds: its last request, or where an attack
// goes on, or was until just now, before that opened.
func (d *drill) until(p *program, site string) (int64, error) {
	rows, err := d.ask(p, fmt.Sprintf(`SELECT toUnixTimestamp64Milli(latest) AS newest, toUnixTimestamp64Milli(ifNull(least(latest, opened - INTERVAL %[3]d SECOND), latest)) AS until
		FROM (SELECT max(time) AS latest FROM requests WHERE site = %[1]s) AS requested, (SELECT minOrNull(opened) AS opened FROM incidents
			WHERE has(sites, %[1]s) AND kind IN ('flood', 'scrape', 'scan') AND time > (SELECT max(time) FROM requests WHERE site = %[1]s) - INTERVAL %[2]d SECOND) AS attacked`,
		site, int(drillBase.Seconds()), int(calmBefore.Seconds())))
	if err != nil {
		return 0, err
	}
	var at struct{ Newest, Until int64 }
	if err := json.Unmarshal(rows, &at); err != nil {
		return 0, fmt.Errorf("drill: the store's last request: %w", err)
	}
	d.beforeAttack = at.Until < at.Newest
	return at.Until, nil
}

// storeTries is how often the store is asked before the drill gives up.
const storeTries = 3

// ask asks the store for rows as JSON, again where another command had it open, and ended.
func (d *drill) ask(p *program, query string) (rows []byte, err error) {
	rows, err = d.askOnce(p, query)
	for tries := 1; err != nil && tries < storeTries && d.ctx.Err() == nil; tries++ {
		rows, err = d.askOnce(p, query)
	}
	return rows, err
}

func (d *drill) askOnce(p *program, query string) (rows []byte, err error) {
	open := &sqlCommand{dataFlag: dataFlag{Data: d.command.Data}}
	db, end, err := open.open(d.ctx, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	var out bytes.Buffer
	err = db.Query(d.ctx, query, clickhouse.QueryOptions{Format: "JSONEachRow", Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}, &out)
	return out.Bytes(), err
}

// withoutAttack are the lines that none of the signatures matches, as far as a line alone says.
func withoutAttack(lines []drillLine, signatures []schemas.Signature) []drillLine {
	parser := accesslog.New(accesslog.Weir)
	var r schemas.Request
	var scratch []byte
	return slices.DeleteFunc(lines, func(l drillLine) (match bool) {
		if parser.Parse(bytes.TrimSpace(l.text), &r) != 0 {
			return false // it is refused where it is played
		}
		for _, s := range signatures {
			if match, scratch = s.Match(&r, scratch); match {
				return true
			}
		}
		return false
	})
}

// readOwn takes the store's rows apart into lines.
func readOwn(rows []byte) (lines []drillLine, err error) {
	for row := range bytes.Lines(rows) {
		var at struct{ Time float64 }
		if err := json.Unmarshal(row, &at); err != nil {
			return nil, fmt.Errorf("drill: a stored request: %w", err)
		}
		lines = append(lines, drillLine{at: time.UnixMilli(int64(1000 * at.Time)), text: bytes.Clone(row)})
	}
	return lines, nil
}

// simulated is a scenario with its own ordinary traffic.
func (d *drill) simulated(scenario simulate.Scenario, stored int) ([]drillLine, error) {
	d.report.Base = "simulated: nothing was learned of any site"
	if d.learned {
		d.report.Base = fmt.Sprintf("simulated, and the site made up: of %s %s of the last %s are stored, and a drill on its own takes %d",
			printable(d.report.Site, 100), plural(stored, "request"), short(drillBase), drillLeast)
		d.report.State = "nothing of that site; " + d.report.State + " is left out"
	}
	d.learned = false
	var err error
	if d.processor, err = newProcessor(d.config, secret{}, processor.Options{}); err != nil {
		return nil, err
	}
	c, err := scenario.Config(d.params(drillBase))
	if err != nil {
		return nil, usageError{err}
	}
	d.begins, d.report.Site = c.Begins(), ""
	var lines []drillLine
	err = simulate.Run(c, func(r *simulate.Record) error {
		if r.Sent.After(d.begins.Add(d.command.For)) {
			return nil
		}
		if r.Attack() && d.report.Site == "" {
			d.report.Site = r.Site
		}
		lines = append(lines, drillLine{at: r.Time, attack: r.Attack(), text: simulate.AppendJSON(nil, r)})
		return d.ctx.Err()
	})
	return lines, err
}

func (d *drill) params(base time.Duration) simulate.Params {
	return simulate.Params{Seed: d.command.Seed, Strength: d.command.Strength, Base: base, Hour: 14}
}

// attack are the scenario's attack requests, on the site and from begins on.
func (d *drill) attack(scenario simulate.Scenario) (lines []drillLine, err error) {
	c, err := scenario.Config(d.params(time.Minute))
	if err != nil {
		return nil, usageError{err}
	}
	shift := d.begins.Sub(c.Begins())
	var armed []schemas.Signature
	if d.command.Scenario == "armed" {
		armed = d.processor.Armed(d.report.Site)
	}
	err = simulate.Run(c, func(r *simulate.Record) error {
		if !r.Attack() || r.Sent.After(c.Begins().Add(d.command.For)) {
			return d.ctx.Err()
		}
		q := *r
		q.Site, q.Time = d.report.Site, r.Time.Add(shift)
		if len(armed) > 0 {
			wear(&q, armed[len(lines)%len(armed)])
		}
		lines = append(lines, drillLine{at: q.Time, attack: true, text: simulate.AppendJSON(nil, &q)})
		return d.ctx.Err()
	})
	return lines, err
}

// says reports whether a signature says something of a trait.
func says(s schemas.Signature, trait schemas.Trait) bool {
	return slices.ContainsFunc(s, func(t schemas.TraitValue) bool { return t.Trait == trait })
}

// wear gives a request the traits of a signature, as far as it can be made to have them.
func wear(r *simulate.Record, s schemas.Signature) {
	for _, t := range s {
		switch t.Trait {
		case schemas.TraitUserAgent:
			r.UserAgent = t.Value
		case schemas.TraitAgentFamily:
			if schemas.AgentFamily([]byte(r.UserAgent)) != t.Value {
				r.UserAgent = agentOf(t.Value)
			}
		case schemas.TraitAcceptLanguage:
			r.AcceptLanguage = t.Value
		case schemas.TraitAcceptEncoding:
			r.AcceptEncoding = t.Value
		case schemas.TraitTLS:
			r.TLS = t.Value
		case schemas.TraitProtocol:
			r.Protocol = t.Value
		case schemas.TraitMethod:
			r.Method = t.Value
		case schemas.TraitCookie:
			r.Cookie = t.Value == "some"
		case schemas.TraitReferer:
			r.Referer = map[string]string{"same": "https://" + r.Site + "/", "other": "https://elsewhere.example/"}[t.Value]
		case schemas.TraitPathShape:
			r.URI = shaped(t.Value)
		case schemas.TraitPathKnown:
			if t.Value == schemas.PathUnknown && !says(s, schemas.TraitPathShape) { // a path made of a shape is no page's
				r.URI = fmt.Sprintf("/drill-%d", r.Time.UnixNano())
			}
		case schemas.TraitAgentKnown:
			if t.Value == schemas.PathUnknown && !says(s, schemas.TraitUserAgent) {
				r.UserAgent = strings.TrimSpace(r.UserAgent + " drill-of-weir/1.0")
			}
		case schemas.TraitQueryKnown:
			if path, _, _ := strings.Cut(r.URI, "?"); t.Value == schemas.PathUnknown && !says(s, schemas.TraitQueryKeys) {
				r.URI = path + "?drill-of-weir=1"
			}
		case schemas.TraitQueryKeys:
			path, _, _ := strings.Cut(r.URI, "?")
			if r.URI = path; t.Value != "" {
				r.URI += "?" + strings.ReplaceAll(t.Value, "&", "=1&") + "=1"
			}
		}
	}
}

// agentOf is an agent of a family.
func agentOf(family string) string {
	for _, f := range schemas.AgentFamilies() {
		if f.Name == family {
			return "Mozilla/5.0 (X11; Linux x86_64) " + f.Words[0]
		}
	}
	return map[string]string{schemas.AgentTool: "curl/8.5.0"}[family] // or none
}

// shaped is a path of a shape: see schemas.PathShape.
func shaped(shape string) string {
	var b strings.Builder
	for i := 0; i < len(shape); i++ {
		text, isClass := map[byte]string{'d': "1234567890123", 'a': "abcdefghijklm", 'm': "a1b2c3d4e5f6g", 's': "ab-cd-ef-gh-i", 'x': "a%20b~c!d*e(f)"}[shape[i]]
		if isClass && i+1 < len(shape) && shape[i+1] >= '1' && shape[i+1] <= '3' && (i == 0 || shape[i-1] == '/') {
			b.WriteString(text[:map[byte]int{'1': 4, '2': 8, '3': 13}[shape[i+1]]])
			i++
			continue
		}
		b.WriteByte(shape[i])
	}
	return b.String()
}
