package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// vague are names that say nothing about what a package owns.
func vague(name string) bool {
	return slices.Contains([]string{"util", "utils", "common", "types", "helper", "helpers", "pkg", "misc", "base", "shared"}, name)
}

// runsAtImport finds func init.
func runsAtImport(file *ast.File) bool {
	return slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Recv == nil && f.Name.Name == "init"
	})
}

func TestPackages(t *testing.T) {
	sources(t, parser.SkipObjectResolution|parser.ParseComments, func(name string, file *ast.File) {
		if vague(strings.TrimSuffix(file.Name.Name, "_test")) {
			t.Errorf("%s: no package is called %s here: name what it owns", name, file.Name.Name)
		}
		for folder := range strings.SplitSeq(filepath.Dir(name), "/") {
			if vague(folder) {
				t.Errorf("%s: no folder is called %s here: name what it owns", name, folder)
			}
		}
		// What protoc-gen-go writes has to register itself.
		if runsAtImport(file) && !ast.IsGenerated(file) {
			t.Errorf("%s: no init: let the caller say when", name)
		}
	})
}

// local finds what is only true of one machine. In pieces, so as not to find
// itself.
func local() *regexp.Regexp {
	return regexp.MustCompile(strings.Join([]string{
		"/wor" + "k/(main|shared)", "/tm" + "p/(bg|brief|bash_jobs)", "/roo" + "t/(go|\\.cache)", "/hom" + "e/[a-z]+/", "/User" + "s/[a-z]+/",
	}, "|"))
}

func TestNoLocalPaths(t *testing.T) {
	pattern := local()
	files(t, func(name string) {
		if name == ".git" {
			return // of a worktree: it names where the repository is
		}
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			return
		}
		if bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
			return // not a text
		}
		if found := pattern.Find(data); found != nil {
			t.Errorf("%s: names %s, which is of one machine", name, found)
		}
	})
}

func TestTheseFindWhatTheyForbid(t *testing.T) {
	for _, name := range []string{"util", "common", "types", "helpers", "pkg"} {
		if !vague(name) {
			t.Errorf("a package may be called %s", name)
		}
	}
	for text, want := range map[string]bool{
		"package p\nfunc init() {}":                  true,
		"package p\ntype t int\nfunc (t) init() {}":  false,
		"package p\nfunc initialise() {}\nvar x = 1": false,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := runsAtImport(file); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if !local().MatchString("see /wor"+"k/main/x") || local().MatchString("/var/log/nginx/access.log") {
		t.Error("local paths")
	}
}
