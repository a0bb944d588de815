package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-project/weir/dashboards/query"
)

// linked is what of a dashboard's JSON links and colours are in.
type linked struct {
	UID        string `json:"uid"`
	Title      string `json:"title"`
	Templating struct {
		List []struct {
			Name string `json:"name"`
		} `json:"list"`
	} `json:"templating"`
	Panels []json.RawMessage `json:"panels"`
}

func (l *linked) has(variable string) bool {
	for _, v := range l.Templating.List {
		if v.Name == variable {
			return true
		}
	}
	return false
}

func shippedDashboards(t *testing.T) map[string]*linked {
	t.Helper()
	all := map[string]*linked{}
	files, _ := filepath.Glob("../grafana/dashboards/*.json")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d linked
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		all[d.UID] = &d
	}
	if len(all) != 6 {
		t.Fatalf("%d dashboards", len(all))
	}
	return all
}

// each hands over every value of a key, wherever it stands.
func each(v any, key string, take func(any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if k == key {
				take(inner)
			}
			each(inner, key, take)
		}
	case []any:
		for _, inner := range v {
			each(inner, key, take)
		}
	}
}

var (
	placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)
	variableOf  = regexp.MustCompile(`"\$([a-z]+)"`)
)

// TestLinks follows the links of the dashboards as they are shipped, with a value that a
// stranger has chosen in the cell that is clicked: it stays one value, each variable is set
// once and is one that the page which opens has, and Explore opens on a query that is one.
func TestLinks(t *testing.T) {
	const hostile = `a&var-site=x"}]},"#/../%22☃ <b>`
	all := shippedDashboards(t)
	count := 0
	for _, d := range all {
		for _, text := range d.Panels {
			for _, m := range variableOf.FindAllStringSubmatch(string(text), -1) {
				if !d.has(m[1]) {
					t.Errorf("%s asks for $%s, which it does not have", d.Title, m[1])
				}
			}
			var panel any
			if err := json.Unmarshal(text, &panel); err != nil {
				t.Fatal(err)
			}
			each(panel, "url", func(v any) {
				count++
				link, _ := v.(string)
				filled := placeholder.ReplaceAllStringFunc(link, func(found string) string {
					name, format, _ := strings.Cut(found[2:len(found)-1], ":")
					switch {
					case name == "__url_time_range":
						return "from=now-1h&to=now"
					case format == "percentencode" && (strings.HasPrefix(name, "__value.") || strings.HasPrefix(name, "__data.fields.")):
						return url.PathEscape(strings.ReplaceAll(hostile, "&", "%26"))
					case format == "queryparam" && d.has(name):
						return "var-" + name + "=kept"
					}
					t.Errorf("%s: %s goes into %s as it is", d.Title, found, link)
					return ""
				})
				u, err := url.Parse(filled)
				if err != nil {
					t.Errorf("%s: %s: %v", d.Title, filled, err)
					return
				}
				values, err := url.ParseQuery(u.RawQuery)
				if err != nil || u.Fragment != "" {
					t.Errorf("%s: %s: %v, %q", d.Title, filled, err, u.Fragment)
				}
				if u.Path == "/explore" {
					explored(t, values.Get("panes"))
					return
				}
				to := all[strings.TrimPrefix(u.Path, "/d/")]
				if to == nil {
					t.Errorf("%s: %s leads nowhere", d.Title, link)
					return
				}
				for _, v := range d.Templating.List { // what is chosen goes along where a page leads to itself
					if to == d && !values.Has("var-"+v.Name) {
						t.Errorf("%s: %s forgets $%s", d.Title, link, v.Name)
					}
				}
				for key, set := range values {
					name, variable := strings.CutPrefix(key, "var-")
					if len(set) != 1 || variable && !to.has(name) || !variable && key != "from" && key != "to" {
						t.Errorf("%s: %s sets %s %d times; %s has %t", d.Title, link, key, len(set), to.Title, to.has(name))
					}
				}
			})
		}
	}
	if count < 40 {
		t.Errorf("only %d links", count)
	}
}

// explored says whether Explore opens on a query of weir's. An id of a decision holds no
// quotes: a hostile one opens nothing.
func explored(t *testing.T, panes string) {
	t.Helper()
	at := strings.Index(panes, `"decision":"`)
	if at < 0 {
		t.Errorf("Explore's panes: %s", panes)
		return
	}
	end := strings.LastIndex(panes, `"}}],"range"`)
	text := panes[:at] + `"decision":"i261122-050812-1` + panes[end:]
	var all map[string]struct {
		Datasource string
		Queries    []json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all["w"].Queries) != 1 || all["w"].Datasource != uid {
		t.Errorf("Explore's panes: %v: %s", err, text)
		return
	}
	q, err := query.Parse(all["w"].Queries[0])
	if err != nil || q.Kind != query.Decisions || q.Where["decision"] != "i261122-050812-1" {
		t.Errorf("Explore's query: %+v, %v", q, err)
	}
}

// TestColours finds one colour for one word in all dashboards, and none but those that
// people tell apart who see colours differently.
func TestColours(t *testing.T) {
	known := []string{"#56B4E9", "#D55E00", "#E69F00", "#CC79A7", "#9E9E9E", "#009E73", "transparent"}
	meaning := map[string]string{}
	for _, d := range shippedDashboards(t) {
		for _, text := range d.Panels {
			var panel any
			if err := json.Unmarshal(text, &panel); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"fixedColor", "color"} {
				each(panel, key, func(v any) {
					if c, ok := v.(string); ok && !slices.Contains(known, c) {
						t.Errorf("%s has the colour %s", d.Title, c)
					}
				})
			}
			var fields struct {
				FieldConfig struct {
					Overrides []struct {
						Matcher    struct{ Options any }
						Properties []struct {
							ID    string
							Value any
						}
					}
				}
			}
			if err := json.Unmarshal(text, &fields); err != nil {
				t.Fatal(err)
			}
			for _, o := range fields.FieldConfig.Overrides {
				name, _ := o.Matcher.Options.(string)
				for _, p := range o.Properties {
					value, _ := p.Value.(map[string]any)
					c, _ := value["fixedColor"].(string)
					if p.ID != "color" || c == "" {
						continue
					}
					if before := meaning[name]; before != "" && before != c {
						t.Errorf("%s: %s is %s here and %s elsewhere", d.Title, name, c, before)
					}
					meaning[name] = c
				}
			}
		}
	}
	for name, want := range map[string]string{"served": "#56B4E9", "failed": "#D55E00", "stopped": "#CC79A7", "/normally$/": "#9E9E9E", "probe": "#009E73"} {
		if meaning[name] != want {
			t.Errorf("%s is %s, want %s", name, meaning[name], want)
		}
	}
}
