// Package docs_test holds the documents to the program: what they quote is what
// it writes, and what they link to is there.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weir-project/weir/sinks/haproxy"
	"github.com/weir-project/weir/sinks/nginx"
)

// snippetDir is the directory that the documents name.
const snippetDir = "/etc/nginx/weir"

// TestSnippets compares docs/nginx with what the program writes; with WEIR_UPDATE
// set it writes the files anew.
func TestSnippets(t *testing.T) {
	server, err := nginx.ServerSnippet(nginx.SnippetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		nginx.HTTPName: nginx.HTTPSnippet(snippetDir, nginx.SnippetOptions{}), nginx.ServerName: server,
	} {
		path := filepath.Join("nginx", name)
		if os.Getenv("WEIR_UPDATE") != "" {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the program writes (%v): WEIR_UPDATE=1 go test ./docs", path, err)
		}
	}
}

// link is a link of Markdown to a file of the tree or into the same one, and its fragment.
var link = regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)]*))?\)`)

// heading is one of Markdown, and what its anchor leaves out of it.
var heading, unanchored = regexp.MustCompile(`(?m)^#+ +(.*)$`), regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

// anchors are what a link into a file of Markdown may name, as GitHub makes them of headings.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(text, -1) {
		all[strings.ReplaceAll(unanchored.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")] = true
	}
	return all
}

func TestLinks(t *testing.T) {
	files, err := fs.Glob(os.DirFS(".."), "*.md")
	if err != nil {
		t.Fatal(err)
	}
	docs, err := fs.Glob(os.DirFS(".."), "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	runbooks, err := fs.Glob(os.DirFS(".."), "docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(files, docs, runbooks) {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(string(text), -1) {
			to := filepath.Join("..", filepath.Dir(name), found[1])
			if found[1] == "" {
				to = filepath.Join("..", name)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which is not there", name, found[1])
				continue
			}
			if found[2] == "" {
				continue
			}
			if target, err := os.ReadFile(to); err != nil || !anchors(string(target))[found[2]] {
				t.Errorf("%s links to %s#%s, which is not there (%v)", name, found[1], found[2], err)
			}
		}
	}
}

// metric is the name of one of weir's metrics where it is registered or described.
var metric = regexp.MustCompile("`(weir_[a-z_]+)`")

// TestMetrics looks for every metric that the documents name in the code: the last
// word of a name that is put together there, or the whole of one that is not.
func TestMetrics(t *testing.T) {
	var code strings.Builder
	for _, root := range []string{"../collectors", "../processor", "../sinks", "../internal", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" {
				return err
			}
			text, err := os.ReadFile(path)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	names := metric.FindAllStringSubmatch(string(text), -1)
	if len(names) < 20 {
		t.Errorf("only %d metrics found in operations.md", len(names))
	}
	for _, found := range names {
		name := found[1]
		short := name
		for _, prefix := range []string{"weir_nginx_", "weir_bus_", "weir_clickhouse_", "weir_edge_", "weir_nftables_", "weir_haproxy_", "weir_lapi_"} {
			short = strings.TrimPrefix(short, prefix)
		}
		if !strings.Contains(code.String(), `"`+name+`"`) && !strings.Contains(code.String(), `"`+short+`"`) {
			t.Errorf("operations.md names the metric %s, which the code does not have", name)
		}
	}
}

// A bouncer must not refuse everybody because weir does not answer.
func TestRecipesFailOpen(t *testing.T) {
	for path, line := range map[string]string{"../deploy/bouncers/traefik.yml": "\n          updateMaxFailure: -1\n", "../deploy/bouncers/Caddyfile": "\tcrowdsec {\n"} {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), line) || strings.Contains(string(text), "\n\t\tenable_hard_fails") {
			t.Errorf("%s: %v, or it fails closed:\n%s", path, err, text)
		}
	}
}

// TestHAProxySnippet compares the recipe for HAProxy with what the program tests; with
// WEIR_UPDATE set it writes it anew.
func TestHAProxySnippet(t *testing.T) {
	global, frontend, counting := haproxy.Snippet("/run/haproxy/admin.sock", "/etc/haproxy/weir.map")
	want := "# weir beside a HAProxy: haproxy.socket and haproxy.map of weir's configuration name the\n" +
		"# same two paths. Before the first start: touch /etc/haproxy/weir.map\n\n# Into global:\n" + global +
		"\n# First into each frontend that weir protects:\n" + frontend +
		"\n# Beside them, so that what is stopped is counted:\n" + counting
	const path = "../deploy/haproxy/weir.cfg"
	if os.Getenv("WEIR_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the program tests (%v): WEIR_UPDATE=1 go test ./docs", path, err)
	}
}
