// Package archtest holds the rules of the tree that the compiler does not: who
// may import whom, and what does not stand in it.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/weir-project/weir"
	root   = "../.."
)

// rule forbids imports to the packages under a folder, their tests included.
// Folders are relative to the module; "" is all of it.
type rule struct {
	name   string
	who    string
	except []string // folders under who that the rule leaves alone
	never  []string // folders of the project that they may not import ...
	save   []string // ... except these
}

func rules() []rule {
	layer := func(name string, others ...string) rule {
		return rule{
			name: name + " know the other parts by their messages alone", who: name,
			never: append(others, "internal/bus", "internal/config", "internal/e2e", "cmd"),
		}
	}
	return []rule{
		{name: "schemas stand alone", who: "schemas", never: []string{""}, save: []string{"schemas"}},
		layer("collectors", "processor", "sinks"),
		layer("processor", "collectors", "sinks"),
		layer("sinks", "collectors", "processor"),
		{name: "sketches know nothing of the project", who: "processor/sketch", never: []string{""}, save: []string{"processor/sketch"}},
		{name: "only cmd and the end-to-end tests see everything", who: "internal", except: []string{"internal/e2e"},
			never: []string{"collectors", "processor", "sinks", "cmd", "internal/e2e"}},
		{name: "dashboards are a program of their own", who: "dashboards",
			never: []string{"collectors", "processor", "sinks", "cmd", "internal/bus", "internal/config", "internal/e2e"}},
		{name: "what dashboards ask and hear needs the messages alone", who: "dashboards/query", never: []string{""}, save: []string{"dashboards/query", "schemas"}},
		{name: "what dashboards ask and hear needs the messages alone", who: "dashboards/live", never: []string{""}, save: []string{"dashboards/live", "schemas"}},
		{name: "weir runs without its dashboards", who: "", never: []string{"dashboards"}, except: []string{"dashboards"}},
		{name: "nobody imports the program", who: "", never: []string{"cmd"}, except: []string{"cmd"}},
	}
}

// under says whether a package's folder is the folder or lies in it.
func under(pkg, folder string) bool {
	return folder == "" || pkg == folder || strings.HasPrefix(pkg, folder+"/")
}

func underAny(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return under(pkg, f) })
}

// broken lists what in a graph of folders, each with the folders it imports,
// breaks a rule.
func broken(graph map[string][]string, rules []rule) []string {
	var all []string
	for _, pkg := range slices.Sorted(maps.Keys(graph)) {
		for _, r := range rules {
			if !under(pkg, r.who) || underAny(pkg, r.except) {
				continue
			}
			for _, imported := range graph[pkg] {
				if underAny(imported, r.never) && !underAny(imported, r.save) {
					all = append(all, fmt.Sprintf("%s imports %s: %s", pkg, imported, r.name))
				}
			}
		}
	}
	return all
}

// sources calls each with every Go file of the tree, parsed.
func sources(t *testing.T, mode parser.Mode, each func(name string, file *ast.File)) {
	t.Helper()
	count := 0
	files(t, func(name string) {
		if path.Ext(name) != ".go" {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, name), nil, mode)
		if err != nil {
			t.Error(err)
			return
		}
		count++
		each(name, file)
	})
	if count < 20 {
		t.Errorf("only %d Go files found: is %s the root?", count, root)
	}
}

// files calls each with the slash-separated name of every file of the tree,
// leaving out what is fetched, built or git's.
func files(t *testing.T, each func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", "bin", "node_modules"}, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if entry.Type().IsRegular() {
			each(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestImports(t *testing.T) {
	graph := map[string][]string{}
	sources(t, parser.ImportsOnly, func(name string, file *ast.File) {
		pkg := path.Dir(name)
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Error(err)
				continue
			}
			if rest, ours := strings.CutPrefix(imported, module+"/"); ours && rest != pkg {
				graph[pkg] = append(graph[pkg], rest)
			}
		}
	})
	for _, line := range broken(graph, rules()) {
		t.Error(line)
	}
}

// The rules find what they are for, and only that.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	for _, c := range []struct {
		pkg, imports string
		want         int
	}{
		{"schemas", "internal/bus", 1},
		{"schemas", "processor", 1},
		{"schemas/clickhouse", "schemas", 0},
		{"collectors/tail", "processor/window", 1},
		{"collectors/tail", "collectors/accesslog", 0},
		{"collectors/ship", "internal/bus", 1},
		{"collectors/ship", "schemas", 0},
		{"processor", "sinks/nginx", 1},
		{"processor/sketch", "schemas", 1},
		{"processor/window", "processor/sketch", 0},
		{"sinks/clickhouse", "collectors/tail", 1},
		{"sinks/clickhouse", "internal/config", 1},
		{"sinks/clickhouse", "internal/embedded", 0},
		{"sinksother", "collectors/tail", 0},
		{"internal/bus", "processor", 1},
		{"internal/bus", "schemas", 0},
		{"internal/e2e", "processor", 0},
		{"internal/e2e", "cmd/weir", 1},
		{"cmd/weir", "processor", 0},
		{"cmd/weir", "internal/bus", 0},
		{"cmd/weir", "dashboards/query", 1},
		{"dashboards/plugin", "internal/bus", 1},
		{"dashboards/plugin", "dashboards/live", 0},
		{"dashboards/live", "dashboards/query", 1},
		{"dashboards/query", "schemas", 0},
	} {
		got := broken(map[string][]string{c.pkg: {c.imports}}, rules())
		if (len(got) > 0) != (c.want > 0) {
			t.Errorf("%s imports %s: found %q", c.pkg, c.imports, got)
		}
	}
}
