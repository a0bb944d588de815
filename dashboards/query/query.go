// Package query is what a panel, an alert rule or a variable asks of weir: typed kinds,
// checked before anything runs, and the SQL that each becomes. It runs nothing itself.
//
//	JSON of a panel ─▶ Parse ─▶ Query ─▶ Plan ─▶ SQL (package history)
//	                              └────▶ Live ─▶ a channel (package live)
package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weir-project/weir/schemas"
)

// Kind is what is asked for.
type Kind string

// The kinds.
const (
	Sites     Kind = "sites"     // a row a site: how it is now, beside what is normal
	Traffic   Kind = "traffic"   // requests a second over time: served, failed, stopped; or by site
	Signals   Kind = "signals"   // signals of sites over time, with what is normal
	Traits    Kind = "traits"    // values of traits, by what changed against the time before
	Incidents Kind = "incidents" // a row an incident; as annotations, a region each
	Decisions Kind = "decisions" // a row a decision, with what it stopped
	Evidence  Kind = "evidence"  // why decisions were taken: traits, samples, the nearest normal requests
	Effect    Kind = "effect"    // what decisions did at the edges over time
	Edges     Kind = "edges"     // a row an edge and part: intended, loaded, matching
	Prefixes  Kind = "prefixes"  // networks, by their requests
	Vitals    Kind = "vitals"    // how edges are over time
	Figures   Kind = "figures"   // how weir itself is over time: memory, drops, loads at the edges
	Health    Kind = "health"    // the pipeline as named numbers
	Lag       Kind = "lag"       // how late requests were stored, and how many, over time
	Requests  Kind = "requests"  // single requests, the last first; or the most frequent values of a column
	Values    Kind = "values"    // the values that a variable can have
	SQL       Kind = "sql"       // one statement that only reads
)

// Kinds are all of them, in the order in which the editor offers them.
func Kinds() []Kind {
	return []Kind{Sites, Traffic, Signals, Traits, Incidents, Decisions, Evidence, Effect, Edges, Prefixes, Vitals, Figures, Health, Lag, Requests, Values, SQL}
}

// Query is one query as it stands in a panel. What a kind does not use must be empty.
type Query struct {
	Kind Kind `json:"kind"`
	// Sites are those asked about; none, or "*" among them, is every site.
	Sites []string `json:"sites,omitempty"`
	// Signals are the names of signals; none is request_rate.
	Signals []string `json:"signals,omitempty"`
	// Normal adds what is normal for each signal.
	Normal bool `json:"normal,omitempty"`
	// By is, of traffic, "outcome" (the default) or "site"; of requests, a column whose
	// values are counted; of prefixes, "8", "16", "24" or "map"; of values, what they are of.
	By string `json:"by,omitempty"`
	// Live has the panel go on from where the store ends: rows come in as they happen.
	Live bool `json:"live,omitempty"`
	// Incident is what it is about, instead of the panel's time; "latest" is the last one opened.
	Incident string `json:"incident,omitempty"`
	// State is, of incidents, "open" or "all"; of decisions, "in_force", "review" or "all".
	State string `json:"state,omitempty"`
	// Annotations has incidents answered as regions.
	Annotations bool `json:"annotations,omitempty"`
	// Edges are edges' names; none is every edge.
	Edges []string `json:"edges,omitempty"`
	// Columns are the numbers wanted; vitals and figures need some, of other kinds none is all.
	Columns []string `json:"columns,omitempty"`
	// Where narrows requests down: a column of filterColumns, and its value. Empty values are
	// ignored, so that a text box of a dashboard may stay empty.
	Where map[string]string `json:"where,omitempty"`
	// Limit is the most rows; 0 is 100.
	Limit int `json:"limit,omitempty"`
	// SQL is the statement, with macros.
	SQL string `json:"sql,omitempty"`
}

// Bounds of a query.
const (
	maxQuery    = 64 << 10 // bytes of JSON
	maxList     = 100      // sites, signals, edges, columns
	maxSQL      = 32 << 10 // bytes
	maxLimit    = 10_000   // rows
	defaultRows = 100
)

// ErrQuery is wrapped by what is wrong with a query.
var ErrQuery = errors.New("the query")

func wrong(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrQuery, fmt.Sprintf(format, a...))
}

// envelope are the keys that Grafana itself adds to every query.
var envelope = []string{
	"refId", "datasource", "datasourceId", "datasourceUid", "hide", "key", "queryType", "intervalMs", "maxDataPoints", "intervalFactor", "legendFormat", "expr", "metric",
}

// Parse reads a query as Grafana hands it over, and refuses one that says what no kind
// understands. Errors wrap ErrQuery, and say how to mend it.
func Parse(text []byte) (Query, error) {
	var q Query
	if len(text) > maxQuery {
		return q, wrong("has %d bytes, at most %d", len(text), maxQuery)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return q, wrong("is no JSON object: %v", err)
	}
	for _, key := range envelope {
		delete(keys, key)
	}
	own, err := json.Marshal(keys)
	if err != nil {
		return q, wrong("%v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(own))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		return q, wrong("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	q.normalise()
	return q, q.check()
}

func (q *Query) normalise() {
	q.Sites, q.Edges = chosen(q.Sites), chosen(q.Edges)
	q.Signals, q.Columns = slices.DeleteFunc(q.Signals, empty), slices.DeleteFunc(q.Columns, empty)
	for column, value := range q.Where {
		if value == "" || value == "*" {
			delete(q.Where, column)
		}
	}
	if len(q.Signals) == 0 && q.Kind == Signals {
		q.Signals = []string{schemas.RequestRate}
	}
	if q.By == "" {
		q.By = map[Kind]string{Traffic: "outcome", Prefixes: "16", Values: "sites"}[q.Kind]
	}
	if q.State == "" {
		q.State = map[Kind]string{Incidents: "all", Decisions: "in_force"}[q.Kind]
	}
	if q.Limit == 0 {
		q.Limit = defaultRows
	}
}

func empty(s string) bool { return s == "" }

// chosen is nil for everything.
func chosen(names []string) []string {
	if slices.Contains(names, "*") || slices.Contains(names, "$__all") {
		return nil
	}
	return slices.DeleteFunc(names, empty)
}

// choices are what By and State may be.
var choices = map[string]map[Kind][]string{
	"by": {
		Traffic: {"outcome", "site"}, Prefixes: {"8", "16", "24", "map"}, Values: {"sites", "signals", "incidents", "edges", "decisions"},
		Requests: append([]string{""}, topColumns...),
	},
	"state": {Incidents: {"open", "all"}, Decisions: {"in_force", "review", "all"}},
}

func (q *Query) check() error {
	if !slices.Contains(Kinds(), q.Kind) {
		return wrong("has the kind %q; there are %s", cut(string(q.Kind)), join(Kinds()))
	}
	for name, value := range map[string]string{"by": q.By, "state": q.State} {
		known := choices[name][q.Kind]
		if value == "" && len(known) == 0 {
			continue
		}
		if !slices.Contains(known, value) {
			return wrong("of the kind %s has %s %q; there are %s", q.Kind, name, cut(value), join(known))
		}
	}
	for name, list := range map[string][]string{"sites": q.Sites, "signals": q.Signals, "edges": q.Edges, "columns": q.Columns} {
		if len(list) > maxList {
			return wrong("names %d %s, at most %d: choose all instead", len(list), name, maxList)
		}
		for _, one := range list {
			if len(one) > schemas.MaxSite {
				return wrong("%s: a name of %d bytes, at most %d", name, len(one), schemas.MaxSite)
			}
		}
	}
	if q.Limit < 1 || q.Limit > maxLimit {
		return wrong("has the limit %d; want 1 to %d", q.Limit, maxLimit)
	}
	if len(q.Incident) > schemas.MaxID {
		return wrong("names an incident of %d bytes", len(q.Incident))
	}
	return q.checkKind()
}

// checkKind is what a kind asks beyond the rest.
func (q *Query) checkKind() error {
	if q.Live && q.Kind != Traffic && q.Kind != Signals {
		return wrong("of the kind %s is not live; traffic and signals are", q.Kind)
	}
	if q.Kind == SQL {
		if strings.TrimSpace(q.SQL) == "" {
			return wrong("is empty: write a SELECT")
		}
		if len(q.SQL) > maxSQL {
			return wrong("has %d bytes of SQL, at most %d", len(q.SQL), maxSQL)
		}
	}
	if known := numbers[q.Kind]; known != nil {
		if len(q.Columns) == 0 {
			return wrong("of the kind %s names no columns; there are %s", q.Kind, join(sortedKeys(known)))
		}
		for _, c := range q.Columns {
			if _, ok := known[c]; !ok {
				return wrong("of the kind %s names the column %q; there are %s", q.Kind, cut(c), join(sortedKeys(known)))
			}
		}
	}
	for column, value := range q.Where {
		if _, err := condition(column, value); err != nil {
			return err
		}
	}
	return nil
}

func join[S ~string](names []S) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, ", ")
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), 60)], "") }

// prefixOf reads an address or a prefix.
func prefixOf(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(text); err == nil {
		addr = addr.WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, wrong("has %q where an address or a prefix is wanted", cut(text))
	}
	return prefix.Masked(), nil
}
